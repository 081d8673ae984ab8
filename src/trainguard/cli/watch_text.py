"""What `trainguard watch` shows while a run goes on: a table that is redrawn on a terminal, else a line a poll."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from trainguard.findings import Finding
from trainguard.report.run_text import COLORS, finding_text, safe, status_line
from trainguard.report.run_view import RunView, duration, figure, ordered, sparkline

if TYPE_CHECKING:
    from rich.console import Group

_MOST_FINDINGS = 5
_MOST_METRICS = 10
_SPARK = 40
_STYLES = {"error": "bold red", "warn": "bold yellow", "info": "bold cyan"}
assert _STYLES.keys() == COLORS.keys()


class Display(Protocol):
    """Shows a run while it goes on."""

    def __enter__(self) -> Display: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def record(self, record: dict[str, Any]) -> None:
        """Shows one record."""

    def found(self, findings: Iterable[Finding]) -> None:
        """Shows what was found."""

    def polled(self) -> None:
        """All that there is now has been shown."""


class Lines:
    """For pipes and files: a line of status where something came, findings as they come."""

    def __init__(self, view: RunView, *, color: bool) -> None:
        self._view = view
        self._color = color
        self._shown = -1

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def record(self, record: dict[str, Any]) -> None:
        """Nothing: records are many, the line of a poll says where the run is."""

    def found(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            print(finding_text(finding, color=self._color), flush=True)

    def polled(self) -> None:
        if self._view.records > max(self._shown, 0):
            print(f"{time.strftime('%H:%M:%S')} {status_line(self._view)}", flush=True)
        self._shown = self._view.records


class JsonLines:
    """For programs: each record and each finding as a JSON object on a line of its own."""

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def record(self, record: dict[str, Any]) -> None:
        from trainguard.report.run_json import record_line

        if record.get("event") != "finding":
            sys.stdout.write(record_line(record))

    def found(self, findings: Iterable[Finding]) -> None:
        from trainguard.report.run_json import finding_line

        for finding in findings:
            sys.stdout.write(finding_line(finding))

    def polled(self) -> None:
        sys.stdout.flush()


class Table:
    """For a terminal: step, curves, what is left, and the latest findings, drawn again and again in one place."""

    def __init__(self, view: RunView, *, color: bool, unicode: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._view = view
        self._unicode = unicode
        console = Console(no_color=not color, highlight=False, markup=False, emoji=False)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._came: float | None = None

    def __enter__(self) -> Table:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def record(self, record: dict[str, Any]) -> None:
        if not record.get("tick"):
            self._came = time.monotonic()

    def found(self, findings: Iterable[Finding]) -> None:
        """Nothing: the table shows the latest."""

    def polled(self) -> None:
        self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        view = self._view
        parts: list[Any] = [Text(self._headline(), style="bold", no_wrap=True, overflow="ellipsis")]
        if view.planned and view.step is not None:
            from rich.progress_bar import ProgressBar

            parts.append(ProgressBar(total=view.planned, completed=min(max(view.step, 0), view.planned), width=60))
        parts.append(self._metrics())
        for finding in view.findings[-_MOST_FINDINGS:]:
            place = f"step {finding.step:,} " if finding.step is not None else ""
            line = Text(f"{place}{finding.severity} {safe(finding.code or '')} ", style=_STYLES[finding.severity])
            line.append(safe(finding.message), style="default")
            parts.append(line)
        if len(view.findings) > _MOST_FINDINGS:
            parts.append(Text(f"and {len(view.findings) - _MOST_FINDINGS:,} findings before", style="dim"))
        parts.append(Text("Ctrl-C ends watching with a verdict; the run goes on.", style="dim"))
        return Group(*parts)

    def _headline(self) -> str:
        view = self._view
        words = [safe(view.subject), view.method or "waiting for the first metrics"]
        if view.step is not None:
            share = f" ({view.step / view.planned:.0%})" if view.planned else ""
            words.append(f"step {view.step:,}" + (f" of {view.planned:,}" if view.planned else "") + share)
        if view.epoch is not None:
            words.append(f"epoch {figure(view.epoch)}")
        if view.pace:
            words.append(f"{figure(view.pace)} s/step")
        if view.seconds_left is not None:
            words.append(f"{duration(view.seconds_left)} left")
        if view.phase:
            words.append(safe(view.phase))
        if self._came is not None and (silent := time.monotonic() - self._came) > _SILENT_SECONDS:
            words.append(f"nothing new for {duration(silent)}")
        return " · ".join(words)

    def _metrics(self) -> Any:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, pad_edge=False, show_header=True, header_style="dim")
        for name in ("metric", "now", "lowest", "highest"):
            table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for name, curve in [each for each in ordered(self._view.curves) if each[1].count][:_MOST_METRICS]:
            low = figure(curve.lowest) if curve.points else "-"
            high = figure(curve.highest) if curve.points else "-"
            spark = sparkline(curve, _SPARK, unicode=self._unicode)
            table.add_row(Text(safe(name)), figure(curve.last), low, high, Text(spark))
        return table


_SILENT_SECONDS = 60
