"""Where a run begins: anew, in the middle of its data, after it, or with another file on top of what was learnt.

The checkpoints of an output folder are one lineage: its steps count on from file to file, so that the newest checkpoint
has the highest number. What a checkpoint was trained on stands in its manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from trainguard.errors import UsageError
from trainguard.facts.checkpoint.records import Checkpoint
from trainguard.train.identity import TRAINING_FIELDS, Identity

StartKind: TypeAlias = Literal["fresh", "resume", "next", "complete"]

_BUDGET = frozenset({"epochs", "max_steps"})
# Of the adapter, what decides on the names and shapes of its weights.
_SHAPE = ("r", "target_modules", "modules_to_save", "bias", "use_dora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a run begins.

    `step` is the global step there, over all files; `step_before` the one at which this file began; `checkpoint` what
    is loaded: all of it to resume, its weights alone for the next file. `history` are the files before this one.
    """

    kind: StartKind
    checkpoint: Path | None = None
    step: int = 0
    step_before: int = 0
    file_number: int = 1
    planned_steps: int | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Steps of this file that are made already."""
        return self.step - self.step_before


class _Run(msgspec.Struct, kw_only=True):
    """The part of a manifest's `run` that is read back."""

    data_hash: str
    step_before: int
    planned_steps: int
    file_number: int = 1
    effective_batch: int = 0
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    data: list[dict[str, Any]] = msgspec.field(default_factory=list)
    history: list[dict[str, Any]] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """The newest verified checkpoint of a guarded run, and where its file stands."""

    path: Path
    step: int
    run: _Run

    @property
    def done(self) -> int:
        return self.step - self.run.step_before

    @property
    def complete(self) -> bool:
        return self.done >= self.run.planned_steps

    @property
    def names(self) -> str:
        names = [str(each.get("name", "")) for each in self.run.data] or ["data without a name"]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def choose_start(
    latest: Checkpoint | None, now: Identity, *, steps: int | None, resume: bool = True, on_top: bool = False
) -> Start:
    """Where a run of `now` begins, given the newest verified checkpoint of its output folder.

    `steps` are those that the run plans, None where that is not known yet. `on_top` trains this data on top of what
    was learnt in any case. Raises UsageError where the checkpoint cannot be loaded into this run, or where going on
    would leave something unfinished that nobody has said to leave.
    """
    if latest is None or latest.step is None or not resume:
        return Start(kind="fresh")
    run = _read_run(latest)
    if run is None:
        return _foreign(latest, on_top=on_top)
    last = _Last(path=latest.path, step=latest.step, run=run)
    _refuse_other_shape(last, now)
    changed = changed_fields(last.run.fields, now.fields)
    if on_top:
        return _next(last, ())
    if last.run.data_hash != now.data_hash:
        if last.complete:
            return _next(last, ())
        raise UsageError(
            f"{last.path} is at step {last.done:,} of {last.run.planned_steps:,} of {last.names}, which is other data "
            "than this run names and would stay unfinished: finish it first with its own `data`, pass --on-top to "
            "leave it so, or take another output_dir"
        )
    if not last.complete:
        return _resume(last, now, changed)
    if not changed:
        return _start(last, "complete", ())
    if set(changed) <= _BUDGET and steps is not None and steps > last.done:
        return _resume(last, now, changed)
    words = f"the same data once more, since {_listed(changed)} changed after it was trained"
    return _next(last, (words,))


def changed_fields(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """The training fields that had another value; a field that was not known then has not changed.

    The model and the tokenizer are compared by the rule CFG009, which knows several ways to write the same one.
    """
    names = (each for each in TRAINING_FIELDS if each not in ("base_model", "tokenizer"))
    return tuple(each for each in names if each in then and then[each] != now.get(each))


def _read_run(checkpoint: Checkpoint) -> _Run | None:
    if checkpoint.manifest is None:
        return None
    try:
        run = msgspec.convert(checkpoint.manifest.run, _Run)
    except msgspec.ValidationError:
        return None
    return run if 0 <= run.step_before <= (checkpoint.step or 0) else None


def _foreign(latest: Checkpoint, *, on_top: bool) -> Start:
    """A checkpoint of another trainer, which does not say what it was trained on."""
    step, state = latest.step or 0, latest.state
    last = state.max_steps if state is not None else None
    if on_top:
        return Start(kind="next", checkpoint=latest.path, step=step, step_before=step, file_number=2)
    if last is not None and step < last:
        words = "its manifest does not say on which data it was trained: taken to be the same"
        return Start(kind="resume", checkpoint=latest.path, step=step, planned_steps=last, notes=(words,))
    raise UsageError(
        f"{latest.path} is at step {step:,} of {last if last is not None else step:,}, and does not say on which data: "
        "pass --on-top to train this data on top of it, --no-resume to set it aside and begin anew, or take another "
        "output_dir"
    )


def _start(last: _Last, kind: StartKind, notes: Sequence[str]) -> Start:
    return Start(
        kind=kind,
        checkpoint=last.path,
        step=last.step,
        step_before=last.run.step_before,
        file_number=last.run.file_number,
        planned_steps=last.run.planned_steps,
        history=tuple(last.run.history),
        notes=tuple(notes),
    )


def _resume(last: _Last, now: Identity, changed: Sequence[str]) -> Start:
    notes = [f"{_listed(changed)} changed since the checkpoint was saved"] if changed else []
    if last.run.effective_batch and last.run.effective_batch != now.effective_batch:
        notes.append(
            f"the effective batch was {last.run.effective_batch:,} and is {now.effective_batch:,}: the place in the "
            "data is counted in steps, so that some examples of this epoch are seen twice or not at all"
        )
    return _start(last, "resume", notes)


def _next(last: _Last, notes: Sequence[str]) -> Start:
    before = {
        "file_number": last.run.file_number,
        "data_hash": last.run.data_hash,
        "names": last.names,
        "steps": last.done,
        "planned_steps": last.run.planned_steps,
        "last_step": last.step,
    }
    return Start(
        kind="next",
        checkpoint=last.path,
        step=last.step,
        step_before=last.step,
        file_number=last.run.file_number + 1,
        history=(*last.run.history, before),
        notes=tuple(notes),
    )


def _refuse_other_shape(last: _Last, now: Identity) -> None:
    then, adapter = last.run.fields, last.run.fields.get("lora")
    method = then.get("method")
    if method is None:
        return
    wanted = now.fields.get("method")
    if (method == "full") != (wanted == "full"):
        _refuse(last, f"method {method}", f"method {wanted}")
    if wanted == "full" or not isinstance(adapter, dict):
        return
    for name in _SHAPE:
        given = now.fields["lora"].get(name)
        if name in adapter and adapter[name] != given:
            _refuse(last, f"lora.{name} {adapter[name]}", f"{given}")


def _refuse(last: _Last, former: str, given: str) -> None:
    raise UsageError(
        f"{last.path} was trained with {former}, and this run has {given}, so its weights do not fit: put the value "
        "back, pass --no-resume to set the checkpoints aside and begin anew, or take another output_dir"
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def described_run(now: Identity, start: Start, *, planned_steps: int, schedule: str) -> dict[str, Any]:
    """What the manifests of this run's checkpoints say of it."""
    return {
        "base_model": now.fields.get("base_model"),
        "tokenizer": now.fields.get("tokenizer"),
        "max_length": now.fields.get("max_length"),
        "fields": dict(now.fields),
        "data": [{"name": each.name, "bytes": each.bytes, "xxh3_128": each.xxh3_128} for each in now.files],
        "data_hash": now.data_hash,
        "effective_batch": now.effective_batch,
        "file_number": start.file_number,
        "step_before": start.step_before,
        "planned_steps": planned_steps,
        "schedule": schedule,
        "history": [dict(each) for each in start.history],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What the trainer needs of a lineage: the global step at which this file begins, and how its schedule goes.

    `weights` is the checkpoint to begin from, None where the run begins anew or resumes; `moments` says whether the
    optimizer's are taken along. `schedule` is "restart" (own warm-up and decay) or "global" (one over all steps).
    """

    step_before: int = 0
    weights: Path | None = None
    moments: bool = False
    schedule: Literal["restart", "global"] = "restart"
