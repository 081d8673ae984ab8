"""A lineage as one HTML page: its files, its losses over all steps, the faults that it survived.

No script, no font, no picture from anywhere else, and a content security policy that allows nothing but its own style.
All text is escaped: names and messages come from other people's files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from trainguard.report.data_plots import escaped
from trainguard.report.data_style import STYLE
from trainguard.report.lineage_view import FaultView, FileView, LineageView, SkippedExamples, took
from trainguard.report.run_html import RUN_STYLE
from trainguard.report.run_plots import Mark, curve_plot
from trainguard.report.run_view import figure, ordered
from trainguard.report.summary import counted

_MOST_PLOTS = 6
# More lines than these across a curve hide it.
_MOST_FILE_MARKS, _MOST_FAULT_MARKS = 12, 24
_MOST_ASKING = 50
_LONGEST = 600  # characters of a message
_BADGES = {
    "done": "fine",
    "failed": "error",
    "quarantined": "error",
    "held": "warn",
    "training": "info",
    "verifying": "info",
}
_PAGE_STYLE = """
main{max-width:75rem}
td{white-space:nowrap}
td.text{min-width:16rem}
td.name{min-width:7rem}
td.text,td.name{white-space:normal;overflow-wrap:anywhere}
td small{color:var(--soft)}
tbody th{color:inherit;font-weight:inherit}
.table:focus-visible{outline:2px solid var(--info);outline-offset:2px}
"""
_FOR_A_PERSON = ("held", "failed", "quarantined")


def render_lineage_page(view: LineageView, *, version: str = "") -> str:
    """The page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Lineage: {escaped(view.subject)}</title>\n<style>{STYLE}{RUN_STYLE}{_PAGE_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<header><p>A lineage, trained by trainguard {escaped(version)}, as of {_moment(view.made_at)}"
        f"</p></header>\n<section><h1>{escaped(view.subject)}</h1><p>{_status(view)}</p>{_figures(view)}{_notes(view)}"
        f"{_asking(view)}{_files(view)}{_curves(view)}{_faults(view)}{_skipped(view.skipped)}{_about()}</section>\n</main>\n</body>\n</html>\n"
    )


def _status(view: LineageView) -> str:
    badges = [
        f'<span class="badge {_BADGES.get(state, "info")}">{number:,} {escaped(state)}</span>'
        for state, number in view.counts.items()
        if number
    ]
    if view.paused is not None:
        badges.append(f'<span class="badge warn">paused: {_cut(view.paused)}</span>')
    return " ".join(badges) or '<span class="badge info">no file was accepted yet</span>'


def _figures(view: LineageView) -> str:
    again = f"{view.lost_steps:,} of them made again" if view.lost_steps else ""
    survived = f"{view.recoveries:,} survived" if view.recoveries else ""
    figures = [
        ("Files trained", f"{view.counts.get('done', 0):,}", f"of {sum(view.counts.values()):,}"),
        ("Steps made", f"{view.steps:,}", again),
        ("Attempts", f"{view.attempts:,}", survived),
    ]
    if view.ettr is not None and math.isfinite(view.ettr):
        figures.append(("ETTR", f"{view.ettr * 100:.1f} %", "productive / wall time"))
    if view.recovery_median is not None:
        median = f"≤ {took(view.recovery_median)}" if math.isfinite(view.recovery_median) else "more than a day"
        mean = f"mean {took(view.recovery_mean)}" if view.recovery_mean is not None else ""
        figures.append(("Time to recover", median, ("median; " + mean) if mean else "median"))
    losses = view.curves.get("loss")
    if losses is not None and losses.count:
        figures.append(("Loss", figure(losses.last), f"from {figure(losses.first)}"))
    tiles = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}<small>{escaped(note)}</small></dd></div>"
        for name, value, note in figures
    )
    return f'<dl class="figures">{tiles}</dl>'


def _notes(view: LineageView) -> str:
    return "".join(f'<p class="quiet">Note: {_cut(note)}</p>' for note in view.notes)


def _asking(view: LineageView) -> str:
    """What waits for a person, the newest first: among hundreds of files it would not be seen."""
    files = [each for each in reversed(view.files) if each.state in _FOR_A_PERSON]
    if not files:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{each.number}</th><td class="name">{_cut(each.name)}</td><td>{_badge(each.state)}</td>'
        f'<td class="text">{_cut(each.cause or "")}</td></tr>'
        for each in files[:_MOST_ASKING]
    )
    left = len(files) - _MOST_ASKING
    more = f'<p class="quiet">and {counted(left, "older one")}, in the table below</p>' if left > 0 else ""
    how = "<code>trainguard queue release</code> and <code>retry</code>, with the number, let them go on."
    name = "For a person to look at"
    return f"<h2>{name}</h2><p>{how}</p>{_table(name, ('No.', 'File', 'State', 'Why'), rows)}{more}"


def _files(view: LineageView) -> str:
    if not view.files:
        return ""
    heads = ("No.", "File", "State", "Steps", "Attempts", "Trained", "Checkpoint", "Why")
    rows = "".join(_file(each) for each in view.files)
    left = view.files_left_out
    more = f'<p class="quiet">and {counted(left, "older file")} that are not listed</p>' if left else ""
    return f"<h2>Files</h2>{_table('Files', heads, rows)}{more}"


def _file(file: FileView) -> str:
    steps = "-"
    if file.own_steps is not None:
        planned = f" of {file.planned_steps:,}" if file.planned_steps else ""
        steps = f"{file.own_steps:,}{planned}<br><small>{file.step_before or 0:,} to {file.step:,}</small>"
    trained = _moment(file.started_at)
    if file.started_at is not None and file.ended_at is not None:
        trained += f"<br><small>{took(max(file.ended_at - file.started_at, 0.0))}</small>"
    windows = "".join(f"<br><small>steps {first:,} to {last:,} skipped</small>" for first, last in file.skipped[:20])
    cells = (
        f'<th scope="row">{file.number}</th>',
        f'<td class="name">{_cut(file.name)}<br><small>{_size(file.size_bytes)}, {escaped(file.priority)}</small></td>',
        f"<td>{_badge(file.state)}</td>",
        f"<td>{steps}{windows}</td>",
        f"<td>{file.attempts:,}</td>",
        f"<td>{trained}</td>",
        f"<td>{_cut(file.checkpoint or '-', 60)}</td>",
        f'<td class="text">{_cut(file.cause or "")}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def _badge(state: str) -> str:
    return f'<span class="badge {_BADGES.get(state, "info")}">{escaped(state)}</span>'


def _curves(view: LineageView) -> str:
    steps = [at for curve in view.curves.values() for at, _ in curve.points] + [
        at for curve in view.curves.values() for at in curve.bad
    ]
    if not steps:
        return ""
    span = (min(steps), max(steps))
    marks = _marks(view)
    parts = []
    for name, curve in ordered(view.curves)[:_MOST_PLOTS]:
        plot = curve_plot(name, curve, marks=marks, span=span)
        if plot:
            parts.append(f"<h3>{escaped(name)}</h3><figure>{plot}</figure>")
    return f"<h2>Curves over all files</h2>{''.join(parts)}" if parts else ""


def _marks(view: LineageView) -> list[Mark]:
    """Where files begin and where faults were: of many files some, and the newest faults, those that ended a file
    before the others."""
    begun = [each for each in view.files if each.step is not None]
    every = -(-len(begun) // _MOST_FILE_MARKS) or 1
    marks = [
        Mark(at=float(each.step_before or 0), label=f"file {each.number}", css="onset", about=each.name)
        for each in begun[::every]
    ]
    faults = [each for each in reversed(view.faults) if each.step is not None]
    faults.sort(key=lambda each: each.survived)
    marks += [
        Mark.of("warn" if each.survived else "error", float(each.step or 0), each.code or each.kind, each.why[:200])
        for each in faults[:_MOST_FAULT_MARKS]
    ]
    return marks


def _faults(view: LineageView) -> str:
    if not view.faults:
        return "<h2>Faults</h2><p>None.</p>"
    heads = ("When", "File", "Step", "What", "What was done", "Back after", "Steps made again")
    rows = "".join(_fault(each) for each in view.faults)
    left = view.faults_left_out
    more = f'<p class="quiet">and {counted(left, "older fault")} that are not listed</p>' if left else ""
    return f"<h2>Faults</h2>{_table('Faults', heads, rows)}{more}"


def _fault(fault: FaultView) -> str:
    code = f"{escaped(fault.code)} " if fault.code else ""
    skipped = f"; steps {fault.skipped[0]:,} to {fault.skipped[1]:,} of the file left out" if fault.skipped else ""
    done = " ".join(part for part in (escaped(fault.act or "-"), _cut(fault.decision)) if part)
    back = took(fault.seconds) if fault.seconds is not None and 0 <= fault.seconds < math.inf else "-"
    badge = "info" if fault.survived else "error"
    cells = (
        f"<td>{_moment(fault.at)}</td>",
        f'<td class="name">{_cut(fault.file)}</td>',
        f"<td>{f'{fault.step:,}' if fault.step is not None else '-'}</td>",
        f'<td class="text"><span class="badge {badge}">{code}{escaped(fault.kind)}</span> {_cut(fault.why)}</td>',
        f'<td class="text">{done}{skipped}</td>',
        f"<td>{back}</td>",
        f"<td>{f'{fault.lost_steps:,}' if fault.lost_steps is not None else '-'}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _skipped(windows: Sequence[SkippedExamples]) -> str:
    if not windows:
        return ""
    rows = "".join(
        f'<tr><td class="name">{_cut(each.file)}</td>'
        f"<td>{f'{each.first:,} to {each.last:,}' if each.first is not None and each.last is not None else '-'}</td>"
        f"<td>{each.count:,}</td>"
        f'<td class="text">{"<br>".join(_cut(example, 200) for example in each.examples)}</td></tr>'
        for each in windows
    )
    heads = ("File", "Own steps", "Examples", "Some of them")
    return f"<h2>Examples left out</h2>{_table('Examples left out', heads, rows)}"


def _about() -> str:
    return (
        '<p class="quiet">ETTR is the time in which steps that count were made over the wall time of the files in '
        "work, from a file's first attempt until it is done or set aside, pauses included (arXiv:2410.21680). A fault "
        "is survived when a new step followed it.</p>"
    )


def _table(name: str, heads: Sequence[str], rows: str) -> str:
    """A table that a keyboard can scroll too, with a name for who does not see it (WCAG 2.2, 2.1.1 and 4.1.2)."""
    head = "".join(f'<th scope="col">{escaped(each)}</th>' for each in heads)
    region = f'<div class="table" role="region" aria-label="{escaped(name)}" tabindex="0">'
    return f"{region}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cut(text: str, most: int = _LONGEST) -> str:
    return escaped(text if len(text) <= most else text[: most - 1] + "…")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{count} bytes"


def _moment(at: float | None) -> str:
    if at is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "?"
