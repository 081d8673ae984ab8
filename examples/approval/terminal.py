"""An agent harness at its approval prompt: `python examples/approval/terminal.py job.json`.

Shows what preflight says about the job and asks. The answer decides, never the findings.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

from approval import Entry, entries, review

COLOURS = {"error": "\033[91m", "warn": "\033[93m", "info": "\033[94m"}
RESET = "\033[0m"


def render(shown: Sequence[Entry], *, colour: bool) -> str:
    """The findings as the lines above the question."""
    lines = []
    for entry in shown:
        severity = f"{COLOURS.get(entry.severity, '')}{entry.severity}{RESET}" if colour else entry.severity
        lines.append(
            " ".join(part for part in (severity, entry.title, f"({entry.place})" if entry.place else "") if part)
        )
        lines.append(f"    {entry.message}")
        if entry.fix:
            lines.append(f"    fix: {entry.fix}")
    return "\n".join(lines) if lines else "preflight has nothing to say"


def main(argv: Sequence[str]) -> int:
    """0 where the job was approved, 1 where it was declined, 2 where it could not be read."""
    if len(argv) != 1:
        print("usage: terminal.py JOB.json", file=sys.stderr)
        return 2
    job = Path(argv[0])
    try:
        arguments = json.loads(job.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        print(f"{job}: {error}", file=sys.stderr)
        return 2
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    with chdir(job.parent):  # a script that is named by its path lies beside the job
        findings = review(arguments)["findings"]
    print(render(entries(findings), colour=colour))
    try:
        answer = input("Submit this job? [y/N] ")
    except EOFError:  # nobody is there to be asked
        answer = ""
    return 0 if answer.strip().lower() in ("y", "yes") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
