"""A file that is to be fixed: its bytes, the texts in it, and its bytes after the edits."""

from __future__ import annotations

import io
import json
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.errors import UnreadableInputError
from trainguard.facts.source import MAX_FILE_BYTES, notebook_source, text_source
from trainguard.fixing.cells import cell_sources
from trainguard.fixing.changes import CannotFixError, Changes, Region, WriteError, spliced
from trainguard.fixing.lines import regions_in_file

Texts = Mapping[int | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`texts` are what the rules read: that of a script under None, those of a notebook by cell number."""

    content: bytes
    encoding: str
    is_notebook: bool
    texts: Texts

    def edited(self, changes: Changes) -> bytes:
        """The bytes with the regions of each text replaced.

        Raises CannotFixError where that cannot be done, or where anything else would change with it.
        """
        raw = self.content.decode(self.encoding)
        regions = [r for cell, found in changes.items() for r in self._in_file(raw, cell, found)]
        new = spliced(raw, sorted(regions))
        try:
            content = new.encode(self.encoding)
        except UnicodeEncodeError:
            raise CannotFixError(f"the encoding {self.encoding} lacks a character of the fix") from None
        expected = {cell: spliced(text, changes.get(cell, ())) for cell, text in self.texts.items()}
        try:
            after = _read(content, is_notebook=self.is_notebook)
        except (UnreadableInputError, SyntaxError, UnicodeDecodeError):
            raise CannotFixError("the file could not be read afterwards") from None
        if dict(after.texts) != expected or (self.is_notebook and not _same_but(raw, new, set(changes))):
            raise CannotFixError("the edit would change more of the file than it is meant to")
        return content

    def _in_file(self, raw: str, cell: int | None, regions: Sequence[Region]) -> list[Region]:
        text = self.texts[cell]
        if not self.is_notebook:
            return regions_in_file(text, raw, regions)
        source = cell_sources(raw).get(cell or 0)
        if source is None:
            raise CannotFixError(f"cell {cell} cannot be found in the notebook's JSON")
        return source.in_json(regions_in_file(text, source.text, regions))


def read_document(path: Path) -> Document:
    """Reads a file for editing. Raises WriteError where it cannot be read, CannotFixError where not edited."""
    try:
        if not path.is_file():
            raise CannotFixError("it is no plain file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CannotFixError("it is too large to be edited")
        content = path.read_bytes()
    except OSError as error:
        raise WriteError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        document = _read(content, is_notebook=path.suffix == ".ipynb")
    except (UnreadableInputError, SyntaxError, LookupError, UnicodeDecodeError):
        raise CannotFixError("it changed since it was checked") from None
    if content.decode(document.encoding).encode(document.encoding) != content:
        raise CannotFixError(f"its encoding, {document.encoding}, cannot be written back as it is")
    return document


def _read(content: bytes, *, is_notebook: bool) -> Document:
    # As `trainguard.facts.source` decodes (PEP 263); utf-8-sig keeps the byte-order mark.
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    raw = content.decode(encoding)
    source = notebook_source(raw) if is_notebook else text_source(raw)
    texts = {cell: text for (_, cell), text in source.texts().items()}
    return Document(content=content, encoding=encoding, is_notebook=is_notebook, texts=texts)


def _same_but(before: str, after: str, changed: set[int | None]) -> bool:
    """Whether two notebooks differ in the sources of the `changed` cells only."""
    one, other = json.loads(before), json.loads(after)
    for document in (one, other):
        for number, cell in enumerate(_cells_of(document), 1):
            if number in changed:
                cell["source" if "source" in cell else "input"] = None
    return bool(one == other)


def _cells_of(document: Any) -> list[Any]:
    cells = document.get("cells")
    if cells is None:
        cells = [
            cell for sheet in document["worksheets"] if isinstance(sheet, dict) for cell in sheet.get("cells") or []
        ]
    return list(cells)
