"""Training data as text: what stands where, in any width, on any terminal."""

from __future__ import annotations

import re

import pytest
from tests.report.data_samples import HOSTILE, TOKEN, facts, finding, hostile, lengths, shown

from trainguard.findings import InternalError, Report
from trainguard.report.data_text import render_data_text


def test_everything_that_is_known_is_shown() -> None:
    text = render_data_text([shown(facts(), finding())])
    assert text.startswith(
        "train.jsonl\n               11,400 rows · 12.3 MB · JSON Lines · chat (messages)\n\n"
        "  Columns      messages · tools (1 %)\n\n"
    )
    assert re.search(r"^  Roles        assistant  12,000  █{36}     48 %  of messages$", text, re.MULTILINE)
    assert re.search(r"^  Messages      2  9,000  █{36}     79 %  of rows, by messages a row$", text, re.MULTILINE)
    assert re.search(r"^ +64-127    800  █+\S?  +7 %$", text, re.MULTILINE)
    assert "  Length       tokens of my-model\n" in text
    assert "shortest 34 · 5 % 70 · median 180 · 90 % 400 · 95 % 480 · 99 % 900 · longest 4,711" in text
    assert "2.7 M tokens in all, 240 a row" in text
    assert "  Longer than  512: 13 % · 1,024: 2.7 % · 2,048: < 0.1 % · 4,096: < 0.1 % · 8,192: 0 %\n" in text
    assert "  max_length   512: 1,510 rows (13 %) are longer, 12 lose their whole answer; the longest" in text
    assert "  Duplicates   12 rows repeat an earlier one (0.1 %); 40 resemble another, of 11,400 looked at" in text
    assert "  Evaluation   3 of 500 rows of eval.jsonl stand in the training data, 2 nearly\n" in text
    assert text.endswith("\n\n1 error in 1 file.\n")


def test_samples_stand_under_their_finding() -> None:
    assert (
        "train.jsonl:3:15 error DATA005 unknown-role\n"
        "  unknown roles in 3 rows\n"
        "   3 | role 'human': plain\n"
        "4711 | plain\n"
        "  fix: trainguard data train.jsonl --fix fixed.jsonl\n"
    ) in render_data_text([shown(facts(), finding())])


def test_an_estimate_is_called_one() -> None:
    text = render_data_text([shown(facts(lengths=lengths(exact=False, counted=5000), tokenizer=None, truncation=None))])
    assert "tokens by estimate (give --tokenizer for exact ones), from 5,000 of 11,400 rows" in text
    assert "about 2.7 M tokens in all" in text


def test_what_was_not_looked_for_is_not_shown() -> None:
    bare = facts(lengths=None, truncation=None, duplicates=None, leak=None, roles={}, turns={}, columns={})
    text = render_data_text([shown(bare)])
    assert text == (
        "train.jsonl\n               11,400 rows · 12.3 MB · JSON Lines · chat (messages)\n\nNothing found in 1 file.\n"
    )


def test_data_that_could_not_be_looked_at_show_their_error_alone() -> None:
    report = Report(subject="x.jsonl", errors=(InternalError(origin="facts.data", message="KeyError: 'x'"),))
    text = render_data_text([(None, report)])
    assert text.startswith("x.jsonl internal error\n  facts.data: KeyError: 'x'")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_the_terminal(width: int, unicode: bool) -> None:
    text = render_data_text([shown(facts())], width=width, unicode=unicode)
    assert max(map(len, text.splitlines())) <= width


def test_a_terminal_without_blocks_gets_ascii() -> None:
    text = render_data_text([shown(facts())], unicode=False)
    assert text.isascii()
    assert "  Roles        assistant  12,000  " + "#" * 36 + "     48 %" in text
    assert re.search(r"human +3  \. +< 0.1 %", text)


def test_the_smallest_number_has_a_bar_and_nothing_has_none() -> None:
    text = render_data_text([shown(facts(roles={"user": 1_000_000, "human": 1}))])
    assert re.search(r"human +1  ▏ +< 0.1 %", text)


def test_colour_changes_nothing_but_colour() -> None:
    colored = render_data_text([shown(facts(), finding())], color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_data_text([shown(facts(), finding())])


def test_nothing_of_the_data_reaches_the_terminal_unescaped() -> None:
    text = render_data_text([hostile()], width=100)
    assert all(char == "\n" or char.isprintable() for char in text)
    assert TOKEN not in text
    assert HOSTILE[:6] not in text
    assert "\\x1b[31m<script>" in text


def test_several_sets_of_data_come_one_after_the_other() -> None:
    text = render_data_text([shown(facts()), shown(facts("other.jsonl"), finding())])
    assert text.index("train.jsonl\n") < text.index("other.jsonl\n") < text.index("DATA005")
    assert text.endswith("1 error in 2 files.\n")
