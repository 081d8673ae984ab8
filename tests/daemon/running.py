"""A command under `trainguard run`, as its tests start one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        self.stderr = b""

    def start(
        self,
        *options: str,
        fault: str = "pass",
        before: str = "pass",
        head: str = "",
        words: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
        stdout: int = subprocess.PIPE,
    ) -> None:
        text = head + TRAIN.replace("BEFORE", textwrap.dedent(before)).replace("FAULT", fault)
        (self.folder / "train.py").write_text(text, encoding="utf-8")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trainguard", "run", "--format", "json", "--retry-delay", "0", *options, "--"),
                *(command or (sys.executable, "train.py", "--output_dir", "out", *words)),
            ],
            cwd=self.folder,
            stdout=stdout,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )

    def end(self, seconds: float = 180.0) -> tuple[int, bytes, list[dict[str, Any]]]:
        assert self.process is not None
        stdout, stderr = self.process.communicate(timeout=seconds)
        self.stderr = stderr
        lines = [json.loads(line) for line in stderr.decode().splitlines() if line.startswith('{"event"')]
        (kept,) = self.folder.rglob("events.jsonl")
        assert [json.loads(line)["event"] for line in kept.read_text().splitlines()] == [
            each["event"] for each in lines
        ]
        return self.process.returncode, stdout, lines

    def attempts(self) -> list[dict[str, Any]]:
        path = self.folder / "attempts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


RESUME = ("--resume-arg", "--resume_from_checkpoint {checkpoint}")


def running(tmp_path: Path) -> Iterator[Run]:
    """For a fixture: `run = pytest.fixture(running)`."""
    made = Run(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def codes(lines: list[dict[str, Any]]) -> list[str]:
    return [line["finding"]["code"] for line in lines if line["event"] == "finding"]


def decisions(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["decision"] for line in lines if line["event"] == "decision"]


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
