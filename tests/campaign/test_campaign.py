"""Short campaigns: real processes, real signals, a disk that loses power; and each guard that is off is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainguard.drills.needs import unmet

HERE = Path(__file__).resolve().parent
CAMPAIGN = HERE.parents[1] / "benchmarks/campaign"
GUARDS = ("sync", "verification", "lock", "reconcile")

pytestmark = pytest.mark.skipif(unmet(frozenset({"fuse"})) is not None, reason="needs /dev/fuse")


def _run(*command: object, without: str = "", seconds: float = 600.0) -> str:
    ran = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CAMPAIGN_WITHOUT": without},
        timeout=seconds,
    )
    assert ran.stdout, ran.stderr[-2000:]
    return ran.stdout


def _ended(*command: object, without: str = "") -> dict[str, Any]:
    told: dict[str, Any] = json.loads(_run(*command, without=without).splitlines()[-1])
    return told


def test_a_life_as_it_is_drawn_breaks_nothing(tmp_path: Path) -> None:
    """The first rules of the life of a seed, with the files that were dropped until then."""
    life = _ended(CAMPAIGN / "life.py", tmp_path / "life", 2, "tiny", 4)
    assert life["violations"] == [], life["steps"]
    assert life["files"] >= 3


@pytest.mark.slow
@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_that_is_off_is_noticed(tmp_path: Path, guard: str) -> None:
    sound = _ended(HERE / "scripted.py", tmp_path / "with", guard)
    assert (sound["violations"], sound["unearned"]) == ([], [])
    assert sum(sound["happened"].values()) >= 1
    assert _ended(HERE / "scripted.py", tmp_path / "without", guard, without=guard)["violations"]


@pytest.mark.slow
def test_thirty_faults_break_nothing() -> None:
    told = _run(CAMPAIGN / "run.py", "--faults", 30, "--seed", 1, seconds=1800.0)
    assert "lives in which something broke: 0\n" in told, told[-3000:]
