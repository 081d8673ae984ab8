"""Checkpoints as a table, as a verdict and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts

_HEADS = ("STEP", "SAVED (UTC)", "SIZE", "VERIFIED", "WHY NOT")
_GREEN, _RED, _YELLOW, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def table(facts: CheckpointsFacts, *, color: bool = False) -> str:
    """One line a checkpoint in the order of their steps, then what to resume from."""
    if not facts.checkpoints:
        return _none(facts)
    rows = [_row(each) for each in facts.checkpoints]
    widths = [max(len(cells[column]) for cells in (_HEADS, *rows)) for column in range(len(_HEADS) - 1)]
    lines = [_line(_HEADS, widths)]
    for each, cells in zip(facts.checkpoints, rows, strict=True):
        lines.append(_line(cells, widths, _color_of(each) if color else ""))
    return "\n".join([*lines, "", _resume(facts)]) + "\n"


def verdict(facts: CheckpointsFacts, *, color: bool = False) -> str:
    """All that is wrong with each checkpoint, then what to resume from."""
    from trainguard.report.visible import visible

    if not facts.checkpoints:
        return _none(facts)
    lines: list[str] = []
    for each in facts.checkpoints:
        word = "verified" if each.verified else "broken" if each.broken else "not verified"
        by = f" by its {each.by}" if each.verified else ""
        painted = f"{_color_of(each)}{word}{_RESET}" if color else word
        lines.append(f"{visible(each.name)}: {painted}{by}")
        words = [problem.words for problem in each.problems]
        words += [each.why_not] if each.why_not and each.why_not not in words else []
        lines += [f"  {visible(word)}" for word in words]
    return "\n".join([*lines, "", _resume(facts)]) + "\n"


def facts_json(facts: CheckpointsFacts) -> str:
    from trainguard.report.json_ import to_json

    good = facts.latest_verified
    return to_json(
        {
            "path": facts.path,
            "deep": facts.deep,
            "latest_verified": str(good.path) if good is not None else None,
            "leftovers": list(facts.leftovers),
            "checkpoints": [_plain(each) for each in facts.checkpoints],
        }
    )


def moved_text(found: Mapping[str, Any]) -> str:
    """What was set aside, or would be, and why."""
    from trainguard.report.visible import visible

    lines = []
    for each in found["moved"]:
        where = "would be set aside" if each["to"] is None else f"set aside as {each['to']}"
        lines.append(visible(f"{each['name']}: {where}: {each['reasons'][0]}"))
    why = "left, since it was written to in the last 10 minutes and a Trainer may be at it"
    lines += [
        visible(f"{each['name']}: {why}; --step {each['step']} sets it aside all the same")
        for each in found["written_to_recently"]
    ]
    return "\n".join(lines or ["Nothing to set aside: no checkpoint is broken."]) + "\n"


def _none(facts: CheckpointsFacts) -> str:
    from trainguard.report.visible import visible

    left = f" (only {', '.join(facts.leftovers)}, left by saves that were cut short)" if facts.leftovers else ""
    return f"{visible(facts.path + left)}: no checkpoint; the run starts anew.\n"


def _resume(facts: CheckpointsFacts) -> str:
    from trainguard.report.visible import visible

    good = facts.latest_verified
    if good is None:
        return "None verifies, so there is nothing to resume from."
    return f"Resume from {visible(str(good.path))}" + ("." if good is facts.newest else ", not from the newest.")


def _row(each: Checkpoint) -> tuple[str, ...]:
    from trainguard.report.visible import visible

    step = f"{each.step:,}" if each.step is not None else visible(each.name)
    return step, _date(each.saved), _size(each.size), _verified(each), visible(each.why_not)


def _verified(each: Checkpoint) -> str:
    return f"yes, {each.by}" if each.verified else "no"


def _line(cells: tuple[str, ...], widths: list[int], paint: str = "") -> str:
    right = (cells[0].rjust(widths[0]), cells[1].ljust(widths[1]), cells[2].rjust(widths[2]), cells[3].ljust(widths[3]))
    text = "  ".join(right[:3])
    state = f"{paint}{right[3]}{_RESET}" if paint else right[3]
    return f"{text}  {state}  {cells[4]}".rstrip()


def _color_of(each: Checkpoint) -> str:
    return _GREEN if each.verified else _RED if each.broken else _YELLOW


def _date(seconds: float | None) -> str:
    try:
        return datetime.fromtimestamp(seconds or 0.0, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else "-"
    except (ValueError, OverflowError, OSError):
        return "-"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def _plain(each: Checkpoint) -> dict[str, Any]:
    state = each.state
    return {
        "name": each.name,
        "path": str(each.path),
        "step": each.step,
        "saved": each.saved,
        "bytes": each.size,
        "files": each.files,
        "layout": each.layout,
        "verified": each.verified,
        "by": each.by if each.verified else None,
        "why_not": each.why_not or None,
        "problems": [{"kind": p.kind, "file": p.file or None, "words": p.words} for p in each.problems],
        "max_steps": state.max_steps if state is not None else None,
        "epoch": state.epoch if state is not None else None,
    }
