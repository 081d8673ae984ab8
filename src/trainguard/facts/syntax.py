"""Python text to a tree, also where the text is broken, huge, or newer than this interpreter.

`ast` reads what it can. What it cannot is taken out, statement by statement, and kept as
`unread`, so that a rule about something missing can ask whether it may stand there.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainguard.facts.collector import collector_paused

# Reading costs by the node of the tree, not by the character: a script may carry megabytes in one string. The
# marks below are counted as a measure of the nodes; 120,000 of them take two to four seconds and 300 MB in all
# (CPython 3.11, measured on generated code), and real scripts stay below 10,000. Beyond that the largest
# statements, or the rest, are kept as unread text.
MAX_MARKS = 120_000
_MARKS = ",(=.[:;-+*\n"
_WITHOUT_MARKS = str.maketrans("", "", _MARKS)
_LARGE_STATEMENT_MARKS = 5_000
_MAX_REPAIRS = 25
_MAX_REPAIRED_CHARACTERS = 300_000  # each repair reads the whole text again; a megabyte takes seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What of a script was too long to be parsed: the first line of it, and how many lines in all."""

    line: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """`tree` of what could be read; `unread` is the text that could not; `error` of the first trouble.

    `left_out` is what was too long to be parsed; `too_deep_at_line` is where something is nested deeper than a
    parser can follow, though it may be legal.
    """

    tree: ast.Module
    unread: str = ""
    error: str | None = None
    left_out: LeftOut | None = None
    too_deep_at_line: int | None = None


def parse(text: str) -> Syntax:
    """Parses `text`. Never raises: in the worst case the tree is empty and all text is unread."""
    kept, rest, left_out = _shortened(text)
    tree, error = _parse(kept)
    if tree is not None:
        return Syntax(tree=tree, unread=rest, left_out=left_out)
    if sys.version_info < (3, 14):
        older = _in_older_syntax(kept)
        tree, _ = _parse(older) if older != kept else (None, None)
        if tree is not None:
            return Syntax(tree=tree, unread=rest, left_out=left_out)
    tree, dropped = _repaired(kept)
    if tree is not None:
        return Syntax(tree=tree, unread=dropped + rest, error=str(error), left_out=left_out)
    tree, chunks = _by_chunks(kept)
    unread = "\n".join(chunk for _, chunk in chunks) + rest
    deep = chunks[0][0] if chunks and not isinstance(error, SyntaxError | ValueError) else None
    return Syntax(tree=tree, unread=unread, error=str(error), left_out=left_out, too_deep_at_line=deep)


def _marks(text: str) -> int:
    return len(text) - len(text.translate(_WITHOUT_MARKS))


def _shortened(text: str) -> tuple[str, str, LeftOut | None]:
    """A text that is too long without its largest statements at the left margin, else without its end.

    What makes a script huge is mostly one statement: the data that it carries. Lines keep their numbers.
    """
    excess = _marks(text) - MAX_MARKS
    if excess <= 0:
        return text, "", None
    lines = text.split("\n")
    statements = _statements(lines)
    weighed = sorted(((_marks("\n".join(lines[start:end])), start, end) for start, end in statements), reverse=True)
    large = [statement for statement in weighed if statement[0] >= _LARGE_STATEMENT_MARKS]
    dropped: list[str] = []
    gone: list[tuple[int, int]] = []
    for marks, start, end in large:
        if excess > 0:
            excess -= marks
            gone.append((start, end))
            dropped += lines[start:end]
            lines[start:end] = [""] * (end - start)
    if excess > 0:
        start = _cut(lines, excess)
        gone.append((start, len(lines)))
        dropped += lines[start:]
        lines[start:] = []
    left_out = LeftOut(line=min(gone)[0] + 1, lines=sum(end - start for start, end in gone))
    return "\n".join(lines), "\n".join(dropped), left_out


def _statements(lines: list[str]) -> list[tuple[int, int]]:
    """The statements at the left margin, as (first line from 0, line after the last)."""
    starts = [i for i, line in enumerate(lines) if re.match(r"[A-Za-z_@]", line) and not _continues(line)]
    return list(zip(starts, [*starts[1:], len(lines)][: len(starts)], strict=True))


def _cut(lines: list[str], excess: int) -> int:
    """The line from which on so much must go: one at the left margin, so that no statement is torn."""
    index = len(lines)
    while index > 0 and excess > 0:
        index -= 1
        excess -= _marks(lines[index]) + 1
    while index > 0 and not re.match(r"[A-Za-z_@]", lines[index]):
        index -= 1
    return index


@contextmanager
def _quietly() -> Iterator[None]:
    """No garbage collection while a large tree grows, no warnings of the script's."""
    with collector_paused(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _parse(text: str) -> tuple[ast.Module | None, Exception | None]:
    try:
        with _quietly():
            return ast.parse(text), None
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, SystemError) as error:
        return None, error


def _repaired(text: str) -> tuple[ast.Module | None, str]:
    """Parses with the statements that are in the way blanked out; None if that needs too many."""
    lines = text.split("\n")
    dropped: list[str] = []
    repairs = min(_MAX_REPAIRS, max(2, _MAX_REPAIRED_CHARACTERS // (len(text) + 1)))
    for _ in range(repairs):
        tree, error = _parse("\n".join(lines))
        if tree is not None:
            return tree, "\n".join(dropped)
        number = getattr(error, "lineno", None)
        if not isinstance(number, int) or not 0 < number <= len(lines):
            break
        start, end = _broken_statement(lines, number - 1)
        if not any(line.strip() for line in lines[start:end]):
            break
        dropped.extend(lines[start:end])
        indent = _indent(lines[start])
        lines[start:end] = [" " * indent + "pass", *[""] * (end - start - 1)]
    return None, ""


def _broken_statement(lines: list[str], index: int) -> tuple[int, int]:
    """The lines of the statement at `index`: up to the next line that is not indented deeper."""
    while index > 0 and (not lines[index].strip() or lines[index].strip() == "pass"):
        index -= 1
    indent = _indent(lines[index])
    end = index + 1
    opens_block = lines[index].rstrip().endswith(":")
    while not opens_block and end < len(lines) and lines[end].strip() and _indent(lines[end]) > indent:
        end += 1
    if end < len(lines) and re.match(r"\s*[)\]}]+[,\s]*$", lines[end]) and _indent(lines[end]) == indent:
        end += 1
    return index, end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _by_chunks(text: str) -> tuple[ast.Module, list[tuple[int, str]]]:
    """Parses what stands between the statements at the left margin piece by piece; also what cannot be, by line."""
    module = ast.Module(body=[], type_ignores=[])
    dropped: list[tuple[int, str]] = []
    lines = text.split("\n")
    statements = _statements(lines)
    if not statements:
        return module, [(1, text)]
    if statements[0][0] > 0:
        dropped.append((1, "\n".join(lines[: statements[0][0]])))
    for start, end in statements:
        chunk = "\n".join(lines[start:end])
        tree, _ = _parse(chunk) if chunk.count("(") < 100_000 else (None, None)
        if tree is None:
            dropped.append((start + 1, chunk))
            continue
        for statement in tree.body:
            _shift(statement, start)
            module.body.append(statement)
    return module, dropped


def _continues(line: str) -> bool:
    return re.match(r"(else|elif|except|finally)\b", line) is not None


def _shift(node: ast.AST, by: int) -> None:
    for inner in ast.walk(node):
        if hasattr(inner, "lineno"):
            inner.lineno += by
            inner.end_lineno = (inner.end_lineno or inner.lineno - by) + by  # type: ignore[attr-defined]


def _in_older_syntax(text: str) -> str:
    """`text` with what is newer than this interpreter masked, character for character.

    Masked are f-strings that only 3.12 tokenizes (PEP 701), type parameters and `type` statements
    (PEP 695), found by tree-sitter, which reads them on every interpreter.
    """
    from trainguard.facts.newer_syntax import mask_newer_syntax

    return mask_newer_syntax(text)
