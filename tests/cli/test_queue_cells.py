"""Text for a terminal: cut and folded by the cells that it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.cli.queue_cells import cut, folded, glued
from trainguard.report.snippet import cell_count


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("short", 10, "short"),
        ("exactly", 7, "exactly"),
        ("one too many", 11, "one too ma…"),
        ("日本語日本語", 12, "日本語日本語"),
        ("日本語日本語", 7, "日本語…"),
        ("日本語", 1, "…"),
    ],
)
def test_cut(text: str, room: int, shown: str) -> None:
    assert cut(text, room) == shown


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60), st.integers(1, 40))
def test_what_is_cut_fits(text: str, room: int) -> None:
    assert cell_count(cut(text, room)) <= room


def test_folded_between_words_with_what_follows_below() -> None:
    line = "queue       11 files: 1 waiting, 1 training, 5 done"
    assert folded(line, 34, indent=12) == "queue       11 files: 1 waiting, 1\n            training, 5 done"
    assert folded(line, None, indent=12) == line
    assert folded(line, len(line), indent=12) == line


def test_colours_take_no_room_and_commands_stay_whole() -> None:
    line = "\x1b[1;31mfailed\x1b[0m 7 [" + glued("trainguard queue retry 7") + "]"
    assert folded(line, 35).splitlines() == ["\x1b[1;31mfailed\x1b[0m 7 [trainguard queue retry 7]"]
    assert folded(line, 30).splitlines() == ["\x1b[1;31mfailed\x1b[0m 7", "[trainguard queue retry 7]"]
    assert folded("a /" + "x" * 50 + " b", 20).splitlines() == ["a", "/" + "x" * 50, "b"], "a path stays whole"
    assert folded("a " + "日" * 15 + " b", 20).splitlines() == ["a", "日" * 10, "日" * 5 + " b"]
