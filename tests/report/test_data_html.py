"""Training data as a web page: whole, quiet, and harmless whatever stands in the data."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from tests.report.data_samples import TOKEN, facts, finding, hostile, shown

from trainguard.findings import InternalError, Report
from trainguard.report.data_html import render_data_html

_VOID = {"meta", "br", "hr"}
_SELF_CLOSED = {"rect", "line", "polyline", "circle"}
_LOADING = {"src", "srcset", "href", "xlink:href", "action", "style", "data", "background", "poster"}


class Page(HTMLParser):
    """The tags of a page in order; fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _SELF_CLOSED
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_loads_nothing() -> None:
    text = render_data_html([shown(facts(), finding()), shown(facts("other.jsonl"))], version="1.2")
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert all(value is not None and value.startswith("#s") for name, value in page.attributes if name in _LOADING)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert ("lang", "en") in page.attributes


def test_every_plot_says_what_it_shows_and_stands_as_a_table_too() -> None:
    page = Page(render_data_html([shown(facts(), finding())]))
    plots = page.tags.count("svg")
    assert plots == 4
    assert page.tags.count("desc") == plots
    assert page.tags.count("details") == plots
    words = "".join(page.words)
    assert "longer than 512: 13 %; longer than 1,024: 2.7 %" in words
    assert "64-127 tokens: 800 rows" in words
    assert "assistant: 12,000; user: 12,000; system: 900; human: 3 messages" in words


def test_findings_come_with_place_reason_fix_and_samples() -> None:
    words = " ".join(Page(render_data_html([shown(facts(), finding())])).words)
    for part in ("DATA005 unknown-role", "train.jsonl:3:15", "unknown roles in 3 rows", "line 3, column 15",
                 "line 4711", "trainguard data train.jsonl --fix fixed.jsonl", "1 error"):  # fmt: skip
        assert part in words


def test_nothing_of_the_data_becomes_markup() -> None:
    text = render_data_html([hostile()])
    page = Page(text)
    assert "script" not in page.tags
    assert TOKEN not in text
    assert all(char == "\n" or char.isprintable() for char in text)
    assert "&lt;script&gt;" in text
    assert text.encode("utf-8")


@given(st.text(max_size=40))
def test_any_name_leaves_the_shape_of_the_page_alone(name: str) -> None:
    def tags(word: str) -> list[str]:
        data, report = shown(
            facts(path=word or "x", roles={word: 3}, tokenizer=word or "x"), finding(word, word or "x")
        )
        return Page(render_data_html([(data, report)])).tags

    assert tags(name) == tags("plain")


def test_the_same_data_make_the_same_page() -> None:
    assert render_data_html([shown(facts())]) == render_data_html([shown(facts())])


def test_numbers_of_plots_are_finite_and_inside() -> None:
    text = render_data_html([shown(facts())])
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().replace("finance", "")
    width = 720
    for x in re.findall(r'\bx(?:1|2)?="(-?[\d.]+)"', text):
        assert -1 <= float(x) <= width


def test_data_that_could_not_be_looked_at_say_so() -> None:
    report = Report(subject="x.jsonl", errors=(InternalError(origin="facts.data", message="KeyError: 'x'"),))
    words = " ".join(Page(render_data_html([(None, report)])).words)
    assert "not checked in full" in words
    assert "Internal error in facts.data: KeyError: 'x'; its findings are missing." in words
