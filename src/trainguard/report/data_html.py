"""Training data as one HTML page: no script, no font, no picture and no style from anywhere else.

The page states a content security policy that allows nothing but its own style, so that what stands in the data could
not load or run anything even if an escape were missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainguard.findings import Finding, Report
from trainguard.report import data_summary as words
from trainguard.report.data_plots import bar_plot, cut_plot, escaped, histogram_plot
from trainguard.report.data_style import STYLE
from trainguard.report.data_summary import Summary, count_words, percent_words
from trainguard.report.places import unreadable_reason
from trainguard.report.summary import counted, totals

_BINS = 40
_MOST_FILES = 200
_SEVERITIES = {"error": "error", "warn": "warning", "info": "info"}


def render_data_html(subjects: Sequence[tuple[Summary | None, Report]], *, version: str = "") -> str:
    """A page about all `subjects`: for each its figures, plots with tables, and findings."""
    names = ", ".join(report.subject for _, report in subjects)
    sections = "".join(_subject(data, report, number) for number, (data, report) in enumerate(subjects))
    listed = "".join(
        f'<li><a href="#s{number}">{escaped(report.subject)}</a> {_status(report)}</li>'
        for number, (_, report) in enumerate(subjects)
    )
    contents = f'<nav aria-label="Data"><ul>{listed}</ul></nav>' if len(subjects) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Training data: {escaped(names)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header><p>Training data, checked by trainguard {escaped(version)}</p>{contents}</header>\n"
        f"{sections}\n</main>\n</body>\n</html>\n"
    )


def _subject(data: Summary | None, report: Report, number: int) -> str:
    parts = [f'<section id="s{number}"><h1>{escaped(report.subject)}</h1>']
    if data is not None and data["files"]:
        parts.append(f'<p class="lead">{escaped(" · ".join(words.headline(data)))}</p>')
    parts.append(f"<p>{_status(report)}</p>")
    if data is not None and data["rows"]:
        parts.append(_figures(data))
    parts.append(_findings(report))
    if data is not None and data["rows"]:
        parts += [_lengths(data), _rows(data), _files(data)]
    return "".join(parts) + "</section>\n"


def _status(report: Report) -> str:
    total = totals([report])
    if report.unreadable is not None or report.errors:
        return '<span class="badge error">not checked in full</span>'
    found = [("error", total.errors, "error"), ("warn", total.warnings, "warning"), ("info", total.infos, "info")]
    badges = [f'<span class="badge {kind}">{counted(number, noun)}</span>' for kind, number, noun in found if number]
    return " ".join(badges) or '<span class="badge fine">nothing found</span>'


def _figures(data: Summary) -> str:
    figures = [("Rows", f"{data['rows']:,}", ""), ("Size", words.size_words(data["bytes"]), words.format_words(data))]
    if lengths := data["lengths"]:
        about = "" if lengths["exact"] else "≈ "
        figures.append(("Tokens", about + words.rounded(lengths["total"]), f"{lengths['mean']:,.0f} a row"))
        if "50" in lengths["percentiles"]:
            longest = f"longest {lengths['longest']:,}"
            figures.append(("Median length", f"{about}{lengths['percentiles']['50']:,}", longest))
    if cut := data["truncation"]:
        share = percent_words(cut["over"] / data["rows"])
        lost = f"{cut['lost_answers']:,} lose the answer" if cut["lost_answers"] else f"of {data['rows']:,} rows"
        figures.append((f"Over {cut['max_length']:,} tokens", share, lost))
    if duplicates := data["duplicates"]:
        share = percent_words(duplicates["exact"] / data["rows"])
        near = f", {duplicates['near']:,} nearly" if duplicates["near"] else ""
        figures.append(("Repeated rows", f"{duplicates['exact']:,}", share + near))
    if leak := data["leak"]:
        near = f", {leak['near']:,} nearly" if leak["near"] else ""
        figures.append(("Leaked from evaluation", f"{leak['exact']:,}", f"of {leak['eval_rows']:,} rows{near}"))
    tiles = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}<small>{escaped(note)}</small></dd></div>"
        for name, value, note in figures
    )
    return f'<dl class="figures">{tiles}</dl>'


# -- findings ------------------------------------------------------------------------


def _findings(report: Report) -> str:
    parts = []
    if report.unreadable is not None:
        parts.append(f'<article class="error"><p>Cannot be read: {escaped(unreadable_reason(report))}</p></article>')
    parts += [
        f'<article class="error"><p>Internal error in {escaped(error.origin)}: {escaped(error.message)}; its findings '
        "are missing.</p></article>"
        for error in report.errors
    ]
    order = list(_SEVERITIES)
    parts += [_finding(each) for each in sorted(report.findings, key=lambda each: order.index(each.severity))]
    parts += [f'<p class="quiet">Note: {escaped(note)}</p>' for note in report.notes]
    return f"<h2>Findings</h2>{''.join(parts)}" if parts else ""


def _finding(finding: Finding) -> str:
    where = str(finding.where) if finding.where is not None else ""
    fix = f'<p class="fix">Fix: <code>{escaped(finding.fix.text)}</code></p>' if finding.fix is not None else ""
    return (
        f'<article class="{finding.severity}"><h3><span class="badge {finding.severity}">'
        f"{_SEVERITIES[finding.severity]}</span> {escaped(finding.code or '')} {escaped(finding.name or '')}"
        f"<small>{escaped(where)}</small></h3><p>{escaped(finding.message)}</p>{fix}{_samples(finding)}</article>"
    )


def _samples(finding: Finding) -> str:
    samples = finding.evidence.get("samples")
    samples = [each for each in samples if isinstance(each, Mapping)] if isinstance(samples, tuple) else []
    if not samples:
        return ""
    rows = [(_place(each), each.get("detail", ""), each.get("text", "")) for each in samples]
    return _table(("Place", "What", "Text"), rows, css="samples")


def _place(sample: Mapping[str, Any]) -> str:
    number = f"line {sample['line']}" if "line" in sample else f"row {sample['row']}" if "row" in sample else ""
    column = f", column {sample['column']}" if number and "column" in sample else ""
    return " ".join(part for part in (sample.get("path", ""), number + column) if part)


# -- figures and plots ---------------------------------------------------------------


def _lengths(data: Summary) -> str:
    lengths = data["lengths"]
    bins = words.histogram_bins(lengths, most=_BINS) if lengths and lengths["counted"] else []
    if not lengths or not bins:
        return ""
    percentiles = lengths["percentiles"]
    marks = [
        (f"{name} {percentiles[key]:,}", percentiles[key])
        for key, name in (("50", "median"), ("95", "95 %"))
        if key in percentiles
    ]
    cut = data["truncation"]
    max_length = cut["max_length"] if cut else None
    if max_length is not None and max_length < bins[-1][1]:
        marks.append((f"max_length {max_length:,}", max_length))
    over = [(int(tokens), share) for tokens, share in words.shares_over(lengths)]
    table = [(words.range_words(first, last), f"{rows:,}") for first, last, rows in bins]
    figures = [("shortest", f"{lengths['shortest']:,}")]
    figures += [("median" if key == "50" else f"{key} %", f"{value:,}") for key, value in percentiles.items()]
    figures += [("longest", f"{lengths['longest']:,}")]
    title = "Share of rows longer than max_length"
    plot = cut_plot(words.cut_curve(lengths), over, title=title, max_length=max_length)
    shares = _table(("Longer than", "Rows"), [(f"{tokens:,}", percent_words(share)) for tokens, share in over])
    return (
        f"<h2>Length</h2><p>In {escaped(words.length_words(lengths, data['rows'], data['tokenizer']))}.</p>"
        f"<figure>{histogram_plot(bins, title='Rows by length in tokens', marks=marks)}"
        f"{_details('Lengths as a table', _table(('Tokens', 'Rows'), table))}</figure>"
        f"<h3>Percentiles</h3>{_table(tuple(name for name, _ in figures), [tuple(value for _, value in figures)])}"
        "<h3>Share of rows that a max_length cuts</h3>"
        f"<figure>{plot}"
        f"{_details('Shares as a table', shares)}</figure>"
    )


def _rows(data: Summary) -> str:
    parts = ["<h2>Rows</h2>"]
    if len(data["layouts"]) > 1:
        layouts = {words.layout_words(name): number for name, number in data["layouts"].items()}
        parts.append(
            f"<h3>Layouts</h3><figure>{bar_plot(words.bars_of(layouts), title='Rows by layout', unit='rows')}</figure>"
        )
    if data["columns"]:
        listed = ", ".join(f"<code>{escaped(word)}</code>" for word in words.columns_words(data, most=40))
        parts.append(f"<p>Columns: {listed}</p>")
    if data["roles"]:
        bars = words.bars_of(data["roles"], most=12)
        plot = bar_plot(bars, title="Messages by role", unit="messages")
        table = _table(("Role", "Messages"), [(bar.label, f"{bar.number:,}") for bar in bars])
        parts.append(f"<h3>Messages by role</h3><figure>{plot}{_details('Roles as a table', table)}</figure>")
    if data["turns"]:
        bars = words.turn_bars(data["turns"], most=12)
        plot = bar_plot(bars, title="Rows by number of messages", unit="rows")
        table = _table(("Messages", "Rows"), [(bar.label, f"{bar.number:,}") for bar in bars])
        parts.append(
            f"<h3>Rows by number of messages</h3><figure>{plot}{_details('Messages as a table', table)}</figure>"
        )
    compared = words.comparisons(data)
    if compared:
        parts.append(f"<ul>{''.join(f'<li>{name}: {escaped(said)}</li>' for name, said in compared)}</ul>")
    return "".join(parts) if len(parts) > 1 else ""


def _files(data: Summary) -> str:
    files = data["files"]
    if len(files) < 2:
        return ""
    rows = [(file["path"], f"{file['rows']:,}", words.size_words(file["bytes"])) for file in files[:_MOST_FILES]]
    more = f"<p>and {count_words(len(files) - _MOST_FILES, 'more file')}</p>" if len(files) > _MOST_FILES else ""
    return f"<h2>Files</h2>{_table(('File', 'Rows', 'Size'), rows)}{more}"


def _details(name: str, inside: str) -> str:
    return f"<details><summary>{name}</summary>{inside}</details>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, css: str = "") -> str:
    head = "".join(f'<th scope="col">{escaped(each)}</th>' for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table {css}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
