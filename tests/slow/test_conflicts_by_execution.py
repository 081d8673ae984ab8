"""API006, API007 and API009 against the libraries themselves: what the rules report raises, and its twin trains.

Runs where a Python with torch, transformers, trl and peft is at hand: this one, or the one that
TRAINGUARD_TRAINING_PYTHON names.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.value_cases import CASES, GENERATION_SCRIPTS, NONE_SCRIPTS, RANGE_SCRIPTS, ValueCase

pytestmark = pytest.mark.slow

_RUNNER = Path(__file__).with_name("execute_scripts.py")
_SECONDS = 3600


def _training_python() -> str | None:
    python = os.environ.get("TRAINGUARD_TRAINING_PYTHON", sys.executable)
    needed = "import torch, transformers, trl, peft, accelerate, datasets"
    tried = subprocess.run([python, "-c", needed], capture_output=True, check=False, timeout=300)
    return python if tried.returncode == 0 else None


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """How each script ended: empty where it trained, else the error. One process runs them all."""
    python = _training_python()
    if python is None:
        pytest.skip("no Python with torch, transformers, trl and peft; set TRAINGUARD_TRAINING_PYTHON")
    scripts = {f"{case.key} {kind}": getattr(case, kind) for case in CASES for kind in ("bad", "good")}
    scripts |= NONE_SCRIPTS | {key: script for key, (script, _) in RANGE_SCRIPTS.items()}
    scripts |= {f"generation {count}": script for count, script in GENERATION_SCRIPTS.items()}
    done = subprocess.run(
        [python, str(_RUNNER)], input=json.dumps(scripts), capture_output=True, text=True, check=True, timeout=_SECONDS
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_what_is_reported_is_refused_and_its_twin_trains(outcomes: dict[str, str], case: ValueCase) -> None:
    assert outcomes[f"{case.key} good"] == ""
    bad = outcomes[f"{case.key} bad"]
    assert bool(bad) == bool(case.error), bad
    assert re.search(case.error, bad), bad


@pytest.mark.parametrize("key", NONE_SCRIPTS)
def test_none_is_refused(outcomes: dict[str, str], key: str) -> None:
    assert outcomes[key], f"{key} trains"


@pytest.mark.parametrize("key", RANGE_SCRIPTS)
def test_a_number_out_of_range_is_refused(outcomes: dict[str, str], key: str) -> None:
    _, error = RANGE_SCRIPTS[key]
    assert re.search(error, outcomes[key]), outcomes[key] or f"{key} trains"


def test_generation_batches_of_one_process(outcomes: dict[str, str]) -> None:
    assert "must be divisible by num_generations" in outcomes["generation 1"]
    assert outcomes["generation 2"] == ""
