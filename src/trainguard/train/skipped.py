"""The examples that a run has left out, one JSON line each in `trainguard/skipped.jsonl`, for whoever looks for the
one that poisoned it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainguard.facts.secrets import mask_secrets
from trainguard.train.events import FOLDER, LineFile, read_lines

SKIPPED = "skipped.jsonl"
_CHARACTERS = 200
# A token is at least one character as a rule; special ones are not shown.
_TOKENS = 400
_NAMES = ("file_number", "step", "position")


class SkippedRows:
    """Writes down what is left out, each example once, although a resumed run passes it again.

    `dataset` are the rows as they were tokenized, `file` the training file where each row is one line of it.
    """

    def __init__(self, output_dir: Path, *, file_number: int, dataset: Any, tokenizer: Any, file: Path | None) -> None:
        self._path = output_dir / FOLDER / SKIPPED
        self._file_number, self._dataset, self._tokenizer = file_number, dataset, tokenizer
        self._lines = _Lines(file) if file is not None else None
        self._known: set[tuple[Any, ...]] | None = None
        self._out: LineFile | None = None

    def note(self, step: int, epoch: int, position: int, rows: Sequence[int]) -> None:
        """`step` is the one of this file that would have trained them, `position` their place in the epoch's order."""
        if self._known is None:
            self._known = {tuple(line.get(name) for name in _NAMES) for line in read_lines(self._path)}
            self._out = LineFile(self._path)
        for offset, row in enumerate(rows):
            key = (self._file_number, step, position + offset)
            if key in self._known:
                continue
            self._known.add(key)
            assert self._out is not None
            line = self._lines.of(row) if self._lines is not None else None
            where = {"epoch": epoch, "row": row, "line": line, "text": self._text(row)}
            self._out.append({**dict(zip(_NAMES, key, strict=True)), **where})

    def _text(self, row: int) -> str | None:
        """The first characters of an example, without secrets; None where it has no tokens."""
        try:
            ids = list(self._dataset[row]["input_ids"])[:_TOKENS]
            text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        except Exception:  # a tokenizer may be the user's own code, and what is only shown must not end the run
            return None
        return mask_secrets(text)[:_CHARACTERS]

    def close(self) -> None:
        if self._out is not None:
            self._out.close()


class _Lines:
    """Which line of a JSON Lines file a row is: blank lines are no rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blank: list[int] | None = None

    def of(self, row: int) -> int | None:
        """The line, from 1 on; None where the file cannot be read."""
        if self._blank is None:
            try:
                self._blank = self._blanks()
            except OSError:
                return None
        return row + 1 + bisect_right(self._blank, row)

    def _blanks(self) -> list[int]:
        """For each blank line the number of rows before it."""
        blank, rows = [], 0
        with self._path.open("rb") as file:
            for line in file:
                if line.isspace():
                    blank.append(rows)
                else:
                    rows += 1
        return blank
