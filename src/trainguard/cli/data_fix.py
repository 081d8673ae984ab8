"""`--fix` of `trainguard data`: writes the repaired copy and says what was done."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.cli.byte_progress import ByteProgress
from trainguard.errors import UsageError
from trainguard.report.visible import masked, visible

if TYPE_CHECKING:
    from trainguard.fixing.data import RepairReport

_MOST_NAMED = 8  # of the names in a list: those of roles come out of the data


def fix_and_tell(path: Path, out: Path, *, data_format: str | None, overwrite: bool) -> None:
    """Writes a repaired copy of `path` to `out` and says on stderr what was changed and what was left out.

    Raises UsageError where there can be no such copy, UnreadableInputError where `path` cannot be read.
    """
    from trainguard.fixing.changes import WriteError
    from trainguard.fixing.data import repair

    try:
        with ByteProgress(str(path)) as progress:
            done = repair(path, out, format=data_format, overwrite=overwrite, on_progress=progress)
    except UsageError as error:
        hint = "; --overwrite replaces it" if "is there already" in str(error) else ""
        raise UsageError(f"--fix {error}{hint}") from None
    except WriteError as error:
        raise UsageError(f"--fix {error}") from None
    for line in told(done):
        print(masked(visible(line)), file=sys.stderr)


def told(done: RepairReport) -> list[str]:
    """What a repair did, for people."""
    lines = [
        f"{done.out}: {_rows(done.written)} written, "
        f"{f'{done.changed:,} of them changed' if done.changed else 'none of them changed'}"
        f"{_listed(done.changes)}"
    ]
    if done.rejected:
        lines.append(f"{done.rejected_path}: {_rows(done.rejected)} left out of the copy{_listed(done.reasons)}")
    return lines


def _rows(number: int) -> str:
    return f"{number:,} line{'' if number == 1 else 's'}"


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{name} ({number:,})" for name, number in ordered[:_MOST_NAMED]]
    if len(ordered) > _MOST_NAMED:
        named.append(f"{len(ordered) - _MOST_NAMED:,} more")
    return f": {', '.join(named)}" if named else ""
