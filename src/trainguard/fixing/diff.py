"""What was changed, as a unified diff of the texts that the rules read."""

from __future__ import annotations

import difflib


def unified_diff(path: str, cell: int | None, before: str, after: str) -> str:
    """The diff of a script, or of one cell of a notebook, "" where nothing changed."""
    name = path if cell is None else f"{path}:cell {cell}"
    if cell is not None:  # a cell's last line has no end, which says nothing
        before, after = before.rstrip("\n") + "\n", after.rstrip("\n") + "\n"
    lines = difflib.unified_diff(_lines(before), _lines(after), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """The lines with their ends: only "\\n" ends one, as in the rules' line numbers."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
