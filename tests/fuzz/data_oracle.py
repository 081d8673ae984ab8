"""A slow and simple reader of chat files, against which the fast one is held.

It says of every line which codes a finding there may have, and where only one will do. Where the rule book leaves
open which of several it is, all of them are allowed; where it leaves open whether there is any, `must` is False.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
LAYOUT_KEYS = {"messages", "conversations", "prompt", "completion", "text", "chosen", "rejected"}
ANY = frozenset(f"DATA{number:03}" for number in range(1, 21))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said of a line: one of `codes`, and nothing else. With `must`, one of them has to be said."""

    codes: frozenset[str] = frozenset()
    must: bool = False

    @property
    def certain(self) -> str | None:
        """The only code that is right here."""
        return next(iter(self.codes)) if self.must and len(self.codes) == 1 else None


BLANK, CLEAN = Verdict(), Verdict()


def _must(*codes: str) -> Verdict:
    return Verdict(frozenset(codes), True)


def _may(*codes: str) -> Verdict:
    return Verdict(frozenset(codes), False)


class _OddError(Exception):
    """The json module takes what JSON does not have, or what parsers disagree about."""


@dataclass(slots=True)
class Reading:
    """A file, line by line. `rows` counts the lines that are JSON objects; `strange` files may be read as anything."""

    verdicts: list[Verdict]
    repeats: set[int] = field(default_factory=set)
    rows: int = 0
    strange: bool = False


def read(data: bytes) -> Reading:
    """The verdicts about the lines of a `.jsonl` file."""
    reading = Reading([], strange=_strange(data))
    seen: set[bytes] = set()
    for number, line in enumerate(data.split(b"\n"), start=1):
        stripped = line.strip(b" \t\r")
        verdict, row = judged(stripped)
        reading.verdicts.append(verdict)
        reading.rows += row
        if stripped and stripped in seen:
            reading.repeats.add(number)
        seen.add(stripped)
    return reading


def _strange(data: bytes) -> bool:
    """Whether the file's beginning makes it something other than JSON Lines in UTF-8."""
    start = data.lstrip()[:4]
    marks = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x1f\x8b", b"PAR1", b"\x28\xb5\x2f\xfd", b"[", b"\0")
    return start.startswith(marks) or data[:4].count(0) > 0


def judged(line: bytes) -> tuple[Verdict, bool]:
    """The verdict about a line without its white space, and whether it is a row."""
    if not line.strip():
        return (_may("DATA002") if line else BLANK), False
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return _must("DATA007"), False
    if "\0" in text or text.startswith("\ufeff"):
        return _must("DATA002", "DATA007"), False
    try:
        row = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
    except _OddError:
        return Verdict(ANY, False), True
    except ValueError:
        # Broken, and with half of a surrogate pair as well: either is said.
        return (_must("DATA002", "DATA007") if "\\ud" in text.lower() else _must("DATA002")), False
    if not isinstance(row, dict):
        return _must("DATA002"), False
    return _of_row(row), True


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _OddError
    return found


def _constant(name: str) -> float:
    raise _OddError(name)


def _float(text: str) -> float:
    if float(text) in (float("inf"), float("-inf")):
        raise _OddError
    return float(text)


def _of_row(row: dict[str, Any]) -> Verdict:
    if _surrogates(row):
        in_texts = _surrogates([m.get("content") for m in _messages(row) if isinstance(m, dict)])
        return _must("DATA007") if in_texts and set(row) & LAYOUT_KEYS == {"messages"} else Verdict(ANY, False)
    layouts = set(row) & LAYOUT_KEYS
    if not layouts:
        return _must("DATA003")
    if layouts != {"messages"}:
        return Verdict(ANY, False)
    messages = row["messages"]
    if not isinstance(messages, list):
        return _must("DATA003", "DATA004", "DATA006")
    if not messages:
        return _must("DATA004")
    if not all(isinstance(message, dict) for message in messages):
        return _must("DATA002", "DATA003", "DATA005", "DATA006")
    if not all({"role", "content"} <= set(message) and isinstance(message["role"], str) for message in messages):
        return Verdict(frozenset({"DATA003", "DATA005", "DATA006"}), not any(map(_calls, messages)))
    wrong = {"DATA005" for message in messages if message["role"] not in ROLES}
    kinds = [_content(message) for message in messages]
    wrong |= {"DATA006" for kind in kinds if kind == "wrong"}
    if wrong:
        return _must(*wrong)
    if "odd" in kinds:
        return Verdict(ANY, False)
    return _of_turns(messages)


def _messages(row: dict[str, Any]) -> list[Any]:
    messages = row.get("messages")
    return messages if isinstance(messages, list) else []


def _surrogates(value: object) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_surrogates(key) or _surrogates(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_surrogates, value))


def _calls(message: dict[str, Any]) -> bool:
    return bool(set(message) & {"tool_calls", "function_call"})


def _content(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return "right"
    if isinstance(content, list):
        parts = all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)
        return ("right" if all(part["type"] == "image" for part in content) else "odd") if parts and content else "odd"
    if content is None and _calls(message):
        calls = message.get("tool_calls")
        return "right" if message["role"] == "assistant" and isinstance(calls, list) and calls else "odd"
    return "wrong"


def _of_turns(messages: list[dict[str, Any]]) -> Verdict:
    roles = [message["role"] for message in messages]
    certain: set[str] = set()
    perhaps: set[str] = set()
    if "assistant" not in roles:
        certain.add("DATA010")
    for number, role in enumerate(roles):
        before = roles[number - 1] if number else None
        if role in ("system", "developer") and number:
            (perhaps if before in ("system", "developer") else certain).add("DATA011")
        if role == "assistant" and ("user" not in roles[:number] or before == "assistant"):
            certain.add("DATA011")
        if role == "user" and before == "user":
            certain.add("DATA011")
        if role in ("tool", "function") and before not in ("assistant", "tool", "function"):
            certain.add("DATA011")
    for message in messages:
        content = message["content"]
        if isinstance(content, str) and message["role"] in ("user", "assistant"):
            if not content.strip(" \t\r\n"):
                (perhaps if _calls(message) else certain).add("DATA012")
            elif not content.strip():
                perhaps.add("DATA012")
        if isinstance(content, str) and "<" in content and ("<|" in content or "turn>" in content):
            perhaps.add("DATA017")
    if "DATA010" in certain and len(certain) > 1:
        return Verdict(frozenset(certain | perhaps), True)
    return Verdict(frozenset(certain | perhaps), bool(certain))
