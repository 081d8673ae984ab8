"""The campaigns of benchmarks/ in their short forms: ten kills, four file systems that are too small or just not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainguard.drills.needs import unmet

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 600


def campaign(name: str, tmp_path: Path, *options: str) -> Any:
    """The figures of a campaign. It runs in a process of its own, because it forks."""
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), "--json", str(figures), *options],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(figures.read_text())


def test_ten_kills(tmp_path: Path) -> None:
    row = campaign("kill_campaign.py", tmp_path, "--kills", "10", "--arm", "guarded", "--steps", "32")["guarded"]
    assert row["kills"] == 10
    assert row["wrong"] == {}
    assert row["runs_equal_bit_for_bit"] == row["runs"]
    assert row["resumed_from_unverified"] == row["stuck_until_a_person_helped"] == 0
    assert row["resumed_from_verified"] >= 3
    assert row["lost_steps_most"] <= 4


def test_four_small_disks(tmp_path: Path) -> None:
    if (missing := unmet(frozenset({"mount"}))) is not None:
        pytest.skip(missing)
    rows = campaign("disk_full_campaign.py", tmp_path, "--sizes", "4", "--steps", "12")
    assert [row["wrong"] for row in rows] == [[]] * 12
    outcomes = {(row["mode"], row["first"]) for row in rows}
    assert {("ends", "RUN025"), ("blind", "RUN025"), ("waits", "done"), ("ends", "done")} <= outcomes
    ended = [row for row in rows if row["first"] == "RUN025"]
    assert all(row["then"] == "done" for row in ended)
    assert any(row["verified_step"] > 0 for row in ended)
