"""VerifiedSaves in two processes: the first commits when both are done, and both take up the same checkpoint."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainguard import latest_verified_checkpoint
from trainguard.facts.checkpoint.verify import verify

ROOT = Path(__file__).resolve().parents[2]


def together(output: Path, report: Path, *words: str) -> list[dict[str, Any]]:
    """Trains in two processes; what each reports."""
    report.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(2):
        variables = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "tests.train.saving_in_processes", str(output), str(report), *words]
        children.append(
            subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        )
    try:
        for child in children:
            _, errors = child.communicate(timeout=300)
            assert child.returncode == 0, errors[-3000:]
    finally:
        for child in children:
            child.kill()
    return [json.loads((report / f"{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_save_one_checkpoint_and_resume_from_the_same(tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = together(output, tmp_path / "first")
    assert [each["world"] for each in first] == [2, 2]
    assert sorted(each.name for each in output.glob("checkpoint-*")) == ["checkpoint-6", "checkpoint-8"]
    for name in ("checkpoint-6", "checkpoint-8"):
        found = verify(output / name, output, deep=True)
        assert (found.verified, found.by) == (True, "manifest")
        assert {each.name for each in found.manifest.files if "rng" in each.name} == {  # type: ignore[union-attr]
            "rng_state_0.pth",
            "rng_state_1.pth",
        }
    assert not list(output.glob(".trainguard-staging-*"))
    (output / "checkpoint-8" / "optimizer.pt").unlink()
    again = together(output, tmp_path / "again", "resume")
    assert [each["from"] for each in again] == [6, 6]
    assert [each["norm"] for each in again] == [each["norm"] for each in first]
    assert latest_verified_checkpoint(output) == output / "checkpoint-8"
