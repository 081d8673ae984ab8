from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.duration import parse_timeout


@pytest.mark.parametrize(
    "value",
    [
        "2H", "2h ", "90.5", "30min", "1h30m", "h", "", " ", "abc", "two hours", "1w", "0x10", "nan", "nanh", "infh",
        "-infs", True, False, None, [], {}, b"2h", float("nan"), float("inf"), 10**400, "9" * 5000, "1e400s",
    ],
)  # fmt: skip
def test_refuses_what_makes_the_client_raise(value: object) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_timeout(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90), ("90", 90), (90.9, 90), ("2h", 7200), ("0.5h", 1800), ("1800s", 1800), ("30m", 1800), ("1.5d",
        129600),
        ("0h", 0), ("-1h", -3600), (-5, -5), ("1e3s", 1000), (" 90 ", 90), (" 2h", 7200), ("1_000s", 1000), ("0.9s", 0),
    ],
)  # fmt: skip
def test_reads_as_the_client_does(value: object, seconds: float) -> None:
    assert parse_timeout(value) == seconds


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text())))
def test_yields_finite_seconds_or_raises_value_error(value: object) -> None:
    try:
        seconds = parse_timeout(value)
    except ValueError:
        return
    assert math.isfinite(seconds)
    assert seconds == int(seconds)
