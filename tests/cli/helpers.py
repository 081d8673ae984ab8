"""Runs the command line as users do, in a process of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import trainguard

PACKAGE = Path(trainguard.__file__).parent
# What a shell of the developer may have set, and a test must not see.
_FOREIGN = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "TRAINGUARD_TRACEBACK", "PYTHONPATH", "PYTHONIOENCODING")


def environment(root: Path = PACKAGE.parent, **extra: str) -> dict[str, str]:
    """The environment with `root` first on the path, so that a copy of the package can be run too."""
    kept = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    return {**kept, "PYTHONPATH": str(root), "TERM": "xterm", **extra}


def run(
    *args: str,
    folder: Path | None = None,
    stdin: str | None = None,
    root: Path = PACKAGE.parent,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`python -m trainguard ARGS` with its output piped."""
    return subprocess.run(
        [sys.executable, "-m", "trainguard", *args],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env=environment(root, **(env or {})),
        input=stdin if stdin is not None else "",
        timeout=120,
    )


def run_in_terminal(*args: str, columns: int, typed: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code and all output of a run on a terminal of so many columns."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "trainguard", *args],
        env=environment(COLUMNS=str(columns), **(env or {})),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        os.write(master, typed.encode())
        output = bytearray()
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not chunk:
                break
            output += chunk
        process.wait(timeout=120)
    os.close(master)
    return process.returncode, output.decode().replace("\r\n", "\n")
