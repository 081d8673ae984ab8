"""A run as one HTML page: curves with the findings marked on them. No script, no font, no picture from anywhere else.

The page states a content security policy that allows nothing but its own style, as the page about data does.
"""

from __future__ import annotations

from trainguard.findings import Finding
from trainguard.report.data_plots import escaped
from trainguard.report.data_style import STYLE
from trainguard.report.run_plots import Mark, curve_plot
from trainguard.report.run_view import RunView, duration, figure, ordered
from trainguard.report.summary import counted

# Beside the colours of the page: marks of findings on the curves.
RUN_STYLE = """
svg .mark.error,svg .bad{stroke:var(--error);fill:none}
svg .mark.warn{stroke:var(--warn)}
svg .mark.info,svg .mark.onset{stroke:var(--info)}
svg .bad{stroke-width:2}
svg .over{fill:var(--mark)}
svg .note.error{fill:var(--error)}
svg .note.warn{fill:var(--warn)}
svg .note.info,svg .note.onset{fill:var(--info)}
"""
_SEVERITIES = {"error": "error", "warn": "warning", "info": "info"}
_MOST_PLOTS = 24
_MOST_MARKS = 40


def render_run_html(view: RunView, *, version: str = "", refresh_seconds: int | None = None) -> str:
    """A page about one run. `refresh_seconds` makes a browser load it again, while the run goes on."""
    again = f'<meta http-equiv="refresh" content="{refresh_seconds}">\n' if refresh_seconds else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f'<meta name="color-scheme" content="light dark">\n{again}'
        f"<title>Run: {escaped(view.subject)}</title>\n<style>{STYLE}{RUN_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header><p>A run, watched by trainguard {escaped(version)}</p></header>\n"
        f"<section><h1>{escaped(view.subject)}</h1>{_lead(view)}<p>{_status(view)}</p>{_figures(view)}{_findings(view)}"
        f"{_curves(view)}{_declared(view)}</section>\n</main>\n</body>\n</html>\n"
    )


def _lead(view: RunView) -> str:
    words = [view.kind, view.method + (", told from its metrics" if view.method_told and view.method else "")]
    words += ["ended" if view.ended else "", view.phase]
    return f'<p class="lead">{escaped(" · ".join(word for word in words if word))}</p>'


def _status(view: RunView) -> str:
    if view.errors:
        return '<span class="badge error">not watched in full</span>'
    badges = [
        f'<span class="badge {severity}">{counted(number, noun)}</span>'
        for severity, noun in _SEVERITIES.items()
        if (number := sum(each.severity == severity for each in view.findings))
    ]
    return " ".join(badges) or '<span class="badge fine">nothing found</span>'


def _figures(view: RunView) -> str:
    planned = f"of {view.planned:,}" if view.planned else ""
    figures = [("Step", f"{view.step:,}" if view.step is not None else "-", planned)]
    figures.append(("Records", f"{view.records:,}", f"epoch {figure(view.epoch)}" if view.epoch is not None else ""))
    for name, curve in ordered(view.curves)[:4]:
        figures.append((name, figure(curve.last), f"from {figure(curve.first)}"))
    if view.t:
        left = f"{duration(view.seconds_left)} left" if view.seconds_left else ""
        figures.append(("Time", duration(view.t), left))
    tiles = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}<small>{escaped(note)}</small></dd></div>"
        for name, value, note in figures
    )
    return f'<dl class="figures">{tiles}</dl>'


def _findings(view: RunView) -> str:
    parts = [
        f'<article class="error"><p>Internal error in {escaped(error.origin)}: {escaped(error.message)}; its findings '
        "are missing.</p></article>"
        for error in view.errors
    ]
    order = list(_SEVERITIES)
    parts += [_finding(each) for each in sorted(view.findings, key=lambda each: order.index(each.severity))]
    parts += [f'<p class="quiet">Note: {escaped(note)}</p>' for note in view.report().notes]
    return f"<h2>Findings</h2>{''.join(parts)}" if parts else ""


def _finding(finding: Finding) -> str:
    where = f"step {finding.step:,}" if finding.step is not None else ""
    fix = f'<p class="fix">Fix: <code>{escaped(finding.fix.text)}</code></p>' if finding.fix is not None else ""
    return (
        f'<article class="{finding.severity}"><h3><span class="badge {finding.severity}">'
        f"{_SEVERITIES[finding.severity]}</span> {escaped(finding.code or '')} {escaped(finding.name or '')}"
        f"<small>{escaped(where)}</small></h3><p>{escaped(finding.message)}</p>{fix}</article>"
    )


def _curves(view: RunView) -> str:
    marks = [
        Mark.of(each.severity, float(each.step), each.code or each.severity, each.message)
        for each in view.findings[:_MOST_MARKS]
        if each.step is not None
    ]
    steps = [at for curve in view.curves.values() for at in (*(at for at, _ in curve.points[:1]), *curve.bad[:1])]
    steps += [at for curve in view.curves.values() for at in (*(at for at, _ in curve.points[-1:]), *curve.bad[-1:])]
    span = (min(steps), max(steps)) if steps else None
    parts = []
    for name, curve in ordered(view.curves)[:_MOST_PLOTS]:
        plot = curve_plot(name, curve, marks=marks, span=span)
        if plot:
            parts.append(f"<h3>{escaped(name)}</h3><figure>{plot}</figure>")
    left = len(view.curves) - _MOST_PLOTS
    more = f'<p class="quiet">and {counted(left, "more metric")}</p>' if left > 0 else ""
    return f"<h2>Curves</h2>{''.join(parts)}{more}" if parts else ""


def _declared(view: RunView) -> str:
    if not view.declared:
        return ""
    rows = "".join(
        f"<tr><td>{escaped(key)}</td><td>{escaped(value)}</td></tr>" for key, value in sorted(view.declared.items())
    )
    head = '<th scope="col">What</th><th scope="col">Value</th>'
    return (
        "<h2>What the run has declared</h2>"
        f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
