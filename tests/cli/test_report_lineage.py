"""`trainguard report`: the page of a lineage stands alone, escapes everything and shows what was survived."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.daemon.history import HOSTILE, accepted, trained, write_events

from trainguard.daemon.stories import lineage_view, skipped_examples
from trainguard.errors import UsageError
from trainguard.report.lineage_page import render_lineage_page
from trainguard.report.lineage_view import FaultView, FileView, LineageView, SkippedExamples
from trainguard.report.run_view import Curve

_ALONE = ("br", "hr", "meta", "line", "circle", "path", "polyline", "rect")


class Page(HTMLParser):
    """The elements of a page; fails where they are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs
        if tag not in _ALONE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_of_a_lineage(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "one.jsonl")
        trained(queue, HOSTILE, before=10, fault=True)
        gone = accepted(queue, "three.jsonl")
        queue.cancel(gone.id, "<img src=x onerror=alert(1)> hf_abcdefghijklmnopqrstuvwxyz")
        accepted(queue, "four.jsonl")
        queue.pause("by hand")
    write_events(folder / "out", steps=20)
    code, said = call("report", "-o", "page.html")
    assert code == 0
    assert said == "the page is in page.html\n"
    text = (folder / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.names
    assert "img" not in page.names
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "hf_abcdefghijklmnopqrstuvwxyz" not in text
    assert "default-src 'none'" in text
    assert re.search(r"https?://(?!www\.w3\.org/2000/svg)", text) is None, "nothing from anywhere else"
    for words in (
        "one.jsonl",
        "<script>alert(1)</script>",
        "10 of 10",
        "10 to 20",
        "checkpoint-20",
        "steps 6 to 8 skipped",
        "RUN001 not-finite",
        "back to before its onset",
        "11 s",
        "paused: by hand",
        "Examples left out",
        "6 to 8",
        "line 7: <i>bad</i> row",
        "<img src=x onerror=alert(1)>",
    ):
        assert words in page.text, words
    assert text.count("<figure>") == 2, "loss and learning rate"
    assert 'class="line"' in text


def test_an_empty_queue_has_a_page(folder: Path) -> None:
    with queue_of(folder):
        pass
    call("report", "-o", "page.html")
    page = Page((folder / "page.html").read_text(encoding="utf-8"))
    assert "no file was accepted yet" in page.text


def test_where_it_cannot_be_written(folder: Path) -> None:
    with queue_of(folder):
        pass
    with pytest.raises(UsageError, match="is a folder"):
        call("report", "-o", folder)
    with pytest.raises(UsageError, match="its folder is not there"):
        call("report", "-o", "none/page.html")


def test_a_long_lineage_shows_the_newest_and_says_what_it_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainguard.daemon.stories._MOST_FILES", 3)
    with queue_of(folder) as queue:
        for place in range(4):
            trained(queue, f"{place}.jsonl", before=10 * place)
        accepted(queue, "next.jsonl")
        view = lineage_view(queue, folder / "out", 1e9)
    assert [each.number for each in view.files] == [2, 3, 4]
    assert view.files_left_out == 2
    assert "and 2 older files that are not listed" in render_lineage_page(view)


def test_skipped_windows_are_those_without_a_gap() -> None:
    lines = [{"file_number": 1, "step": step, "text": str(step)} for step in (3, 1, 2, 9)]
    windows = skipped_examples([*lines, {"file_number": 2, "step": 3}, {"step": 1}, {"file_number": "x", "step": []}])
    assert [(each.file, each.first, each.last, each.count) for each in windows] == [
        ("file 1 of the lineage", 1, 3, 3),
        ("file 1 of the lineage", 9, 9, 1),
        ("file 2 of the lineage", 3, 3, 1),
    ]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1e300, 1e300])
def test_odd_numbers_make_a_page(odd: float) -> None:
    view = LineageView(
        subject=HOSTILE,
        made_at=odd,
        files=[FileView(number=1, name=HOSTILE, state="?", started_at=odd, ended_at=odd, step=2**70, step_before=-1)],
        faults=[FaultView(at=odd, file=HOSTILE, step=-5, seconds=odd, kind=HOSTILE, why=HOSTILE, skipped=(1, 2))],
        skipped=[SkippedExamples(file=HOSTILE, first=None, last=None, count=3, examples=(HOSTILE,))],
        recovery_median=odd,
        recovery_mean=odd,
        ettr=odd,
        counts={"done": 1, HOSTILE: 2},
    )
    assert Page(render_lineage_page(view)).names


def test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with queue_of(folder) as queue:
        trained(queue, "one.jsonl")
        trained(queue, HOSTILE, before=10, fault=True)
    write_events(folder / "out", steps=20)
    code, text = call("report", "--format", "json")
    assert code == 0
    shown = json.loads(text)
    assert [(each["number"], each["own_steps"], each["state"]) for each in shown["files"]] == [
        (1, 10, "done"),
        (2, 10, "done"),
    ]
    assert shown["files"][1]["name"] == HOSTILE
    assert shown["faults"][0]["survived"] is True
    assert (shown["steps"], shown["lost_steps"], shown["recoveries"]) == (27, 2, 1)
    assert shown["curves"]["loss"]["points"][0] == [1.0, 3.0]
    assert not (folder / "report.html").exists()
    assert call("report", "--format", "json", "-o", "out.json")[1] == "the report is in out.json\n"
    assert json.loads((folder / "out.json").read_text())["counts"] == {"done": 2}


def test_what_waits_for_a_person_comes_before_hundreds_of_files() -> None:
    files = [
        FileView(
            number=number, name=f"{number}.jsonl", state="failed" if number == 150 else "done", cause="DATA003 <b>"
        )
        for number in range(1, 301)
    ]
    text = render_lineage_page(LineageView(subject="out", made_at=0.0, files=files, counts={"done": 299, "failed": 1}))
    asking = text.partition("For a person to look at")[2].partition("<h2>Files</h2>")[0]
    assert asking.count('<th scope="row">') == 1
    assert '<th scope="row">150</th>' in asking
    assert "DATA003 &lt;b&gt;" in asking
    assert len(text) < 200_000


def test_a_curve_is_not_hidden_by_its_marks() -> None:
    curve = Curve()
    for step in range(3000):
        curve.add(step, 1.0)
    files = [FileView(number=n, name="x", state="done", step_before=10 * n, step=10 * n + 10) for n in range(300)]
    faults = [
        FaultView(at=0.0, file="x", step=10 * n, code=f"RUN{n:03}", seconds=None if n == 7 else 5.0) for n in range(300)
    ]
    view = LineageView(subject="out", made_at=0.0, files=files, faults=faults, curves={"loss": curve})
    (plot,) = re.findall(r"<figure>.*?</figure>", render_lineage_page(view), re.DOTALL)
    assert plot.count('<line class="mark onset"') == 12
    assert plot.count('<line class="mark') == 36
    assert plot.count('<line class="mark error"') == 1, "what was not survived is always shown"
    assert "RUN299" in plot
    assert "RUN100" not in plot


def test_for_a_keyboard_a_screen_reader_and_paper() -> None:
    file = FileView(number=1, name="x", state="held")
    text = render_lineage_page(
        LineageView(subject="out", made_at=0.0, files=[file], faults=[FaultView(at=0.0, file="x")])
    )
    regions = re.findall(r'<div class="table" role="region" aria-label="([^"]+)" tabindex="0">', text)
    assert regions == ["For a person to look at", "Files", "Faults"]
    assert text.count("<table>") == 3
    assert "@media screen and (prefers-color-scheme:dark)" in text, "dark ink is not printed on white paper"
