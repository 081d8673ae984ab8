"""The indexed releases as resolvelib asks for them: which there are, what each needs, which to try first.

The order of trying is pip's (pip 26.3, `_internal/resolution/resolvelib/provider.py`), since where two newest releases
exclude each other it decides which of them gives way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from trainguard.libraries.api.records import Release
from trainguard.libraries.resolution_metadata import (
    Outside,
    Wanted,
    admits,
    admits_outside,
    canonical,
    dependencies,
    disjoint,
    is_prerelease,
    loosened,
)

if TYPE_CHECKING:
    from resolvelib.structs import RequirementInformation

# A job's resolution takes about one round a library; this many are never a job that somebody wrote.
_MAX_ROUNDS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A release that may be installed, or that release with one of its extras.

    `outside` stands for all the releases older or newer than those indexed; a candidate without `release` and
    `outside` is a version of which nothing is known but its number, or nothing at all (`version` empty).
    """

    key: str
    package: str
    version: str
    release: Release | None = None
    outside: Outside | None = None
    extra: str = ""

    @property
    def text(self) -> str:
        around = f" or {self.outside}" if self.outside is not None else ""
        return f"{self.package.replace('_', '-')} {self.version}".strip() + around


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A requirement on an indexed library. `same` binds a release's extra to that very release."""

    key: str
    package: str
    wanted: Wanted
    same: Candidate | None = None

    def takes(self, candidate: Candidate) -> bool:
        if self.same is not None:
            return (candidate.version, candidate.outside) == (self.same.version, self.same.outside)
        if candidate.outside is not None:
            return admits_outside(self.wanted.specifier, candidate.outside, candidate.version)
        return not candidate.version or admits(self.wanted.specifier, candidate.version)


Information: TypeAlias = "RequirementInformation[Ask, Candidate]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is to be resolved: `wanted` is what the job asks for, on this Python (`3.12.99`; empty: on any).

    `latest` is the day after which releases do not count, empty for none. `installed` are versions that are there
    already and stay where they fit, `upgrade` the names that are brought up to date all the same. `unreadable` are
    libraries that come from a repository or file. `wild` adds, to every library, releases outside the index.
    `beside` are the version ranges that the job asks for of packages that are not indexed: a release that excludes them
    is not taken.
    """

    wanted: tuple[Wanted, ...]
    releases: Mapping[str, Sequence[Release]]
    python: str
    latest: str = ""
    installed: Mapping[str, str] = field(default_factory=dict)
    upgrade: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()
    dependencies: bool = True
    beside: Mapping[str, str] = field(default_factory=dict)
    wild: bool = False

    def asking(self, *wanted: Wanted) -> Problem:
        return replace(self, wanted=wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """`chosen` by library; `asked` are, by library, the requirements on it, each with who asks (None: the job)."""

    chosen: Mapping[str, Candidate]
    asked: Mapping[str, Sequence[tuple[Ask, Candidate | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """There is no solution; `causes` are the last requirements that could not be met together."""

    causes: Sequence[tuple[Ask, Candidate | None]]


def solve(problem: Problem) -> Solution | Failure | None:
    """Releases that meet all that is asked, the newest that do; None where it takes too long to say."""
    provider = Provider(problem, pruning=True)
    resolver: Resolver[Ask, Candidate, str] = Resolver(provider, BaseReporter())
    asks = [ask for each in problem.wanted for ask in provider.asks(each)]
    try:
        result = resolver.resolve(asks, max_rounds=_MAX_ROUNDS)
    except ResolutionImpossible as impossible:
        return Failure(causes=[(cause.requirement, cause.parent) for cause in impossible.causes])
    except ResolutionTooDeep:
        return None
    chosen = {candidate.package: candidate for key, candidate in result.mapping.items() if not candidate.extra}
    asked: dict[str, list[tuple[Ask, Candidate | None]]] = {library: [] for library in chosen}
    for criterion in result.criteria.values():
        for information in criterion.information:
            if information.requirement.same is None:
                asked.setdefault(information.requirement.package, []).append(
                    (information.requirement, information.parent)
                )
    return Solution(chosen=chosen, asked=asked)


class Provider(AbstractProvider[Ask, Candidate, str]):
    """Answers resolvelib from the records of the releases."""

    def __init__(self, problem: Problem, *, pruning: bool = False) -> None:
        self.problem = problem
        self.pruning = pruning
        self.libraries = {canonical(name): name for name in problem.releases}
        # What was found for the same requirements before: a search that goes back asks the same over and over.
        self._found: dict[tuple[str, frozenset[object]], _Remembered] = {}
        self.order: dict[str, int] = {}
        for position, wanted in enumerate(problem.wanted):
            self.order.setdefault(wanted.name, position)
        self._own: dict[str, list[Ask]] = {}
        for wanted in problem.wanted if pruning else ():
            for ask in self.asks(wanted):
                self._own.setdefault(ask.package, []).append(ask)

    def asks(self, wanted: Wanted) -> Iterator[Ask]:
        """The requirement as resolvelib sees it: one for each extra, as pip has it, or one for the library alone."""
        library = self.libraries.get(wanted.name)
        if library is None:
            return
        for extra in sorted(wanted.extras) or ("",):
            yield Ask(key=f"{wanted.name}[{extra}]" if extra else wanted.name, package=library, wanted=wanted)

    def allowed(self, library: str, asks: Sequence[Ask]) -> Iterable[Candidate]:
        """The releases that meet `asks`, in the order in which they are tried."""
        own = any(ask.wanted in self.problem.wanted for ask in asks)
        same: set[object] = {ask.same.version if ask.same is not None else ask.wanted.specifier for ask in asks}
        key = (library, frozenset({*same, *(("same",) if any(ask.same for ask in asks) else ()), own}))
        if key not in self._found:
            self._found[key] = _Remembered(self._search(library, asks))
        return self._found[key]

    def _search(self, library: str, asks: Sequence[Ask]) -> Iterator[Candidate]:
        problem, name = self.problem, canonical(library)
        if library in problem.unreadable:
            yield Candidate(key=name, package=library, version="")
            return
        if problem.wild:
            yield from (
                each for each in self._outside(library) if all(ask.takes(each) for ask in asks) and self._viable(each)
            )
        releases = self._installed_first(library)
        exact = {exact for ask in asks if (exact := ask.wanted.exact) is not None}
        exact |= {ask.same.version for ask in asks if ask.same is not None and ask.same.release is not None}
        found = False
        for release in releases:
            if (release.yanked or is_prerelease(release.version)) and release.version not in exact:
                continue
            if not self._usable(release):
                continue
            candidate = Candidate(key=name, package=library, version=release.version, release=release)
            if all(ask.takes(candidate) for ask in asks) and self._viable(candidate):
                found = True
                yield candidate
        if not found and not problem.wild:
            yield from self._unlisted(library, asks)

    def _viable(self, candidate: Candidate) -> bool:
        """Whether what a release needs goes with what the job itself asks for, one library at a time.

        The search would find out too, but only after trying all of it with all of the other's releases.
        """
        if not self.pruning or not self.problem.dependencies:
            return True
        for wanted in self.needs(candidate):
            library = self.libraries.get(wanted.name, "")
            beside = self.problem.beside.get(wanted.name, "")
            if beside and not library and disjoint(beside, wanted.specifier):
                return False
            if own := self._own.get(library, ()):
                asks = [*own, Ask(key=wanted.name, package=library, wanted=wanted)]
                if library != candidate.package and next(iter(self._plain.allowed(library, asks)), None) is None:
                    return False
        return True

    @cached_property
    def _plain(self) -> Provider:
        return Provider(self.problem)

    def _installed_first(self, library: str) -> Iterable[Release]:
        newest_first = list(reversed(self.problem.releases[library]))
        there = self.problem.installed.get(library)
        if there is None or canonical(library) in self.problem.upgrade:
            return newest_first
        kept = [release for release in newest_first if release.version == there]
        return [*kept, *(release for release in newest_first if release.version != there)]

    def _usable(self, release: Release) -> bool:
        problem = self.problem
        if problem.latest and release.date and release.date > problem.latest:
            return False
        return not (problem.python and release.python) or admits(release.python, problem.python)

    def _unlisted(self, library: str, asks: Sequence[Ask]) -> Iterator[Candidate]:
        """What a requirement names and the index does not hold: a pin, or a range outside of it."""
        releases = self.problem.releases[library]
        own = [ask for ask in asks if ask.wanted in self.problem.wanted]
        missed = [ask for ask in asks if ask.same is None and not _listed(releases, [ask])]
        if not _listed(releases, own):
            missed += own
        if not missed or not releases:
            return
        exact = next((exact for ask in missed if (exact := ask.wanted.exact) is not None), None)
        candidates = [Candidate(key=canonical(library), package=library, version=exact)] if exact is not None else []
        candidates = candidates or list(self._outside(library))
        yield from (each for each in candidates if all(ask.takes(each) for ask in asks))

    def _outside(self, library: str) -> Iterator[Candidate]:
        releases = self.problem.releases[library]
        if not releases:
            return
        name = canonical(library)
        newest, oldest = releases[-1], releases[0]
        if self._usable(replace(newest, date="")) and not (self.problem.latest and newest.date > self.problem.latest):
            yield Candidate(key=name, package=library, version=newest.version, outside="newer")
        yield Candidate(key=name, package=library, version=oldest.version, outside="older")

    # -- what resolvelib asks --------------------------------------------------------------------

    def identify(self, requirement_or_candidate: Ask | Candidate) -> str:
        return requirement_or_candidate.key

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Candidate],  # noqa: ARG002
        candidates: Mapping[str, Iterator[Candidate]],  # noqa: ARG002
        information: Mapping[str, Iterator[Information]],
        backtrack_causes: Sequence[Information],  # noqa: ARG002
    ) -> tuple[bool, bool, float, bool, str]:
        asks = [each.requirement for each in information[identifier]]
        pinned = any(ask.same is not None or ask.wanted.exact is not None for ask in asks)
        bounded = any(ask.same is None and ask.wanted.bounded for ask in asks)
        order = self.order.get(identifier.partition("[")[0], math.inf)
        free = all(ask.same is None and not ask.wanted.specifier for ask in asks)
        return not pinned, not bounded, order, free, identifier

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[str],
        resolutions: Mapping[str, Candidate],  # noqa: ARG002
        candidates: Mapping[str, Iterator[Candidate]],  # noqa: ARG002
        information: Mapping[str, Iterator[Information]],  # noqa: ARG002
        backtrack_causes: Sequence[Information],
    ) -> Iterable[str]:
        causes = {cause.requirement.key for cause in backtrack_causes}
        causes |= {cause.parent.key for cause in backtrack_causes if cause.parent is not None}
        open_ = list(identifiers)
        return [identifier for identifier in open_ if identifier in causes] or open_

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Ask]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Callable[[], Iterator[Candidate]]:
        asks = list(requirements[identifier])
        bad = {(each.version, each.outside) for each in incompatibilities[identifier]}
        base, _, extra = identifier.rstrip("]").partition("[")
        # What is asked of `trl[peft]` holds for `trl` too.
        asks += [ask for key in requirements if extra and key == base for ask in requirements[key]]
        library = self.libraries[base]

        def matching() -> Iterator[Candidate]:
            for each in self.allowed(library, asks):
                if (each.version, each.outside) not in bad:
                    yield replace(each, key=identifier, extra=extra) if extra else each

        return matching

    def is_satisfied_by(self, requirement: Ask, candidate: Candidate) -> bool:
        return requirement.takes(candidate)

    def get_dependencies(self, candidate: Candidate) -> Iterable[Ask]:
        base = candidate.key.partition("[")[0]
        if candidate.extra:
            wanted = Wanted(name=base, text=candidate.text)
            yield Ask(key=base, package=candidate.package, wanted=wanted, same=replace(candidate, key=base, extra=""))
        if self.problem.dependencies:
            for needed in self.needs(candidate):
                yield from self.asks(needed)

    def needs(self, candidate: Candidate) -> Iterator[Wanted]:
        """What a release needs; of releases outside the index, what they cannot but need."""
        releases = self.problem.releases[candidate.package]
        release = candidate.release
        if candidate.outside is not None:
            release = releases[-1] if candidate.outside == "newer" else releases[0]
        if release is None:
            return
        for wanted in dependencies(release.requires, candidate.extra, self.problem.python or "3.12.99"):
            if candidate.outside is None:
                yield wanted
            else:
                yield replace(wanted, specifier=loosened(wanted.specifier, candidate.outside))


class _Remembered:
    """An iterable that runs its source once, and only as far as somebody looks."""

    def __init__(self, source: Iterator[Candidate]) -> None:
        self._source = source
        self._seen: list[Candidate] = []

    def __iter__(self) -> Iterator[Candidate]:
        position = 0
        while True:
            if position == len(self._seen):
                following = next(self._source, None)
                if following is None:
                    return
                self._seen.append(following)
            yield self._seen[position]
            position += 1


def _listed(releases: Iterable[Release], asks: Sequence[Ask]) -> bool:
    """Whether some indexed release, on whatever Python and of whatever day, has a version that all of `asks` take."""
    return any(all(admits(ask.wanted.specifier, release.version) for ask in asks) for release in releases)
