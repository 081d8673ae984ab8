"""`trainguard run`: real commands that break in real ways, under supervision."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.running import RESUME, Run, codes, running, until
from trainguard.daemon.foreign_command import understand
from trainguard.daemon.foreign_run import ForeignRun, Settings

run = pytest.fixture(running)


def test_a_sound_command_is_let_be(run: Run) -> None:
    run.start(*RESUME)
    code, stdout, lines = run.end()
    assert code == 0
    assert stdout.startswith(b"begins\n")
    assert stdout.endswith(b"ends\n")
    assert codes(lines) == []
    assert len(run.attempts()) == 1
    assert [line["event"] for line in lines if line["event"] != "unguarded"] == ["started", "ended", "done"]


def test_a_bug_is_not_tried_again(run: Run) -> None:
    run.start(*RESUME, fault="if step == 5: raise KeyError('label')")
    code, stdout, lines = run.end()
    assert code == 1
    assert len(run.attempts()) <= 2  # once more at most, and never a third time at the same place
    failure = next(line["failure"] for line in lines if line["event"] == "ended")
    assert (failure["code"], failure["kind"]) == ("RUN022", "code")
    assert b"KeyError: 'label'" in run.stderr
    assert b"KeyError" not in stdout


def test_out_of_gpu_memory_halves_the_micro_batch(run: Run) -> None:
    sizes = ("--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "2")
    before_ = """
    class OutOfMemoryError(RuntimeError):
        __module__ = "torch"
    def oom():
        raise OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.06 "
            "GiB is free."
        )
    """
    run.start(*RESUME, fault="if step == 5 and not before: oom()", before=before_, words=sizes)
    assert run.end()[0] == 0
    first, second = run.attempts()
    assert first["argv"][-4:] == list(sizes)
    assert second["first"] == 4
    changed = dict(zip(second["argv"][::2], second["argv"][1::2], strict=True))
    assert changed["--per_device_train_batch_size"] == "4"
    assert changed["--gradient_accumulation_steps"] == "4"


def test_a_silence_that_the_user_does_not_want_is_a_hang(run: Run) -> None:
    run.start(
        *RESUME, "--hang-seconds", "6", "--stop-deadline", "1", fault="if step == 5 and not before: time.sleep(600)"
    )
    code, _, lines = run.end()
    assert code == 0
    assert "RUN008" in codes(lines)
    assert [each["first"] for each in run.attempts()] == [0, 4]


def test_the_death_of_a_grandchild_is_the_commands_own_matter(run: Run) -> None:
    before = """
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    child.kill()
    assert child.wait() == -signal.SIGKILL
    """
    run.start(*RESUME, before=before)
    assert run.end()[0] == 0
    assert len(run.attempts()) == 1


def test_a_colour_terminal_is_passed_on_by_the_verb_itself(run: Run) -> None:
    """stdout is a terminal and stderr is not: each keeps what it is."""
    ours, terminal = pty.openpty()
    program = "import os; print([os.isatty(n) for n in (0, 1, 2)], flush=True)"
    run.start("--state-dir", "state", command=(sys.executable, "-c", program), stdout=terminal)
    os.close(terminal)
    code, _, _ = run.end()
    assert code == 0
    assert os.read(ours, 1000) == b"[False, True, False]\r\n"
    os.close(ours)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no command"),
        (["--resume-arg", "'", "--", "true"], "resume-arg"),
        (["--ignore", "RUN999", "--", "true"], "RUN999"),
        (["--retries", "-1", "--", "true"], "retries"),
    ],
)
def test_wrong_usage(tmp_path: Path, words: list[str], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainguard", "run", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    words = ["--retries", "0", "--", "./not-here"]
    done = subprocess.run(
        [sys.executable, "-m", "trainguard", "run", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 127
    assert "not-here" in done.stderr
    assert done.stderr.count("attempt") == 2, "started and ended once: nobody tries again what is not there"


def test_metrics_that_cannot_be_read_do_not_end_the_run(tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    def observe(*_: object) -> tuple[()]:
        raise ValueError("not this one")

    run = ForeignRun(
        command=understand(
            [sys.executable, "-c", "print({'loss': 1.0, 'step': 1}); print('ends')"], working_directory=tmp_path
        ),
        folder=tmp_path / "state",
        settings=Settings(retries=0),
        tell=lambda event, /, **values: told.append((event, values)),
        observe=observe,
    )
    assert run.run() == 0
    assert [values["words"] for event, values in told if event == "note"] == [
        "its metrics are not watched any more: ValueError: not this one"
    ]


def test_metrics_in_lines_of_json_are_watched_and_the_end_is_honest(run: Run) -> None:
    program = (
        "import json\n"
        "for step in range(1, 30):\n"
        "    loss = 2.0 / step if step < 12 else float('nan')\n"
        "    print(json.dumps({'step': step, 'loss': loss, 'learning_rate': 1e-4}), flush=True)\n"
    )
    run.start("--state-dir", "state", command=(sys.executable, "-c", program))
    code, _, lines = run.end()
    assert code == 0
    assert "RUN001" in codes(lines)
    assert "RUN001" in lines[-1]["words"]


def test_a_script_that_makes_its_own_folder_finds_none(run: Run) -> None:
    program = "import os; os.mkdir('out'); assert os.listdir('out') == []"
    run.start("--output-dir", "out", command=(sys.executable, "-c", program))
    assert run.end()[0] == 0
    assert (run.folder / "trainguard-run/out/1/output.log").exists()


def test_two_runs_in_one_place_keep_their_attempts_apart(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "trainguard", "run", "--", sys.executable, "-c", "import time; time.sleep(1)"]
    runs = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait(120) for each in runs] == [0, 0]
    attempts = sorted(path.parent.name for path in tmp_path.rglob("result.json"))
    assert attempts == ["1", "2"]


def test_lines_are_seen_when_they_are_printed(run: Run) -> None:
    program = "import time; print('first'); time.sleep(20)"
    run.start("--hang-seconds", "8", "--retries", "0", command=(sys.executable, "-c", program))
    log = run.folder / "trainguard-run/run/1/output.log"
    until(lambda: log.exists() and log.read_bytes() == b"first\n", 10)


@pytest.mark.parametrize("descriptors", [11, 13])  # too few for its pipes, and too few for a process
def test_a_machine_that_can_start_no_process(tmp_path: Path, descriptors: int) -> None:
    words = [sys.executable, "-m", "trainguard", "run", "--", "true"]
    limited = (
        f"import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors},) * 2); "
        f"os.execv({words[0]!r}, {words!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 126
    last = done.stderr.splitlines()[-1]
    assert "ends with 126" in last
    assert "Too many open files" in last
    assert done.stderr.count("attempt 2") == 0
