"""What `trainguard queue` prints: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainguard.cli.output import discard_stdout
from trainguard.cli.queue_cells import cut, folded
from trainguard.daemon.overview import is_duplicate
from trainguard.daemon.reporting import without_custody
from trainguard.report.lineage_view import took
from trainguard.report.run_text import safe
from trainguard.report.text import Style

if TYPE_CHECKING:
    from rich.table import Table

    from trainguard.queue.records import Event, QueuedFile, State

STATE_STYLES: Mapping[str, str] = {
    "done": "green",
    "failed": "bold red",
    "quarantined": "bold red",
    "held": "bold yellow",
    "training": "bold cyan",
    "verifying": "cyan",
}
_STATE_COLORS: Mapping[str, str] = {
    "done": "\x1b[32m",
    "failed": "\x1b[1;31m",
    "quarantined": "\x1b[1;31m",
    "held": "\x1b[1;33m",
    "training": "\x1b[1;36m",
    "verifying": "\x1b[36m",
}
_COLUMNS = ("id", "state", "priority", "name", "bytes", "attempts", "accepted_at", "state_since", "step", "cause")
_LONGEST_CAUSE = 300
# In a spreadsheet such a cell would be a formula (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def file_values(file: QueuedFile) -> dict[str, Any]:
    """A file as plain values for JSON."""
    import msgspec

    values = msgspec.to_builtins(file)
    assert isinstance(values, dict)
    return values


def event_values(event: Event) -> dict[str, Any]:
    """An event as plain values for JSON."""
    import msgspec

    values = msgspec.to_builtins(event)
    assert isinstance(values, dict)
    return values


def files_json(files: Iterable[QueuedFile], counts: Mapping[State, int], paused: str | None) -> str:
    """All about some files, and how many there are by state."""
    shown = {"counts": dict(counts), "paused": paused, "files": [file_values(each) for each in files]}
    return json_text(shown) + "\n"


def json_text(value: Any) -> str:
    """JSON without NaN, which JSON has not."""
    return json.dumps(_finite(value), ensure_ascii=False, default=str)


def files_csv(files: Iterable[QueuedFile]) -> str:
    """A line a file; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for file in files:
        writer.writerow([_cell(getattr(file, name)) for name in _COLUMNS])
    return out.getvalue()


def files_table(files: Sequence[QueuedFile], now: float) -> Table:
    """The files as a table, in the order given."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("No.", justify="right")
    table.add_column("State")
    table.add_column("Priority")
    table.add_column("For", justify="right")
    table.add_column("Size", justify="right")
    table.add_column("Tries", justify="right")
    table.add_column("File", overflow="fold", ratio=2, min_width=12)
    table.add_column("Why", overflow="fold", ratio=3, min_width=12)
    for file in files:
        table.add_row(
            str(file.id),
            Text(file.state, style=STATE_STYLES.get(file.state, "")),
            file.priority,
            took(max(now - file.state_since, 0.0)),
            size_words(file.bytes),
            str(file.attempts) if file.attempts else "",
            Text(safe(file.name)),
            Text(short(why(file, now))),
        )
    return table


def files_blocks(files: Iterable[QueuedFile], now: float, width: int, style: Style) -> str:
    """The files for a terminal on which the table has no room: the reason below each, in two lines at the most."""
    lines = []
    for file in files:
        state, code = file.state.ljust(11), _STATE_COLORS.get(file.state)
        state = style(code, state) if code is not None else state
        head = f"{file.id:>4}  {state} {file.priority:<6} {took(max(now - file.state_since, 0.0)):>6}  "
        lines.append(folded(head + short(file.name, max(width - 6, 20)), width, indent=6))
        if reason := why(file, now):
            lines.append(folded(" " * 6 + short(reason, 2 * max(width - 8, 20)), width, indent=6))
    return "\n".join(lines) + "\n\n" if lines else ""


def files_lines(files: Iterable[QueuedFile], now: float) -> str:
    """The same for pipes: a line a file, tabs between."""
    lines = []
    for file in files:
        cells = (
            *(str(file.id), file.state, file.priority, took(max(now - file.state_since, 0.0))),
            *(size_words(file.bytes), str(file.attempts), safe(file.name), short(why(file, now))),
        )
        lines.append("\t".join(cells).rstrip())
    return "\n".join(lines) + "\n" if lines else ""


def why(file: QueuedFile, now: float, *, whole: bool = False) -> str:
    """The cause of a state, and until when a pause lasts. What is often the same is said in short, unless `whole`."""
    if is_duplicate(file) and not whole:
        return f"held since its content is that of file {file.same_as}"
    words = [file.cause] if file.cause else []
    if file.not_before is not None and file.not_before > now and file.state == "waiting":
        words.append(f"tried again in {took(file.not_before - now)}")
    if file.same_as is not None and not file.cause:
        words.append(f"same content as file {file.same_as}")
    return "; ".join(words)


def counts_line(counts: Mapping[State, int], paused: str | None) -> str:
    """`12 files: 3 waiting, 1 training, 8 done`, and why the queue is paused."""
    total = sum(counts.values())
    parts = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    line = f"{total:,} file{'' if total == 1 else 's'}" + (f": {parts}" if parts else "")
    return line + (f"; paused: {safe(paused)}" if paused is not None else "")


def file_text(file: QueuedFile, now: float) -> str:
    """All about one file, a line each."""
    steps = None
    if file.step is not None:
        made = max(file.step - (file.step_before or 0), 0)
        steps = f"{made:,}" + (f" of {file.planned_steps:,}" if file.planned_steps else "")
        steps += f" (global {file.step_before or 0:,} to {file.step:,})"
    lines: list[tuple[str, str | None]] = [
        ("file", f"{file.id} {safe(file.name)}"),
        ("state", f"{file.state} for {took(max(now - file.state_since, 0.0))}"),
        ("why", safe(why(file, now, whole=True)) or None),
        ("priority", file.priority),
        ("accepted", when(file.accepted_at)),
        ("goes first", f"not later than {when(file.due_at)}" if file.state in ("accepted", "waiting") else None),
        ("size", f"{size_words(file.bytes)} ({file.bytes:,} bytes)"),
        ("sha256", file.sha256),
        ("same as", f"file {file.same_as}" if file.same_as is not None else None),
        ("attempts", f"{file.attempts:,}" if file.attempts else None),
        ("steps", steps),
        ("checkpoint", safe(file.checkpoint) if file.checkpoint else None),
        ("daemon", safe(file.owner) if file.owner else None),
        ("came from", safe(came_from(file))),
    ]
    return "\n".join(f"{name:<12} {words}" for name, words in lines if words is not None) + "\n"


def came_from(file: QueuedFile) -> str:
    """The origin in words: behind the name of a drop are numbers that tell it from the next one of that name."""
    how, _, rest = file.origin.partition(":")
    if how == "inbox" and "@" in rest:
        return f"the inbox, as {rest.rpartition('@')[0]}"
    if how == "add" and ":" in rest:
        return f"trainguard queue add {rest.partition(':')[2]}"
    return file.origin


def say(text: str) -> bool:
    """Writes to stdout; False where whoever read it has gone away, so that nothing is followed for nobody."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        return False
    return True


def short(text: str, most: int = _LONGEST_CAUSE) -> str:
    """Text of a name or a log for one line of `most` cells. Of a file in custody its name says enough."""
    return cut(safe(without_custody(text)), most)


def when(at: float) -> str:
    """A time of this machine's zone; never raises for a number beyond the calendar."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "?"


def size_words(count: int) -> str:
    """`812 B`, `4.1 MB`: powers of 1000."""
    size, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if size < 999.5 or unit == units[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{count} B"


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = safe(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
