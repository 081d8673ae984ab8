"""The files beside the weights that a Trainer takes a run up from: optimizer, scheduler, scaler, random states.

What it does without each of them: transformers 5.23, trainer.py:3886-4018 (`_load_optimizer_and_scheduler`,
`_load_scaler`) and 3841-3884 (`_load_rng_state`); all of it is silent but for a line of the log, and tested against.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainguard.facts.checkpoint.folder import (
    ARGUMENTS,
    OPTIMIZER,
    RNG,
    RNG_OF_PROCESS,
    SCALER,
    SCHEDULER,
    Folder,
)
from trainguard.facts.checkpoint.resume_state import (
    Arguments,
    Counted,
    arguments_of,
    disagreement,
    optimizer_count,
    read_value,
    scheduler_count,
)
from trainguard.facts.checkpoint.saved_weights import READ_WHOLE_BELOW
from trainguard.facts.checkpoint.torch_archive import read_archive
from trainguard.facts.weights.files import UnsoundError

_NEW_OPTIMIZER = "the Trainer resumes without a word with a new optimizer and at the first learning rate"
_OTHER_NUMBERS = "the Trainer resumes with other random numbers, so that dropout and the order of the data differ"
_FAILS = "the Trainer fails on it"
# What rng_state.pth holds at least (transformers 5.23, trainer.py:3465).
_RNG_KEYS = ("python", "numpy", "cpu")
# More processes than the largest runs have.
_MOST_PROCESSES = 100_000


@dataclass(frozen=True, slots=True)
class Lack:
    """Something wrong with one file: certain enough for a finding, or only to withhold trust (`certain` False)."""

    file: str
    words: str
    cost: str
    certain: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        return f"{self.file} {self.words}" if self.file else self.words


def lacking(folder: Folder, global_step: int | None, *, deep: bool) -> tuple[list[Lack], bool]:
    """What is wrong with the files, and whether the checkpoint was saved without them on purpose."""
    arguments, found = _arguments(folder, deep)
    present = [name for name in (OPTIMIZER, SCHEDULER, RNG) if folder.has(name)]
    present += [name for name in folder.files if RNG_OF_PROCESS.match(name)]
    if arguments.save_only_model or (not present and arguments.save_only_model is None):
        return found, True
    found += _optimizer_and_scheduler(folder, global_step, arguments, deep)
    found += _random_states(folder, arguments, deep)
    return found, False


def _arguments(folder: Folder, deep: bool) -> tuple[Arguments, list[Lack]]:
    if not folder.has(ARGUMENTS):
        return Arguments(), []
    value, lacks, _ = _value_of(folder, ARGUMENTS, deep)
    return arguments_of(value), lacks


def _optimizer_and_scheduler(
    folder: Folder, global_step: int | None, arguments: Arguments, deep: bool
) -> Iterator[Lack]:
    counted: dict[str, Counted] = {}
    for name in (OPTIMIZER, SCHEDULER):
        if not folder.has(name):
            yield Lack(name, _absent(folder, name), _NEW_OPTIMIZER)
            continue
        value, lacks, legacy = _value_of(folder, name, deep)
        yield from lacks
        if legacy:
            yield Lack(name, "is in torch's format of before 1.6, of which the end cannot be told", "", certain=False)
        elif not lacks:
            counted[name] = optimizer_count(folder.path / name, value) if name == OPTIMIZER else scheduler_count(value)
    if folder.has(SCALER):
        yield from _value_of(folder, SCALER, deep)[1]
    elif arguments.fp16:
        yield Lack(SCALER, "is missing, though the run used fp16", "the loss scale starts anew", certain=False)
    if len(counted) == 2:
        scaled = folder.has(SCALER)
        differs = disagreement(counted[OPTIMIZER], counted[SCHEDULER], global_step, scaled)
        if differs is not None:
            words, numbers, certain = differs
            yield Lack("", words, "the Trainer goes on with what does not belong together", certain, numbers)


def _random_states(folder: Folder, arguments: Arguments, deep: bool) -> Iterator[Lack]:
    numbers = {int(match[1][:9]) for name in folder.files if (match := RNG_OF_PROCESS.match(name))}
    processes = arguments.processes or 1
    if numbers or processes > 1:
        last = max(max(numbers, default=0) + 1, processes)
        expected = [f"rng_state_{number}.pth" for number in range(min(last, _MOST_PROCESSES))]
        if folder.has(RNG) and processes == 1:
            expected = [RNG]  # what other processes left of an earlier run does not matter
    else:
        expected = [RNG]
    missing = [name for name in expected if not folder.has(name)]
    if missing:
        more = f", and {len(missing) - 1:,} more of {len(expected):,} are" if len(missing) > 1 else ""
        yield Lack(
            missing[0], f"{_absent(folder, missing[0])}{more}", _OTHER_NUMBERS, evidence={"missing": len(missing)}
        )
    for name in expected:
        if not folder.has(name):
            continue
        value, lacks, legacy = _value_of(folder, name, deep)
        yield from lacks
        if legacy:
            yield Lack(name, "is in torch's format of before 1.6, of which the end cannot be told", "", certain=False)
        elif not lacks and isinstance(value, dict) and (absent := [key for key in _RNG_KEYS if key not in value]):
            yield Lack(name, f"holds no state of {absent[0]!r}", _FAILS)


def _value_of(folder: Folder, name: str, deep: bool) -> tuple[Any, list[Lack], bool]:
    """The value in a file of torch, what is wrong with it, and whether it is in the format of before torch 1.6."""
    file = read_archive(folder.path / name, sum_below=READ_WHOLE_BELOW, deep=deep)
    cost = "" if name == ARGUMENTS else _FAILS
    if file.problem is not None:
        return None, [Lack(name, f"is damaged: {file.problem}", cost)], False
    try:
        return read_value(file), [], file.older
    except UnsoundError as error:
        return None, [Lack(name, f"is damaged: {error}", cost)], False


def _absent(folder: Folder, name: str) -> str:
    return "is a pipe or a device" if name in folder.special else "is missing"
