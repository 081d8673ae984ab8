"""What goes wrong in the campaign, and the files that are dropped. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

# What a file must come to: trained; refused; held, as its content is that of another; or gone before it was accepted.
Fate: TypeAlias = Literal["done", "failed", "held", "any"]
Trainer: TypeAlias = Literal["tiny", "real"]

BATCH = 2
# What a person of the campaign gives as a reason: what ended so was wanted.
BECAUSE = "the campaign wants it"

# Made in the training process, before one of its steps (drills/process/_tiny_trainer.py says what each does).
Group: TypeAlias = Literal["ends", "hangs", "spoils"]
IN_TRAINER: Mapping[Group, tuple[str, ...]] = {
    "ends": ("kill", "kill", "exit", "ram", "raise", "early", "disk-full", "network"),
    "hangs": ("hang", "hang-gil", "stop", "deaf", "orphan"),
    "spoils": ("nan", "oom", "corrupt"),
}
# Those that the real trainer can be brought to.
IN_REAL_TRAINER = frozenset({"kill", "raise", "hang", "hang-gil", "stop", "nan", "oom", "corrupt"})
# Made before a step only: in a save, or before the first step, they would be something else.
_AT_STEPS = frozenset({"nan", "oom", "early", "disk-full", "raise"})
EXIT_CODES = (1, 3, 134, 139)

# Files with which something is not as usual, what people ask for, and whom a signal from outside meets.
ODD = ("bad", "vanish", "same-content", "same-name", "awkward-name")
WISHES = ("hold", "release", "retry", "cancel", "first", "low", "look")
VICTIMS = ("daemon", "nanny", "trainer", "all")
SLEEPERS = ("daemon", "nanny", "trainer")
DISK_FAULTS = ("disk-fills", "disk-breaks", "read-only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A file that somebody puts into the inbox; it is gone again after `vanishes` seconds, where that is given."""

    name: str
    content: bytes
    fate: Fate
    rows: int
    priority: str = ""
    vanishes: float | None = None

    @property
    def steps(self) -> int:
        """How many steps it takes."""
        return -(-self.rows // BATCH)


def of_trainer(group: Group, trainer: Trainer) -> list[str]:
    """The faults of a group that a trainer knows."""
    return [each for each in IN_TRAINER[group] if trainer == "tiny" or each in IN_REAL_TRAINER]


def content(number: int, rows: int) -> bytes:
    """So many rows of a file's own."""
    texts = ((f"{row} of {number}?", f"{row * row}.") for row in range(rows))
    chats = ([{"role": "user", "content": ask}, {"role": "assistant", "content": said}] for ask, said in texts)
    return "".join(json.dumps({"messages": chat}) + "\n" for chat in chats).encode()


def sound(number: int, rows: int, *, name: str | None = None, priority: str = "") -> Drop:
    """A file that nothing is wrong with."""
    name = name or f"good-{number}.jsonl"
    return Drop(name=name, content=content(number, rows), fate="done", rows=rows, priority=priority)


def odd(what: str, number: int, rows: int, *, other: Drop, vanishes: float) -> Drop:
    """A file with which something is not as usual: malformed, gone too soon, or with something of an `other` one."""
    plain = sound(number, rows, name=f"{what}-{number}.jsonl")
    match what:
        case "bad":
            return replace(plain, content=plain.content + b'{"messages": [\n', fate="failed")
        case "vanish":
            return replace(plain, fate="any", vanishes=vanishes)
        case "same-content":
            return replace(plain, content=other.content, rows=other.rows, fate="held")
        case "same-name":
            return replace(plain, name=other.name, priority=other.priority)
        case _:
            return replace(plain, name=f"odd name {number} 'of' \"quotes\"\n.jsonl")


def wish(what: str, file: Drop) -> list[str]:
    """The command line of what a person wants."""
    match what:
        case "look":
            return ["queue", "list", "--all"]
        case "hold" | "cancel":
            return ["queue", what, file.name, "--because", BECAUSE]
        case "release" | "retry":
            return ["queue", what, file.name]
        case _:
            return ["queue", "move", file.name, "--first" if what == "first" else "--priority=low"]


def in_trainer(what: str, file: Drop, step: int | str, code: int, trainer: Trainer) -> dict[str, Any]:
    """The fault as the trainer reads it: it happens once, before that step of that file."""
    if isinstance(step, int):
        step = min(step, file.steps)
    if what in _AT_STEPS or trainer == "real":
        step = step if isinstance(step, int) and step > 0 else 1
    fault: dict[str, Any] = {"what": what, "step": step, "times": 1}
    if what == "nan":
        fault["file"] = file.name
    if what == "oom":
        fault |= {"fits": 1, "times": None, "file": file.name}
    if what == "exit":
        fault["code"] = code
    return fault
