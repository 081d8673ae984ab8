"""Checkpoints of a real, small Trainer run, made once and copied for every drill."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_SCRIPT = Path(__file__).with_name("_train_tiny.py")
_DEADLINE_SECONDS = 300.0
NEWEST, OLDER = "checkpoint-6", "checkpoint-4"


def real_run(scratch: Path) -> Path:
    """An output folder with the checkpoints of steps 2, 4 and 6, and `base`, the model that was trained."""
    output = scratch / "out"
    shutil.copytree(_trained(), output)
    return output


@cache
def _trained() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="trainguard-drill-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    output = folder / "out"
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), str(output)],
        capture_output=True,
        check=False,
        cwd=folder,
        env={**os.environ, **offline},
        text=True,
        timeout=_DEADLINE_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the Trainer run failed: {done.stderr.strip()[-800:]}")
    return output
