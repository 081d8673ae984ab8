"""Compares engines for the PY rules: what they find, what they invent, how long they take.

    python benchmarks/python_engines/compare.py

Engines that are not installed beside this Python or on PATH are left out (`pip install ruff ty basedpyright mypy
pylint`). The scripts under `bugs/` say in their first line what is wrong with them: `# bug: CODE LINE`, or `# clean`.
All of them import packages that the engines are not to see, as in a check of someone else's job.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

BUGS = Path(__file__).with_name("bugs")
SRC = Path(__file__).parents[2] / "src"
EMPTY = SRC / "trainguard" / "facts" / "empty_environment"
PYTHON_VERSION = "3.12"
REPEATS = 3

Lines = dict[str, set[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    code: str | None
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How to call an engine on files, and how to read the lines that it complains about."""

    name: str
    command: Callable[[str], list[str]]
    read: Callable[[str, Path], Lines]
    version: tuple[str, ...] = ("--version",)


def cases() -> list[Case]:
    """The bug set, by the first line of each script."""
    found = []
    for path in sorted(BUGS.glob("*.py")):
        matched = re.match(r"# bug: (\w+) (\d+)", path.read_text(encoding="utf-8"))
        code, line = (matched[1], int(matched[2])) if matched else (None, None)
        found.append(Case(name=path.name, code=code, line=line))
    return found


def by_pattern(pattern: str) -> Callable[[str, Path], Lines]:
    """Reads lines of text such as `file.py:12:3: error: …`."""

    def read(output: str, _folder: Path) -> Lines:
        lines: Lines = {}
        for matched in re.finditer(pattern, output, re.MULTILINE):
            lines.setdefault(Path(matched["file"]).name, set()).add(int(matched["line"]))
        return lines

    return read


def pyright_json(output: str, _folder: Path) -> Lines:
    """Reads the JSON of (based)pyright, whose lines count from 0."""
    lines: Lines = {}
    for item in json.loads(output)["generalDiagnostics"]:
        if item.get("severity") in ("error", "warning"):
            lines.setdefault(Path(item["file"]).name, set()).add(item["range"]["start"]["line"] + 1)
    return lines


def engines(settings: Path) -> list[Engine]:
    """Each engine set up to say what the PY rules are about, and nothing about imports that it cannot see."""
    (settings / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "typeCheckingMode": "basic",
                "pythonVersion": PYTHON_VERSION,
                "reportMissingImports": "none",
                "reportMissingModuleSource": "none",
                "reportPossiblyUnboundVariable": "warning",
                "reportAttributeAccessIssue": "error",
            }
        ),
        encoding="utf-8",
    )
    ty_rules = ["--ignore", "unresolved-import", "--ignore", "import-not-found"]
    return [
        Engine(
            name="ruff",
            command=lambda binary: [
                binary, "check", "--isolated", "--no-cache", "--target-version", "py312", "--output-format", "concise",
                "--preview", "--select", "E9,F6,F7,F82,PLE", ".",
            ],
            read=by_pattern(r"^(?P<file>[^:\n]+\.py):(?P<line>\d+):\d+: "),
        ),
        Engine(
            name="ty",
            command=lambda binary: [
                binary, "check", "--python", str(EMPTY), "--python-version", PYTHON_VERSION, "--output-format",
                "concise", *ty_rules, "--error", "possibly-unresolved-reference", "--error", "division-by-zero", ".",
            ],
            read=by_pattern(r"^(?P<file>[^:\n]+\.py):(?P<line>\d+):\d+: (error|warning)"),
        ),
        Engine(
            name="basedpyright",
            command=lambda binary: [binary, "--outputjson", "-p", str(settings / "pyrightconfig.json"), "."],
            read=pyright_json,
        ),
        Engine(
            name="mypy",
            command=lambda binary: [
                binary, "--no-incremental", "--cache-dir", os.devnull, "--python-version", PYTHON_VERSION,
                "--ignore-missing-imports", "--no-site-packages", "--check-untyped-defs", "--config-file", "",
                "--enable-error-code", "possibly-undefined", "--scripts-are-modules", ".",
            ],
            read=by_pattern(r"^(?P<file>[^:\n]+\.py):(?P<line>\d+): error"),
        ),
        Engine(
            name="pylint",
            command=lambda binary: [
                binary, "--rcfile", os.devnull, "--disable", "all", "--enable", "E,F,undefined-loop-variable",
                "--disable", "import-error,no-name-in-module", "--py-version", PYTHON_VERSION, "--persistent", "n",
                "--recursive", "y", ".",
            ],
            read=by_pattern(r"^(?P<file>[^:\n]+\.py):(?P<line>\d+):\d+: [EF]"),
        ),
    ]  # fmt: skip


def located(name: str) -> str | None:
    """The engine beside this Python, else on PATH."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def run(engine: Engine, binary: str, names: Sequence[str], settings: Path) -> tuple[Lines, float]:
    """What the engine says of the named scripts in a folder of their own, and the wall time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            shutil.copy(BUGS / name, folder)
        command = engine.command(binary)
        if engine.name == "mypy":  # one broken file ends its whole run
            command = [*command[:-1], *names]
        start = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": "", "VIRTUAL_ENV": "", "PYLINTHOME": str(settings)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
        return engine.read(done.stdout, Path(folder)), time.perf_counter() - start


def run_trainguard(names: Sequence[str]) -> tuple[Lines, float]:
    """The same for this project, as a process of its own."""
    program = (
        "import json, sys\nfrom trainguard.facts.diagnostics import diagnose\n"
        "found = diagnose([open(p, encoding='utf-8').read() for p in sys.argv[1:]])\n"
        "print(json.dumps([[d.line for d in f] for f in found]))\n"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(BUGS / name) for name in names)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(SRC)}, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    return {name: set(lines) for name, lines in zip(names, json.loads(done.stdout), strict=True)}, seconds


def row(name: str, version: str, ask: Callable[[Sequence[str]], tuple[Lines, float]]) -> str:
    """One line of the table."""
    every = cases()
    broken = [case.name for case in every if case.code == "PY001"]
    lines, seconds = ask([case.name for case in every if case.name not in broken])
    for single in broken:  # apart: some engines stop at the first file that does not parse
        lines |= ask([single])[0]
    found: dict[str, list[bool]] = {}
    for case in every:
        if case.code is not None and case.line is not None:
            near = {case.line} if case.code != "PY001" else set(range(case.line - 1, case.line + 3))
            found.setdefault(case.code, []).append(bool(near & lines.get(case.name, set())))
    clean = [case.name for case in every if case.code is None]
    alarms = [name for name in clean if lines.get(name)]
    one = min(ask(["py003_far.py"])[1] for _ in range(REPEATS))
    total = [hit for hits in found.values() for hit in hits]
    shares = " | ".join(f"{sum(hits)}/{len(hits)}" for _, hits in sorted(found.items()))
    return (
        f"| {name} {version} | {shares} | {sum(total)}/{len(total)} | {len(alarms)}/{len(clean)} | "
        f"{one * 1000:.0f} ms | {seconds / (len(every) - len(broken)) * 1000:.1f} ms |"
    )


def main() -> None:
    """Prints the table as Markdown."""
    print(
        "| engine | PY001 | PY002 | PY003 | PY004 | PY005 | PY006 | found | false alarms | one script | each of many |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder)
        for engine in engines(settings):
            binary = located(engine.name)
            if binary is None:
                print(f"| {engine.name} | not installed |")
                continue
            told = subprocess.run([binary, *engine.version], capture_output=True, text=True, check=False).stdout
            version = next(iter(re.findall(r"\d+\.\d+[\w.]*", told)), "")

            def ask(names: Sequence[str], engine: Engine = engine, binary: str = binary) -> tuple[Lines, float]:
                return run(engine, binary, names, settings)

            print(row(engine.name, version, ask), flush=True)
    print(row("trainguard", "(ty and this project's analyses)", run_trainguard))


if __name__ == "__main__":
    main()
