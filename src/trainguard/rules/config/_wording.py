"""How the findings about a configuration are worded: `FIELD at line:col: got X, expected Y, because Z`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.facts.config.records import ConfigFacts, ConfigProblem, Setting
from trainguard.findings import Location

_LONGEST_NAME = 60
_FORMATS = {"json": "JSON", "toml": "TOML", "yaml": "YAML", "mapping": "configuration"}


def worded(
    name: str,
    *,
    got: str,
    expected: str,
    because: str,
    line: int | None = None,
    column: int | None = None,
    source: str | None = None,
    suggestion: str | None = None,
) -> str:
    """The message. `source` is the variable or flag that the value came from, instead of a place."""
    place = f" from {source}" if source else f" at {line}:{column}" if line is not None else ""
    hint = f"; did you mean {suggestion}?" if suggestion else ""
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return f"{name}{place}: got {got}, expected {expected}, because {because}{hint}"


def message(problem: ConfigProblem, config: ConfigFacts) -> str:
    """The message of a problem that reading found."""
    suggestion = problem.suggestion if problem.suggestion != problem.expected else None
    return worded(
        problem.key or _FORMATS[config.format],
        got=problem.got,
        expected=problem.expected,
        because=problem.because,
        line=problem.line,
        column=problem.column,
        source=problem.source,
        suggestion=suggestion,
    )


def place(config: ConfigFacts, at: ConfigProblem | Setting | None) -> Location:
    """Where a finding points to: the value, or the file where it has no place there."""
    if at is None or at.origin != "file":
        return Location(config.path)
    return Location(config.path, at.line, at.column)


def evidence(problem: ConfigProblem) -> Mapping[str, Any]:
    """The parts of a problem, for programs."""
    parts = {
        "field": problem.field or problem.key,
        "got": problem.got,
        "expected": problem.expected,
        "suggestion": problem.suggestion,
    }
    return {name: value for name, value in parts.items() if value is not None}


def of_setting(
    setting: Setting | None, name: str, *, got: str, expected: str, because: str, suggestion: str | None = None
) -> str:
    """The message about a field whose value is legal as such."""
    given = setting if setting is not None and setting.origin != "default" else None
    return worded(
        given.key or name if given is not None else name,
        got=got,
        expected=expected,
        because=because,
        line=given.line if given is not None else None,
        column=given.column if given is not None else None,
        source=given.source if given is not None else None,
        suggestion=suggestion,
    )
