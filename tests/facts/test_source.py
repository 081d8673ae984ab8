from __future__ import annotations

from pathlib import Path

import pytest

from trainguard.errors import UnreadableInputError
from trainguard.facts.source import Source, read_source, text_source


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x = 1\r\ny = 2\r", "x = 1\ny = 2\n"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe4'\n", "# -*- coding: latin-1 -*-\nx = 'ä'\n"),
        ("x = 'ä'\n".encode(), "x = 'ä'\n"),
        (b"", ""),
    ],
)
def test_text_is_decoded_as_python_would(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(content)
    assert read_source(path).text == text


@pytest.mark.parametrize("content", [b"x = '\xe4'\n", b"# coding: nothing\n", b"\xff\xfe\x00"])
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"a\.py: not text"):
        read_source(path)


def test_paths_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match=r"missing\.py: cannot be read"):
        read_source(tmp_path / "missing.py")
    with pytest.raises(UnreadableInputError, match="cannot be read"):
        read_source(tmp_path)
    with pytest.raises(UnreadableInputError, match="not a path"):
        read_source(Path("a\0b.py"))
    (tmp_path / "a.ipynb").write_text("x = 1")
    with pytest.raises(UnreadableInputError, match=r"a\.ipynb: not a notebook"):
        read_source(tmp_path / "a.ipynb")
    big = tmp_path / "big.py"
    with big.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UnreadableInputError, match="no script"):
        read_source(big)


def test_places_and_texts_of_a_notebook() -> None:
    source = Source(text="a\nb\nc\n", path="n.ipynb", cell_starts=(0, 1), cell_numbers=(2, 5))
    where = source.location(3, 1, 3, 2)
    assert (where.cell, where.line, where.end_line, where.column) == (5, 2, 2, 1)
    assert source.texts() == {("n.ipynb", 2): "a", ("n.ipynb", 5): "b\nc\n"}
    assert text_source("a\n", "a.py").location(1).cell is None
