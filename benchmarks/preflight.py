"""Times trainguard: against torch-preflight, by rule, by file; and looks at its memory and its imports.

Prints a table and writes it to docs/benchmarks.md. Exits with 1 where a target is missed. Needs nothing but an
environment with trainguard in it: torch-preflight is installed from PyPI into an environment of its own, under
build/, on first use. Everything is measured in one run and compared within it: the ratios travel to other machines,
the milliseconds do not.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from generated_scripts import training_script
from process_tree import run_watched

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
_OTHERS = "<!-- api: begin"
COMPARED = "torch-preflight"
COMPARED_VERSION = "0.5.0"  # https://pypi.org/project/torch-preflight/, the newest in 2026-08

_FILES = 1000
_LINES_OF_FILE = 100
_LINES_OF_SCRIPT = 300
_JOB = {
    "hardware_flavor": "a10g-large",
    "timeout": "4h",
    "dependencies": ["trl", "peft", "trackio"],
    "secrets": {"HF_TOKEN": "$HF_TOKEN"},
}
_JOB_FLAGS = "--flavor a10g-large --timeout 4h --with trl --with peft --with trackio --secret HF_TOKEN".split()
_TRAINGUARD = [sys.executable, "-m", "trainguard", "check", "--isolated", *_JOB_FLAGS]
_WITHOUT_ENGINE = "--no-python-engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured figure. `target` is what it must stay below or at, None where it is only for scale."""

    what: str
    figure: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool:
        return self.target is None or self.figure <= self.target

    def cells(self) -> tuple[str, str, str, str]:
        target = "" if self.target is None else f"≤ {self.target:g} {self.unit}"
        return (self.what, f"{self.figure:.2f} {self.unit}", target, "" if not target else "yes" if self.met else "NO")


def main() -> int:
    """0 all targets are met; 1 one is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each process is timed (default 20)")
    parser.add_argument("--torch-preflight", type=Path, metavar="PATH", help="its command, where it is installed")
    parser.add_argument("--no-page", action="store_true", help=f"do not write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    # Also where trainguard is not installed but only lies beside this file.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, str(ROOT / "src"))
    compared = options.torch_preflight or install_compared()
    with tempfile.TemporaryDirectory(prefix="trainguard-bench-") as folder:
        rows = [
            *whole_process(Path(folder), compared, options.rounds),
            *in_process(),
            *many_files(Path(folder)),
            *imports(),
        ]
    table = as_table(rows)
    print(table)
    if not options.no_page:
        PAGE.parent.mkdir(exist_ok=True)
        before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        others = before[before.index(_OTHERS) :] if _OTHERS in before else ""  # what `make bench-api` has written
        PAGE.write_text(f"{page(table).rstrip()}\n\n{others}".rstrip() + "\n", encoding="utf-8")
    missed = [row.what for row in rows if not row.met]
    for what in missed:
        print(f"target missed: {what}", file=sys.stderr)
    return 1 if missed else 0


def install_compared() -> Path:
    """The command of the tool to compare with, in an environment that holds nothing else."""
    environment = ROOT / "build" / "bench" / f"{COMPARED}-{COMPARED_VERSION}-py{platform.python_version()}"
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    if not (environment / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"{COMPARED}=={COMPARED_VERSION}"], check=True)
        (environment / "installed").touch()
    return scripts / COMPARED


# -- what is measured ------------------------------------------------------------


def whole_process(folder: Path, compared: Path, rounds: int) -> list[Row]:
    """A check of one script from start to exit, in turn with the other tool, so that a busy machine slows both."""
    script = folder / "train.py"
    script.write_text(training_script(1, lines=_LINES_OF_SCRIPT), encoding="utf-8")
    commands = {
        "other": [str(compared), "check", str(script)],
        "fast": [*_TRAINGUARD, _WITHOUT_ENGINE, str(script)],
        "full": [*_TRAINGUARD, str(script)],
        "no api": [*_TRAINGUARD, _WITHOUT_ENGINE, "--ignore", "API", str(script)],
        "bare": [sys.executable, "-c", "pass"],
    }
    for command in [*commands.values()] * 2:
        _run(command)
    taken = [{name: timed(lambda c=command: _run(c)) for name, command in commands.items()} for _ in range(rounds)]

    def ratio(name: str, other: str = "other") -> float:
        return median(times[name] / times[other] for times in taken)

    subject = f"`trainguard check` of {_LINES_OF_SCRIPT} lines, whole process"
    return [
        Row(what=f"{subject}, no PY engine", figure=ratio("fast"), unit=f"x {COMPARED}", target=0.6),
        Row(what=f"{subject}, all rules", figure=ratio("full"), unit=f"x {COMPARED}", target=1.0),
        Row(what=f"{subject}, no PY engine", figure=ratio("fast", "no api"), unit="x without API rules", target=1.3),
        Row(what="`python -c pass`, for scale", figure=ratio("bare"), unit=f"x {COMPARED}"),
        Row(what=f"`{COMPARED} check`, for scale", figure=median(t["other"] for t in taken) * 1000, unit="ms"),
    ]


def in_process() -> list[Row]:
    """Rules, reading included, on scripts that are new each time."""
    from trainguard.check import Options, check_job

    rows = []
    chosen = {
        "all JOB rules": (Options(select=("JOB",)), 5.0),
        "all rules but PY": (Options(python_engine=False), 10.0),
    }
    for what, (options, target) in chosen.items():
        times = []
        for script in (training_script(seed, lines=_LINES_OF_FILE) for seed in range(1, 121)):
            start = process_time()  # nothing waits here, so the processor's time is the time, also on a busy machine
            check_job({**_JOB, "script": script}, options=options)
            times.append(process_time() - start)
        subject = f"{what} on {_LINES_OF_FILE} lines, in process, warm, median"
        rows.append(Row(what=subject, figure=median(times[20:]) * 1000, unit="ms", target=target))
    return rows


def many_files(folder: Path) -> list[Row]:
    """A thousand different scripts in one call."""
    scripts = folder / "scripts"
    scripts.mkdir()
    for seed in range(_FILES):
        (scripts / f"train_{seed}.py").write_text(training_script(seed, lines=_LINES_OF_FILE), encoding="utf-8")
    rows = []
    for what, flags in (("no PY engine", [_WITHOUT_ENGINE]), ("all rules", [])):
        run = run_watched([*_TRAINGUARD, *flags, str(scripts)])
        per_file = run.seconds * 1000 / _FILES
        subject = f"{_FILES} scripts of {_LINES_OF_FILE} lines, {what}"
        rows.append(Row(what=subject, figure=per_file, unit="ms a file", target=10.0))
        peak = run.peak_bytes / 1e6
        rows.append(Row(what="its peak memory, child processes included", figure=peak, unit="MB", target=200.0))
    return rows


def imports() -> list[Row]:
    """`import trainguard` must load nothing that it may not need."""
    heavy = ("rich", "typer", "click", "msgspec", "ruff", "ty", "tree_sitter", "packaging")
    code = f"import sys, trainguard; print(sum(name in sys.modules for name in {heavy}))"
    loaded = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    return [Row(what=f"of {', '.join(heavy)}: loaded by `import trainguard`", figure=loaded, unit="packages", target=0)]


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = perf_counter()
    call()
    return perf_counter() - start


def _run(command: list[str]) -> None:
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode not in (0, 1):  # 1: something was found
        raise RuntimeError(f"{' '.join(command)} exited with {result.returncode}: {result.stderr.strip()}")


# -- what is shown -----------------------------------------------------------------


def as_table(rows: list[Row]) -> str:
    """The rows as Markdown, columns aligned for the terminal too."""
    cells = [("what", "measured", "target", "met"), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def page(table: str) -> str:
    """docs/benchmarks.md."""
    where = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return (
        "<!-- Generated by benchmarks/preflight.py: run `make bench`. -->\n\n# Benchmarks\n\n"
        f"Measured in one run on {where}, against {COMPARED} {COMPARED_VERSION}. Processes are timed in turn, and a\n"
        "ratio is the median over the rounds of one time by the other of the same round. The scripts are generated\n"
        "(`benchmarks/generated_scripts.py`). Ratios travel to other machines; milliseconds do not.\n\n"
        f"{table}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
