"""The log catalogue: messages of real programs, each with its source, and what they mean for a run.

The messages stand in `messages.toml`. A message only counts where it can be the cause: as the exception that ended a
process, as a line at its end, or in the kernel's log. So a warning that was survived, or a training example that talks
of memory, decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, get_args

from msgspec import Struct

from trainguard.recovery.records import Kind, Phase

Where = Literal["exception", "line", "kernel"]
# Exceptions whose message is a value of the data: what that says is no message (CPython 3.11, Objects/dictobject.c,
# longobject.c, floatobject.c).
_QUOTES = re.compile(r"KeyError: |ValueError: (?:invalid literal for int\(\)|could not convert string to float)")
_MOST_CHARACTERS = 4_000  # of a text that is searched: what decides stands at the beginning of a message


class Message(Struct, frozen=True, kw_only=True):
    """One message. `rank` tells what wins within a chain of exceptions: 0 yields to all others, 2 wins.

    `phase` is what the run was doing, where the message says it; `exits` the exit codes it counts for (empty: all).
    """

    id: str
    kind: Kind
    code: str
    where: Where
    pattern: re.Pattern[str]
    example: str
    source: str
    rank: int = 1
    phase: Phase | None = None
    exits: frozenset[int] = frozenset()


@cache
def messages() -> tuple[Message, ...]:
    """All messages, in the order of the file, which is that of asking. Raises ValueError for a broken file."""
    import tomllib
    from importlib.resources import files

    text = files("trainguard.recovery").joinpath("messages.toml").read_text(encoding="utf-8")
    found = tuple(_message(each) for each in tomllib.loads(text)["message"])
    names = [each.id for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the catalogue names {', '.join(twice)} twice")
    return found


def _message(raw: Mapping[str, Any]) -> Message:
    if raw["kind"] not in get_args(Kind) or raw["where"] not in get_args(Where):
        raise ValueError(f"{raw['id']}: kind {raw['kind']!r}, where {raw['where']!r}")
    given = {key: value for key, value in raw.items() if key not in ("pattern", "exits")}
    return Message(**given, pattern=re.compile(raw["pattern"]), exits=frozenset(raw.get("exits", ())))


def of_exceptions(chain: Sequence[str], *, also: Sequence[str] = ()) -> Message | None:
    """What a chain of exceptions means: `chain` are "Type: words", the one that ended the process first.

    `also` are exceptions that were being handled meanwhile. They need not be the cause, so of them only the machine's
    troubles count, and only where the chain itself says nothing.
    """
    best: Message | None = None
    for words in chain:
        found = _first("exception", words)
        if found is not None and (best is None or found.rank > best.rank):
            best = found
    if best is None or best.rank == 0:
        for words in also:
            found = _first("exception", words)
            if found is not None and found.rank > 0 and found.kind in _OF_THE_MACHINE:
                return found
    return best


_OF_THE_MACHINE: frozenset[Kind] = frozenset(
    {"gpu-oom", "ram-oom", "gpu-lost", "disk-full", "disk-error", "mount-gone", "network"}
)


def of_line(line: str, exit_code: int | None) -> Message | None:
    """What a line near the end of the output means."""
    found = _first("line", line)
    return found if found is not None and (not found.exits or exit_code in found.exits) else None


def of_kernel(lines: Sequence[str]) -> Message | None:
    """What the newest telling line of the kernel's log means."""
    for line in reversed(lines):
        found = _first("kernel", line)
        if found is not None:
            return found
    return None


def _first(where: Where, text: str) -> Message | None:
    """The message of the highest rank that `text` holds; of equal ones the first."""
    if _QUOTES.match(text):
        return None
    text = text[:_MOST_CHARACTERS]
    found = [each for each in messages() if each.where == where and each.pattern.search(text)]
    return max(found, key=lambda each: each.rank, default=None)
