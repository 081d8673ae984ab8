"""`--fix` and `--diff` of `trainguard check`: makes the fixes, shows them, says which were not made."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainguard.cli.output import Color, use_color, write
from trainguard.errors import UsageError
from trainguard.findings import Report
from trainguard.report.summary import counted
from trainguard.report.visible import masked, visible

if TYPE_CHECKING:
    from trainguard.fixing import Outcome

_NO_LIBCST = "--fix and --diff need LibCST, which is not installed; install it with: pip install libcst"
_RESET = "\x1b[0m"
_COLORS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}


def fix_and_show(reports: Sequence[Report], *, write_files: bool, color: Color, to_stderr: bool) -> Outcome:
    """Makes the safe fixes of the findings, or with `write_files` False only shows them.

    The diff goes to stdout, or to stderr where stdout is for a program's eyes; all else to stderr. Raises
    UsageError without LibCST.
    """
    if importlib.util.find_spec("libcst") is None:
        raise UsageError(_NO_LIBCST)
    from trainguard.fixing import fix_reports

    outcome = fix_reports(reports, write=write_files)
    stream = sys.stderr if to_stderr else sys.stdout
    colored = use_color(color, stream)
    text = "".join(f"{_shown(line, colored)}\n" for diff in outcome.diffs for line in diff.split("\n")[:-1])
    if to_stderr:
        sys.stderr.write(text)
    elif text:
        write(text + "\n")
    for line in outcome.not_made:
        print(visible(line), file=sys.stderr)
    for line in outcome.failed:
        print(visible(f"error: {line}"), file=sys.stderr)
    print(_summary(outcome, write_files=write_files), file=sys.stderr)
    return outcome


def _shown(line: str, colored: bool) -> str:
    """A line of a diff for a terminal: no tokens, no control characters but tabs."""
    text = "\t".join(visible(part) for part in masked(line).split("\t"))
    code = _COLORS.get(line[:1]) if colored else None
    return f"{code}{text}{_RESET}" if code else text


def _summary(outcome: Outcome, *, write_files: bool) -> str:
    done = "made" if write_files else "can be made"
    text = f"{outcome.fixed} {'fix' if outcome.fixed == 1 else 'fixes'} {done}"
    text += f" in {counted(len(outcome.files), 'file')}" if outcome.files else ""
    return text + (f", {len(outcome.not_made)} not made" if outcome.not_made else "")
