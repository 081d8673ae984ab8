"""`trainguard run`: real commands that break in real ways, under supervision."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainguard.daemon.foreign_command import understand
from trainguard.daemon.foreign_run import ForeignRun, Settings

# A training script without a guard: a line a step as the Trainer prints it, a checkpoint after every second step.
TRAIN = """
import json, os, signal, sys, time
from pathlib import Path
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
resume = arguments.get("--resume_from_checkpoint")
out = Path(arguments["--output_dir"])
out.mkdir(exist_ok=True)
first = int(resume.rpartition("-")[2]) if resume else 0
attempts = Path("attempts.jsonl")
before = attempts.read_text().count("\\n") if attempts.exists() else 0
with attempts.open("a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "first": first, "pid": os.getpid()}) + "\\n")
def save(step):
    folder = out / f"checkpoint-{step}"
    folder.mkdir(exist_ok=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes([step]) * 16)
    (folder / "optimizer.bin").write_bytes(b"none")  # another layout than the Trainer's: the manifest alone vouches
    state = {"global_step": step, "max_steps": 8, "epoch": step / 8, "log_history": []}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    from trainguard.checkpoints import write_manifest
    write_manifest(folder, step=step, run={})
print("begins", flush=True)
BEFORE
for step in range(first + 1, 9):
    FAULT
    print({"loss": 2.0 / step, "grad_norm": 1.0, "learning_rate": 1e-4, "epoch": step / 8, "step": step}, flush=True)
    if step % 2 == 0:
        save(step)
print("ends", flush=True)
"""


class Run:
    """A command under `trainguard run --format json`, in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, fault: str = "pass", before: str = "pass", words: tuple[str, ...] = ()) -> None:
        text = TRAIN.replace("BEFORE", textwrap.dedent(before)).replace("FAULT", fault)
        (self.folder / "train.py").write_text(text, encoding="utf-8")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trainguard", "run", "--format", "json", "--retry-delay", "0", *options, "--"),
                *(sys.executable, "train.py", "--output_dir", "out", *words),
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )

    def end(self, seconds: float = 180.0) -> tuple[int, bytes, list[dict[str, Any]]]:
        assert self.process is not None
        stdout, stderr = self.process.communicate(timeout=seconds)
        lines = [json.loads(line) for line in stderr.decode().splitlines() if line.startswith("{")]
        assert len(lines) == len(stderr.decode().splitlines()), stderr.decode()
        return self.process.returncode, stdout, lines

    def attempts(self) -> list[dict[str, Any]]:
        path = self.folder / "attempts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


RESUME = ("--resume-arg", "--resume_from_checkpoint {checkpoint}")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def codes(lines: list[dict[str, Any]]) -> list[str]:
    return [line["finding"]["code"] for line in lines if line["event"] == "finding"]


def decisions(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["decision"] for line in lines if line["event"] == "decision"]


def test_a_sound_command_is_let_be(run: Run) -> None:
    run.start(*RESUME)
    code, stdout, lines = run.end()
    assert code == 0
    assert stdout.startswith(b"begins\n")
    assert stdout.endswith(b"ends\n")
    assert codes(lines) == []
    assert len(run.attempts()) == 1
    assert [line["event"] for line in lines if line["event"] != "unguarded"] == ["started", "ended", "done"]


def test_a_killed_command_goes_on_from_its_newest_checkpoint(run: Run) -> None:
    run.start(*RESUME, fault="if step == 6 and not before: os.kill(os.getpid(), signal.SIGKILL)")
    code, _, lines = run.end()
    assert code == 0
    assert [each["first"] for each in run.attempts()] == [0, 4]
    failure = next(line["failure"] for line in lines if line["event"] == "ended")
    assert (failure["code"], failure["kind"]) == ("RUN012", "killed")
    assert codes(lines) == ["RUN023"]


def test_a_broken_checkpoint_is_not_resumed_from(run: Run) -> None:
    tear = "(os.truncate('out/checkpoint-4/model.safetensors', 7), os.kill(os.getpid(), signal.SIGKILL))"
    run.start(*RESUME, fault=f"if step == 6 and not before: {tear}")
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 2]


def test_what_would_write_over_its_checkpoints_is_not_started_again(run: Run) -> None:
    run.start(fault="if step == 6: os.kill(os.getpid(), signal.SIGKILL)")
    code, _, lines = run.end()
    assert code == 128 + signal.SIGKILL
    assert len(run.attempts()) == 1
    assert decisions(lines)[-1]["act"] == "hold"
    assert "--resume-arg" in decisions(lines)[-1]["advice"]
    assert any("--resume-arg" in line["words"] for line in lines if line["event"] == "unguarded")


def test_before_the_first_checkpoint_it_may_begin_anew(run: Run) -> None:
    run.start(fault="if step == 1 and not before: os.kill(os.getpid(), signal.SIGKILL)")
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 0]


def test_a_bug_is_not_tried_again(run: Run) -> None:
    run.start(*RESUME, fault="if step == 5: raise KeyError('label')")
    code, stdout, lines = run.end()
    assert code == 1
    assert len(run.attempts()) <= 2  # once more at most, and never a third time at the same place
    failure = next(line["failure"] for line in lines if line["event"] == "ended")
    assert (failure["code"], failure["kind"]) == ("RUN022", "code")
    assert b"KeyError: 'label'" in stdout


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


def test_sigterm_goes_to_the_command_and_nothing_is_tried_again(run: Run) -> None:
    before = """
    def asked(*_):
        save(2)
        Path("asked").touch()
        sys.exit(75)
    signal.signal(signal.SIGTERM, asked)
    Path("ready").touch()
    time.sleep(600)
    """
    run.start(*RESUME, before=before)
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    code, _, lines = run.end()
    assert code == 75
    assert (run.folder / "asked").exists()
    assert len(run.attempts()) == 1
    assert lines[-1]["event"] == "done"


def test_nothing_is_left_when_the_supervisor_is_killed(run: Run) -> None:
    before = """
    import subprocess
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path("child").write_text(str(child.pid))
    Path("ready").touch()
    time.sleep(600)
    """
    run.start(before=before)
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.kill()
    run.process.wait()
    pids = [int((run.folder / "child").read_text()), run.attempts()[0]["pid"]]
    until(lambda: not any(alive(pid) for pid in pids))


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


def until(met: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, ProcessLookupError):
        return False


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
        tell=lambda event, **values: told.append((event, values)),
        observe=observe,
        relay=lambda block: None,
    )
    assert run.run() == 0
    assert [values["words"] for event, values in told if event == "note"] == [
        "its metrics are not watched any more: ValueError: not this one"
    ]
