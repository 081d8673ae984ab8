"""The text of a script, from a file, a string or a notebook, and where its lines came from."""

from __future__ import annotations

import io
import re
import tokenize
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from trainguard.errors import UnreadableInputError
from trainguard.facts.notebook import NotebookError, read_notebook
from trainguard.findings import Location

# Python's own limit on nothing in particular: a script is text that people wrote. Above this many bytes a
# file is data or generated, and reading it would cost more than a check may.
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Python text, and for a notebook the line (from 0) at which each code cell starts in it."""

    text: str
    path: str | None = None
    cell_starts: tuple[int, ...] = ()
    cell_numbers: tuple[int, ...] = ()
    shell_lines: tuple[tuple[int, str], ...] = field(default=())

    def location(
        self, line: int, column: int | None = None, end_line: int | None = None, end_column: int | None = None
    ) -> Location:
        """A place in this text as a user knows it: in a notebook, by cell and line of the cell."""
        if not self.cell_starts:
            return Location(self.path, line, column, end_line, end_column)
        index = max(bisect_right(self.cell_starts, line - 1) - 1, 0)
        start = self.cell_starts[index]
        end = end_line - start if end_line is not None else None
        return Location(self.path, line - start, column, end, end_column, cell=self.cell_numbers[index])

    def texts(self) -> dict[tuple[str | None, int | None], str]:
        """The text by path and notebook cell, as `Report.sources` holds it."""
        if not self.cell_starts:
            return {(self.path, None): self.text}
        lines = self.text.split("\n")
        ends = [*self.cell_starts[1:], len(lines)]
        cells = zip(self.cell_numbers, self.cell_starts, ends, strict=True)
        return {(self.path, number): "\n".join(lines[start:end]) for number, start, end in cells}


def read_source(path: Path, *, name: str | None = None) -> Source:
    """Reads a script or notebook. Raises UnreadableInputError naming the path and the reason."""
    shown = name or str(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableInputError(f"{shown}: larger than {MAX_FILE_BYTES // 2**20} MiB; this is no script")
        raw = path.read_bytes()
    except OSError as error:
        raise UnreadableInputError(f"{shown}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL byte in the name
        raise UnreadableInputError(f"{shown}: not a path: {error}") from error
    if path.suffix == ".ipynb":
        return notebook_source(_decode(raw, shown), shown)
    return text_source(_decode(raw, shown), shown)


def text_source(text: str, path: str | None = None) -> Source:
    """A source from a string: line ends unified, a leading byte-order mark dropped."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\f" in text:  # at the start of a line it sets the indentation back to nothing
        text = re.sub(r"(?m)^[ \t\f]*\f", "", text).replace("\f", " ")
    return Source(text=text, path=path)


def notebook_source(raw: str, path: str | None = None) -> Source:
    """The code cells of a notebook as one Python text; shell lines and magics are kept apart."""
    try:
        notebook = read_notebook(raw)
    except NotebookError as error:
        raise UnreadableInputError(f"{path or '<notebook>'}: {error}") from error
    return Source(
        text=notebook.text,
        path=path,
        cell_starts=notebook.cell_starts,
        cell_numbers=notebook.cell_numbers,
        shell_lines=notebook.shell_lines,
    )


def _decode(raw: bytes, shown: str) -> str:
    """Decodes as Python would (PEP 263: byte-order mark, coding comment, else UTF-8)."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw.decode(encoding)
    except (SyntaxError, LookupError, UnicodeDecodeError) as error:
        raise UnreadableInputError(f"{shown}: not text in the encoding that it declares or UTF-8: {error}") from error
