"""Whether the times of the files fit one save.

The Trainer writes the weights first, then training_args.bin, the optimizer, the scheduler, the random states, and
trainer_state.json last (transformers 5.23, trainer.py:3355-3422; the order within the weights: modeling_utils.py:3577,
peft 0.21, peft_model.py:356). A save into a folder that exists, cut short, leaves new weights beside an old optimizer,
and every file of both is whole.

Copying, downloading and unpacking give files other times, in any order. So times speak only where they tell the whole
story: all files stand in the order of a Trainer's save but for what is out of place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from trainguard.facts.checkpoint.folder import (
    ADAPTER_CONFIG,
    ARGUMENTS,
    CONFIG,
    OPTIMIZER,
    RNG,
    SCALER,
    SCHEDULER,
    STATE,
    Folder,
)

# With fewer files, or fewer times among them, an order proves little.
_LEAST_FILES = 5
_LEAST_TIMES = 4
# Files that were made within a second of each other are a copy in some order, not two saves.
_LEAST_NS = 10**9
# peft writes its card before an adapter (peft 0.21, peft_model.py:299).
_BEFORE_ADAPTER = ("README.md",)
_AFTER_WEIGHTS = (ADAPTER_CONFIG, "tokenizer_config.json", ARGUMENTS, OPTIMIZER, SCHEDULER, SCALER, RNG, STATE)
# What a Trainer loads. Another file that is out of place was edited, which changes nothing for a resumed run.
_LOADED = frozenset({OPTIMIZER, SCHEDULER, SCALER, RNG})


def out_of_place(folder: Folder, weights: Sequence[str]) -> str | None:
    """Why the files cannot be of one save, in words, or None. `weights` are the files of the weights, in order."""
    first = (CONFIG,) if folder.has(CONFIG) else _BEFORE_ADAPTER
    order = [name for name in (*first, *weights, *_AFTER_WEIGHTS) if folder.has(name)]
    if len(order) < _LEAST_FILES or STATE not in order:
        return None
    times = [folder.files[name].modified_ns for name in order]
    if times == sorted(times):
        return None
    return _two_saves(order, times, frozenset(weights)) or _one_stranger(order, times, frozenset(weights) | _LOADED)


def _two_saves(order: list[str], times: list[int], weights: frozenset[str]) -> str | None:
    """The first files are of a later save, which ended before the others were written."""
    for cut in range(1, len(order)):
        first, rest = times[:cut], times[cut:]
        # A configuration that is newer alone was edited.
        later = [name for name in order[:cut] if name in weights]
        if not later or min(first) <= max(rest) or first != sorted(first) or rest != sorted(rest):
            continue
        if len(set(times)) < _LEAST_TIMES or min(first) - max(rest) < _apart(rest):
            return None
        span = _span((min(first) - times[-1]) / 1e9)
        return (
            f"{later[0]} was written {span} after {STATE}, which the Trainer writes last: "
            "a later save into the same folder did not reach its end"
        )
    return None


def _one_stranger(order: list[str], times: list[int], loaded: frozenset[str]) -> str | None:
    """One file is of another time, and the others stand in the order of a save."""
    for index, name in enumerate(order):
        others = times[:index] + times[index + 1 :]
        if name not in loaded or others != sorted(others) or len(set(others)) < _LEAST_TIMES:
            continue
        if _kept(times) != len(times) - 1:
            continue
        late = times[index] > others[-1]
        gap = times[index] - others[-1] if late else others[0] - times[index]
        if gap >= _apart(others):
            where = "after" if late else "before"
            return f"{name} was written {_span(gap / 1e9)} {where} all the others: it is of another save"
    return None


def _apart(times: Sequence[int]) -> int:
    """How far from `times` another save is at least, in ns: between two saves there is more training than saving."""
    return max(_LEAST_NS, times[-1] - times[0])


def _kept(times: Sequence[int]) -> int:
    """The length of the longest run of `times` that is in order."""
    ends: list[int] = []
    for time in times:
        at = bisect_right(ends, time)
        ends[at : at + 1] = [time]
    return len(ends)


def _span(seconds: float) -> str:
    for length, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds * 1000:,.1f} ms"
