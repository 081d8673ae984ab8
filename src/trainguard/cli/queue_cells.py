"""Text for a terminal of so many cells: cut, or folded between words. Colours take no room."""

from __future__ import annotations

import re

from trainguard.report.snippet import cell_count

# The colours that are put in here; what comes from others holds no escape any more (report/visible.py).
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
# Stands for a blank at which no line ends. It is not printable, so that text made visible never holds it.
GLUE = "\xa0"


def glued(text: str) -> str:
    """`text` that is folded nowhere, such as a command that is to be copied."""
    return text.replace(" ", GLUE)


def cut(text: str, room: int) -> str:
    """`text` in `room` cells, with an ellipsis where something is left out. For text without colours."""
    if len(text) <= room // 2 or cell_count(text) <= room:
        return text
    kept, left = [], max(room - 1, 0)
    for char in text:
        left -= cell_count(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept) + "…"


def folded(line: str, width: int | None, *, indent: int = 0) -> str:
    """`line` in lines of `width` cells, those after the first with `indent` blanks before them.

    A path or a command that is longer than a line is left whole, for the terminal to break, since it may be copied;
    any other word is broken. None for `width`, a pipe, leaves the line whole, so that it can be searched.
    """
    if width is None or cell_count(_COLOR.sub("", line)) <= width:
        return line.replace(GLUE, " ")
    indent = indent if width >= indent + 20 else 2
    blanks = len(line) - len(line.lstrip(" "))
    lines: list[str] = []
    now, used = " " * blanks, blanks
    for word in (part for each in line[blanks:].split(" ") for part in _parts(each, width - indent)):
        cells = cell_count(_COLOR.sub("", word))
        if used > (indent if lines else blanks) and used + cells > width:
            lines.append(now.rstrip(" "))
            now, used = " " * indent, indent
        now += word + " "
        used += cells + 1
    lines.append(now.rstrip(" "))
    return "\n".join(lines).replace(GLUE, " ")


def _parts(word: str, room: int) -> list[str]:
    """A word that is too long for a line in parts, but for what may be copied."""
    if cell_count(word) <= room or word.startswith(("/", "'/")) or GLUE in word or "\x1b" in word:
        return [word]
    parts, used = [""], 0
    for char in word:
        cells = cell_count(char)
        if used + cells > room:
            parts.append("")
            used = 0
        parts[-1] += char
        used += cells
    return parts
