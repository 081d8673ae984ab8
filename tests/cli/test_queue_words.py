"""Words that are misspelt, several files at once, and what is said of each."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.cli.helpers import run_in_terminal
from tests.daemon.history import HOSTILE, accepted, taken, trained

from trainguard.cli.queue_choices import PRIORITIES, STATES, nearest
from trainguard.errors import UsageError
from trainguard.queue import records


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_words_are_those_of_the_queue() -> None:
    assert set(STATES) == set(records.STATES)
    assert tuple(PRIORITIES) == tuple(records.PRIORITIES)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("hold", "held"), ("DONE", "done"), ("quarantine", "quarantined"), ("running", "training"), ("xyzzy", None)],
)
def test_the_state_that_was_meant(word: str, meant: str | None) -> None:
    assert nearest(word, STATES) == meant


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("queue", "list", "--state", "hold"), "'held'"),
        (("queue", "list", "--format", "jsn"), "'json'"),
        (("queue", "move", "1", "--priority", "urgent"), "'high'"),
        (("status", "--format", "jason"), "'json'"),
        (("log", "1", "--format", "JSON"), "'json'"),
        (("report", "--format", "htm"), "'html'"),
    ],
)
def test_a_misspelt_word_is_said(folder: Path, arguments: tuple[str, ...], meant: str) -> None:
    with pytest.raises(click.BadParameter, match=f"Did you mean {meant}"):
        call(*arguments)


def test_several_files_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with queue_of(folder) as queue:
        for name in ("a.jsonl", "b.jsonl", HOSTILE):
            accepted(queue, name)
    code, text = call("queue", "hold", "1", "b.jsonl", "2")
    assert code == 0
    assert text == "file 1 a.jsonl is held\nfile 2 b.jsonl is held\n", "each once"
    assert call("queue", "hold", "1")[1] == "file 1 a.jsonl was held before; nothing was changed\n"
    code, text = call("queue", "release", "1", "3", "2")
    assert code == 2, "one was not held"
    assert text == "file 1 a.jsonl is accepted\nfile 2 b.jsonl is accepted\n", "the others are released"
    said = capsys.readouterr().err
    assert "is accepted, not held" in said
    assert "\x1b" not in said
    with pytest.raises(UsageError, match="there is no file 9"):
        call("queue", "cancel", "1", "9")
    with queue_of(folder) as queue:
        assert queue.counts()["failed"] == 0, "where one is not there, nothing is changed"
    assert call("queue", "cancel", "1", "2")[0] == 0
    assert call("queue", "retry", "1", "2")[1] == "file 1 a.jsonl is accepted\nfile 2 b.jsonl is accepted\n"


def test_a_move_says_where_to(folder: Path) -> None:
    with queue_of(folder) as queue:
        for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
            accepted(queue, name)
        queue.hold(2, "labels")
    assert call("queue", "move", "3", "--first")[1] == (
        "file 3 c.jsonl is accepted, priority normal; number 1 of 2 that wait\n"
    )
    assert "it stays held until `trainguard queue release`" in call("queue", "move", "2", "--priority", "low")[1]


def test_what_is_done_has_no_priority_any_more(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "a.jsonl")
        queue.cancel(accepted(queue, "b.jsonl").id, "no")
    with pytest.raises(UsageError, match="is done and is not trained again"):
        call("queue", "move", "1", "--priority", "high")
    assert call("queue", "move", "2", "--priority", "high")[1] == "file 2 b.jsonl is failed, priority high\n"
    with queue_of(folder) as queue:
        assert [each.kind for each in queue.events(file_id=1)].count("priority") == 0


def test_where_a_file_came_from_is_in_words(folder: Path) -> None:
    with queue_of(folder) as queue:
        queue.accept("day.jsonl", "a" * 64, 5, "inbox:high/d@y.jsonl@65024:4909791:4380:17:18")
        queue.accept("more.jsonl", "b" * 64, 5, "add:0123456789abcdef:more.jsonl")
        queue.accept("odd.jsonl", "c" * 64, 5, "take:x/odd.jsonl")
    assert "came from    the inbox, as high/d@y.jsonl\n" in call("queue", "show", "1")[1]
    assert "came from    trainguard queue add more.jsonl\n" in call("queue", "show", "2")[1]
    assert "came from    take:x/odd.jsonl\n" in call("queue", "show", "3")[1]


@pytest.mark.parametrize("columns", [40, 80])
def test_a_narrow_terminal_shows_all_that_a_wide_one_does(folder: Path, columns: int) -> None:
    with queue_of(folder) as queue:
        trained(queue, "monday.jsonl")
        accepted(queue, f"{'日本語' * 5}.jsonl")
        accepted(queue, HOSTILE)
        queue.cancel(3, "DATA003 no example to train on; rename the keys")
        queue.move_to(taken(queue), "quarantined", cause="RUN001")
    code, text = run_in_terminal("queue", "list", "--all", "--color", "never", columns=columns)
    assert code == 0
    assert "\x1b" not in text
    for words in ("monday.jsonl", "quarantined", "failed", "DATA003 no example", "<script>"):
        assert words in text
    from trainguard.report.snippet import cell_count

    assert max(cell_count(line.rstrip("\r")) for line in text.split("\n")) <= columns
