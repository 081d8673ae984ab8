"""REASON.md: why a file was put aside, what was tried, and what to do now. For people."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trainguard.findings import Finding
from trainguard.queue.names import shown
from trainguard.queue.records import Event, QueuedFile, State

_TITLES: Mapping[str, str] = {
    "failed": "failed: it cannot be trained as it is",
    "quarantined": "quarantined: it was tried, and no further try promised to end otherwise",
}


def reason_text(
    file: QueuedFile,
    state: State,
    *,
    events: Sequence[Event] = (),
    finding: Finding | Mapping[str, Any] | None = None,
    config: str | None = None,
) -> str:
    """The text. Whatever comes from outside is shown as code, so that no name or message becomes markup."""
    said = finding.to_dict() if isinstance(finding, Finding) else dict(finding or {})
    parts = [
        f"# File {file.id} {_TITLES.get(state, state)}",
        f"{_code(shown(file.name))}, {file.bytes:,} bytes, sha256 {_code(file.sha256)}\n"
        f"accepted {_when(file.accepted_at)}, {state} {_when(file.state_since)}, attempts: {file.attempts}",
        "## Why",
        _said(said, file.cause),
        "## What to do",
        _remedy(file, said, events, config),
        "## What was tried",
        _attempts(events),
        "Nothing of it is lost: the content is kept, and the lineage stands where it stood before this file.",
    ]
    return "\n\n".join(parts) + "\n"


def _said(finding: Mapping[str, Any], cause: str | None) -> str:
    lines = []
    if finding:
        code = finding.get("code")
        lines.append((f"**{_plain(str(code))}** " if code else "") + _code(str(finding.get("message", ""))))
    if cause and cause != finding.get("message"):
        lines.append(_code(cause))
    return "\n\n".join(lines) or "No cause was written down."


def _remedy(file: QueuedFile, finding: Mapping[str, Any], events: Sequence[Event], config: str | None) -> str:
    lines = []
    fix = finding.get("fix")
    text = fix.get("text") if isinstance(fix, Mapping) else fix
    if text:
        lines.append(f"1. {_code(str(text))}")
    advice = next((each for each in map(_advice, reversed(events)) if each), None)
    if advice and advice != text:
        lines.append(f"1. {_code(advice)}")
    of = f" --config {shlex.quote(config)}" if config else ""
    lines += [
        "1. A file that is to be changed: correct a copy of it and put that into the inbox; it becomes a file of "
        "its own.",
        f"1. As it is, once more, when the cause lay elsewhere: `trainguard queue retry {file.id}{of}`",
        f"1. Its whole history: `trainguard log {file.id}{of}`",
    ]
    return "\n".join(lines)


def _advice(event: Event) -> str | None:
    decision = event.data.get("decision")
    advice = decision.get("advice") if isinstance(decision, Mapping) else None
    return str(advice) if advice else None


def _attempts(events: Sequence[Event]) -> str:
    rows = [_attempt(event) for event in events if event.kind == "attempt-end"]
    if not rows:
        return "It was never trained."
    head = ["| attempt | ended | how | last step | why | then |", "|---|---|---|---|---|---|"]
    return "\n".join(head + rows)


def _attempt(event: Event) -> str:
    data = event.data
    failure = data.get("failure") if isinstance(data.get("failure"), Mapping) else {}
    decision = data.get("decision") if isinstance(data.get("decision"), Mapping) else {}
    assert isinstance(failure, Mapping)
    assert isinstance(decision, Mapping)
    if data.get("signal") is not None:
        how = f"signal {data['signal']}"
    else:
        how = f"exit code {data.get('exit_code')}" if data.get("exit_code") is not None else "?"
    why = " ".join(str(failure[key]) for key in ("code", "why") if failure.get(key)) or event.cause or ""
    cells = [event.attempt, _when(event.time), how, failure.get("step"), why, decision.get("act")]
    return "| " + " | ".join(_cell(each) for each in cells) + " |"


def _cell(value: object) -> str:
    return "" if value is None else _code(str(value)).replace("|", "\\|")


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "at an unknown time"


def _code(text: str) -> str:
    """A code span, whose fence is longer than any run of backticks in it (CommonMark 0.31, 6.1)."""
    line = "".join(each if each.isprintable() else " " for each in text).strip()
    if not line:
        return ""
    fence = "`" * (max((len(run) for run in re.findall(r"`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "", text)
