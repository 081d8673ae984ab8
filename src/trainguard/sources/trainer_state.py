"""A Trainer's output folder, or one of its checkpoints: the history in `trainer_state.json`.

The Trainer writes that file into each checkpoint, and into the output folder where `save_state()` is called
(transformers 5.23, trainer.py `_save_checkpoint` and `save_state`); each holds the history from the beginning on.
`training_args.bin` beside it is a pickle and is never loaded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainguard.errors import UsageError
from trainguard.sources.base import Record, Source
from trainguard.sources.files import is_inside, names_in, read_small
from trainguard.sources.names import SUMMARY, is_number, renamed

STATE = "trainer_state.json"
# transformers 5.23, trainer_utils.py `PREFIX_CHECKPOINT_DIR` and `_re_checkpoint`.
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,15})", re.ASCII)
# A million logged points take about 300 MB; more is no state of a Trainer.
_MOST_BYTES = 1 << 30
# The newest checkpoints that are looked at: the others' histories are beginnings of theirs.
_NEWEST = 4


def checkpoint_step(name: str) -> int | None:
    """The step in a checkpoint folder's name, None for another name."""
    match = _CHECKPOINT.fullmatch(name)
    return int(match[1]) if match is not None else None


def state_files(folder: Path) -> list[Path]:
    """The state files of an output folder: those of the newest checkpoints, oldest first, then its own."""
    steps = [(step, name) for name in names_in(folder) if (step := checkpoint_step(name)) is not None]
    paths = [folder / name / STATE for _, name in sorted(steps)[-_NEWEST:]]
    paths.append(folder / STATE)
    return [path for path in paths if is_inside(path, folder) and path.is_file()]


class TrainerFolder(Source):
    """The history of a run, as far as its newest state file has it.

    A file that is being written is left for the next poll. A history that leaves the one read so far (the run was
    resumed from before it) gives a `resume` event, then the records from there on.
    """

    kind = "trainer"
    prompt = False  # written at saves
    every_seconds = 2.0

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name)
        self._folder = folder
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._given: list[int] = []  # a hash of each record given
        self._step: int | None = None
        self._read = False

    def poll(self, *, last: bool = False) -> Iterator[Record]:
        states = []
        broken = ""
        for path in state_files(self._folder):
            stamp = _stamp(path)
            if stamp is None or self._seen.get(path) == stamp:
                continue
            state = _state(path)
            if state is None:
                broken = broken or f"{path}: is not the state of a Trainer, or it is being written"
                continue
            self._seen[path] = stamp
            states.append(state)
        # Where several are new the one that is furthest holds the others' histories.
        states.sort(key=_furthest)
        if states:
            self._read = True
            yield from self._records(states[-1])
        elif last and not self._read:
            raise UsageError(broken or f"{self._folder}: has no {STATE}, and no checkpoint-N with one")

    def _records(self, state: Mapping[str, Any]) -> Iterator[Record]:
        history = [each for each in state["log_history"] if isinstance(each, dict)]
        hashes = [_hash(each) for each in history]
        same = 0
        for given, new in zip(self._given, hashes, strict=False):
            if given != new:
                break
            same += 1
        self._declare(state, history)
        # The same history, or an older one of it.
        if same < len(hashes):
            if same < len(self._given):
                yield {"event": "resume", "from_step": _step(history[same - 1]) if same else 0}
            self._given = hashes
            yield from (renamed(each) for each in history[same:])
        step = _count(state.get("global_step"))
        self._step = step
        planned = _count(state.get("max_steps"))
        summed = bool(history) and bool(SUMMARY & history[-1].keys())
        finished = step is not None and planned is not None and 0 < planned <= step
        if summed and not self.ended and not finished and not _was_stopped(state):
            yield {"event": "end", "exit_code": 0, "step": step}
        self.ended = finished or summed

    def _declare(self, state: Mapping[str, Any], history: list[dict[str, Any]]) -> None:
        """What the state promises. Its numbers stand there used or not, so the history has to agree with them."""
        planned = _count(state.get("max_steps"))
        epochs = state.get("num_train_epochs")
        if planned:
            self.declared["max_steps"] = planned
        elif is_number(epochs) and 0 < float(epochs) < _FOREVER:  # type: ignore[arg-type]
            # Rounded up by the Trainer: half an epoch stands there as 1, so it counts only where nothing else does.
            self.declared["num_train_epochs"] = epochs
        trained = [step for each in history if "loss" in each and (step := _step(each))]
        evaluated = [step for each in history if any(key.startswith("eval_") for key in each) and (step := _step(each))]
        saved = [step for name in names_in(self._folder) if (step := checkpoint_step(name))]
        for key, steps in (("logging_steps", trained), ("eval_steps", evaluated), ("save_steps", saved)):
            every = _count(state.get(key))
            # The first step and the last may be out of turn.
            if every and sum(step % every == 0 for step in steps) >= max(len(steps) - 2, 1):
                self.declared[key] = every
            else:
                self.declared.pop(key, None)
        patience = _early_stopping(state)
        if patience is not None:
            self.declared["early_stopping_patience"] = patience


_FOREVER = 1_000_000  # an endless data set has sys.maxsize epochs


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns


def _state(path: Path) -> dict[str, Any] | None:
    content = read_small(path, most_bytes=_MOST_BYTES)
    if not content:
        return None
    try:
        state = json.loads(content)
    except (ValueError, RecursionError, MemoryError):
        return None
    return state if isinstance(state, dict) and isinstance(state.get("log_history"), list) else None


def _furthest(state: Mapping[str, Any]) -> tuple[int, int]:
    return _count(state.get("global_step")) or 0, len(state["log_history"])


def _hash(record: dict[str, Any]) -> int:
    return hash(json.dumps(record, sort_keys=True, default=str))


def _step(record: Mapping[str, Any]) -> int | None:
    return _count(record.get("step"))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _callbacks(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A callback's own state: `{"args": {...}, "attributes": {...}}`, or a list of such (`ExportableState`)."""
    callbacks = state.get("stateful_callbacks")
    found = callbacks.get(name) if isinstance(callbacks, Mapping) else None
    found = found[0] if isinstance(found, list) and found else found
    return found if isinstance(found, Mapping) else {}


def _was_stopped(state: Mapping[str, Any]) -> bool:
    """Whether a callback asked the run to stop: then fewer steps than planned are what somebody wanted."""
    control = _callbacks(state, "TrainerControl").get("args")
    return bool(control.get("should_training_stop")) if isinstance(control, Mapping) else True


def _early_stopping(state: Mapping[str, Any]) -> int | None:
    arguments = _callbacks(state, "EarlyStoppingCallback").get("args")
    return _count(arguments.get("early_stopping_patience")) if isinstance(arguments, Mapping) else None
