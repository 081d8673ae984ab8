"""Measures the API rules beside type checkers that see a full environment of each release.

    python benchmarks/api.py [--rounds N] [--folder FOLDER] [--no-page] [--truth]

The cases (`benchmarks/api_cases/`) are training scripts for five sets of releases: with one mistake each, and without
any. A type checker gets an environment in which these releases are installed, with torch; trainguard gets their names
and versions. A mistake is found where a checker complains about the statement that it is in; a false alarm is a right
script that it complains about at all. Environments are built with pip on first use (minutes, 4 GB).
`--truth` does not measure: it runs every script in its environment, and fails where a mistake does not raise there,
or a right script does not run. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

from api_cases.checkers import Checker, Said, checkers
from api_cases.reading import Script, Set, read_all

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
WORKER = Path(__file__).parent / "api_cases" / "truth_worker.py"
BASEDPYRIGHT = "basedpyright==1.40.2"  # brings its own Node.js, from PyPI
_BEGIN, _END = "<!-- api: begin, by `make bench-api` -->", "<!-- api: end -->"
_SINGLES = 3  # scripts of each set that are also timed alone
_SHARE = 1 / 20


@dataclass(slots=True)
class Result:
    """What one checker did over all sets."""

    checker: Checker
    found: set[str] = field(default_factory=set)
    alarms: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    all_seconds: list[float] = field(default_factory=list)
    single_seconds: list[float] = field(default_factory=list)


def main() -> int:
    """0 all targets are met; 1 one is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often each process is timed (default 2)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "environments", help="where environments are")
    parser.add_argument("--no-page", action="store_true", help=f"do not write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--truth", action="store_true", help="run the cases instead of measuring")
    parser.add_argument("--missed", action="store_true", help="list what each checker misses and where it is wrong")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "scripts")]
    from training_environments import environment

    sets = read_all()
    folder = options.folder.resolve()
    pythons = {each.name: environment(folder, (*each.requirements, *each.beside), each.name) for each in sets}
    if options.truth:
        return truth(sets, pythons)
    results = measure(sets, pythons, checkers(basedpyright(folder)), options.rounds)
    section = section_of(sets, results)
    print(section)
    if options.missed:
        print("\n".join(listed(sets, results)))
    if not options.no_page:
        write_section(section)
    missed = targets_missed(results)
    for line in missed:
        print(f"target missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def basedpyright(folder: Path) -> Path | None:
    """Its command, installed on first use; None where PyPI has none for this machine."""
    from training_environments import tool

    try:
        return tool(folder, BASEDPYRIGHT, "basedpyright")
    except subprocess.CalledProcessError:
        print(f"{BASEDPYRIGHT} cannot be installed here, and is left out", file=sys.stderr)
        return None


# -- truth -----------------------------------------------------------------------------


def truth(sets: Iterable[Set], pythons: dict[str, Path]) -> int:
    """Runs every script; 1 if one does not do what the cases say of it."""
    wrong = total = 0
    for each in sets:
        text = json.dumps([{"name": script.name, "text": script.text} for script in each.scripts])
        done = subprocess.run([pythons[each.name], WORKER], input=text, stdout=subprocess.PIPE, text=True, check=True)
        ends = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
        outcomes = {end["name"]: end for end in ends}
        for script in each.scripts:
            total += 1
            complaint = contradiction(script, outcomes.get(script.name))
            if complaint:
                wrong += 1
                print(f"{each.name} {script.name}: {complaint}")
    print(f"{total} scripts were run, {wrong} of them are not what the cases say")
    return 1 if wrong else 0


def contradiction(script: Script, end: dict[str, object] | None) -> str:
    """Why the run of a script contradicts the case; empty where it does not."""
    if end is None or end["error"] == "no end":
        return "it came to no end"
    lines = end["lines"]
    assert isinstance(lines, list)
    if not script.wrong:
        return f"it should run, and raises {end['error']}" if end["error"] else ""
    if not end["error"]:
        return "it should raise, and runs"
    return "" if script.later or script.lines & set(lines) else f"it raises elsewhere, on {lines}: {end['error']}"


# -- measuring ---------------------------------------------------------------------------


def measure(sets: list[Set], pythons: dict[str, Path], tools: list[Checker], rounds: int) -> list[Result]:
    results = [Result(tool) for tool in tools]
    with tempfile.TemporaryDirectory(prefix="trainguard-bench-api-") as temporary:
        folders = {each.name: written(each, Path(temporary)) for each in sets}
        for result in results:
            for each in sets:  # not timed: from now on all files have been read once
                _, said = result.checker.run([folders[each.name]], pythons[each.name], each.requirements)
                judge(each, said, result)
        for _ in range(rounds):
            spent = dict.fromkeys(range(len(results)), 0.0)
            alone = dict.fromkeys(range(len(results)), 0.0)
            for each in sets:
                python, folder = pythons[each.name], folders[each.name]
                for number, result in enumerate(results):
                    spent[number] += result.checker.run([folder], python, each.requirements)[0]
                for script in each.scripts[:_SINGLES]:
                    path = [folder / f"{script.name}.py"]
                    for number, result in enumerate(results):
                        alone[number] += result.checker.run(path, python, each.requirements)[0]
            for number, result in enumerate(results):
                result.all_seconds.append(spent[number])
                result.single_seconds.append(alone[number] / (_SINGLES * len(sets)))
    return results


def written(each: Set, folder: Path) -> Path:
    """The scripts of a set as files, with a configuration beside them that leaves pyright at its own defaults."""
    place = folder / each.name
    place.mkdir()
    for script in each.scripts:
        (place / f"{script.name}.py").write_text(script.text, encoding="utf-8")
    (place / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}', encoding="utf-8")
    return place


def judge(each: Set, said: Said, result: Result) -> None:
    for script in each.scripts:
        lines = said.get(script.name, [])
        name = f"{each.name}/{script.name}"
        if script.wrong and script.lines & set(lines):
            result.found.add(name)
        if script.wrong and set(lines) - script.lines:
            result.beside.append(name)
        if not script.wrong and lines:
            result.alarms.append(name)


def warm_milliseconds(sets: list[Set]) -> float:
    """The median of one check of trainguard in a process that has made some before."""
    from trainguard.check import Options, check_job

    options = Options(select=("API",))
    for _ in range(2):
        times: list[float] = []
        for each in sets:
            for script in each.scripts:
                start = perf_counter()
                check_job({"script": script.text, "dependencies": list(each.requirements)}, options=options)
                times.append(perf_counter() - start)
    return median(times) * 1000


# -- what is shown -------------------------------------------------------------------------


def best(results: list[Result]) -> Result:
    """The type checker that finds most; of equals the one with fewer false alarms."""
    others = [result for result in results if not result.checker.is_ours]
    return max(others, key=lambda result: (len(result.found), -len(result.alarms)))


def ratio(ours: list[float], theirs: list[float]) -> float:
    return median(own / other for own, other in zip(ours, theirs, strict=True))


def targets_missed(results: list[Result]) -> list[str]:
    ours, other = results[0], best(results)
    name = other.checker.name
    missed = []
    if len(ours.found) < len(other.found):
        missed.append(f"{len(ours.found)} mistakes found, by {name} {len(other.found)}")
    if len(ours.alarms) >= len(other.alarms) and ours.alarms:
        missed.append(f"{len(ours.alarms)} false alarms, by {name} {len(other.alarms)}")
    for what, own, theirs in (
        ("all scripts in one process", ours.all_seconds, other.all_seconds),
        ("one script, whole process", ours.single_seconds, other.single_seconds),
    ):
        if ratio(own, theirs) >= _SHARE:
            missed.append(f"{what}: {ratio(own, theirs):.3f} of the time of {name}, not below {_SHARE:g}")
    return missed


def section_of(sets: list[Set], results: list[Result]) -> str:
    wrong = [(each, script) for each in sets for script in each.scripts if script.wrong]
    right = sum(not script.wrong for each in sets for script in each.scripts)
    other = best(results)
    rows: list[tuple[str, ...]] = [
        ("checker", "mistakes found", "right scripts it complains about", "all scripts", "one script", "of the time")
    ]
    for result in results:
        of_all = ratio(result.all_seconds, other.all_seconds)
        of_one = ratio(result.single_seconds, other.single_seconds)
        alone = median(result.single_seconds) * 1000
        cells = (f"{len(result.found)} of {len(wrong)}", f"{len(result.alarms)} of {right}")
        times = (f"{median(result.all_seconds):.2f} s", f"{alone:.0f} ms", f"{of_all:.3f} / {of_one:.3f}")
        rows += [(result.checker.name, *cells, *times)]
    kinds = sorted({script.kind for _, script in wrong})
    by_kind: list[tuple[str, ...]] = [("kind", "mistakes", *(result.checker.name for result in results))]
    for kind in kinds:
        names = {f"{each.name}/{script.name}" for each, script in wrong if script.kind == kind}
        by_kind.append((kind, str(len(names)), *(str(len(names & result.found)) for result in results)))
    releases = ", ".join(f"{each.requirements[0]} with {each.requirements[1]}" for each in sets)
    where = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return "\n".join(
        [
            "## API rules beside type checkers",
            "",
            f"{len(wrong)} training scripts with one mistake each and {right} right ones, for",
            f"{releases}. Every mistake raises and every right script runs in its environment",
            "(`benchmarks/api.py --truth`). The type checkers see those environments, torch included; trainguard gets",
            f"the names and versions, and nothing is installed. Measured on {where}.",
            "A time is the median over the rounds: of all scripts, in one process for each set of releases, and of a",
            "whole process for one script. The last column is the share of the time (all scripts / one script) of",
            f"{other.checker.name}, the type checker that finds most; the aim is below {_SHARE:g}. In a warm",
            f"process one check by trainguard takes {warm_milliseconds(sets):.1f} ms in the median.",
            "",
            *aligned(rows),
            "",
            *aligned(by_kind),
        ]
    )


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as Markdown, columns aligned for the terminal too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def listed(sets: list[Set], results: list[Result]) -> Iterable[str]:
    names = [f"{each.name}/{script.name}" for each in sets for script in each.scripts if script.wrong]
    for result in results:
        yield f"\n{result.checker.name}"
        yield from (f"  missed {name}" for name in names if name not in result.found)
        yield from (f"  false alarm {name}" for name in result.alarms)
        yield from (f"  also complains elsewhere in {name}" for name in result.beside)


def write_section(section: str) -> None:
    """Puts the section into docs/benchmarks.md, in the place of the last one."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"{before.rstrip()}\n\n{_BEGIN}\n\n{section}\n\n{_END}\n{after.lstrip()}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
