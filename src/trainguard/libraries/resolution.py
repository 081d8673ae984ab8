"""From what a job asks to be installed to one version of each indexed library, as an installer would choose.

Offline, and only about the libraries of the index: what else is installed is not looked at, unless it is known to hold
a library back. What the index does not decide is `unknown`, never a guess; and a contradiction is one only where no
release outside the index could resolve it either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from trainguard.libraries.api.records import Release
from trainguard.libraries.resolution_conflict import explain
from trainguard.libraries.resolution_holders import held_back
from trainguard.libraries.resolution_metadata import Wanted, admits, canonical, marker_holds, read_wanted
from trainguard.libraries.resolution_metadata import dependencies as requirements_of
from trainguard.libraries.resolution_provider import Candidate, Failure, Problem, Provider, Solution, solve
from trainguard.libraries.resolution_records import Conflict, Reason, Resolution

__all__ = ["Conflict", "Reason", "Resolution", "resolve"]

DEFAULT_PYTHON = "3.12"


def resolve(
    requirements: Sequence[str],
    releases: Mapping[str, Sequence[Release]],
    *,
    python: str = DEFAULT_PYTHON,
    exclude_newer: date | None = None,
    installed: Mapping[str, str | None] | None = None,
    upgrade: bool = False,
    dependencies: bool = True,
    unreadable: str = "",
) -> Resolution:
    """The versions that installing `requirements` gives, by the import names that `releases` has (oldest first).

    `python` is the job's (`3.12`, or with its patch). Releases after the day `exclude_newer` do not count. `installed`
    are versions that are there before, None where one may be there that is not known: they stay where they fit, and
    with `upgrade` those that `requirements` name are brought up to date. `dependencies` False is `--no-deps`.
    `unreadable` names something that is installed too and that cannot be read (`-r requirements.txt`); it may hold
    back anything. Of `installed`, what is not touched is not repeated in the result.
    """
    python = python if python.count(".") > 1 else f"{python}.99"  # the newest patch release: `>=3.11.4` takes 3.11
    question = _Question(
        requirements=tuple(requirements),
        python=python,
        exclude_newer=exclude_newer,
        installed=tuple(sorted((installed or {}).items())),
        upgrade=upgrade,
        dependencies=dependencies,
        unreadable=unreadable,
    )
    return _resolve(question, _Known(releases))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """The arguments of `resolve`, to be compared."""

    requirements: tuple[str, ...]
    python: str
    exclude_newer: date | None
    installed: tuple[tuple[str, str | None], ...]
    upgrade: bool
    dependencies: bool
    unreadable: str


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """Releases as an argument that is compared by identity."""

    releases: Mapping[str, Sequence[Release]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.releases is self.releases

    def __hash__(self) -> int:
        return id(self.releases)


# Jobs of one batch mostly ask for the same.
@lru_cache(maxsize=256)
def _resolve(question: _Question, known: _Known) -> Resolution:
    releases, python, unreadable = known.releases, question.python, question.unreadable
    requirements, installed = question.requirements, dict(question.installed)
    exclude_newer, upgrade, dependencies = question.exclude_newer, question.upgrade, question.dependencies
    wanted: list[Wanted] = []
    for text in requirements:
        read = read_wanted(text)
        if read is None:
            unreadable = unreadable or text.strip()
        elif marker_holds(read.marker, "", python):
            wanted.append(read)
    names = {canonical(name): name for name in releases}
    foreign = {names[each.name]: each.text for each in wanted if each.direct and each.name in names}
    extra = _of_extras(wanted, names, releases, python)
    problem = Problem(
        wanted=tuple(each for each in (*wanted, *extra) if each.name in names),
        releases=releases,
        python=python,
        latest=exclude_newer.isoformat() if exclude_newer is not None else "",
        installed={name: there for name, there in installed.items() if there is not None},
        upgrade=frozenset(each.name for each in wanted) if upgrade else frozenset(),
        unreadable=frozenset(foreign),
        dependencies=dependencies,
        beside={each.name: each.specifier for each in wanted if each.name not in names and each.specifier},
    )
    doubts = _doubts(wanted, names, problem, unreadable)
    for each in extra:
        doubts.setdefault(names[each.name], f"{each.text} decides about it")
    maybe = {name for name, there in installed.items() if there is None}
    if upgrade:
        maybe -= {names[each.name] for each in wanted if each.name in names}
    for name in sorted(maybe):
        doubts.setdefault(name, "another version of it may be installed already")
    solution = solve(problem)
    if isinstance(solution, Solution):
        return _resolution(problem, solution, foreign, doubts)
    # Where other packages of the job are in the way, their releases would have to be known to be sure.
    problem = replace(problem, beside={})
    # What cannot be read may also be an override that allows it (`[tool.uv] override-dependencies`).
    feasible = solution is None or bool(unreadable) or not isinstance(solve(replace(problem, wild=True)), Failure)
    conflict = None if feasible else explain(problem)
    return _undecided(problem, conflict, foreign)


def _of_extras(
    wanted: Iterable[Wanted], names: Mapping[str, str], releases: Mapping[str, Sequence[Release]], python: str
) -> list[Wanted]:
    """The indexed libraries that extras bring whose requirements are not among the releases' own (`trl[peft]`)."""
    found: list[Wanted] = []
    for each in wanted:
        if not each.extras or each.name not in names:
            continue
        known = releases[names[each.name]][-1:]
        if any(requirements_of(release.requires, extra, python) for release in known for extra in each.extras):
            continue
        from trainguard.libraries.packages import brought_by

        key = f"{each.name}[{','.join(sorted(each.extras))}]"
        brought = brought_by((key,)) - brought_by((each.name,)) - {each.name}
        found += [Wanted(name=name, text=key) for name in sorted(brought & names.keys())]
    return found


def _doubts(wanted: Iterable[Wanted], names: Mapping[str, str], problem: Problem, unreadable: str) -> dict[str, str]:
    """The libraries whose version something else than the index decides, unless the job pins it."""
    doubts = {names[name]: f"{holder} may hold it back" for name, holder in held_back(wanted, names.keys()).items()}
    beside = next((each.text for each in wanted if each.direct and each.name not in names), "")
    if unreadable or beside:
        from trainguard.libraries.packages import is_known

        if unreadable or any(each.direct and each.name not in names and not is_known(each.name) for each in wanted):
            doubts |= dict.fromkeys(problem.releases, f"{_short(unreadable or beside)} may hold it back")
    return doubts


def _resolution(
    problem: Problem, solution: Solution, foreign: Mapping[str, str], doubts: Mapping[str, str]
) -> Resolution:
    unknown: dict[str, str] = {}
    for library, candidate in solution.chosen.items():
        if library in foreign:
            unknown[library] = f"installed from {_short(foreign[library])}"
        elif candidate.release is None:
            own = next((a.wanted.text for a, by in solution.asked[library] if by is None), candidate.text)
            unknown[library] = f"{own} is a release that the index does not know"
    pinned = _pinned(problem.wanted, problem.releases) - unknown.keys()
    unsure = {library: doubts[library] for library in solution.chosen if library in doubts and library not in pinned}
    unsure |= {library: reason for library, reason in _disputed(problem, solution).items() if library not in pinned}
    unsure = {**unsure, **unknown}
    for library in unknown:
        for needed in _needed(problem, library, solution.chosen[library].outside is not None):
            if needed in solution.chosen and needed not in pinned:
                unsure.setdefault(needed, f"it depends on {library.replace('_', '-')}, whose version is not known")
    known = {name: each.version for name, each in solution.chosen.items() if name not in unsure and each.release}
    why = {name: _reason(problem, solution, name) for name in known}
    return Resolution(versions=known, why=why, unknown=unsure)


def _disputed(problem: Problem, solution: Solution) -> dict[str, str]:
    """What pip and uv settle differently: a library that is only brought along, and whose newest fitting release
    excludes what the job asks for, gives way in pip; in uv, what brings it may (uv 0.13.9 takes trl 0.11.4 for
    `huggingface-hub==0.36.0` with `trl`; by pip's order of looking it would be datasets 5.0.1 with trl 1.16.0)."""
    found: dict[str, str] = {}
    anything, fitting = Provider(problem), Provider(problem, pruning=True)
    for library, candidate in solution.chosen.items():
        asked = solution.asked[library]
        if candidate.release is None or any(by is None for _, by in asked):
            continue
        asks = [ask for ask, _ in asked]
        newest = next(iter(anything.allowed(library, asks)), candidate)
        if newest.version != candidate.version and newest not in list(fitting.allowed(library, asks)):
            for name in (library, *(by.package for _, by in asked if by is not None)):
                found[name] = "installers differ in what they hold back here"
    return found


def _undecided(problem: Problem, conflict: Conflict | None, foreign: Mapping[str, str]) -> Resolution:
    """No version is known, but of those that are pinned."""
    provider = Provider(problem)
    pinned = _pinned(problem.wanted, problem.releases) if conflict is None else frozenset()
    known: dict[str, str] = {}
    why: dict[str, Reason] = {}
    unknown: dict[str, str] = {}
    for wanted in problem.wanted:
        library = provider.libraries[wanted.name]
        if library in pinned and wanted.exact is not None and library not in foreign:
            known[library] = next(
                each.version for each in problem.releases[library] if admits(wanted.specifier, each.version)
            )
            why[library] = Reason(
                requirement=wanted.text, newest=known[library] == problem.releases[library][-1].version
            )
    for library in _reachable(problem, [provider.libraries[wanted.name] for wanted in problem.wanted]):
        if library not in known:
            unknown[library] = "the requirements cannot be met together" if conflict else "releases beyond the index"
    return Resolution(versions=known, why=why, unknown=unknown, conflict=conflict)


def _pinned(wanted: Iterable[Wanted], releases: Mapping[str, Sequence[Release]]) -> frozenset[str]:
    """The libraries that the job itself asks for at one version."""
    names = {canonical(name): name for name in releases}
    return frozenset(names[each.name] for each in wanted if each.exact is not None and each.name in names)


def _needed(problem: Problem, library: str, outside: bool) -> list[str]:
    """The libraries that some release of `library` needs, directly or by others, and, where `library` is at a release
    outside the index, those that need it, since which of their releases goes with it cannot be told."""
    found = _reachable(problem, [library])
    if outside:
        for other in problem.releases:
            if library in _reachable(problem, [other]):
                found.append(other)
    return [name for name in found if name != library]


def _reachable(problem: Problem, libraries: Collection[str]) -> list[str]:
    provider = Provider(problem)
    found = list(dict.fromkeys(libraries))
    for library in found:
        for release in (problem.releases[library][:1], problem.releases[library][-1:]):
            for each in release:
                candidate = Candidate(key=canonical(library), package=library, version=each.version, release=each)
                needs = (provider.libraries.get(wanted.name) for wanted in provider.needs(candidate))
                found += [name for name in needs if name is not None and name not in found]
    return found


def _reason(problem: Problem, solution: Solution, library: str) -> Reason:
    """The requirement that decides the version: a pin, else an upper bound, else the job's own, else the first."""
    candidate = solution.chosen[library]
    asked = solution.asked[library]

    def weight(entry: tuple[int, tuple[object, Candidate | None]]) -> tuple[bool, bool, bool, int]:
        position, (_, by) = entry
        wanted = asked[position][0].wanted
        return wanted.exact is None, not wanted.bounded, by is not None, position

    newest = candidate.version == problem.releases[library][-1].version
    if not asked:
        return Reason(requirement=library.replace("_", "-"), newest=newest)
    position = min(enumerate(asked), key=weight)[0]
    ask, by = asked[position]
    text = f"{ask.wanted.name}{ask.wanted.specifier}" if by is not None else ask.wanted.text
    return Reason(requirement=text, by=by.text if by is not None else "", newest=newest)


def _short(text: str) -> str:
    """A requirement without what an address may hide: a name and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)[:100]
