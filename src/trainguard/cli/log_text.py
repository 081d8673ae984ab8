"""The history of a file in words: a line an event, then the last lines of output. Follows what is written next."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.cli.queue_text import event_values, json_text, short, size_words, when
from trainguard.cli.train_lines import TrainLines
from trainguard.report.lineage_view import took
from trainguard.report.run_text import safe
from trainguard.report.summary import counted
from trainguard.report.text import Style

if TYPE_CHECKING:
    from trainguard.queue.records import Event, QueuedFile
    from trainguard.queue.store import Queue

_DIM, _RED, _YELLOW, _GREEN, _CYAN = "\x1b[2m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;32m", "\x1b[1;36m"
_STATES = {"done": _GREEN, "failed": _RED, "quarantined": _RED, "held": _YELLOW, "training": _CYAN}
_OUTPUT = "output.log"
_TAIL_BYTES = 512 * 1024
_MOST_AT_ONCE = 1024 * 1024  # of what was written since the last look
_ENDED = ("done", "failed", "quarantined")


class History:
    """The events of one file and the output of an attempt, as text or JSON Lines."""

    def __init__(
        self,
        queue: Queue,
        file: QueuedFile,
        home: Path,
        *,
        attempt: int | None = None,
        lines: int = 20,
        json: bool = False,
        color: bool = False,
    ) -> None:
        self._queue = queue
        self._file = file
        self._folder = home / "attempts" / str(file.id)
        self._attempt = attempt
        self._lines = lines
        self._json = json
        self._style = Style(color)
        self._after = 0
        self._read = 0
        self._reading: Path | None = None
        self._told = TrainLines()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        now = self._queue.get(self._file.id)
        self._file = now if now is not None else self._file
        return self._file.state in _ENDED

    def has_attempt(self, number: int) -> bool:
        return number <= self._file.attempts or (self._folder / str(number)).is_dir()

    def so_far(self) -> str:
        """All that has happened, and the last lines of output."""
        parts = [] if self._json else [f"file {self._file.id} {safe(self._file.name)}, now {self._file.state}\n"]
        parts.append(self._events())
        path = self._log()
        if path is not None and self._lines:
            lines = self._last_lines(path)
            if self._json:
                parts.append(self._json_lines(lines, path))
            elif lines:
                head = self._style(_DIM, f"last lines of {safe(path)}:")
                parts.append(f"\n{head}\n" + "".join(f"{safe(line)}\n" for line in lines))
        return "".join(parts)

    def more(self) -> str:
        """What has happened since."""
        return self._events() + self._new_output()

    def _events(self) -> str:
        events = self._queue.events(file_id=self._file.id, after=self._after)
        if events:
            self._after = events[-1].id
        if self._attempt is not None:
            events = [each for each in events if each.attempt == self._attempt]
        if self._json:
            return "".join(json_text(event_values(each)) + "\n" for each in events)
        return "".join(self._line(each) for each in events)

    def _line(self, event: Event) -> str:
        words = event_words(event)
        if not words:
            return ""
        color = _STATES.get(event.to_state or "", "") if event.kind == "transition" else ""
        if event.kind == "attempt-end" and event.data.get("failure"):
            color = _RED
        if event.kind == "recovered":
            color = _GREEN
        head, *rest = words
        first = f"{self._style(_DIM, when(event.time))}  {self._style(color, safe(head)) if color else safe(head)}\n"
        return first + "".join(f"{'':21}{safe(each)}\n" for each in rest)

    def _log(self) -> Path | None:
        """The output of the attempt that is asked for, or of the newest that has one."""
        if self._attempt is not None:
            numbers = [self._attempt]
        else:
            try:
                numbers = sorted((int(each) for each in os.listdir(self._folder) if each.isdecimal()), reverse=True)
            except (OSError, ValueError):
                return None
        return next((path for each in numbers if (path := self._folder / str(each) / _OUTPUT).is_file()), None)

    def _last_lines(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(end - _TAIL_BYTES, 0))
                content = file.read(_TAIL_BYTES)
        except OSError as error:
            return [f"cannot be read: {error.strerror or error}"]
        self._reading, self._read, self._told = path, end, TrainLines()
        lines = output_lines(content)
        return (lines if self._json else self._told.words(lines))[-self._lines :]

    def _new_output(self) -> str:
        path = self._log()
        if path is None:
            return ""
        if path != self._reading:
            self._reading, self._read, self._told = path, 0, TrainLines()
        try:
            with path.open("rb") as file:
                file.seek(self._read)
                content = file.read(_MOST_AT_ONCE)
        except OSError:
            return ""
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = output_lines(whole)
        if self._json:
            return self._json_lines(lines, path)
        return "".join(f"{safe(line)}\n" for line in self._told.words(lines))

    def _json_lines(self, lines: Iterable[str], path: Path) -> str:
        number = int(path.parent.name) if path.parent.name.isdecimal() else None
        return "".join(
            json_text({"kind": "output", "file_id": self._file.id, "attempt": number, "line": line}) + "\n"
            for line in lines
        )


def output_lines(content: bytes) -> list[str]:
    """The lines of a program's output; of a bar that is drawn over itself the last state alone."""
    text = content.decode("utf-8", "backslashreplace")
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def event_words(event: Event) -> list[str]:
    """An event in words: a line, and lines below it that say why. [] for one that says nothing to people."""
    data = event.data
    number = f"attempt {event.attempt}" if event.attempt is not None else "attempt"
    match event.kind:
        case "transition":
            return [f"{event.from_state or 'new'} -> {event.to_state}" + (f": {event.cause}" if event.cause else "")]
        case "accepted":
            cause = f": {event.cause}" if event.cause else ""
            return [f"accepted, priority {data.get('priority', 'normal')}{cause}"]
        case "attempt-start":
            return [f"{number} begins{_pid(data)}", *_changes(data)]
        case "first-step":
            return [f"{number}: the first new step is made{_after_fault(data)}"]
        case "attempt-end":
            return _end_words(event, number)
        case "recovered":
            return [f"recovered{_recovery(data)}" + (f": {event.cause}" if event.cause else "")]
        case "finding":
            found = data.get("finding")
            values: Mapping[str, Any] = found if isinstance(found, Mapping) else data
            head = " ".join(str(values[key]) for key in ("severity", "code", "name") if values.get(key))
            return [f"{head}: {values.get('message', event.cause or '')}"]
        case "wish":
            return [f"asked for: {data.get('wish', '?')}" + (f" ({event.cause})" if event.cause else "")]
        case "moved":
            return [f"moved in the order{_moved(data)}"]
        case "adopted":
            return ["its daemon was gone; another one takes it up" + (f" ({event.cause})" if event.cause else "")]
        case "forgotten":
            return ["what was remembered of its attempts is forgotten: they begin anew"]
        case "pruned":
            return [f"its content was removed after its time in done/{_bytes(data)}"]
        case "priority":
            return [f"priority {data.get('from')} -> {data.get('to')}"]
        case _:
            return [event.kind + (f": {event.cause}" if event.cause else "")]


def _end_words(event: Event, number: str) -> list[str]:
    data = event.data
    how = f"signal {data['signal']}" if data.get("signal") else f"exit code {data.get('exit_code')}"
    made = [counted(data["steps"], "step")] if isinstance(data.get("steps"), int) else []
    seconds = [took(data["seconds"])] if isinstance(data.get("seconds"), int | float) else []
    failure, decision = data.get("failure"), data.get("decision")
    lines = [f"{number} ended: {', '.join([how, *made, *seconds])}"]
    if isinstance(failure, Mapping):
        code = " ".join(str(failure[key]) for key in ("code", "kind") if failure.get(key))
        where = f" at step {failure['step']:,}" if isinstance(failure.get("step"), int) else ""
        lines.append(f"what: {code}{where}: {failure.get('why', '')}")
    if isinstance(decision, Mapping):
        lines.append(f"done: {decision.get('act')}: {decision.get('why', '')}{_decided(decision)}")
        if decision.get("advice"):
            lines.append(f"advice: {decision['advice']}")
    return lines


def _decided(decision: Mapping[str, Any]) -> str:
    parts = []
    delay, skip = decision.get("delay_seconds"), decision.get("skip")
    if isinstance(delay, int | float) and delay > 0:
        parts.append(f"after {took(delay)}")
    if isinstance(decision.get("before_step"), int):
        parts.append(f"from the checkpoint before step {decision['before_step']:,}")
    if isinstance(skip, Sequence) and not isinstance(skip, str) and len(skip) == 2:
        parts.append(f"steps {skip[0]} to {skip[1]} of the file left out")
    changes = decision.get("changes")
    if isinstance(changes, Mapping) and changes:
        parts.append(", ".join(f"{key}={value}" for key, value in changes.items()))
    return f" ({'; '.join(parts)})" if parts else ""


def _moved(data: Mapping[str, Any]) -> str:
    if data.get("before") is not None:
        return f": before file {data['before']}"
    return ": before all others" if data.get("first") else ""


def _bytes(data: Mapping[str, Any]) -> str:
    size = data.get("bytes")
    return f" ({size_words(size)})" if isinstance(size, int) else ""


def _pid(data: Mapping[str, Any]) -> str:
    return f" (process {data['pid']})" if data.get("pid") else ""


def _changes(data: Mapping[str, Any]) -> list[str]:
    lines = []
    changes, skipped = data.get("changes"), data.get("skipped")
    if isinstance(changes, Mapping) and changes:
        lines.append("with " + ", ".join(f"{key}={value}" for key, value in changes.items()))
    if isinstance(skipped, Sequence) and not isinstance(skipped, str) and skipped:
        more = f" and {len(skipped) - 10} more windows" if len(skipped) > 10 else ""
        lines.append(f"left out: steps {', '.join(_window(each) for each in skipped[:10])}{more} of the file")
    return lines


def _window(value: object) -> str:
    """The first and the last step of a window; of anything else what it is."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{value[0]} to {value[1]}"
    return str(value)


def _after_fault(data: Mapping[str, Any]) -> str:
    seconds = data.get("seconds_since_fault")
    return f" ({short(took(seconds))} after the fault)" if isinstance(seconds, int | float) else ""


def _recovery(data: Mapping[str, Any]) -> str:
    parts = []
    if isinstance(data.get("seconds"), int | float):
        parts.append(f"after {took(data['seconds'])}")
    if isinstance(data.get("lost_steps"), int):
        parts.append(f"{counted(data['lost_steps'], 'step')} made again")
    return f" ({', '.join(parts)})" if parts else ""
