"""The faults of the campaign, and the plan that a seed makes of them. Pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

# What a file must come to: trained; refused; held, as its content is that of another; or gone before it was accepted.
Fate: TypeAlias = Literal["done", "failed", "held", "any"]
Trainer: TypeAlias = Literal["tiny", "real"]

# Made in the training process, before one of its steps (tests/daemon/tiny_trainer.py says what each does).
IN_TRAINER = {
    "kill": 3,
    "nan": 2,
    "oom": 2,
    "hang": 1,
    "hang-gil": 1,
    "stop": 1,
    "corrupt": 2,
    "disk-full": 1,
    "network": 1,
    "ram": 1,
    "exit": 1,
    "orphan": 1,
    "early": 1,
    "raise": 1,
    "deaf": 1,
}
# Made from outside, at a random moment.
FROM_OUTSIDE = {
    "kill-daemon": 4,
    "kill-nanny": 2,
    "kill-trainer": 3,
    "kill-all": 2,
    "power": 5,
    "stop-and-continue-daemon": 2,
    "stop-and-continue-trainer": 2,
    "drain": 2,
    "disk-fills": 3,
    "disk-breaks": 1,
    "read-only": 2,
    "clock": 3,
    "second-daemon": 1,
}
# Made of the files themselves.
IN_INBOX = {"vanish": 3, "same-name": 2, "same-content": 2, "bad": 3, "awkward-name": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A file that somebody puts into the inbox `at` seconds after the begin, gone `vanishes` seconds after that."""

    at: float
    name: str
    content: bytes
    fate: Fate
    rows: int
    priority: str = ""
    vanishes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A fault from outside, `at` seconds after the begin, and for how long."""

    at: float
    what: str
    seconds: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One daemon's life: what is dropped, and what happens. `faults` counts what is wrong in it."""

    seed: int
    drops: tuple[Drop, ...]
    blows: tuple[Blow, ...]
    in_trainer: tuple[dict[str, Any], ...] = field(default_factory=tuple)

    @property
    def faults(self) -> dict[str, int]:
        names = [each["what"] for each in self.in_trainer] + [each.what for each in self.blows]
        names += ["vanish" for each in self.drops if each.vanishes is not None]
        names += [f"file: {each.fate}" for each in self.drops if each.fate in ("failed", "held")]
        return {name: names.count(name) for name in sorted(set(names))}


def make_plan(seed: int, *, faults: int = 10, seconds: float = 8.0) -> Plan:
    """A plan with about so many faults: a third in the trainer, a half from outside, the rest in the inbox."""
    chance = random.Random(seed)
    drops = [_good(chance, f"good-{number}.jsonl", chance.uniform(0, seconds / 2)) for number in range(3)]
    in_trainer: list[dict[str, Any]] = []
    blows = []
    for _ in range(faults):
        kind = chance.choices(("trainer", "outside", "inbox"), (4, 4, 2))[0]
        if kind == "trainer":
            in_trainer.append(_in_trainer(chance, drops))
        elif kind == "outside":
            blows.append(
                Blow(
                    at=chance.uniform(0.2, seconds),
                    what=_chosen(chance, FROM_OUTSIDE),
                    seconds=chance.uniform(0.2, 1.5),
                    seed=chance.randrange(1 << 30),
                )
            )
        else:
            drops.append(_odd(chance, drops, chance.uniform(0, seconds * 0.7), len(drops)))
    by_time = tuple(sorted(drops, key=lambda drop: drop.at))
    return Plan(
        seed=seed, drops=by_time, blows=tuple(sorted(blows, key=lambda blow: blow.at)), in_trainer=tuple(in_trainer)
    )


def _chosen(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _content(chance: random.Random, rows: int) -> bytes:
    mark = chance.randrange(1 << 40)
    texts = ((f"{row} of {mark}?", f"{row * row}.") for row in range(rows))
    chats = ([{"role": "user", "content": ask}, {"role": "assistant", "content": said}] for ask, said in texts)
    return "".join(json.dumps({"messages": chat}) + "\n" for chat in chats).encode()


def _good(chance: random.Random, name: str, at: float) -> Drop:
    rows = chance.randint(6, 16)
    priority = chance.choice(("", "", "high", "low"))
    return Drop(at=at, name=name, content=_content(chance, rows), fate="done", rows=rows, priority=priority)


def _odd(chance: random.Random, drops: list[Drop], at: float, number: int) -> Drop:
    what = _chosen(chance, IN_INBOX)
    good = [each for each in drops if each.fate == "done"]
    plain = _good(chance, f"odd-{number}.jsonl", at)
    values: dict[str, Any] = {
        "at": at,
        "name": plain.name,
        "content": plain.content,
        "fate": "done",
        "rows": plain.rows,
    }
    if what == "vanish":
        values |= {"fate": "any", "vanishes": chance.uniform(0.0, 1.0)}
    elif what == "same-name":
        other = chance.choice(good)
        values |= {"name": other.name, "at": other.at + chance.uniform(2.0, 4.0)}
    elif what == "same-content":
        other = chance.choice(good)
        at = other.at + chance.uniform(2.0, 4.0)
        values |= {"content": other.content, "rows": other.rows, "fate": "held", "at": at}
    elif what == "bad":
        values |= {"content": plain.content + b'{"messages": [\n', "fate": "failed"}
    else:
        values |= {"name": f"odd name {number} 'of' \"quotes\"\n.jsonl"}
    return Drop(**values)


def _in_trainer(chance: random.Random, drops: list[Drop]) -> dict[str, Any]:
    what = _chosen(chance, IN_TRAINER)
    file = chance.choice([each for each in drops if each.fate == "done"])
    steps = -(-file.rows // 2)
    fault: dict[str, Any] = {"what": what, "step": chance.choice([*range(steps + 1), "save"]), "times": 1}
    if what in ("nan", "oom", "early", "disk-full") or (what == "raise" and fault["step"] == "save"):
        fault["step"] = chance.randint(1, steps)
    if what == "oom":
        fault |= {"fits": 1, "times": None, "file": file.name}
    if what == "exit":
        fault["code"] = chance.choice((1, 3, 134, 139))
    return fault
