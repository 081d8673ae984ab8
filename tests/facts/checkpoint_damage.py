"""Damaged checkpoints, made out of a real save: what crashes, full disks and power cuts leave, and mixtures of saves.

Every damage makes an output folder with `checkpoint-2` (whole) and `checkpoint-4` (damaged). Times of files that were
cut are put back, so that a check has to find what is missing, not that something was touched.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("checkpoint_trainer.py")
GOOD, BAD = "checkpoint-2", "checkpoint-4"
BLOCK = 4096
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class Runs:
    """Two runs of one kind with different data: `first` is the one that is damaged, `other` lends its files."""

    kind: str
    first: Path
    other: Path

    @property
    def expected(self) -> str:
        return (self.first / "weights.txt").read_text()


@dataclass(frozen=True)
class Damage:
    """`apply` damages the checkpoint at a path; `family` is the kind of damage for a table."""

    family: str
    name: str
    apply: Callable[[Path], None]


class Trainers:
    """The process in which a real Trainer runs: one for all that is asked of it, since it takes seconds to start."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Trainers:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, do: str, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **request}, default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the Trainer's process ended at {do}"
        return json.loads(answer)

    def runs(self, kind: str, folder: Path) -> Runs:
        """Trains twice."""
        runs = Runs(kind, folder / f"{kind}-first", folder / f"{kind}-other")
        for seed, path in enumerate((runs.first, runs.other)):
            self.ask("save", kind=kind, folder=path, seed=seed)
            for step in (2, 4, 6):
                _later(path / f"checkpoint-{step}", step * MINUTE_NS)
        return runs

    def outcome(self, runs: Runs, checkpoint: Path) -> str:
        """What becomes of a run that is resumed from `checkpoint`: "equal", "differs" or "fails: ..."."""
        return str(self.ask("resume", kind=runs.kind, folder=checkpoint, expected=runs.expected))


def damaged(runs: Runs, damage: Damage, folder: Path) -> Path:
    """An output folder with the damaged checkpoint in it."""
    folder.mkdir(parents=True)
    shutil.copytree(runs.first / GOOD, folder / GOOD, copy_function=shutil.copy2)
    shutil.copytree(runs.first / BAD, folder / BAD, copy_function=shutil.copy2)
    damage.apply(folder / BAD)
    return folder


def damages(runs: Runs, seed: int, rounds: int = 1) -> Iterator[Damage]:
    """Damages of every family at every file, at random places; `rounds` times."""
    chance = random.Random(seed)
    order = save_order(runs.first / BAD)
    needed = [name for name in order if name not in ("README.md", "generation_config.json")]
    for number in range(rounds):
        for index in range(len(order)):
            yield _cut_save(order, index, chance.random(), number)
        for name in needed:
            size = (runs.first / BAD / name).stat().st_size
            yield _truncated(name, chance.randrange(size), "truncated at a random byte")
            yield _zero_tail(name, chance.randrange(size), "zeros from a random byte")
            if size > BLOCK:
                yield _truncated(name, chance.randrange(size // BLOCK + 1) * BLOCK, "truncated at a block")
                yield _zero_tail(name, chance.randrange(size // BLOCK + 1) * BLOCK, "zeros from a block")
                yield _hole(name, chance.randrange(size // BLOCK) * BLOCK)
    for name in needed:
        yield Damage("file missing", f"{name} missing", lambda path, name=name: (path / name).unlink())  # type: ignore[misc]
        yield Damage("file empty", f"{name} empty", _emptied(name))
        for copy in (shutil.copy, shutil.copy2):
            yield _of_step_2(runs, name, copy)
    for index in range(1, len(order)):
        yield _save_on_top(runs, order, index)


def _later(checkpoint: Path, by: int) -> None:
    """Moves the times of a checkpoint: a step of a real run takes a second, not a millisecond."""
    for path in checkpoint.iterdir():
        at = path.stat().st_mtime_ns + by
        os.utime(path, ns=(at, at))


def save_order(checkpoint: Path) -> list[str]:
    """The files in the order in which the Trainer wrote them."""
    names = sorted((path.stat().st_mtime_ns, _rank(path.name), path.name) for path in checkpoint.iterdir())
    return [name for _, _, name in names]


# Files of a small save may have one time; these are written in this order (transformers 5.23, trainer.py:3355).
_ORDER = ("README.md", "config.json", "generation_config.json", "adapter_model.safetensors", "adapter_config.json",
          "model", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth",
          "trainer_state.json")  # fmt: skip


def _rank(name: str) -> int:
    return next(index for index, start in enumerate(_ORDER) if name.startswith(start))


def _kept_times(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """`change` of a file, with its time put back."""

    def changed(path: Path) -> None:
        times = path.stat()
        change(path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return changed


def _truncated(name: str, size: int, family: str) -> Damage:
    change = _kept_times(lambda path: os.truncate(path, size))
    return Damage(family, f"{name} cut at {size:,}", lambda folder: change(folder / name))


def _emptied(name: str) -> Callable[[Path], None]:
    change = _kept_times(lambda path: os.truncate(path, 0))
    return lambda folder: change(folder / name)


def _zero_tail(name: str, begin: int, family: str) -> Damage:
    def fill(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:begin] + bytes(len(content) - begin))

    change = _kept_times(fill)
    return Damage(family, f"{name} zero from {begin:,}", lambda folder: change(folder / name))


def _hole(name: str, begin: int) -> Damage:
    def fill(path: Path) -> None:
        content = bytearray(path.read_bytes())
        stop = min(begin + BLOCK, len(content))
        content[begin:stop] = bytes(stop - begin)
        path.write_bytes(content)

    change = _kept_times(fill)
    return Damage("a block of zeros inside", f"{name} zero at {begin:,}", lambda folder: change(folder / name))


def _cut_save(order: list[str], index: int, share: float, number: int) -> Damage:
    """The save ends in the middle of one file: that one is cut, and those after it are not there."""

    def cut(folder: Path) -> None:
        path = folder / order[index]
        size = path.stat().st_size
        os.truncate(path, int(size * share) if number % 2 == 0 else 0)
        for name in order[index + 1 :]:
            (folder / name).unlink()

    return Damage("save cut short", f"save ends in {order[index]}", cut)


def _of_step_2(runs: Runs, name: str, copy: Callable[..., object]) -> Damage:
    """One file is that of the checkpoint before, with its old time or as a new copy."""
    kind = "with its time" if copy is shutil.copy2 else "copied later"
    source = runs.first / GOOD / name

    def replace(folder: Path) -> None:
        copy(source, folder / name)
        if copy is shutil.copy:
            at = (folder / "trainer_state.json").stat().st_mtime_ns + 5 * MINUTE_NS
            os.utime(folder / name, ns=(at, at))

    return Damage("file of another step", f"{name} of step 2, {kind}", replace)


def _save_on_top(runs: Runs, order: list[str], index: int) -> Damage:
    """A later run saves its step 4 into a folder that exists, and ends after `index` files."""

    def cover(folder: Path) -> None:
        newest = max(path.stat().st_mtime_ns for path in folder.iterdir())
        for place, name in enumerate(order[:index]):
            shutil.copy(runs.other / BAD / name, folder / name)
            at = newest + MINUTE_NS + place * 10_000_000  # a minute later, a file every 10 ms
            os.utime(folder / name, ns=(at, at))

    return Damage("save on top cut short", f"another save on top, up to {order[index - 1]}", cover)
