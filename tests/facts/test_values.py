from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts import values
from trainguard.facts.values import ABSENT, UNKNOWN, Choice, Constant, Items, Table, Text, Value, choice, merged

NONE = Constant(None)


def test_absent_unknown_and_none_are_three_values() -> None:
    assert len({ABSENT, UNKNOWN, NONE}) == 3
    assert [values.constant(v) for v in (ABSENT, UNKNOWN, NONE)] == [ABSENT, UNKNOWN, None]
    assert [values.may_be_given(v) for v in (ABSENT, UNKNOWN, NONE)] == [False, True, False]
    assert [values.is_none(v) for v in (ABSENT, UNKNOWN, NONE)] == [False, False, True]
    assert [values.truth(v) for v in (ABSENT, UNKNOWN, NONE)] == [False, None, False]


def test_numbers_and_booleans_that_python_calls_equal_stay_apart() -> None:
    assert Constant(1) != Constant(True)
    assert Constant(1) != Constant(1.0)
    assert choice([Constant(1), Constant(True)]) == Choice((Constant(1), Constant(True)))
    same_in_python = [Table({"k": Constant(1)}), Table({"k": Constant(True)})]
    assert choice(list(same_in_python)) == Choice(tuple(same_in_python))


def test_a_choice_is_flat_and_without_repeats() -> None:
    inner = choice([Constant(1), UNKNOWN])
    assert choice([inner, Constant(1), ABSENT]) == Choice((Constant(1), UNKNOWN, ABSENT))
    assert choice([Constant("a"), Constant("a")]) == Constant("a")
    assert choice([]) is UNKNOWN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Constant(0), False),
        (Constant("a"), True),
        (Text(("a", None)), True),
        (Text((None,)), None),
        (Items(()), False),
        (Items((), complete=False), None),
        (Items((UNKNOWN,), complete=False), True),
        (Table({}), False),
        (Table({}, complete=False), None),
        (Table({"a": NONE}), True),
        (Table({"a": ABSENT}), False),
        (Table({"a": choice([ABSENT, NONE])}), None),
        (choice([Constant(1), Constant(2)]), True),
        (choice([Constant(1), NONE]), None),
    ],
)
def test_truth(value: Value, expected: bool | None) -> None:
    assert values.truth(value) is expected
    assert values.may_be_true(value) is (expected is not False)


def test_texts_are_known_only_if_all_are() -> None:
    both = choice([Constant("a"), Items((Constant("b"),))])
    assert values.texts(both) == {"a", "b"}
    assert values.texts(choice([both, ABSENT, NONE])) == {"a", "b"}
    assert values.texts(choice([both, UNKNOWN])) is None
    assert values.texts(Items((Constant("a"),), complete=False)) is None
    assert values.texts(ABSENT) == frozenset()
    assert values.certain_texts(choice([both, UNKNOWN])) == {"a", "b"}


def test_a_boolean_is_no_number() -> None:
    assert values.number(Constant(True)) is None
    assert values.number(Constant(2)) == 2
    assert values.number(choice([Constant(2), Constant(3)])) is None


def test_merging_keeps_what_a_key_that_may_be_missing_was() -> None:
    assert merged({"a": Constant(1)}, {"a": ABSENT}) == {"a": Constant(1)}
    maybe = choice([ABSENT, Constant(2)])
    assert merged({"a": Constant(1)}, {"a": maybe}) == {"a": Choice((Constant(2), Constant(1)))}
    assert merged({}, {"a": maybe}) == {"a": Choice((Constant(2), ABSENT))}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_any_json_becomes_a_value(document: object) -> None:
    value = values.from_python(document)
    if isinstance(document, dict):
        assert isinstance(value, Table)
        assert value.entries.keys() == document.keys()
    assert values.truth(value) is bool(document)


def test_a_mapping_with_other_keys_than_strings_is_not_complete() -> None:
    assert values.from_python({1: 2}) == Table({}, complete=False)
    assert values.from_python(object()) is UNKNOWN
