"""Where a run begins: anew, in the middle of its data, after it, or with another file on top of what was learnt.

The checkpoints of an output folder are one lineage: its steps count on from file to file, so that the newest checkpoint
has the highest number. What a checkpoint was trained on stands in its manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from trainguard.errors import UsageError
from trainguard.facts.checkpoint.records import Checkpoint
from trainguard.train.identity import TRAINING_FIELDS, Identity
from trainguard.train.left_out import LeftOut, Window

StartKind: TypeAlias = Literal["fresh", "resume", "next", "complete"]

_BUDGET = frozenset({"epochs", "max_steps"})
# How an effective batch is made up: what a step trains on is the same where their product is.
_MAKE_UP = frozenset({"batch_size", "gradient_accumulation"})
# Of the adapter, what decides on the names and shapes of its weights.
_SHAPE = ("r", "target_modules", "modules_to_save", "bias", "use_dora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a run begins.

    `step` is the global step there, over all files; `step_before` the one at which this file began; `checkpoint` what
    is loaded: all of it to resume, its weights alone for the next file. `history` are the files before this one.
    `skipped` are windows of this file's steps that are left out (`left_out`), `epoch_examples` as in `Continuation`.
    """

    kind: StartKind
    checkpoint: Path | None = None
    step: int = 0
    step_before: int = 0
    file_number: int = 1
    planned_steps: int | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[Window, ...] = ()
    epoch_examples: int | None = None

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
    file_id: str | None = None
    skipped: list[tuple[int, int]] = msgspec.field(default_factory=list)
    epoch_examples: int | None = None


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
    _refuse_a_second_time(last, now)
    _refuse_other_shape(last, now)
    changed = changed_fields(last.run.fields, now.fields)
    if last.run.effective_batch == now.effective_batch:
        changed = tuple(each for each in changed if each not in _MAKE_UP)
    same_data = last.run.data_hash == now.data_hash
    same_id = same_data and last.run.file_id is not None and last.run.file_id == now.file_id
    if on_top and not same_id:
        return _next(last, ())
    if not same_data or (not same_id and None not in (last.run.file_id, now.file_id)):
        if last.complete:
            return _next(last, ())
        raise UsageError(_unfinished(last, now, same_data=same_data))
    if not last.complete:
        return _resume(last, now, changed)
    if not changed:
        return _start(last, "complete", ())
    if set(changed) <= _BUDGET and steps is not None and steps > last.done:
        return _resume(last, now, changed)
    if same_id:
        words = f"{_listed(changed)} changed after this file was trained, which is not trained again"
        return _start(last, "complete", (words,))
    words = f"the same data once more, since {_listed(changed)} changed after it was trained"
    return _next(last, (words,))


def changed_fields(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """The training fields that had another value; a field that was not known then has not changed.

    The model and the tokenizer are compared by the rule CFG009, which knows several ways to write the same one.
    """
    names = (each for each in TRAINING_FIELDS if each not in ("base_model", "tokenizer"))
    return tuple(each for each in names if each in then and then[each] != now.get(each))


def leave_out(start: Start, windows: Sequence[Window]) -> Start:
    """`start` with the windows of this file's steps that are to be left out, all of them, in the order of asking.

    Without any those of the checkpoint stand. Raises UsageError where the checkpoint was trained on what is to be left
    out, or left out something else.
    """
    if not windows or start.kind == "complete":
        return start
    known, wanted = start.skipped, tuple(windows)
    if wanted[: len(known)] != known:
        raise UsageError(
            f"{start.checkpoint} was trained without {_windows(known)} of this file, and --skip-steps says "
            f"{_windows(wanted)}: name all windows in the order in which they were left out, new ones last"
        )
    before, after = LeftOut.of(known), LeftOut.of(wanted)
    trained = before.original(start.done) if start.done else 0
    if after.within(1, trained) != before.within(1, trained):
        back = next(window for window in wanted[len(known) :] if window[0] <= start.done)
        raise UsageError(
            f"--skip-steps {back[0]}-{back[1]}: {start.checkpoint} is at step {start.done:,} of this file and was "
            f"trained on some of them; go back before them with --before-step {start.step_before + back[0]}"
        )
    note = f"{_windows(wanted)} of this file are left out; their examples are listed in trainguard/skipped.jsonl"
    return replace(start, skipped=wanted, notes=(*start.notes, note))


def _windows(windows: Sequence[Window]) -> str:
    return "steps " + ", ".join(f"{first:,}-{last:,}" for first, last in windows)


def _unfinished(last: _Last, now: Identity, *, same_data: bool) -> str:
    other = (
        f"file {last.run.file_id}, while --file-id is {now.file_id}: that one"
        if same_data
        else "which is other data than this run names, and"
    )
    return (
        f"{last.path} is at step {last.done:,} of {last.run.planned_steps:,} of {last.names}, {other} would stay "
        "unfinished: finish it first with its own `data`, pass --on-top to leave it so, give it up with --before-step "
        f"{last.run.step_before + 1}, or take another output_dir"
    )


def _read_run(checkpoint: Checkpoint) -> _Run | None:
    if checkpoint.manifest is None:
        return None
    try:
        run = msgspec.convert(checkpoint.manifest.run, _Run)
    except msgspec.ValidationError:
        return None
    sound = 0 <= run.step_before <= (checkpoint.step or 0) and all(1 <= first <= last for first, last in run.skipped)
    return run if sound and (run.epoch_examples is None or run.epoch_examples > 0) else None


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
        skipped=tuple(last.run.skipped),
        epoch_examples=last.run.epoch_examples,
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
        **({"file_id": last.run.file_id} if last.run.file_id is not None else {}),
        **({"skipped": [list(each) for each in last.run.skipped]} if last.run.skipped else {}),
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


def _refuse_a_second_time(last: _Last, now: Identity) -> None:
    """A file of the lineage that another one was trained on top of: nothing could take its steps back."""
    before = next((each for each in last.run.history if now.file_id and each.get("file_id") == now.file_id), None)
    if before is not None:
        raise UsageError(
            f"--file-id {now.file_id} is in {last.path} already: file {before.get('file_number')} of the lineage, "
            f"which ended at step {before.get('last_step')}; give the same content another "
            "--file-id to train it once more"
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
        **({"file_id": now.file_id} if now.file_id is not None else {}),
        **({"skipped": [list(each) for each in start.skipped]} if start.skipped else {}),
        **({"epoch_examples": start.epoch_examples} if start.epoch_examples is not None else {}),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What the trainer needs of a lineage: the global step at which this file begins, and how its schedule goes.

    `weights` is the checkpoint to begin from, None where the run begins anew or resumes; `moments` says whether the
    optimizer's are taken along. `schedule` is "restart" (own warm-up and decay) or "global" (one over all steps).
    `skipped` are windows of this file's steps that are left out. `epoch_examples` is how many examples an epoch had
    when the file was begun with larger micro-batches and a dropped rest; None where nothing was dropped.
    """

    step_before: int = 0
    weights: Path | None = None
    moments: bool = False
    schedule: Literal["restart", "global"] = "restart"
    skipped: tuple[Window, ...] = ()
    epoch_examples: int | None = None
