"""The checkers that are compared: how each is called on a folder of scripts, and what it says about which line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

# Lines by the name of the script, which is the name of its file without `.py`.
Said = dict[str, list[int]]

_TY_LINE = re.compile(r"^(?P<path>.+?\.py):(?P<line>\d+):\d+: (?P<severity>error|warning)\[")


@dataclass(frozen=True, slots=True)
class Checker:
    """A checker. `command` makes its call from the paths, the interpreter of the full environment and the declared
    requirements; `read` takes its standard output apart. `is_ours` is trainguard, the others are type checkers."""

    name: str
    command: Callable[[list[Path], Path, tuple[str, ...]], list[str]]
    read: Callable[[str], Said]
    is_ours: bool = False

    def run(self, paths: list[Path], python: Path, requirements: tuple[str, ...]) -> tuple[float, Said]:
        """The seconds of one whole process, and what it said.

        Raises RuntimeError where it fails itself, with what it wrote.
        """
        command = self.command(paths, python, requirements)
        folder = paths[0] if paths[0].is_dir() else paths[0].parent
        environment = {**os.environ, "NO_COLOR": "1"}
        start = perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
        seconds = perf_counter() - start
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{self.name} exited with {done.returncode}: {done.stderr[-2000:]}")
        return seconds, self.read(done.stdout)


def checkers(basedpyright: Path | None) -> list[Checker]:
    """All that are compared, trainguard first. `basedpyright` is its command, None where it could not be installed."""
    found = [
        Checker("trainguard", _trainguard, read_trainguard, is_ours=True),
        Checker("ty", _ty, read_ty),
        Checker("ty, errors only", _ty, lambda output: read_ty(output, severities=("error",))),
    ]
    if basedpyright is not None:
        command = str(basedpyright)

        def pyright(paths: list[Path], python: Path, _requirements: tuple[str, ...]) -> list[str]:
            return [command, "--outputjson", "--pythonpath", str(python), *map(str, paths)]

        found.append(Checker("basedpyright (standard)", pyright, read_pyright))
    return found


def _trainguard(paths: list[Path], _python: Path, requirements: tuple[str, ...]) -> list[str]:
    declared = [part for requirement in requirements for part in ("--with", requirement)]
    flags = ["--isolated", "--select", "API", "--no-python-engine", "--format", "json"]
    return [sys.executable, "-m", "trainguard", "check", *flags, *declared, *map(str, paths)]


def read_trainguard(output: str) -> Said:
    """Findings of severity error and warn. Raises RuntimeError where a rule failed: that is no result."""
    said: Said = {}
    for report in json.loads(output)["reports"]:
        if report["errors"] or report["unreadable"]:
            raise RuntimeError(f"trainguard failed: {report['errors'] or report['unreadable']}")
        lines = [
            (found.get("where") or {}).get("line") or 0 for found in report["findings"] if found["severity"] != "info"
        ]
        if lines:
            said[Path(report["subject"]).stem] = lines
    return said


def _ty(paths: list[Path], python: Path, _requirements: tuple[str, ...]) -> list[str]:
    from ty._find_ty import find_ty_bin

    command = [os.fsdecode(find_ty_bin()), "check", "--output-format", "concise", "--no-progress"]
    return [*command, "--python", str(python.parent.parent), *map(str, paths)]


def read_ty(output: str, severities: tuple[str, ...] = ("error", "warning")) -> Said:
    said: Said = {}
    for line in output.splitlines():
        found = _TY_LINE.match(line)
        if found and found["severity"] in severities:
            said.setdefault(Path(found["path"]).stem, []).append(int(found["line"]))
    return said


def read_pyright(output: str) -> Said:
    said: Said = {}
    for found in json.loads(output)["generalDiagnostics"]:
        if found["severity"] in ("error", "warning"):
            said.setdefault(Path(found["file"]).stem, []).append(found["range"]["start"]["line"] + 1)
    return said
