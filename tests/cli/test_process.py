"""The command line as a process: streams, terminals, signals, crashes, and what is loaded."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.helpers import PACKAGE, environment, run, run_in_terminal
from tests.cli.test_check import CLEAN, QUICK, TRAINS

ESCAPE = "\x1b["


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(TRAINS)
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may break; its folder is to be put on the path."""
    root = tmp_path / "copy"
    shutil.copytree(PACKAGE, root / "trainguard", ignore=shutil.ignore_patterns("__pycache__"))
    return root


# -- what breaks inside


@pytest.mark.parametrize("content", ["def broken(:\n", "import no_such_module\n", "x = 1\n"])
def test_a_broken_rule_file_is_named_and_the_others_report(copy: Path, script: Path, content: str) -> None:
    (copy / "trainguard/rules/job/broken_on_purpose.py").write_text(content)
    done = run("check", str(script), "--flavor", "a10g-large", "--select", "JOB002", *QUICK, root=copy)
    assert done.returncode == 3
    assert "trainguard.rules.job.broken_on_purpose" in done.stderr
    assert "warn JOB002 default-timeout" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_rule_that_raises_is_named_and_the_others_report(copy: Path, script: Path) -> None:
    rule = copy / "trainguard/rules/job/default_timeout.py"
    rule.write_text(re.sub(r"(def check\(.*\n)", r"\1        1 / 0\n", rule.read_text()))
    done = run("check", str(script), "--flavor", "a10g-large", "--select", "JOB", *QUICK, root=copy)
    assert done.returncode == 3
    assert "default_timeout failed inside trainguard: JOB002 failed: ZeroDivisionError" in done.stderr
    assert "JOB005 trackio-not-configured" in done.stdout


def test_a_crash_is_one_line_and_the_traceback_is_for_the_asking(copy: Path, script: Path) -> None:
    (copy / "trainguard/report/text.py").write_text("raise RuntimeError('first line\\nsecond line')\n")
    done = run("check", str(script), root=copy)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "RuntimeError: first line" in done.stderr
    assert "TRAINGUARD_TRACEBACK=1" in done.stderr
    asked = run("check", str(script), root=copy, env={"TRAINGUARD_TRACEBACK": "1"})
    assert "Traceback (most recent call last)" in asked.stderr


# -- what is loaded


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (
            "import trainguard",
            {"rich", "click", "typer", "torch", "transformers", "libcst", "trainguard.check"},
        ),
        ("from trainguard import run_preflight_checks", {"rich", "click", "typer", "torch", "transformers"}),
        ("import trainguard.cli.app", {"rich", "typer", "torch", "trainguard.check", "trainguard.rules.registry"}),
    ],
)
def test_imports_load_no_more_than_they_need(code: str, unwanted: set[str]) -> None:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env=environment(), encoding="utf-8"
    )
    assert unwanted & set(done.stdout.split()) == set()


def test_a_check_loads_neither_rich_nor_torch(script: Path) -> None:
    program = (
        "import sys\nfrom trainguard.cli import main\n"
        f"main(['check', {str(script)!r}, '--flavor', 'a10g-large', '--isolated'])\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env=environment(), encoding="utf-8"
    )
    assert {"rich", "torch", "transformers", "trl"} & set(done.stdout.split()) == set()


# -- streams and terminals


def test_a_pipe_gets_plain_text(script: Path) -> None:
    assert ESCAPE not in run("check", str(script), *QUICK).stdout


@pytest.mark.parametrize(
    ("env", "args", "colored"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
        ({"NO_COLOR": "", "FORCE_COLOR": ""}, [], False),
    ],
)
def test_colour_in_a_pipe(script: Path, env: dict[str, str], args: list[str], colored: bool) -> None:
    done = run("check", str(script), "--flavor", "a10g-large", *QUICK, *args, env=env)
    assert (ESCAPE in done.stdout) is colored


def test_a_terminal_gets_colour_and_lines_that_fit(script: Path) -> None:
    _, output = run_in_terminal("check", str(script), "--flavor", "a10g-large", *QUICK, columns=60)
    assert ESCAPE in output
    prose = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines() if line.startswith("  ")]
    assert prose
    assert max(map(len, prose)) <= 60


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour(script: Path, env: dict[str, str]) -> None:
    _, output = run_in_terminal("check", str(script), "--flavor", "a10g-large", *QUICK, columns=80, env=env)
    assert ESCAPE not in output


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_pages_and_tables_fit_the_terminal(columns: int) -> None:
    for args in (["rules"], ["explain", "JOB002"]):
        code, output = run_in_terminal(*args, columns=columns, env={"NO_COLOR": "1"})
        assert code == 0
        assert max(map(len, output.splitlines())) <= columns


def test_an_ascii_terminal_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "tränen.py").write_text(CLEAN)
    done = run("check", "tränen.py", "gone-日.py", folder=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "gone-\\u65e5.py cannot be read" in done.stdout


def test_a_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    done = run("check", "a\x1b[2J\nb.py", folder=tmp_path)
    assert "\x1b" not in done.stdout + done.stderr
    assert "a\\x1b[2J\\nb.py" in done.stdout


def test_a_reader_that_has_gone_away_is_no_error(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.py").write_text(f"token = 'hf_{'a1B2c3D4e5' * 3}{number:04}'\n" * 20)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "trainguard", "check", str(tmp_path), *QUICK]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, env=environment(), timeout=120)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode in (0, 1)


def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainguard", "check", "-"]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    # A shell starts what it puts into the background with SIGINT ignored, and its children inherit that.
    with subprocess.Popen(command, **pipes, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        time.sleep(1.5)  # until it waits for stdin
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, b"")


# -- the other verbs


def test_version() -> None:
    assert re.fullmatch(r"trainguard \S+ \(Python 3\.\d+\.\d+\)\n", run("--version").stdout)
    assert run("version").stdout == run("--version").stdout


def test_help_of_every_verb_has_examples() -> None:
    for verb in ("check", "approve", "rules", "explain"):
        done = run(verb, "--help")
        assert done.returncode == 0
        assert f"  trainguard {verb}" in done.stdout.split("Examples:")[1]


def test_no_verb_shows_the_help_and_is_wrong_usage() -> None:
    done = run()
    assert done.returncode == 2
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("verb", ["queue", "daemon", "checkpoint", "index", "config"])
def test_a_verb_without_its_own_verb_shows_its_help_line_by_line(verb: str) -> None:
    done = run(verb)
    assert done.returncode == 2
    assert done.stdout.startswith(f"Usage: trainguard {verb} [OPTIONS] COMMAND")
    assert done.stdout.count("\n") > 10
    assert done.stderr == ""


def test_verbs_that_do_not_exist(script: Path) -> None:
    assert run("chek").stderr == "error: there is no command 'chek'; did you mean `trainguard check`?\n"
    assert run("xyzzy").stderr.startswith("error: there is no command 'xyzzy'; it may be check,")
    done = run("train.py", folder=script.parent)
    assert done.returncode == 2
    assert "did you mean `trainguard check train.py`?" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_output_that_is_full_is_said_and_is_no_bug() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "trainguard", "rules"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False)
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written: no space is left on its device\n"
