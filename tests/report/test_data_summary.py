"""Words and groups of the reports about training data."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.data_samples import facts, finding, hostile, shown

from trainguard.facts.data.records import Leak
from trainguard.facts.data.summary import summary
from trainguard.report import data_summary as words
from trainguard.report.data_json import render_data_json


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.00 kB"), (48_213_002, "48.2 MB"),
     (999_600, "1.00 MB"), (1_234_567_890, "1.23 GB"), (5 * 10**15, "5000 TB")],
)  # fmt: skip
def test_sizes(size: int, expected: str) -> None:
    assert words.size_words(size) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, "0 %"), (0.0000001, "< 0.1 %"), (0.001, "0.1 %"), (0.0144, "1.4 %"), (0.05, "5 %"), (0.456, "46 %"),
     (0.995, "99.5 %"), (0.99999, "> 99.9 %"), (1, "100 %")],
)  # fmt: skip
def test_shares_are_never_rounded_to_nothing_or_to_all(share: float, expected: str) -> None:
    assert words.percent_words(share) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(7, "7"), (999, "999"), (12_300, "12.3 k"), (4_000_000, "4 M"), (999_999, "1 M")]
)
def test_large_numbers_in_short(number: int, expected: str) -> None:
    assert words.rounded(number) == expected


@pytest.mark.parametrize(
    ("leak", "expected"),
    [
        ((3, None), "3 of 500 rows of e.jsonl stand in the training data"),
        ((1, 0), "1 of 500 rows of e.jsonl stands in the training data"),
        ((0, None), "none of 500 rows of e.jsonl stands in the training data"),
        ((0, 0), "none of 500 rows of e.jsonl stands or nearly stands in the training data"),
        ((0, 4), "none of 500 rows of e.jsonl stands in the training data, 4 nearly"),
    ],
)
def test_leaks(leak: tuple[int, int | None], expected: str) -> None:
    exact, near = leak
    data, _ = shown(facts(leak=Leak(eval_path="e.jsonl", eval_rows=500, exact=exact, near=near)))
    assert words.leak_words(data["leak"]) == expected


def test_many_roles_become_a_bar_of_the_others() -> None:
    bars = words.bars_of({f"role{number}": 100 - number for number in range(20)}, most=5)
    assert [bar.label for bar in bars] == ["role0", "role1", "role2", "role3", "16 more"]
    assert sum(bar.number for bar in bars) == sum(100 - number for number in range(20))
    assert sum(bar.share for bar in bars) == pytest.approx(1)


@given(st.dictionaries(st.integers(0, 100_000), st.integers(1, 10**9), max_size=60))
def test_every_row_is_in_one_group_of_turns(turns: dict[int, int]) -> None:
    bars = words.turn_bars({str(number): rows for number, rows in turns.items()})
    assert sum(bar.number for bar in bars) == sum(turns.values())
    assert len(bars) <= 24
    firsts = [int(bar.label.split("-")[0]) for bar in bars]
    assert firsts == sorted(set(firsts))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=90), st.integers(1, 40))
def test_joined_bins_lose_no_row_and_leave_no_gap(rows: list[int], most: int) -> None:
    histogram = [{"from": 10 * index, "to": 10 * index + 10, "rows": number} for index, number in enumerate(rows)]
    bins = words.histogram_bins({"histogram": histogram}, most=most)
    assert len(bins) <= most
    assert sum(number for _, _, number in bins) == sum(rows)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bins))


def test_the_summary_is_json_and_names_what_its_page_names() -> None:
    data = summary(facts())
    assert json.loads(json.dumps(data)) == data
    page = json.loads(render_data_json([shown(facts(), finding())]))
    assert page.keys() == {"version", "reports", "summary"}
    assert page["reports"][0]["data"] == data
    assert page["reports"][0]["findings"][0]["evidence"]["samples"][0]["line"] == 3


def test_json_of_hostile_data_is_ascii() -> None:
    assert render_data_json([hostile()]).isascii()
