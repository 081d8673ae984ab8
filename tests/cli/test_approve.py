"""`trainguard approve`: the summary, the worst cost, the question and its answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.helpers import run, run_in_terminal
from tests.cli.test_check import TOKEN, TRAINS

from trainguard.cli import main
from trainguard.cli.job_summary import duration_text, render_summary, summarize, worst_cost_usd
from trainguard.facts.job import read_job


def _shown(**arguments: object) -> str:
    return render_summary(summarize(read_job(arguments)), "job.json")


def _job(folder: Path, **arguments: object) -> str:
    path = folder / "job.json"
    path.write_text(json.dumps({"script": TRAINS, "hardware_flavor": "a10g-large", "timeout": "90m", **arguments}))
    return str(path)


# -- the worst cost


@pytest.mark.parametrize(
    ("price", "seconds", "dollars"),
    [
        (None, 3600, None),
        (1.5, None, None),
        (1.5, 0, None),
        (1.5, -60, None),
        (1.5, 5400, 2.25),
        (1.0, 61, 0.04),  # two minutes begun
        (0.01, 1800, 0.01),  # half a cent
        (40.0, 86400, 960.0),
    ],
)
def test_worst_cost(price: float | None, seconds: float | None, dollars: float | None) -> None:
    assert worst_cost_usd(price, seconds) == dollars


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"flavor": "no-such"}, "worst cost  unknown: the flavor's price is not known"),
        ({"flavor": 3}, "hardware    unknown: the flavor is not a text"),
        ({"timeout": "2 hours"}, "worst cost  unknown: the timeout gives no time"),
        ({"timeout": "0h"}, "worst cost  unknown: the timeout gives no time"),
        (
            {"schedule": "@daily", "flavor": "l4x1"},
            "worst cost  $0.40 per run (30 min at $0.80/h",
        ),
        ({}, "hardware    cpu-basic, the default"),
        ({}, "timeout     30 min, the default"),
        ({"flavor": "l4x4"}, "hardware    l4x4 (4 x L4 24 GB, 186 GB RAM, $3.80/h)"),
        ({"local": True}, "worst cost  nothing is rented"),
        ({"operation": "logs"}, "operation   logs (starts no job: nothing to check)"),
        ({}, "runs        nothing: neither script nor command is given"),
        ({"dependencies": ["trl>=0.20", "peft"]}, "packages    trl>=0.20, peft"),
        ({"script": TRAINS, "script_args": ["--lr", "1 2"]}, "runs        an inline script of 5 lines --lr '1 2'"),
        ({"command": ["python", "a b.py"]}, "runs        python 'a b.py'"),
    ],
)
def test_lines_of_the_summary(arguments: dict[str, object], line: str) -> None:
    assert f"  {line}" in _shown(**arguments)


def test_secrets_appear_by_name_only_and_tokens_not_at_all() -> None:
    shown = _shown(
        command=f"HF_TOKEN={TOKEN} python train.py", secrets={"HF_TOKEN": TOKEN}, env={"KEY": TOKEN}, image="a\x1b[2Jb"
    )
    assert TOKEN[8:] not in shown
    assert "secrets     HF_TOKEN" in shown
    assert "env         KEY" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (45, "45 s"), (5400, "1 h 30 min"), (86400, "1 d"), (93784, "1 d 2 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


# -- the answer


def test_a_job_file_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approve"]) == 2
    assert main(["approve", "--job", str(tmp_path / "gone.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_where_nobody_can_be_asked_it_declines_and_says_so(tmp_path: Path) -> None:
    done = run("approve", "--job", _job(tmp_path), stdin="y\n")
    assert done.returncode == 1
    assert "declined: stdin is not a terminal, so nobody can be asked; --yes approves" in done.stderr
    assert "worst cost  $2.25" in done.stdout


def test_yes_approves_and_prints_all_the_same(tmp_path: Path) -> None:
    done = run("approve", "--job", _job(tmp_path, timeout=None), "--yes")
    assert done.returncode == 0
    assert "worst cost  $0.75" in done.stdout
    assert "warn JOB002 default-timeout" in done.stdout


@pytest.mark.parametrize(
    ("typed", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("yup\n", 1), ("\x04", 1)]
)
def test_a_terminal_is_asked(tmp_path: Path, typed: str, code: int) -> None:
    returned, output = run_in_terminal("approve", "--job", _job(tmp_path), columns=80, typed=typed)
    assert returned == code
    assert "Submit this for at most $2.25? [y/N]" in output


def test_json_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approve", "--job", _job(tmp_path), "--yes", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"version", "approved", "reason", "jobs", "reports", "summary"}
    assert document["approved"] is True
    assert document["jobs"][0]["worst_cost_usd"] == 2.25


def test_several_jobs_have_a_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "jobs.json"
    job = {"script": TRAINS, "hardware_flavor": "a10g-large", "timeout": "90m"}
    path.write_text(json.dumps([job, job, {**job, "hardware_flavor": "no-such"}]))
    assert main(["approve", "--job", str(path), "--yes"]) == 0
    out = capsys.readouterr().out
    assert "job 2 of 3" in out
    assert "3 jobs, together at worst $4.50 and what is unknown" in out


def test_the_scripts_own_block_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = '# /// script\n# dependencies = ["trl"]\n# [tool.hf-jobs]\n# flavor = "l4x1"\n# ///\n'
    (tmp_path / "train.py").write_text(block + TRAINS)
    (tmp_path / "job.json").write_text('{"script": "train.py", "timeout": "1h"}')
    main(["approve", "--job", str(tmp_path / "job.json"), "--yes"])
    out = capsys.readouterr().out
    assert "packages    trl\n" in out
    assert "worst cost  $0.80" in out
