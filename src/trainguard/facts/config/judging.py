"""Whether a value is one that its field takes, and what is wrong where it is not."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from msgspec import inspect

from trainguard.facts.config.fields import Field, bare
from trainguard.facts.config.node import MAX_PROBLEMS, InvalidDocumentError, Node, to_python
from trainguard.facts.config.yaml_text import plain_value

# RUN001 to RUN027 of the rule book: what may happen to a run.
RUN_CODES = tuple(f"RUN{number:03}" for number in range(1, 28))
_SHOWN = 60
_WORDS = {"yes": True, "on": True, "no": False, "off": False}
HIDDEN = "a hidden value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a value; `node` is the part of it that is. `key` is that of a table's entry."""

    node: Node
    expected: str
    because: str
    suggestion: str | None = None
    key: str | None = None
    unknown: bool = False


def judge(field: Field, node: Node) -> tuple[Any, list[Fault]]:
    """The value of `field` that `node` states, and what is wrong with it; the value counts only where nothing is."""
    if node.value is None:
        return _null(field, node)
    kinds = field.alternatives
    for kind in kinds:
        value, faults = _judged(field, kind, node)
        if not faults:
            return value, []
        if len(kinds) == 1 or _is_of(kind, node):
            return value, faults
    return None, [Fault(node=node, expected=field.expected, because=_wrong_type(kinds[0], node))]


def _null(field: Field, node: Node) -> tuple[Any, list[Fault]]:
    if field.nullable:
        return None, []
    numeric = any(isinstance(kind, inspect.IntType | inspect.FloatType) for kind in field.alternatives)
    why = "the Trainer compares it with numbers, and None > 0 fails" if numeric else "there is no value in it"
    because = f"{why}; leave the key out for the default {shown_value(field.default)}"
    return None, [Fault(node=node, expected=field.expected, because=because)]


def _judged(field: Field, kind: inspect.Type, node: Node) -> tuple[Any, list[Fault]]:
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _number(field, kind, node)
    if isinstance(kind, inspect.BoolType):
        return _boolean(field, node)
    if isinstance(kind, inspect.LiteralType):
        return _choice(field, kind, node)
    if isinstance(kind, inspect.StrType):
        return _text(field, kind, node)
    if isinstance(kind, inspect.ListType):
        return _list(field, kind, node)
    assert isinstance(kind, inspect.DictType)
    return _table(field, kind, node)


def _is_of(kind: inspect.Type, node: Node) -> bool:
    if isinstance(kind, inspect.ListType):
        return node.is_list
    return isinstance(kind, inspect.StrType) and isinstance(node.value, str)


def _number(field: Field, kind: inspect.IntType | inspect.FloatType, node: Node) -> tuple[Any, list[Fault]]:
    value = node.value
    wrong = Fault(node=node, expected=field.expected, because=_wrong_type(kind, node))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, [
            Fault(node=wrong.node, expected=wrong.expected, because=wrong.because, suggestion=_unquoted(node))
        ]
    if not math.isfinite(value):
        return None, [Fault(node=node, expected=field.expected, because=f"{_finite(value)} is no number to train with")]
    if isinstance(kind, inspect.IntType):
        if value != int(value):
            return None, [Fault(node=node, expected=field.expected, because="there are no parts of one")]
        value = int(value)
    if not _within(kind, value):
        return None, [Fault(node=node, expected=field.expected, because=field.note["because"])]
    if field.note["steps"] and value > 1 and value != int(value):
        return None, [Fault(node=node, expected=field.expected, because="from 1 on it counts steps, which are whole")]
    if isinstance(value, int) and abs(value) > 2**63:  # as good as infinite, and more than a file or a clock can hold
        return None, [Fault(node=node, expected=field.expected, because="no run comes so far")]
    return value, []


def _finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinity"


def _within(kind: inspect.IntType | inspect.FloatType, value: float) -> bool:
    return not (
        (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
        or (kind.lt is not None and value >= kind.lt)
    )


def switch(node: Node) -> bool | None:
    """True or false, also by the words that YAML 1.1 takes for them; None for anything else."""
    if isinstance(node.value, bool):
        return node.value
    return _WORDS.get(node.value.lower()) if node.plain and isinstance(node.value, str) else None


def _boolean(field: Field, node: Node) -> tuple[Any, list[Fault]]:
    value = switch(node)
    if value is not None:
        return value, []
    because = "it is a switch"
    return None, [Fault(node=node, expected=field.expected, because=because, suggestion=_unquoted(node))]


def _choice(field: Field, kind: inspect.LiteralType, node: Node) -> tuple[Any, list[Fault]]:
    if isinstance(node.value, str) and node.value in kind.values:
        return node.value, []
    because = "there are no others"
    suggestion = None
    if isinstance(node.value, str):
        suggestion = nearest(node.value.lower(), [str(value) for value in kind.values])
    elif isinstance(node.value, bool) and "no" in kind.values and node.value is False:
        suggestion = '"no" in quotes'
    return None, [Fault(node=node, expected=field.expected, because=because, suggestion=suggestion)]


def _text(field: Field, kind: inspect.StrType, node: Node) -> tuple[Any, list[Fault]]:
    if not isinstance(node.value, str):
        # A folder that is named 2024 is a text all the same; only YAML and JSON take it for a number.
        hint = f'"{node.text}"' if node.plain and node.text else None
        return None, [Fault(node=node, expected=field.expected, because=_wrong_type(kind, node), suggestion=hint)]
    if "\0" in node.value:
        return None, [Fault(node=node, expected=field.expected, because="no name has a NUL character")]
    if (kind.min_length or 0) > len(node.value.strip()):
        return None, [Fault(node=node, expected=field.expected, because=field.note["because"] or "it is empty")]
    return node.value, []


def _list(field: Field, kind: inspect.ListType, node: Node) -> tuple[Any, list[Fault]]:
    if not node.is_list:
        because = "it holds several"
        hint = f"[{shown_node(node)}]" if isinstance(node.value, str) and not field.note["secret"] else None
        return None, [Fault(node=node, expected=field.expected, because=because, suggestion=hint)]
    if len(node.value) < (kind.min_length or 0):
        return None, [Fault(node=node, expected=field.expected, because=field.note["because"] or "it is empty")]
    item_kind = bare(kind.item_type)
    values: list[Any] = []
    faults: list[Fault] = []
    for item in node.value:
        value, wrong = _judged(field, item_kind, item)
        values.append(value)
        faults += wrong
        if len(faults) > MAX_PROBLEMS:
            break
    return values, faults


def _table(field: Field, kind: inspect.DictType, node: Node) -> tuple[Any, list[Fault]]:
    if not node.is_table:
        return None, [Fault(node=node, expected=field.expected, because="it has names and values")]
    try:
        plain = to_python(node)
    except InvalidDocumentError as error:
        return None, [Fault(node=node, expected=error.expected, because=error.because)]
    if not field.note["codes"]:
        return plain, []
    value_kind = bare(kind.value_type)
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for entry in node.entries:
        if entry.key not in RUN_CODES:
            faults.append(
                Fault(
                    node=Node(value=entry.key, line=entry.line, column=entry.column),
                    expected=f"a code from {RUN_CODES[0]} to {RUN_CODES[-1]}",
                    because="only what may happen to a run has an action or a threshold",
                    suggestion=_run_code(entry.key),
                    key=entry.key,
                    unknown=True,
                )
            )
            continue
        if isinstance(value_kind, inspect.LiteralType):
            value, wrong = _choice_of(value_kind, entry.node)
        else:
            value, wrong = _numbers(entry.node)
        values[entry.key] = value
        faults += [Fault(node=w.node, expected=w.expected, because=w.because, suggestion=w.suggestion, key=entry.key)
                   for w in wrong]  # fmt: skip
    return values, faults


def _run_code(key: str) -> str | None:
    """The code that is perhaps meant: RUN3 and run003 are RUN003."""
    number = re.fullmatch(r"run[-_ ]?0*(\d{1,2})", key, re.IGNORECASE)
    code = f"RUN{int(number[1]):03}" if number else ""
    return code if code in RUN_CODES else None


def _choice_of(kind: inspect.LiteralType, node: Node) -> tuple[Any, list[Fault]]:
    if isinstance(node.value, str) and node.value in kind.values:
        return node.value, []
    choices = [str(value) for value in kind.values]
    hint = nearest(node.value.lower(), choices) if isinstance(node.value, str) else None
    return None, [
        Fault(node=node, expected=f"one of {', '.join(choices)}", because="there are no others", suggestion=hint)
    ]


def _numbers(node: Node) -> tuple[Any, list[Fault]]:
    if not node.is_table:
        return None, [Fault(node=node, expected="a table of numbers", because="a detector has several thresholds")]
    values: dict[str, float] = {}
    faults: list[Fault] = []
    for entry in node.entries:
        value = entry.node.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            faults.append(Fault(node=entry.node, expected="a number", because="thresholds are numbers",
                                suggestion=_unquoted(entry.node)))  # fmt: skip
        else:
            values[entry.key] = value
    return values, faults


def _wrong_type(kind: inspect.Type, node: Node) -> str:
    number = isinstance(kind, inspect.IntType | inspect.FloatType)
    if isinstance(node.value, bool):
        return f"{shown_node(node)} is a switch, not a number" if number else "it is a switch"
    if isinstance(node.value, str):
        return "quotes make it a text" if number and _unquoted(node) else "it is a text"
    if isinstance(node.value, int | float):
        return "without quotes it is a number"
    return "it is a table" if node.is_table else "it is a list"


def _unquoted(node: Node) -> str | None:
    """What the text would be without its quotes, where that is a number or a switch."""
    if not isinstance(node.value, str) or node.plain:
        return None
    value = plain_value(node.value.strip())
    return f"{node.value.strip()} without quotes" if isinstance(value, int | float) else None


def shown_node(node: Node) -> str:
    """A value as it is written, shortened."""
    if node.is_table:
        return "a table" if node.entries else "an empty table"
    if node.is_list:
        return f"a list of {len(node.value)}" if node.value else "an empty list"
    if node.plain and node.text and not isinstance(node.value, str):
        return _shortened(node.text)
    return shown_value(node.value)


def shown_value(value: Any) -> str:
    """A value in the form of JSON, shortened; numbers as people write them."""
    if isinstance(value, float) and math.isfinite(value):
        short = f"{value:.0e}" if 0 < abs(value) < 0.001 else f"{value:g}"
        return re.sub(r"e([+-])0+", r"e\1", short if float(short) == value else repr(value))
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**_SHOWN:
        return "a number of more than 60 digits"
    return _shortened(json.dumps(value, ensure_ascii=False, default=str))


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word that is most alike, None where none is."""
    close = difflib.get_close_matches(word[:100], list(words), n=1, cutoff=0.7)
    return close[0] if close else None


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
