"""`trainguard data`: exit codes, refusals, and what it prints about real files."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from tests.cli.helpers import run_in_terminal

from trainguard.cli import main

CHAT = '{"messages": [{"role": "user", "content": "What is %d + %d?"}, {"role": "assistant", "content": "%d"}]}\n'
GOOD = "".join(CHAT % (n, n, 2 * n) for n in range(12))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples/data"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text(GOOD)
    (tmp_path / "broken.jsonl").write_text(GOOD + '{"messages": [\n')
    (tmp_path / "model").mkdir()
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, object]:
    main(["data", *args, "--isolated", "--report", "json"])
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


# -- refusals: exit code 2, one line that says what to do


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no data to look at: name a file or a folder of shards"),
        (["train.jsonl", "--tokenizer", "gone"], "--tokenizer gone: is no folder; give a local folder"),
        (["train.jsonl", "--tokenizer", "model"], "--tokenizer model: has no tokenizer.json"),
        (["train.jsonl", "--eval", "gone.jsonl"], "--eval gone.jsonl: is not there"),
        (["train.jsonl", "--max-length", "0"], "0 is not in the range x>=1"),
        (["train.jsonl", "--format", "tsv"], "'tsv' is not one of"),
        (["train.jsonl", "--report", "pdf"], "'pdf' is not one of"),
        (["train.jsonl", "--sample", "5", "--batch-size", "8"], "--batch-size compares with all rows"),
        (["train.jsonl", "broken.jsonl", "--fix", "out.jsonl"], "--fix out.jsonl writes one copy, but 2 files"),
        (["train.jsonl", "--select", "DATA999"], "--select: there is no rule 'DATA999'"),
        (["train.jsonl", "--output", "no/such/file.txt"], "--output no/such/file.txt: cannot be written"),
        (["train.jsonl", "--tokeniser", "x"], "there is no option --tokeniser; did you mean --tokenizer?"),
    ],
)
def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    assert main(["data", *args, *(["--isolated"] if args else [])]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


# -- exit codes


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["train.jsonl"], 0),
        (["broken.jsonl"], 1),
        (["train.jsonl", "broken.jsonl"], 1),
        (["broken.jsonl", "--fail-on", "never"], 0),
        (["broken.jsonl", "--ignore", "DATA002"], 0),
        (["gone.jsonl"], 2),
        (["gone.jsonl", "--fail-on", "never"], 2),
        (["model"], 2),
        (["train.jsonl", "--batch-size", "64"], 0),
        (["train.jsonl", "--batch-size", "64", "--fail-on", "warn"], 1),
    ],
)
def test_exit_codes(folder: Path, args: list[str], code: int) -> None:
    assert main(["data", *args, "--isolated"]) == code


# -- what it prints


def test_text_tells_what_the_data_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "train.jsonl", "--isolated", "--max-length", "512"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"train\.jsonl\n +12 rows · 1\.\d+ kB · JSON Lines · chat \(messages\)\n", out)
    assert re.search(r"^  Roles +assistant  12  ", out, re.MULTILINE)
    assert re.search(r"^  Messages +2  12  ", out, re.MULTILINE)
    assert "  Longer than  512: 0 %\n" in out
    assert "  max_length   512: no row is longer, by estimate\n" in out
    assert "  Duplicates   no row repeats another\n" in out
    assert out.endswith("Nothing found in 1 file.\n")


def test_json_holds_the_summary_and_the_findings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "broken.jsonl", "train.jsonl")
    broken, train = document["reports"]  # type: ignore[misc]
    assert broken["data"]["problems"] == {"malformed-json": 1}
    assert [each["code"] for each in broken["findings"]] == ["DATA002"]
    assert broken["findings"][0]["where"]["line"] == 13
    assert train["data"]["rows"] == 12
    assert train["data"]["roles"] == {"user": 12, "assistant": 12}
    assert train["data"]["turns"] == {"2": 12}
    assert train["findings"] == []


def test_html_goes_into_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "broken.jsonl", "--isolated", "--report", "html", "--output", "page.html"]) == 1
    assert capsys.readouterr().out == ""
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<svg ") == 4
    assert "DATA002" in page


def test_the_format_can_be_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train.data").write_text(GOOD)
    report = _json(capsys, "train.data", "--format", "jsonl")["reports"][0]  # type: ignore[index]
    assert report["data"]["files"][0]["format"] == "jsonl"
    assert report["data"]["rows"] == 12


def test_a_folder_of_shards_is_one_set_of_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shards").mkdir()
    (folder / "shards/1.jsonl").write_text(GOOD)
    (folder / "shards/2.jsonl.gz").write_bytes(gzip.compress(GOOD.replace("What", "How much").encode()))
    (report,) = _json(capsys, "shards")["reports"]  # type: ignore[misc]
    assert report["data"]["rows"] == 24
    assert [file["compression"] for file in report["data"]["files"]] == [None, "gzip"]


def test_evaluation_rows_in_the_training_data_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    (report,) = _json(capsys, str(EXAMPLES / "chat.jsonl"), "--eval", str(EXAMPLES / "eval.jsonl"))["reports"]  # type: ignore[misc]
    assert report["data"]["leak"]["exact"] == 1
    assert report["data"]["leak"]["eval_rows"] == 3
    assert [each["code"] for each in report["findings"]] == ["DATA016"]


# -- the repaired copy


def test_fix_writes_a_copy_says_what_it_did_and_looks_at_the_copy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (EXAMPLES / "sharegpt.jsonl").read_bytes()
    assert main(["data", str(EXAMPLES / "sharegpt.jsonl"), "--isolated", "--fix", "fixed.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("fixed.jsonl: 6 lines written, 6 of them changed: ")
    assert "fixed.jsonl.rejected.jsonl: 1 line left out of the copy: cut off (1)\n" in err
    assert out.startswith("fixed.jsonl\n               6 rows · ")
    assert out.endswith("Nothing found in 1 file.\n")
    assert (EXAMPLES / "sharegpt.jsonl").read_bytes() == before
    assert len((folder / "fixed.jsonl").read_text(encoding="utf-8").splitlines()) == 6
    assert json.loads((folder / "fixed.jsonl.rejected.jsonl").read_text(encoding="utf-8"))["line"] == 7


def test_fix_does_not_replace_what_is_there_unless_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fixed.jsonl").write_text("mine\n")
    assert main(["data", "broken.jsonl", "--isolated", "--fix", "fixed.jsonl"]) == 2
    assert "--fix fixed.jsonl: is there already" in capsys.readouterr().err
    assert (folder / "fixed.jsonl").read_text() == "mine\n"
    assert main(["data", "broken.jsonl", "--isolated", "--fix", "fixed.jsonl", "--overwrite"]) == 0
    assert (folder / "fixed.jsonl").read_text() == GOOD


@pytest.mark.parametrize("source", ["broken.jsonl", "link.jsonl", "gone.jsonl", "model"])
def test_fix_never_writes_over_its_source(folder: Path, source: str) -> None:
    (folder / "link.jsonl").symlink_to("broken.jsonl")
    before = (folder / "broken.jsonl").read_bytes()
    assert main(["data", source, "--isolated", "--fix", "broken.jsonl"]) == 2
    assert main(["data", source, "--isolated", "--fix", "broken.jsonl", "--overwrite"]) == 2
    assert (folder / "broken.jsonl").read_bytes() == before


def test_settings_switch_rules_off(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.trainguard]\nignore = ["DATA002"]\n')
    assert main(["data", "broken.jsonl"]) == 0
    assert main(["data", "broken.jsonl", "--isolated"]) == 1


# -- terminals


@pytest.mark.parametrize("columns", [50, 100])
def test_a_terminal_gets_colour_and_lines_that_fit(folder: Path, columns: int) -> None:
    code, out = run_in_terminal("data", str(folder / "train.jsonl"), "--isolated", columns=columns)
    assert code == 0
    assert "\x1b[36m█" in out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert max(len(line) for line in plain.splitlines() if str(folder) not in line) <= columns


def test_a_terminal_that_asks_for_no_colour_gets_none(folder: Path) -> None:
    _, out = run_in_terminal("data", str(folder / "train.jsonl"), "--isolated", columns=80, env={"NO_COLOR": "1"})
    assert "\x1b[" not in out


def test_a_terminal_without_unicode_gets_ascii(folder: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii"}
    _, out = run_in_terminal("data", str(folder / "train.jsonl"), "--isolated", columns=80, env=env)
    assert "####" in out
    assert "\\u25" not in out


def test_a_page_is_not_thrown_at_a_terminal(folder: Path) -> None:
    code, out = run_in_terminal("data", str(folder / "train.jsonl"), "--report", "html", columns=80)
    assert code == 2
    assert "name a file with --output FILE.html" in out


# -- the files of the README


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("chat.jsonl", set()),
        ("preferences.jsonl", set()),
        ("shards", set()),
        ("sharegpt.jsonl", {"DATA002", "DATA005"}),
        (
            "chat_broken.jsonl",
            {"DATA002", "DATA003", "DATA004", "DATA005", "DATA006", "DATA007", "DATA010", "DATA011", "DATA012",
             "DATA015", "DATA017"},
        ),
    ],
)  # fmt: skip
def test_examples_are_as_their_page_says(capsys: pytest.CaptureFixture[str], name: str, codes: set[str]) -> None:
    (report,) = _json(capsys, str(EXAMPLES / name))["reports"]  # type: ignore[misc]
    assert {each["code"] for each in report["findings"]} == codes
    row = next(line for line in (EXAMPLES / "README.md").read_text().splitlines() if f"[{name}]" in line)
    assert set(re.findall(r"DATA\d+", row)) == codes
