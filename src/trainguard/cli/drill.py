"""`trainguard drill`: cause the edge cases for real, and see whether the guard holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from trainguard.cli.output import COLORS, Color, use_color, write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_FINDINGS

if TYPE_CHECKING:
    from trainguard.drills.base import Drill
    from trainguard.drills.running import Result

_AREAS = ("data", "model", "checkpoint", "config", "machine", "gpu", "training", "code", "process", "queue")
_COLORS = {"passed": "\x1b[32m", "failed": "\x1b[1;31m", "not run": "\x1b[1;33m"}
_RESET = "\x1b[0m"


@click.command("drill", short_help="Cause the edge cases for real, and see whether the guard holds.")
@click.argument("numbers", nargs=-1, metavar="[N]...")
@click.option("--area", type=click.Choice(_AREAS), help="Only the drills about this.")
@click.option("--list", "list_only", is_flag=True, help="List the drills and run none.")
@click.option("--keep", is_flag=True, help="Keep the scratch folders, to look at what was made.")
@click.option("--format", "output_format", type=click.Choice(("text", "json")), default="text", help="How to print.")
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour text.")
def command(
    *, numbers: tuple[str, ...], area: str | None, list_only: bool, keep: bool, output_format: str, color: Color
) -> int:
    """Run drills: each makes one fault in a scratch folder, on this machine, and checks what the guard says of it.

    N are numbers of the catalogue of edge cases, such as 25 or 1-20; all drills by default. A drill that needs what
    this machine does not have is not run, and not passed. Exits with 1 when a drill fails.

    \b
    Examples:
      trainguard drill --list
      trainguard drill 25 44-46
      trainguard drill --area checkpoint --keep
    """
    from trainguard.drills.registry import discover
    from trainguard.drills.running import run_drills
    from trainguard.report.json_ import to_json

    chosen = _chosen(discover(), numbers, area)
    if list_only:
        rows = [_description(drill) for drill in chosen]
        write(to_json({"drills": rows}) if output_format == "json" else _listing(chosen))
        return EXIT_CLEAN
    colored = use_color(color, sys.stdout)
    results: list[Result] = []
    for result in run_drills(chosen, keep=keep, on_start=_announce):
        results.append(result)
        _announce(None)
        if output_format == "text":
            write(_line(result, colored) + "\n")
    write(to_json(_document(results)) if output_format == "json" else f"\n{_summary(results)}\n")
    return EXIT_FINDINGS if any(result.verdict == "failed" for result in results) else EXIT_CLEAN


def _chosen(drills: Sequence[Drill], numbers: Sequence[str], area: str | None) -> list[Drill]:
    known = {drill.number for drill in drills}
    wanted = {number for text in numbers for number in _range(text, known)}
    return [
        drill for drill in drills if (not numbers or drill.number in wanted) and (area is None or drill.area == area)
    ]


def _range(text: str, known: set[int]) -> set[int]:
    first, dash, last = text.partition("-")
    ends = first, last if dash else first
    if not all(end.isascii() and end.isdigit() and len(end) < 5 for end in ends):
        raise UsageError(f"{text!r} is no number of a drill; write it such as 25 or 1-20; `trainguard drill --list`")
    found = {number for number in range(int(ends[0]), int(ends[1]) + 1) if number in known}
    if not found:
        raise UsageError(f"there is no drill {text}; `trainguard drill --list` names those that there are")
    return found


def _announce(drill: Drill | None) -> None:
    """Says on a terminal which drill is running, and takes it back."""
    if sys.stderr.isatty():
        text = f"{drill.number:>3}  {drill.title} ..." if drill is not None else ""
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()


def _line(result: Result, color: bool) -> str:
    drill = result.drill
    verdict = f"{result.verdict:<7}"
    if color:
        verdict = f"{_COLORS[result.verdict]}{verdict}{_RESET}"
    seconds = f"{result.seconds:6.1f} s" if result.verdict != "not run" else " " * 8
    lines = [f"{drill.number:>3}  {verdict}  {seconds}  {drill.title}  ({', '.join(drill.codes)})"]
    lines += [f"     {_visible(reason)}" for reason in result.why]
    if result.kept is not None:
        lines.append(f"     kept: {_visible(str(result.kept))}")
    return "\n".join(lines)


def _visible(text: str) -> str:
    from trainguard.report.visible import visible

    return visible(text)


def _summary(results: Sequence[Result]) -> str:
    if not results:
        return "There is no such drill."
    counts = [(verdict, sum(result.verdict == verdict for result in results)) for verdict in _COLORS]
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
    return f"{len(results)} drill{'' if len(results) == 1 else 's'}: {words}."


def _listing(drills: Sequence[Drill]) -> str:
    from trainguard.drills.needs import unmet

    lines = []
    for drill in drills:
        lacks = unmet(drill.needs)
        note = f"  [{lacks}: not here]" if lacks is not None else ""
        lines.append(f"{drill.number:>3}  {drill.area:<10}  {drill.title}  ({', '.join(drill.codes)}){note}")
    return "\n".join(lines) + "\n"


def _description(drill: Drill) -> dict[str, Any]:
    return {
        "number": drill.number,
        "title": drill.title,
        "area": drill.area,
        "codes": list(drill.codes),
        "needs": sorted(drill.needs),
    }


def _document(results: Sequence[Result]) -> dict[str, Any]:
    from trainguard.drills.running import Verdict

    return {
        "version": 1,
        "drills": [
            {
                **_description(result.drill),
                "result": result.verdict,
                "seconds": round(result.seconds, 3),
                "why": list(result.why),
                "kept": _path(result.kept),
            }
            for result in results
        ],
        "summary": {verdict: sum(result.verdict == verdict for result in results) for verdict in get_args(Verdict)},
    }


def _path(path: Path | None) -> str | None:
    return str(path) if path is not None else None
