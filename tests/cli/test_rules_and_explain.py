"""`trainguard rules` and `trainguard explain`."""

from __future__ import annotations

import json

import pytest

from trainguard.cli import main
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
