"""The Python engine in a process of its own, so that a large batch is judged beside the other rules.

Both cost processor time in this interpreter, which runs one thread at a time. Sources go in and diagnostics come out
as JSON through pipes; no file is written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import trainguard
from trainguard.errors import EngineError
from trainguard.facts.diagnostics import Diagnostic, diagnose_here

_PROGRAM = "from trainguard.facts.diagnostics_worker import main; main()"


def diagnose_in_worker(sources: Sequence[str], python_version: str) -> list[list[Diagnostic] | EngineError] | None:
    """As `diagnose_each`, in a child; None where the child cannot be had, for any reason."""
    # -P and a search path of our own: nothing of the folder that is being checked may be imported.
    environment = {**os.environ, "PYTHONPATH": str(Path(trainguard.__file__).resolve().parent.parent)}
    request = json.dumps([python_version, list(sources)]).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM], input=request, capture_output=True, env=environment, check=True
        )
        answers = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return [EngineError(each) if isinstance(each, str) else [Diagnostic(**one) for one in each] for each in answers]


def main() -> None:
    """The child: reads one request from standard input and writes its answers to standard output."""
    python_version, sources = json.loads(sys.stdin.buffer.read())
    answers = diagnose_here(sources, python_version=python_version)
    plain = [str(each) if isinstance(each, EngineError) else [asdict(one) for one in each] for each in answers]
    sys.stdout.write(json.dumps(plain))
