"""The documentation page of a rule, written from the rule itself.

`scripts/generate_docs.py` commits these pages, `trainguard explain` shows them from an installed wheel.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainguard.findings import Report, Severity
from trainguard.report.text import render_findings

if TYPE_CHECKING:
    from trainguard.rules.base import Example, Rule

_HEADING = re.compile(r"^[ \t]*\*(What it does|Why it costs you|Example|Use instead)\*[.:]?[ \t]*", re.MULTILINE)
_NEEDS: Mapping[str, str] = {
    "script": "a script",
    "job": "a job",
    "dependencies": "a job or a PEP 723 block",
    "batch": "several jobs",
    "data": "training data",
    "config": "a configuration",
    "model": "a model folder",
    "checkpoint": "checkpoints",
    "machine": "a machine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInfo:
    """What reports say about a rule. `page` is its documentation in Markdown, `url` where it is published."""

    code: str
    name: str
    severity: Severity
    area: str
    summary: str
    page: str | None = None
    url: str | None = None


def rule_info(rule: Rule, *, page: str | None = None) -> RuleInfo:
    """The facts about `rule` that reports need."""
    return RuleInfo(
        code=rule.code, name=rule.name, severity=rule.severity, area=rule.area, summary=rule_summary(rule), page=page
    )


def rule_summary(rule: Rule) -> str:
    """One sentence about the rule: the beginning of its docstring, or of its first section."""
    preamble, sections = _sections(rule)
    text = preamble or next(iter(sections.values()), "")
    paragraph = " ".join(text.split("\n\n", 1)[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph, maxsplit=1)[0]


def short_page(rule: Rule) -> str:
    """The page without examples, which takes no check to write."""
    preamble, sections = _sections(rule)
    needs = ", ".join(text for need, text in _NEEDS.items() if need in rule.needs) or "a script or a job"
    parts = [f"# {rule.code} {rule.name}", f"**{rule.severity}** · area: {rule.area} · needs: {needs}", preamble]
    parts += [f"## {heading}\n\n{text}" for heading, text in sections.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def rule_page(rule: Rule, found: Sequence[Sequence[Report]]) -> str:
    """The whole page. `found` are the reports of a real check of each INVALID example, in order."""
    parts = [short_page(rule).rstrip(), "## What it finds"]
    for number, (example, reports) in enumerate(zip(rule.INVALID, found, strict=True), 1):
        parts += _example(number, example)
        output = "\n\n".join(text for report in reports if (text := render_findings(report)))
        parts.append(_fenced("text", output or "(nothing)"))
    parts.append("## What it leaves alone")
    for number, example in enumerate(rule.VALID, 1):
        parts += _example(number, example)
    parts.append("## How to silence it")
    if "script" in rule.kinds:
        ignore = f"# trainguard: ignore[{rule.code}] the reason"
        parts.append(f"For one line, at its end:\n\n{_fenced('python', ignore)}")
    else:
        parts.append(f"For one check: `--ignore {rule.code}`.")
    parts.append(f"For a project, in `pyproject.toml`:\n\n{_fenced('toml', _SILENCE.format(code=rule.code))}")
    return "\n\n".join(parts) + "\n"


_SILENCE = '[tool.trainguard]\nignore = ["{code}"]'


def _sections(rule: Rule) -> tuple[str, dict[str, str]]:
    pieces = _HEADING.split(inspect.cleandoc(type(rule).__doc__ or ""))
    return pieces[0].strip(), {
        heading: inspect.cleandoc(text).strip() for heading, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _example(number: int, example: Example) -> list[str]:
    parts = [f"**{number}.** {example.why}" if example.why else f"**{number}.**"]
    if example.script is not None:
        parts.append(_fenced("python", example.script.strip("\n")))
    beside = " beside it" if example.script is not None or example.job is not None else ""
    for name, content in example.files.items():
        if isinstance(content, str):
            parts.append(f"`{name}`{beside}:\n\n{_fenced('', content.strip(chr(10)))}")
        else:
            parts.append(f"`{name}`{beside}: {content.shown}")
    if example.check:
        parts.append("checked with " + ", ".join(f"`{key}={value!r}`" for key, value in example.check.items()))
    if example.machine is not None:
        parts.append(f"a machine with\n\n{_fenced('json', _json(example.machine))}")
    if example.job is not None:
        parts.append(f"as a job with\n\n{_fenced('json', _json(example.job))}")
    if example.batch:
        parts.append(f"as jobs submitted together\n\n{_fenced('json', _json(example.batch))}")
    return parts


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _fenced(language: str, text: str) -> str:
    # A fence longer than any run of backticks inside (CommonMark 0.31, 4.5).
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    # A carriage return is a line break to whoever reads the page back, so it is shown.
    visible = text.replace("\r", "\N{SYMBOL FOR CARRIAGE RETURN}")
    return f"{ticks}{language}\n{visible}\n{ticks}"
