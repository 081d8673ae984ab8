"""docs/signals.md, written from the signals themselves. Pure: the registry goes in, Markdown comes out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainguard.findings import Severity

if TYPE_CHECKING:
    from trainguard.signals.base import Signal

_HEADING = re.compile(r"^[ \t]*\*(What it sees|Why it costs you|What it is not|What to do)\*[.:]?[ \t]*", re.MULTILINE)
_INTRO = """\
A signal watches the metrics of a run: `trainguard watch`, `GuardCallback`, `trainguard train` and
`watch_metrics(records, method=..., declared=...)` put the same records to the same signals, and say the same findings.
No reference run is needed. A finding says when: it carries the step, and comes as soon as the records justify it.

`error` means that the run is lost unless somebody acts, `warn` that it may be; a `warn` alone never stops a run.
Thresholds are set in the configuration of a run, `guard.thresholds.CODE.KEY`."""
# Codes that no metric shows: the guarded trainer, the daemon and the supervisor say them.
_OTHERS: Mapping[str, str] = {
    "RUN010": "The GPU ran out of memory: told from the exception, with the phase in which it came.",
    "RUN011": "The machine ran out of memory: told from the exception, or from the kernel's record of the kill.",
    "RUN012": "The process was ended by a signal from outside, such as SIGKILL.",
    "RUN013": "The GPU is gone, or its context is broken: told from the CUDA error.",
    "RUN016": "Nothing is trainable, or the optimizer owns other parameters than the trainable ones: looked at before "
    "the first step.",
    "RUN017": "All labels are masked, so that there is nothing to learn: looked at in the first batches.",
    "RUN022": "An exception that nobody caught, with the place in the user's own code and its traceback.",
    "RUN023": "A run that had failed goes on, from the checkpoint that is named.",
    "RUN025": "The disk is full: a checkpoint could not be saved; an older one that verifies remains.",
}
_ALL_METHODS = 6


def signal_page(
    signals: Sequence[type[Signal[Any]]],
    codes: Mapping[str, tuple[str, Severity]],
    *,
    pictures: Mapping[str, str] | None = None,
    note: str = "",
) -> str:
    """The page: a table of all codes, then a section for each. `pictures` are the SVG files by code, relative to it."""
    by_code = {signal.code: signal for signal in signals}
    lines = [*([note, ""] if note else []), "# The signals", "", _INTRO, ""]
    lines += ["| code | name | severity | what it sees |", "|---|---|---|---|"]
    for code, (name, severity) in codes.items():
        signal = by_code.get(code)
        summary = signal_summary(signal) if signal is not None else _OTHERS.get(code, "")
        lines.append(f"| [{code}](#{code.lower()}) | {name} | {severity} | {_cell(summary)} |")
    lines.append("")
    for code, (name, severity) in codes.items():
        lines += [f"## {code}", "", *_section(code, name, severity, by_code.get(code), (pictures or {}).get(code))]
    return "\n".join(lines).rstrip() + "\n"


def code_page(code: str, name: str, severity: Severity, signal: type[Signal[Any]] | None) -> str:
    """What the page says of one code, by itself: for `trainguard explain`. `signal` is the one that says it."""
    lines = [f"# {code} {name}", "", *_section(code, name, severity, signal, None)]
    return "\n".join(lines).rstrip() + "\n"


def signal_summary(signal: type[Signal[Any]]) -> str:
    """One sentence: the beginning of the docstring."""
    preamble, sections = _parts(signal)
    text = preamble or next(iter(sections.values()), "")
    paragraph = " ".join(text.split("\n\n", 1)[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph, maxsplit=1)[0]


def _section(
    code: str, name: str, severity: Severity, signal: type[Signal[Any]] | None, picture: str | None
) -> list[str]:
    if signal is None:
        return [f"**{name}** · {severity} · not seen in metrics", "", _OTHERS.get(code, ""), ""]
    methods = "all methods" if len(signal.methods) >= _ALL_METHODS else ", ".join(sorted(signal.methods))
    preamble, sections = _parts(signal)
    lines = [f"**{signal.name}** · {signal.severity} · {methods}", ""]
    if preamble:
        lines += [preamble, ""]
    if picture is not None:
        lines += [f"![{signal.code}: a faulty and a healthy run]({picture})", ""]
    for heading, text in sections.items():
        lines += [f"**{heading}.** {text}", ""]
    if signal.thresholds:
        lines += ["| threshold | default | unit | what it does | source |", "|---|---|---|---|---|"]
        for each in signal.thresholds:
            cells = (f"`{each.key}`", f"{each.default:g}", each.unit, each.about, each.source)
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        lines.append("")
    return lines


def _parts(signal: type[Signal[Any]]) -> tuple[str, dict[str, str]]:
    pieces = _HEADING.split(inspect.cleandoc(signal.__doc__ or ""))
    return pieces[0].strip(), {
        heading: inspect.cleandoc(text).strip() for heading, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
