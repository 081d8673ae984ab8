"""`trainguard check`: exit codes, inputs and refusals."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from trainguard.cli import main

TRAINS = """\
from trl import SFTConfig, SFTTrainer

trainer = SFTTrainer(model="Qwen/Qwen3-0.6B", args=SFTConfig(output_dir="out"), train_dataset=data)
trainer.train()
trainer.save_model("out")
"""
CLEAN = "print('hello')\n"
TOKEN = "hf_" + "qWeRtYuIoPaSdFgHjKlZxCvBnMqWeRtYuI"
QUICK = ["--no-python-engine", "--isolated"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAINS)
    (tmp_path / "clean.py").write_text(CLEAN)
    (tmp_path / "job.json").write_text(json.dumps({"script": "train.py", "flavor": "a10g-large"}))
    return tmp_path


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def _codes(out: str) -> set[str]:
    return {finding["code"] for report in json.loads(out)["reports"] for finding in report["findings"]}


# -- refusals: exit code 2, one line that says what to do


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to check: name a script"),
        (["--flavor", "a10g-large"], "the options describe a job, but no script is named"),
        (["-", "--job", "-"], "stdin cannot be both"),
        (["--job", "gone.json"], "--job gone.json: cannot be read: No such file or directory"),
        (["--job", "bad.json"], "--job bad.json: line 1 column 9: Expecting property name"),
        (["--job", "text.json"], "--job text.json: expected the arguments of a job as a JSON object"),
        (["--job", "latin.json"], "--job latin.json: is not UTF-8"),
        (["--job", "deep.json"], "--job deep.json: is not usable JSON"),
        (["--job", "two.json", "train.py"], "--job two.json holds several jobs"),
        (["--job", "docker.json", "train.py"], "--job docker.json has a command of its own"),
        (["train.py", "--env", "=1"], "--env '=1' has no name"),
        (["train.py", "--select", "JOB0022"], "--select: there is no rule 'JOB0022'; did you mean JOB0"),
        (["train.py", "--ignore", "E501"], "--ignore: there is no rule 'E501'"),
        (["train.py", "--config", "gone.toml"], "gone.toml: cannot be read"),
        (
            ["train.py", "--config", "bad.toml"],
            "bad.toml: [tool.trainguard] has no key 'ignroe'; did you mean 'ignore'?",
        ),
        (["train.py", "--config", "code.toml"], "code.toml: [tool.trainguard] ignore: there is no rule 'JOB0022'"),
        (["train.py", "--format", "xml"], "'xml' is not one of"),
        (["train.py", "--fail-on", "warning"], "'warning' is not one of"),
        (["train.py", "--flavour", "x"], "there is no option --flavour; did you mean --flavor?"),
        (["train.py", "--output", "no/such/folder.txt"], "--output no/such/folder.txt: cannot be written"),
    ],
)
def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    (folder / "bad.json").write_text('{"a": 1,}')
    (folder / "text.json").write_text('"text"')
    (folder / "latin.json").write_bytes(b'{"a": "\xe9"}')
    (folder / "deep.json").write_text("[" * 200_000)
    (folder / "two.json").write_text("[{}, {}]")
    (folder / "docker.json").write_text('{"command": ["python", "train.py"]}')
    (folder / "bad.toml").write_text("[tool.trainguard]\nignroe = []\n")
    (folder / "code.toml").write_text("[tool.trainguard]\nignore = ['JOB0022']\n")
    assert main(["check", *args]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err


def test_a_path_that_is_missing_does_not_hide_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "gone.py", "train.py", "--flavor", "a10g-large", *QUICK]) == 2
    captured = capsys.readouterr()
    assert "gone.py cannot be read" in captured.out
    assert "train.py:4:1 warn JOB002 default-timeout" in captured.out
    assert captured.err.count("gone.py") == 1


def test_a_script_on_stdin_that_is_not_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(monkeypatch, b"\xff\xfe\x00")
    assert main(["check", "-", *QUICK]) == 2


# -- exit codes


def test_clean_is_0(folder: Path) -> None:
    assert main(["check", "clean.py", *QUICK]) == 0


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warn", 1), ("info", 1), ("never", 0)])
def test_fail_on(folder: Path, fail_on: str, code: int) -> None:
    args = ["check", "train.py", "--flavor", "a10g-large", "--select", "JOB002", "--fail-on", fail_on]
    assert main([*args, *QUICK]) == code


# -- what is asked


def test_without_a_job_it_says_what_was_not_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "train.py", *QUICK])
    out = capsys.readouterr().out
    assert "Not asked: JOB" in out
    assert "add --flavor, --timeout, --with or --job FILE" in out


@pytest.mark.parametrize(
    "flags",
    [
        ["--flavor", "a10g-large"],
        ["--with", "trl"],
        ["--env", "A=1"],
        ["--env", "A"],
        ["--secret", "HF_TOKEN"],
        ["--image", "python:3.12"],
        ["--python", "3.12"],
        ["--script-arg", "--lr"],
    ],
)
def test_each_flag_makes_a_job(folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    main(["check", "train.py", *flags, "--format", "json", "--select", "JOB002", *QUICK])
    assert _codes(capsys.readouterr().out) == {"JOB002"}


def test_a_timeout_that_cannot_be_read_is_a_finding_not_a_usage_error(folder: Path) -> None:
    assert main(["check", "train.py", "--timeout", "2 hours", *QUICK]) in (0, 1)


@pytest.mark.parametrize("args", [["job.json"], ["--job", "job.json"], ["train.py", "--job", "job.json"]])
def test_a_job_file_in_every_position(folder: Path, capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    main(["check", *args, "--format", "json", "--select", "JOB002", *QUICK])
    assert _codes(capsys.readouterr().out) == {"JOB002"}


def test_flags_win_over_the_job_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--job", "job.json", "--timeout", "4h", "--format", "json", "--select", "JOB002", *QUICK])
    assert _codes(capsys.readouterr().out) == set()


def test_a_job_on_stdin(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(monkeypatch, json.dumps([{"script": TRAINS}, {"script": CLEAN}]).encode())
    main(["check", "--job", "-", "--format", "json", "--select", "JOB002", *QUICK])
    reports = json.loads(capsys.readouterr().out)["reports"]
    assert [len(report["findings"]) for report in reports] == [1, 0]


def test_a_script_on_stdin(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(monkeypatch, TRAINS.encode())
    main(["check", "-", "--flavor", "a10g-large", "--select", "JOB002", *QUICK])
    out = capsys.readouterr().out
    assert out.startswith("<stdin>:4:1 warn JOB002 default-timeout\n   4 | trainer.train()\n     | ^")


def test_a_notebook_on_stdin(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"cell_type": "code", "source": TRAINS, "metadata": {}, "outputs": [], "execution_count": None}
    _stdin(monkeypatch, json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode())
    main(["check", "-", "--flavor", "a10g-large", "--select", "JOB002", *QUICK])
    assert "<stdin>:cell 1:4:1 warn JOB002" in capsys.readouterr().out


def test_options_may_stand_between_paths(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "clean.py", "--flavor", "a10g-large", "train.py", "--format", "json", *QUICK])
    assert len(json.loads(capsys.readouterr().out)["reports"]) == 2


def test_settings_are_found_and_flags_win(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pyproject.toml").write_text(
        "[tool.trainguard]\nfail-on = 'warn'\nselect = ['JOB002']\npython-engine = false\n"
        "[tool.trainguard.severity]\nJOB002 = 'error'\n[tool.trainguard.job]\nflavor = 'a10g-large'\n"
    )
    assert main(["check", "train.py"]) == 1
    assert "train.py:4:1 error JOB002" in capsys.readouterr().out
    assert main(["check", "train.py", "--timeout", "4h"]) == 0
    assert main(["check", "train.py", "--fail-on", "never"]) == 0
    assert main(["check", "train.py", "--ignore", "JOB002"]) == 0
    assert main(["check", "train.py", "--isolated", "--no-python-engine"]) == 0


# -- output


def test_output_goes_to_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "train.py", "--format", "sarif", "--output", "out.sarif", *QUICK])
    assert capsys.readouterr().out == ""
    assert json.loads((folder / "out.sarif").read_text())["version"] == "2.1.0"


def test_sarif_describes_the_rules(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "clean.py", "--format", "sarif", *QUICK])
    rules = json.loads(capsys.readouterr().out)["runs"][0]["tool"]["driver"]["rules"]
    by_code = {rule["id"]: rule for rule in rules}
    assert by_code["JOB002"]["defaultConfiguration"] == {"level": "warning"}
    assert "## Why it costs you" in by_code["JOB002"]["help"]["markdown"]


@pytest.mark.parametrize("name", ["text", "json", "sarif", "github", "markdown"])
def test_a_token_in_a_script_is_never_printed(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (folder / "leak.py").write_text(f'login(token="{TOKEN}")\n')
    main(["check", "leak.py", "--flavor", "a10g-large", "--env", f"TOKEN={TOKEN}", "--format", name, *QUICK])
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err
    assert TOKEN[8:] not in captured.out + captured.err
