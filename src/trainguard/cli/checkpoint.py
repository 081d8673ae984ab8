"""`trainguard checkpoint`: the checkpoints of a run, which of them verify, and a quarantine for the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainguard.cli.output import Color, use_color, write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_FINDINGS

if TYPE_CHECKING:
    from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts

_FOLDER = click.Path(path_type=Path)
_BASE = click.option("--base", type=_FOLDER, metavar="DIR", help="The model that is trained: tells others.")
_DEEP = click.option("--deep", is_flag=True, help="Read all bytes: hashes against the manifest, blocks of zeros.")
_FORMAT = click.option(
    "--format", "output_format", type=click.Choice(("text", "json")), default="text", help="A table, or JSON."
)
# A Trainer may still be writing what was written to so recently.
_RESTING_SECONDS = 600.0


@click.group("checkpoint", short_help="Checkpoints: list, verify, set broken ones aside.")
def command() -> None:
    """The checkpoints of an output folder: which of them a Trainer can resume from, and why not from the others.

    \b
    Examples:
      trainguard checkpoint list out
      trainguard checkpoint verify out --deep
      trainguard checkpoint quarantine out --dry-run
    """


@command.command("list", short_help="List checkpoints, and which verify.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@_BASE
@_DEEP
@_FORMAT
def list_command(folder: Path, base: Path | None, deep: bool, output_format: str) -> int:
    """List the checkpoints in DIR by step: date, size, whether they verify, and why not.

    \b
    Examples:
      trainguard checkpoint list out
      trainguard checkpoint list out --format json
    """
    from trainguard.cli.checkpoint_text import facts_json, table

    facts = _read(folder, base, deep, quiet=output_format == "json")
    write(facts_json(facts) if output_format == "json" else table(facts, color=_color()))
    return EXIT_CLEAN


@command.command("verify", short_help="Exit with 1 where the newest does not verify.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@_BASE
@_DEEP
@_FORMAT
def verify_command(folder: Path, base: Path | None, deep: bool, output_format: str) -> int:
    """Verify the checkpoints in DIR, an output folder or one checkpoint, and say which to resume from.

    The exit code is 1 where none verifies, or where the newest does not: a Trainer would take that one.

    \b
    Examples:
      trainguard checkpoint verify out
      trainguard checkpoint verify out/checkpoint-500 --deep
      trainguard checkpoint verify out --base models/llama
    """
    from trainguard.cli.checkpoint_text import facts_json, verdict

    facts = _read(folder, base, deep, quiet=output_format == "json")
    write(facts_json(facts) if output_format == "json" else verdict(facts, color=_color()))
    return EXIT_CLEAN if facts.newest is not None and facts.newest.verified else EXIT_FINDINGS


@command.command("quarantine", short_help="Set broken checkpoints aside.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--step", "steps", type=int, multiple=True, metavar="N", help="This checkpoint, broken or not.")
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@_BASE
@_DEEP
@_FORMAT
def quarantine_command(
    folder: Path, steps: tuple[int, ...], dry_run: bool, base: Path | None, deep: bool, output_format: str
) -> int:
    """Move the broken checkpoints in DIR to DIR/quarantine, where no Trainer looks. Nothing is deleted.

    What was written to in the last ten minutes stays, since a Trainer may be at it, unless --step names it.

    \b
    Examples:
      trainguard checkpoint quarantine out --dry-run
      trainguard checkpoint quarantine out
      trainguard checkpoint quarantine out --step 500
    """
    import time

    from trainguard.checkpoints import quarantine
    from trainguard.cli.checkpoint_text import moved_text
    from trainguard.report.json_ import to_json

    facts = _read(folder, base, deep, quiet=output_format == "json")
    if facts.single:
        raise UsageError(
            f"{folder} is one checkpoint; give the folder that it is in, and --step {facts.checkpoints[0].step}"
        )
    chosen = _chosen(facts, steps)
    waiting = [each for each in chosen if not steps and time.time() - (each.saved or 0.0) < _RESTING_SECONDS]
    moved: list[dict[str, Any]] = []
    for each in chosen:
        if each in waiting:
            continue
        reasons = [problem.words for problem in each.problems] or ["it was asked for"]
        try:
            target = each.path if dry_run else quarantine(each.path, reasons=reasons)
        except OSError as error:
            raise UsageError(f"{each.path}: cannot be moved: {error.strerror or error}") from None
        moved.append({"name": each.name, "step": each.step, "to": None if dry_run else str(target), "reasons": reasons})
    left = [{"name": each.name, "step": each.step} for each in waiting]
    found = {"path": str(folder), "dry_run": dry_run, "moved": moved, "written_to_recently": left}
    write(to_json(found) if output_format == "json" else moved_text(found))
    return EXIT_CLEAN


def _chosen(facts: CheckpointsFacts, steps: tuple[int, ...]) -> list[Checkpoint]:
    if not steps:
        return [each for each in facts.checkpoints if each.broken]
    by_step = {each.step: each for each in facts.checkpoints}
    for step in steps:
        if step not in by_step:
            there = ", ".join(str(each) for each in by_step) or "none"
            raise UsageError(f"--step {step}: there is no such checkpoint in {facts.path}, which has {there}")
    return [by_step[step] for step in dict.fromkeys(steps)]


def _read(folder: Path, base: Path | None, deep: bool, *, quiet: bool) -> CheckpointsFacts:
    """The facts, with a progress bar on a terminal. Raises UsageError where the folder cannot be read."""
    from trainguard.cli.byte_progress import ByteProgress
    from trainguard.facts.checkpoint.reading import read_checkpoints

    if base is not None and not base.is_dir():
        raise UsageError(f"--base {base}: is no folder")
    with ByteProgress(str(folder)) as progress:
        facts = read_checkpoints(folder, base=base, deep=deep, on_progress=None if quiet else progress)
    if facts.unreadable is not None:
        raise UsageError(f"{folder}: {facts.unreadable}; give the output folder of a run")
    return facts


def _color() -> bool:
    import sys

    choice: Color = "auto"
    return use_color(choice, sys.stdout)
