"""Whether the optimizer, the scheduler, the random states and the arguments of a save belong together.

The Trainer loads optimizer and scheduler only where both files are there, and says nothing where one is missing: it
goes on with a new optimizer and at the first learning rate (transformers 5.23, trainer.py:3926; tested against). Both
count steps of the optimizer: the scheduler steps after each one (trainer.py:1941), so that what the optimizer counted
(`step` of torch 2.13's Adam family), what the scheduler counted (`last_epoch`) and the learning rates of both agree.
With a gradient scaler both may lag behind global_step together, by the steps that overflowed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.facts.checkpoint.pickle_values import Made, Name, Storage, pickled_value, state_of
from trainguard.facts.checkpoint.torch_archive import Archive, read_entries
from trainguard.facts.weights.files import UnsoundError

# Bytes of an element of torch's storages (torch 2.13, storage.py, `_new_dtypes` and the classes after it).
_ITEM_BYTES = {
    "torch DoubleStorage": 8,
    "torch FloatStorage": 4,
    "torch HalfStorage": 2,
    "torch BFloat16Storage": 2,
    "torch LongStorage": 8,
    "torch IntStorage": 4,
    "torch ShortStorage": 2,
    "torch CharStorage": 1,
    "torch ByteStorage": 1,
    "torch BoolStorage": 1,
}
# Keys of schedulers that step on a metric: what they call last_epoch counts evaluations (torch 2.13,
# optim/lr_scheduler.py, ReduceLROnPlateau; transformers 5.23, optimization.py, GreedyLR).
_PLATEAU = ("num_bad_epochs", "best", "cooldown_counter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What training_args.bin says, None where it does not."""

    save_only_model: bool | None = None
    fp16: bool | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What an optimizer or a scheduler has counted: steps and learning rates, None where they cannot be told."""

    step: int | None = None
    rates: tuple[float, ...] | None = None


def read_value(file: Archive) -> Any:
    """The value in a file of torch. Raises UnsoundError where its pickle or its tensors are damaged."""
    pickle = file.pickle
    if pickle is None:
        return None
    value = pickled_value(pickle)
    _check_storages(value, file.sizes)
    return value


def arguments_of(value: Any) -> Arguments:
    """The arguments out of a pickled TrainingArguments."""
    state = state_of(value)
    processes = state_of(state.get("distributed_state")).get("num_processes")
    return Arguments(
        save_only_model=_truth(state.get("save_only_model")),
        fp16=_truth(state.get("fp16")),
        processes=processes if isinstance(processes, int) and 0 < processes < 1_000_000 else None,
    )


def scheduler_count(value: Any) -> Counted:
    if not isinstance(value, dict) or any(key in value for key in _PLATEAU):
        return Counted()
    step = value.get("last_epoch")
    return Counted(
        step=step if isinstance(step, int) and not isinstance(step, bool) else None,
        rates=_rates(value.get("_last_lr")),
    )


def optimizer_count(path: Path, value: Any) -> Counted:
    """The largest `step` of the optimizer's parameters, and the learning rates of its groups."""
    if not isinstance(value, dict):
        return Counted()
    groups = value.get("param_groups")
    rates = None
    if isinstance(groups, list) and groups:
        rates = _rates([group.get("lr") if isinstance(group, dict) else None for group in groups])
    states = value.get("state")
    steps = [each["step"] for each in states.values() if isinstance(each, dict) and "step" in each] if isinstance(
        states, dict) else []  # fmt: skip
    return Counted(step=_largest_step(path, steps), rates=rates)


def disagreement(
    optimizer: Counted, scheduler: Counted, global_step: int | None, scaled: bool
) -> tuple[str, dict[str, Any], bool] | None:
    """Why the two and global_step cannot be of one save, the numbers, and whether that is certain. None for nothing."""
    counted, stepped = optimizer.step, scheduler.step
    numbers = {"optimizer_step": counted, "scheduler_step": stepped, "global_step": global_step}
    if counted is not None and stepped is not None and counted != stepped:
        words = f"optimizer.pt has counted {counted:,} steps and scheduler.pt {stepped:,}, so they are not of one save"
        return words, numbers, True
    ahead = max((each for each in (counted, stepped) if each is not None), default=None)
    if ahead is not None and global_step is not None and ahead > global_step and not scaled:
        words = f"optimizer.pt and scheduler.pt have counted {ahead:,} steps, and trainer_state.json {global_step:,}"
        return words, numbers, False
    if optimizer.rates is not None and scheduler.rates is not None and optimizer.rates != scheduler.rates:
        words = (
            f"optimizer.pt has the learning rate {optimizer.rates[0]:.6g} and scheduler.pt {scheduler.rates[0]:.6g}, "
            "so they may not be of one save"
        )
        return words, {**numbers, "optimizer_lr": optimizer.rates[0], "scheduler_lr": scheduler.rates[0]}, False
    return None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _rates(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list) or not value or not all(isinstance(each, float) for each in value):
        return None
    return tuple(value)


def _largest_step(path: Path, steps: Iterable[Any]) -> int | None:
    """`step` is a number, or a tensor of one float (torch 2.13, optim/adam.py, `_init_group`)."""
    counted: list[float] = []
    keys: set[str] = set()
    for each in steps:
        if isinstance(each, int | float) and not isinstance(each, bool):
            counted.append(each)
        elif (storage := _storage_of(each)) is not None and storage[0] == "torch FloatStorage" and storage[2] == 1:
            keys.add(storage[1])
        else:
            return None
    if keys:
        found = read_entries(path, keys, limit=4)
        counted += [struct.unpack("<f", content)[0] for content in found.values() if len(content) == 4]
    largest = max(counted, default=None)
    return int(largest) if largest is not None and 0 <= largest < 2**53 else None


def _storage_of(tensor: Any) -> tuple[str, str, int] | None:
    """Type, key and elements of the storage that a tensor is rebuilt from."""
    if isinstance(tensor, Made) and isinstance(tensor.arguments, tuple) and tensor.arguments:
        return _identity(tensor.arguments[0])
    return None


def _identity(storage: object) -> tuple[str, str, int] | None:
    if not isinstance(storage, Storage) or not isinstance(storage.identity, tuple) or len(storage.identity) != 5:
        return None
    _, kind, key, _, count = storage.identity
    if isinstance(kind, Name) and isinstance(key, str) and isinstance(count, int):
        return kind.text, key, count
    return None


def _check_storages(value: Any, sizes: Mapping[str, int]) -> None:
    """Every storage that the pickle names has its entry, of the right length."""
    left = [value]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if isinstance(each, Storage):
            _check_storage(each, sizes)
        elif isinstance(each, dict | list | tuple | Made):
            if id(each) in seen:
                continue
            seen.add(id(each))
            if isinstance(each, dict):
                left += each.values()
            elif isinstance(each, Made):
                left += [each.arguments, each.state, each.items]
            else:
                left += each


def _check_storage(storage: Storage, sizes: Mapping[str, int]) -> None:
    identity = _identity(storage)
    if identity is None:
        return
    kind, key, count = identity
    if key not in sizes:
        raise UnsoundError(f"its pickle names the tensor data/{key}, which the archive lacks")
    if kind in _ITEM_BYTES and sizes[key] != count * _ITEM_BYTES[kind]:
        raise UnsoundError(f"its tensor data/{key} has {sizes[key]:,} bytes instead of {count * _ITEM_BYTES[kind]:,}")
