"""The caret stands under what is meant, whatever the line holds."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.findings import Finding, Location, Report
from trainguard.report.snippet import SourceLines, snippet
from trainguard.report.visible import masked, visible


def _cells(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(bool(unicodedata.combining(char)) for char in text)


def _under(text: str, caret: str) -> str:
    """The characters of `text` that the caret is under, by cells."""
    start, end = len(caret) - len(caret.lstrip()), len(caret)
    found, cells = "", 0
    for char in text:
        if start <= cells < end:
            found += char
        cells += _cells(char)
    return found


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("\ttrainer.train()", "train()"),
        ("x = '日本語', trainer.train()", "trainer.train()"),
        ("x = '🎉🎉', trainer.train()", "trainer"),
        ("x = 'e\u0301', trainer.train()", "trainer"),
        ("x = '\x1b[31m', trainer.train()", "trainer"),
        ("x = '\u202e', trainer.train()", "trainer"),
        ("a" * 5000 + " trainer " + "b" * 5000, "trainer"),
        ("日" * 500 + " trainer " + "本" * 500, "trainer"),
    ],
)
def test_caret_is_under_what_is_meant(line: str, meant: str) -> None:
    column = line.index(meant) + 1
    shown = snippet(line, Location("a.py", 1, column, 1, column + len(meant)), max_cells=80)
    assert _under(shown.text, shown.caret) == meant
    assert shown.text.isprintable()
    assert _cells(shown.text) <= 82


def test_long_line_is_cropped_on_both_sides() -> None:
    line = "a" * 300 + "X" + "b" * 300
    shown = snippet(line, Location("a.py", 1, 301, 1, 302), max_cells=60)
    assert shown.text.startswith("…a")
    assert shown.text.endswith("b…")


def test_span_over_several_lines_is_marked_to_the_end_of_the_first() -> None:
    shown = snippet("call(  # comment  ", Location("a.py", 1, 1, 3, 2))
    assert shown.caret == "^" * len("call(  # comment")


def test_without_a_column_there_is_no_caret() -> None:
    assert snippet("x = 1", Location("a.py", 1)).caret == ""


@pytest.mark.parametrize(
    "where", [Location("a.py", 1, 99, 1, 120), Location("a.py", 1, 3, 1, 1), Location("a.py", 1, 0)]
)
def test_columns_beyond_the_line_do_no_harm(where: Location) -> None:
    assert snippet("x = 1", where).caret.endswith("^")


@given(st.text(max_size=400), st.integers(-5, 500), st.integers(-5, 500), st.integers(1, 120))
def test_any_line_and_any_columns(line: str, column: int, end_column: int, max_cells: int) -> None:
    shown = snippet(line, Location("a.py", 1, column, 1, end_column), max_cells=max_cells)
    assert shown.text.isprintable()


@pytest.mark.parametrize("source", ["a\nb\nc", "a\r\nb\r\nc", "a\rb\rc", "a\nb\x0c\x85\u2028\nc"])
def test_lines_are_numbered_as_python_numbers_them(source: str) -> None:
    report = Report(subject="a.py", sources={("a.py", None): source})
    assert SourceLines(report).line_at(Location("a.py", 3)) == "c"


def test_a_line_of_another_file_or_beyond_the_end_is_not_known() -> None:
    lines = SourceLines(Report(subject="a.py", findings=(Finding("info", "x"),), sources={("a.py", None): "a"}))
    assert lines.line_at(Location("b.py", 1)) is None
    assert lines.line_at(Location("a.py", 1, cell=1)) is None
    assert lines.line_at(Location("a.py", 2)) is None
    assert lines.line_at(Location("a.py", 0)) is None
    assert lines.line_at(Location("a.py")) is None


@pytest.mark.parametrize(
    "token",
    [
        "hf_abcdefghijklmnopqrstuvwxyz",
        "sk-proj-abcdefghijklmnopqrst",
        "AKIAIOSFODNN7EXAMPLE",
        "0123456789abcdef" * 2 + "01234567",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "glpat-abcdefghijklmnopqrst",
        "wandb_v1_" + "a1B2" * 11,
    ],
)
def test_tokens_are_starred_out_at_the_same_length(token: str) -> None:
    line = f'login("{token}")'
    assert token not in masked(line)
    assert token[6:] not in masked(line)
    assert len(masked(line)) == len(line)


def test_ordinary_code_is_left_as_it_is() -> None:
    line = "load('hf_internal', task='risk-aversion', path='/home/Someone/projects/llama3/finetune/data')"
    assert masked(line) == line


def test_a_line_about_a_secret_shows_no_long_run_of_key_characters() -> None:
    assert "MIIEvQIBADANBgkqhkiG" not in masked("key = 'MIIEvQIBADANBgkqhkiG9w0B'", secret=True)


def test_unprintable_characters_are_written_as_escapes() -> None:
    assert visible("a\x1b[31m\n\u202eb\ud800") == "a\\x1b[31m\\n\\u202eb\\ud800"


@pytest.mark.parametrize("room", range(20, 60))
def test_a_token_that_the_crop_cuts_is_starred_out_too(room: int) -> None:
    token = "hf_" + "aB3dE6gH9k" * 3
    line = f"x = '{token}'" + " " * room + "here" + " " * room + f"'{token}'"
    shown = snippet(line, Location("a.py", 1, line.index("here") + 1), max_cells=40)
    assert "aB3" not in shown.text
    assert "H9k" not in shown.text
