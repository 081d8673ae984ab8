"""A short campaign: real processes, real signals, a disk that loses power."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainguard.drills.needs import unmet

CAMPAIGN = Path(__file__).resolve().parents[2] / "benchmarks/campaign/run.py"


@pytest.mark.slow
@pytest.mark.skipif(unmet(frozenset({"fuse"})) is not None, reason="needs /dev/fuse")
def test_thirty_faults_break_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--faults", "30", "--seed", "1"],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert "lives in which something broke: 0\n" in ran.stdout, ran.stdout[-3000:] + ran.stderr[-1000:]
