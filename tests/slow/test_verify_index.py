"""The index against libraries that run: an older environment, built for the purpose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "verify_index.py"
# The newest that these releases of trl and transformers were used with.
OLDER = ("transformers==4.46.3", "trl==0.12.2", "accelerate==1.1.1", "peft==0.13.2", "datasets==3.1.0")


@pytest.mark.slow
def test_the_index_agrees_with_an_older_environment(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--folder", str(tmp_path), "--build", *OLDER]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    for requirement in OLDER:
        assert requirement.replace("==", " | ") in done.stdout
