"""What each format promises, on reports that were made to break it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.samples import EVERYTHING, HOSTILE, finding, report

from trainguard.findings import SEVERITIES, Finding, Location, Report
from trainguard.report import FORMATS, render
from trainguard.report.rule_page import RuleInfo
from trainguard.report.sarif import render_sarif
from trainguard.report.summary import compressed

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of text, json"):
        render([], "xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_lets_control_characters_or_tokens_through(name: str) -> None:
    text = render(EVERYTHING, name)  # type: ignore[arg-type]
    assert all(char == "\n" or char.isprintable() for char in text)
    assert TOKEN not in text
    assert render(EVERYTHING, name) == text  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
def test_no_reports_at_all(name: str) -> None:
    assert isinstance(render([], name), str)  # type: ignore[arg-type]


# -- text


def test_text_shows_place_line_caret_reason_and_fix() -> None:
    assert render([report(finding())]) == (
        "src/train.py:3:1 warn JOB002 default-timeout\n"
        "   3 | trainer.train()\n"
        "     | ^^^^^^^\n"
        "  the job is killed\n"
        "  fix: set timeout to 4h\n"
        "\n"
        "1 warning in 1 file.\n"
    )


def test_text_tells_what_was_not_asked_and_how_to_ask_it() -> None:
    text = render(EVERYTHING)
    assert "Not asked: JOB003-JOB005 need a job (add --flavor, --timeout, --with or --job FILE)." in text
    assert "JOB018" not in text


def test_text_names_unreadable_files_and_broken_rules_once() -> None:
    text = render(EVERYTHING)
    assert "/abs/gone.py cannot be read\n  No such file or directory\n" in text
    assert "trainguard.rules.job.broken: ZeroDivisionError: x" in text
    assert "1 file could not be read. 1 rule failed inside trainguard" in text


def test_text_for_a_terminal_is_wrapped_and_text_for_a_pipe_is_not() -> None:
    long = finding(None, "word " * 60)
    assert max(map(len, render([report(long)], width=60).splitlines())) <= 60
    assert max(map(len, render([report(long)]).splitlines())) > 300


def test_colour_changes_nothing_but_colour() -> None:
    colored = render(EVERYTHING, color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(EVERYTHING)


def test_an_empty_folder_is_said_to_be_empty() -> None:
    assert render([]).startswith("There is nothing to check: folders are searched for scripts")


def test_ranges_of_codes() -> None:
    assert (
        compressed(["JOB010", "JOB001", "JOB002", "JOB009", "JOB011", "PY001"])
        == "JOB001, JOB002, JOB009-JOB011, PY001"
    )


# -- json


def test_json_is_strict_ascii_and_round_trips() -> None:
    reports = [report(finding(), finding(None), Finding("info", HOSTILE))]
    text = render(reports, "json")
    assert text.isascii()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["version"] == 1
    assert tuple(Finding.from_dict(each) for each in document["reports"][0]["findings"]) == reports[0].findings


def test_json_has_the_fields_that_its_page_documents() -> None:
    document = json.loads(render(EVERYTHING, "json"))
    assert document.keys() == {"version", "reports", "summary"}
    assert document["reports"][0].keys() == {"subject", "findings", "errors", "not_asked", "notes", "unreadable"}
    assert document["summary"] == {
        "subjects": 3, "errors": 1, "warnings": 5, "infos": 1, "unreadable": 1, "internal_errors": 1
    }  # fmt: skip
    assert document["reports"][0]["findings"][4]["evidence"] == {"ratio": "nan", "sizes": [1, 2], "limit": "inf"}


# -- github


def test_github_escapes_as_its_documentation_says() -> None:
    place = Location("a,b:c%.py", 1, 2, 1, 5)
    line = render([Report(subject="x", findings=(Finding("error", "50%\nof it", where=place),))], "github")
    assert line == ("::error file=a%2Cb%3Ac%25.py,line=1,endLine=1,col=2,endColumn=5,title=trainguard::50%25%0Aof it\n")


def test_github_text_of_a_script_cannot_start_a_command() -> None:
    lines = render(EVERYTHING, "github").splitlines()
    assert len(lines) == 9
    assert all(re.match(r"::(error|warning|notice) ", line) for line in lines)


def test_github_gives_no_columns_over_several_lines_and_no_lines_of_cells() -> None:
    several = render([report(Finding("info", "m", where=Location("a.py", 1, 2, 3, 4)))], "github")
    assert several == "::notice file=a.py,line=1,endLine=3,title=trainguard::m\n"
    cell = render([report(Finding("info", "m", where=Location("a.ipynb", 1, 2, 1, 4, 5)))], "github")
    assert cell == "::notice file=a.ipynb,title=trainguard::a.ipynb:cell 5:1:2: m\n"
    carried = render([report(Finding("info", "m", where=Location("job.json[3]:script", 2, 1)))], "github")
    assert carried == "::notice file=job.json,title=trainguard::job.json[3]:script:2:1: m\n"


# -- markdown


def test_markdown_table_keeps_its_shape_and_mentions_nobody() -> None:
    text = render(EVERYTHING, "markdown")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    assert len(rows) == 9
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert "@everyone" not in text
    assert re.search(r"(?<!\\)<b", text.replace("<br>", "")) is None
    assert re.search(r"(?<!\\)`", text) is None


# -- sarif


def _sarif(reports: list[Report]) -> dict[str, object]:
    run: dict[str, object] = json.loads(render(reports, "sarif"))["runs"][0]
    return run


def _fingerprints(reports: list[Report]) -> list[str]:
    return [result["partialFingerprints"]["trainguardFinding/v1"] for result in _sarif(reports)["results"]]  # type: ignore[attr-defined]


def test_sarif_places_are_relative_encoded_and_counted_in_code_points() -> None:
    run = _sarif(EVERYTHING)
    assert run["columnKind"] == "unicodeCodePoints"
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]  # type: ignore[attr-defined]
    assert places[0] == {
        "artifactLocation": {"uri": "src/train.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 8},
    }
    assert places[3]["artifactLocation"]["uri"] == "dir%20with%20space/%C3%A9%23%3F.py"
    assert places[5]["region"] == {"startLine": 1}
    assert places[6]["artifactLocation"]["uri"] == "job.json"


def test_sarif_says_when_the_run_was_not_whole() -> None:
    invocation = _sarif(EVERYTHING)["invocations"][0]  # type: ignore[index]
    assert invocation["executionSuccessful"] is False
    uris = [
        each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for each in invocation["toolExecutionNotifications"]
    ]
    assert uris == ["src/train.py", "file:///abs/gone.py"]
    assert _sarif([report(finding())])["invocations"] == [{"executionSuccessful": True}]


def test_sarif_fingerprints_survive_lines_above_and_tell_twins_apart() -> None:
    moved = report(
        finding(5), finding(6), sources={("src/train.py", None): "\n\n\n\ntrainer.train()\ntrainer.train()\n"}
    )
    first, second = _fingerprints([moved])
    assert first != second
    assert _fingerprints([report(finding(3))]) == [first]
    assert _fingerprints([report(finding(None, "a 1"))]) == _fingerprints([report(finding(None, "a 2"))])


def test_sarif_describes_all_rules_and_every_result_points_at_its_own() -> None:
    rule = RuleInfo(code="JOB001", name="model-not-saved", severity="error", area="job", summary="s", page="# p")
    run = json.loads(render_sarif(EVERYTHING, rules=[rule], version="1.2"))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == ["JOB001", "JOB002", "JOB012", "trainguard"]
    assert rules[0]["name"] == "ModelNotSaved"
    assert rules[0]["defaultConfiguration"] == {"level": "error"}
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])


# -- any text at all

_TEXT = st.text(max_size=40)
_NUMBER = st.none() | st.integers(-1, 50)
_FINDINGS = st.builds(
    Finding,
    severity=st.sampled_from(SEVERITIES),
    message=_TEXT,
    code=st.none() | _TEXT,
    name=st.none() | _TEXT,
    fix=st.none() | _TEXT,
    where=st.none() | st.builds(Location, st.none() | _TEXT, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER),
    evidence=st.dictionaries(_TEXT, st.none() | st.floats() | st.lists(_TEXT, max_size=2), max_size=2),
)


@given(st.lists(_FINDINGS, max_size=3), _TEXT, st.text(max_size=200), st.none() | st.integers(1, 200))
def test_any_finding_can_be_shown(findings: list[Finding], subject: str, source: str, width: int | None) -> None:
    places = {(f.where.path, f.where.cell): source for f in findings if f.where is not None}
    shown = report(*findings, subject=subject, sources=places)
    for name in FORMATS:
        text = render([shown], name, width=width)
        assert all(char == "\n" or char.isprintable() for char in text)
    assert len(render([shown], "github").splitlines()) == len(findings)
    assert len(json.loads(render([shown], "sarif"))["runs"][0]["results"]) == len(findings)
