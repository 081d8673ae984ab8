"""The picture of a signal in docs/signals.md: a healthy and a faulty run, with the onset and what was said of it.

Pure: records go in, an SVG file comes out. It stands alone, so it carries its own colours, for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainguard.findings import Finding
from trainguard.report.data_plots import escaped
from trainguard.report.run_plots import WIDTH, Mark, curve_parts
from trainguard.report.run_view import RunView, number

# The colours of the pages about runs, as plain rules: a picture in a page gets no style of that page.
_STYLE = """
:root{--ground:#fff;--ink:#1b1d1f;--soft:#575d63;--rule:#e0e2e4;--bar:#2f6fb3;--mark:#8a4b08;--error:#b3261e;
--warn:#8a5a00;--info:#2f6fb3}
@media (prefers-color-scheme:dark){:root{--ground:#16181a;--ink:#e8eaec;--soft:#a4abb2;--rule:#34383c;--bar:#6ba7e6;
--mark:#e0a458;--error:#ff8a80;--warn:#f0b849;--info:#8abcf0}}
svg{font:12px system-ui,"DejaVu Sans",sans-serif}
.ground{fill:var(--ground)}
.head{fill:var(--ink);font-size:14px;font-weight:600}
.about,.name{fill:var(--soft)}
.name{font-weight:600}
.line{fill:none;stroke:var(--bar);stroke-width:2}
.dot{fill:var(--bar)}
.grid{stroke:var(--rule)}
.tick,.axis{fill:var(--soft)}
.over{fill:var(--mark)}
.mark{stroke-dasharray:4 3}
.mark.error,.bad{stroke:var(--error);fill:none}
.mark.warn{stroke:var(--warn)}
.mark.info{stroke:var(--info)}
.mark.onset{stroke:var(--soft)}
.bad{stroke-width:2}
.note{stroke:var(--ground);stroke-width:4px;paint-order:stroke}
.note.error{fill:var(--error)}
.note.warn{fill:var(--warn)}
.note.info{fill:var(--info)}
.note.onset{fill:var(--soft)}
"""
# What shows a fault best, where its signal does not name the metrics itself. `seconds_per_step` is made of `t`.
METRICS: Mapping[str, tuple[str, ...]] = {
    "RUN001": ("loss", "grad_norm"),
    "RUN002": ("loss", "grad_norm"),
    "RUN003": ("loss",),
    "RUN004": ("loss",),
    "RUN005": ("loss", "eval_loss"),
    "RUN006": ("think_share", "completion_length", "loss"),
    "RUN007": ("eval_accuracy", "eval_mean_token_accuracy", "rewards/accuracies", "mean_token_accuracy"),
    "RUN008": ("seconds_per_step",),
    "RUN009": ("seconds_per_step", "tokens_per_second"),
    "RUN014": ("memory_gb", "memory_reserved_gb"),
    "RUN015": ("loss",),
    "RUN018": ("loss", "grad_norm"),
    "RUN019": ("learning_rate",),
    "RUN020": ("grad_norm", "loss"),
    "RUN021": ("weights_changed_share", "grad_norm", "loss"),
    "RUN024": ("loss", "num_tokens"),
    "RUN026": ("loss",),
    "RUN027": ("reward", "reward_std"),
}
_MOST_METRICS = 2
_ABOUT = 110  # characters that fit the width


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded run as it is drawn. `onset` is the index of the record from which on the fault is visible."""

    name: str
    records: Sequence[Mapping[str, Any]]
    about: str = ""
    onset: int | None = None
    findings: Sequence[Finding] = ()


def choose(code: str, traces: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str | None, str | None]:
    """The traces that show a code: a faulty one with this label alone, and a healthy one of the same method.

    `traces` are the lines of each, the header first, by name; only those with one of the code's metrics are taken.
    Where several are left it is the first by name.
    """
    drawn = {name: lines for name, lines in sorted(traces.items()) if lines and _shows(code, lines[1:])}
    labels = {name: [label.get("code") for label in lines[0].get("labels", ())] for name, lines in drawn.items()}
    alone = [name for name, codes in labels.items() if codes == [code] and not drawn[name][0].get("also")]
    faulty = next(iter(alone or [name for name, codes in labels.items() if code in codes]), None)
    if faulty is None:
        return None, None
    method = drawn[faulty][0].get("method")
    healthy = [name for name, codes in labels.items() if not codes]
    same = [name for name in healthy if drawn[name][0].get("method") == method]
    return faulty, next(iter(same or healthy), None)


def _shows(code: str, records: Sequence[Mapping[str, Any]]) -> bool:
    first = METRICS.get(code, ("loss",))
    needed = ("t",) if "seconds_per_step" in first else first if code in _ANY_METRIC else first[:_MOST_METRICS]
    found = [any(name in record for record in records) for name in needed]
    return any(found) if code in _ANY_METRIC else all(found)


# Codes whose metrics stand for each other.
_ANY_METRIC = frozenset({"RUN006", "RUN007", "RUN015", "RUN021"})


def signal_picture(code: str, *, faulty: Recorded | None, healthy: Recorded | None, metrics: Sequence[str] = ()) -> str:
    """An SVG file; "" where neither run has one of the metrics (by default those of METRICS for the code)."""
    parts: list[str] = []
    y = 0.0
    for head, recorded in (("Faulty", faulty), ("Healthy", healthy)):
        if recorded is None:
            continue
        inside, height = _panel(head, recorded, code, metrics or METRICS.get(code, ("loss",)))
        if inside:
            parts.append(f'<g transform="translate(0 {y:.0f})">{inside}</g>')
            y += height
    if not parts:
        return ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}" height="{y:.0f}" '
        f'role="img"><title>{escaped(code)}</title><style>{_STYLE}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{y:.0f}" rx="6"/>{"".join(parts)}</svg>\n'
    )


def _panel(head: str, recorded: Recorded, code: str, metrics: Sequence[str]) -> tuple[str, float]:
    view = RunView(subject=recorded.name)
    places = []
    for record in _with_pace(recorded.records):
        view.add(record)
        places.append(float(view.step if view.step is not None else view.records))
    marks = []
    if recorded.onset is not None and 0 <= recorded.onset < len(places):
        marks.append(Mark(at=places[recorded.onset], label="onset", css="onset"))
    for finding in recorded.findings:
        if finding.code == code and finding.step is not None:
            label = f"{finding.severity} at step {finding.step:,}"
            marks.append(Mark.of(finding.severity, float(finding.step), label, finding.message))
    shown = [(name, view.curves[name]) for name in metrics if name in view.curves][:_MOST_METRICS]
    if not shown:
        return "", 0.0
    about = recorded.about if len(recorded.about) <= _ABOUT else recorded.about[: _ABOUT - 1] + "…"
    title = f"{head}: {recorded.name}"
    parts = [
        f'<text class="head" x="16" y="24">{escaped(title)}</text>',
        f'<text class="about" x="16" y="42">{escaped(about)}</text>',
    ]
    y = 52.0
    span = (min(places), max(places))
    for name, curve in shown:
        inside, height = curve_parts(name, curve, marks=marks, span=span)
        parts.append(f'<text class="name" x="16" y="{y + 12:.0f}">{escaped(name)}</text>')
        parts.append(f'<g transform="translate(0 {y + 12:.0f})">{inside}</g>')
        y += height + 12
    return "".join(parts), y + 8


def _with_pace(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records with `seconds_per_step` beside `t`: a tick has the time since the last step."""
    given: list[Mapping[str, Any]] = []
    mark: tuple[float, float] | None = None
    for record in records:
        t, step = number(record.get("t")), number(record.get("step"))
        if t is not None and math.isfinite(t) and step is not None and math.isfinite(step) and "loss" in record:
            if mark is not None and step > mark[1]:
                given.append({**record, "seconds_per_step": (t - mark[0]) / (step - mark[1])})
            else:
                given.append(record)
            mark = (t, step)
        elif record.get("tick") and t is not None and math.isfinite(t) and mark is not None:
            given.append({"step": mark[1], "seconds_per_step": t - mark[0]})
        else:
            given.append(record)
    return given
