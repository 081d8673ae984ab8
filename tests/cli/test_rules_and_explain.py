"""`trainguard rules` and `trainguard explain`."""

from __future__ import annotations

import json

import pytest

from trainguard.cli import main
from trainguard.cli.other_codes import other_codes, other_page
from trainguard.rules.registry import discover


def test_unknown_codes_are_told_and_the_known_still_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "JOB0022", "JOB002"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("# JOB002 default-timeout")
    assert "there is no rule 'JOB0022'; did you mean JOB0" in captured.err


def test_the_beginning_of_codes_is_not_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "JOB"]) == 2
    assert "is the beginning of several codes" in capsys.readouterr().err


def test_explain_needs_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 2
    assert "CODE" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["JOB002", "job002", "default-timeout"])
def test_a_page_has_sections_and_real_findings(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["explain", word]) == 0
    page = capsys.readouterr().out
    for heading in ("What it does", "Why it costs you", "Use instead", "What it finds", "What it leaves alone"):
        assert f"## {heading}\n" in page
    assert "train.py:3:1 warn JOB002 default-timeout\n   3 | trainer.train()\n     | ^" in page


@pytest.mark.parametrize(
    ("word", "beginning", "words"),
    [
        ("RUN003", "# RUN003 divergence\n\n**divergence** · warn · all methods", "**What to do.**"),
        ("loss-nan", "# RUN001 loss-nan", "| threshold |"),
        ("run010", "# RUN010 gpu-oom\n\n**gpu-oom** · error · not seen in metrics", "told from the exception"),
        ("QUEUE003", "# QUEUE003 duplicate-name", "`trainguard queue release` trains it"),
        ("SYS014", "# SYS014 unreaped-children", "killed and reaped"),
        ("unreaped-children", "# SYS014", "killed and reaped"),
    ],
)
def test_codes_that_no_rule_says(capsys: pytest.CaptureFixture[str], word: str, beginning: str, words: str) -> None:
    assert main(["explain", word]) == 0
    page = capsys.readouterr().out
    assert page.startswith(beginning)
    assert words in page


def test_every_code_that_can_be_said_has_a_page() -> None:
    for code, (name, _) in other_codes().items():
        page = other_page(code)
        assert page.startswith(f"# {code} {name}\n")
        assert len(page) > 60, code
    assert not other_codes().keys() & discover().by_code().keys()


def test_a_misspelt_code_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "RUN0033", "QUEUE"]) == 2
    said = capsys.readouterr().err
    assert "did you mean RUN003?" in said
    assert "'QUEUE' is the beginning of several codes" in said


def test_several_pages_and_no_page_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "JOB002", "JOB005", "JOB002"]) == 0
    assert capsys.readouterr().out.count("\n## Why it costs you") == 2


def test_colour_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "JOB002", "--color", "always"])
    assert "\x1b[" in capsys.readouterr().out


def test_an_area_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--area", "jobs"]) == 2
    assert "--area 'jobs' does not exist; it may be api, checkpoint, config, data, job" in capsys.readouterr().err


def test_nothing_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "no-such-words-at-all"]) == 0
    assert capsys.readouterr().out == "No rule matches.\n"


def test_the_table_has_every_rule_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [rule.code for rule in discover().rules]


def test_filters_work_together(capsys: pytest.CaptureFixture[str]) -> None:
    main(["rules", "timeout", "--area", "job", "--severity", "warn", "--format", "json"])
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert "JOB002" in [rule["code"] for rule in rules]
    assert {rule["severity"] for rule in rules} == {"warn"}
    assert all(rule.keys() == {"code", "name", "severity", "area", "summary"} for rule in rules)
