"""The story of a lineage for its page: each file, each fault with what came of it, the losses. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainguard.daemon.overview import Seen
from trainguard.daemon.reporting import Tally, all_events, figure_of, stream, without_custody
from trainguard.queue.records import Event, QueuedFile
from trainguard.report.lineage_view import FaultView, FileView, LineageView, SkippedExamples
from trainguard.report.run_view import RunView
from trainguard.train.events import EVENTS, FOLDER

SKIPPED = "skipped.jsonl"
# A page of so many rows is still quick to load; the totals count all.
_MOST_FILES, _MOST_FAULTS, _MOST_SKIPPED = 500, 500, 200
_MOST_EXAMPLES = 5
_EXAMPLE = 200  # characters of one
_KINDS = ("attempt-start", "attempt-end", "first-step", "recovered", "transition", "accepted")


def lineage_view(queue: Seen, output_dir: Path, now: float) -> LineageView:
    """All that the page shows. Raises what the database raises, and nothing for what lies in the folder."""
    files = sorted(queue.list(), key=lambda each: each.id)
    names = {each.id: each.name for each in files}
    counted, faults = Tally(), _Faults(names)
    started: dict[int, float] = {}
    for event in all_events(queue, kinds=_KINDS):
        counted.add([event])
        faults.add(event)
        if event.kind == "attempt-start" and event.file_id is not None:
            started.setdefault(event.file_id, event.time)
    run = _curves(output_dir / FOLDER / EVENTS)
    # What is done or in work is of more use on the page than what waits, and the newest of it than the oldest.
    shown = [each for each in files if each.state not in ("accepted", "checking", "waiting")][-_MOST_FILES:]
    shown += [each for each in files if each.state in ("accepted", "checking", "waiting")][: _MOST_FILES - len(shown)]
    recoveries = sum(counted.recoveries.values())
    return LineageView(
        subject=str(output_dir),
        made_at=now,
        files=[_file(each, started.get(each.id)) for each in sorted(shown, key=lambda each: each.id)],
        faults=faults.views()[-_MOST_FAULTS:],
        skipped=skipped_examples(stream(output_dir / FOLDER / SKIPPED))[-_MOST_SKIPPED:],
        curves=run.curves,
        findings=run.findings,
        counts={state: number for state, number in queue.counts().items() if number},
        steps=counted.steps,
        lost_steps=counted.lost_steps,
        attempts=sum(counted.attempts.values()),
        recoveries=recoveries,
        ettr=counted.ettr(now),
        recovery_median=counted.median_recovery_seconds,
        recovery_mean=counted.recovery_seconds / recoveries if recoveries else None,
        paused=queue.paused,
        files_left_out=max(len(files) - len(shown), 0),
        faults_left_out=max(len(faults.views()) - _MOST_FAULTS, 0),
    )


class _Faults:
    """The attempts that failed, in order, each completed by the recovery that followed it."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._found: list[tuple[Event, Mapping[str, Any]]] = []
        self._back: dict[int, Mapping[str, Any]] = {}
        self._open: dict[int | None, int] = {}

    def add(self, event: Event) -> None:
        failure = event.data.get("failure")
        if event.kind == "recovered":
            # Of several faults in a row the last one before the new step is the one that was survived; the time counts
            # from the first.
            place = self._open.pop(event.file_id, None)
            if place is not None:
                self._back[place] = event.data
        elif event.kind == "attempt-end" and isinstance(failure, Mapping) and failure.get("kind") != "stopped":
            self._open[event.file_id] = len(self._found)
            self._found.append((event, failure))

    def views(self) -> list[FaultView]:
        return [
            _fault(event, failure, self._back.get(place, {}), self._names)
            for place, (event, failure) in enumerate(self._found)
        ]


def _fault(event: Event, failure: Mapping[str, Any], back: Mapping[str, Any], names: Mapping[int, str]) -> FaultView:
    decision = event.data.get("decision")
    decided: Mapping[str, Any] = decision if isinstance(decision, Mapping) else {}
    number = event.file_id
    step, lost = figure_of(failure, "step"), figure_of(back, "lost_steps")
    return FaultView(
        at=event.time,
        file=f"{number} {names.get(number, '')}".strip() if number is not None else "-",
        attempt=event.attempt,
        step=int(step) if step is not None else None,
        kind=str(failure.get("kind", "unknown")),
        code=str(failure["code"]) if failure.get("code") else None,
        why=str(failure.get("why", "")),
        act=str(decided["act"]) if decided.get("act") else None,
        decision=str(decided.get("why", "")),
        seconds=figure_of(back, "seconds"),
        lost_steps=int(lost) if lost is not None else None,
        skipped=_window(decided.get("skip")),
    )


def _file(file: QueuedFile, started: float | None) -> FileView:
    history = file.memory.get("recovery")
    windows = history.get("skipped") if isinstance(history, Mapping) else None
    skipped = (
        [_window(each) for each in windows] if isinstance(windows, Sequence) and not isinstance(windows, str) else []
    )
    return FileView(
        number=file.id,
        name=file.name,
        state=file.state,
        priority=file.priority,
        size_bytes=file.bytes,
        accepted_at=file.accepted_at,
        started_at=started,
        ended_at=file.state_since if file.state in ("done", "failed", "quarantined") else None,
        step_before=file.step_before,
        step=file.step,
        planned_steps=file.planned_steps,
        attempts=file.attempts,
        checkpoint=file.checkpoint,
        cause=without_custody(file.cause) if file.cause else None,
        skipped=tuple(each for each in skipped if each is not None),
    )


def _window(value: object) -> tuple[int, int] | None:
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(each, int) for each in value):
        return int(value[0]), int(value[1])
    return None


def _curves(path: Path) -> RunView:
    """The metrics of all files over global steps. Where a run was resumed, the curve begins anew before its end."""
    view = RunView(subject="")
    for line in stream(path):
        metrics = line.get("metrics")
        if line.get("event") == "metrics" and isinstance(metrics, Mapping):
            view.add({**metrics, "step": line.get("step")})
    return view


def skipped_examples(lines: Iterable[Mapping[str, Any]]) -> list[SkippedExamples]:
    """The windows that were left out, from the run's list of examples: steps of a file without a gap are one window."""
    found: dict[tuple[int, int], list[str]] = {}
    for line in lines:
        number, step = figure_of(line, "file_number"), figure_of(line, "step")
        if number is None or step is None:
            continue
        where = figure_of(line, "line")
        place = f"line {int(where)}: " if where is not None else ""
        found.setdefault((int(number), int(step)), []).append(f"{place}{line.get('text') or 'no text'}"[:_EXAMPLE])
    windows: list[tuple[int, int, int, list[str]]] = []
    for (number_, step_), examples in sorted(found.items()):
        if windows and windows[-1][0] == number_ and windows[-1][2] == step_ - 1:
            begun = windows.pop()
            windows.append((number_, begun[1], step_, begun[3] + examples))
        else:
            windows.append((number_, step_, step_, examples))
    return [
        SkippedExamples(
            file=f"file {number} of the lineage",
            first=first,
            last=last,
            count=len(examples),
            examples=tuple(examples[:_MOST_EXAMPLES]),
        )
        for number, first, last, examples in windows
    ]
