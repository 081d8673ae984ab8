"""`trainguard doctor`: is this machine fit for a run?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.cli.panels import PATH
from trainguard.errors import UsageError
from trainguard.findings import FailOn
from trainguard.settings import FAIL_ON

# As GNU coreutils read sizes (`du --block-size`): K is 1,024 and KB is 1,000.
_SIZE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?:([kKMGTP])(i?B?)|B)?\s*")
_EXPONENTS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@click.command("doctor", short_help="Check this machine: disk, memory, GPUs, limits, clock.")
@click.option("--folder", type=PATH, metavar="DIR", default=".", help="Where the run will write. The current folder.")
@click.option("--needs", metavar="SIZE", help="What the next checkpoint takes, such as 16GB.")
@click.option("--format", "output_format", type=click.Choice(("text", "json")), default="text", help="How to print.")
@click.option("--fail-on", type=click.Choice(FAIL_ON), default="error", help="Exit with 1 from this severity on.")
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour text.")
def command(*, folder: Path, needs: str | None, output_format: str, fail_on: FailOn, color: Color) -> int:
    """Check the machine that trainguard runs on, one line for each thing, and say what would stop a run.

    A small file is written into the folder and removed. Nothing hangs: a file system or a driver that does not answer
    is given up after some seconds. Without --needs, the largest checkpoint in the folder says what the next one takes.

    \b
    Examples:
      trainguard doctor
      trainguard doctor --folder /data/runs/llama --needs 16GB
      trainguard doctor --format json
    """
    from trainguard.cli.doctor_text import as_document, as_text, checklist
    from trainguard.facts.machine.reading import read_machine
    from trainguard.material import report_on
    from trainguard.report.json_ import to_json
    from trainguard.rules.base import Subject

    machine = read_machine(folder=folder, needed_bytes=parse_size(needs) if needs is not None else None)
    report = report_on(Subject(kind="machine", machine=machine), "this machine")
    rows = checklist(machine, report)
    if output_format == "json":
        write(to_json(as_document(machine, report, rows)))
    else:
        write(as_text(report, rows, color=use_color(color, sys.stdout), width=text_width(sys.stdout)))
    return report.exit_code(fail_on)


def parse_size(text: str) -> int:
    """Bytes of `16GB`, `15.5GiB`, `800M` (binary, as in coreutils) or `1000000`.

    Raises UsageError for anything else.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"--needs {text}: is not a size; write it such as 16GB, 15.5GiB or a number of bytes")
    number, unit, suffix = match[1], (match[2] or "").upper(), match[3] or ""
    base = 1000 if suffix == "B" else 1024
    return int(float(number) * base ** _EXPONENTS.get(unit, 0))
