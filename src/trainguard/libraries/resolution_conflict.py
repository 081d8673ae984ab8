"""Why requirements cannot be met together, in words, and what would do instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from trainguard.libraries.resolution_metadata import Wanted, read_wanted, version
from trainguard.libraries.resolution_provider import Ask, Candidate, Failure, Problem, Provider, Solution, solve
from trainguard.libraries.resolution_records import Conflict

_MAX_REQUIREMENTS = 30  # of one job that are tried one by one


def explain(problem: Problem) -> Conflict | None:
    """The contradiction in `problem`, which has no solution even with releases that are not indexed.

    None where the fault is not in so few requirements that it could be told.
    """
    core = _core(problem)
    if core is None:
        return None
    problem = problem.asking(*core)
    texts = tuple(wanted.text for wanted in core)
    kind = _kind(problem)
    if kind == "python":
        words, remedies = _python_words(problem)
    elif kind == "date":
        words, remedies = _date_words(problem)
    else:
        words, remedies = _pair_words(problem) or _chain_words(problem)
    return Conflict(kind=kind, requirements=texts, words=words, remedies=tuple(dict.fromkeys(remedies)))


def _core(problem: Problem) -> list[Wanted] | None:
    """As few of the requirements as are needed to fail."""
    core = list(dict.fromkeys(problem.wanted))
    if len(core) > _MAX_REQUIREMENTS:
        return None
    for wanted in list(core):
        fewer = [each for each in core if each is not wanted]
        if fewer and _fails(problem.asking(*fewer)):
            core = fewer
    return core


def _fails(problem: Problem) -> bool:
    return isinstance(solve(replace(problem, wild=True)), Failure)


def _kind(problem: Problem) -> Literal["versions", "python", "date"]:
    if problem.python and not _fails(replace(problem, python="")):
        return "python"
    if problem.latest and not _fails(replace(problem, latest="")):
        return "date"
    return "versions"


def _python_words(problem: Problem) -> tuple[str, list[str]]:
    anywhere = replace(problem, python="")
    python = ".".join(problem.python.split(".")[:2])
    provider, free = Provider(problem), Provider(anywhere)
    for wanted in problem.wanted:
        ask = next(provider.asks(wanted))
        refused = [each for each in free.allowed(ask.package, [ask]) if each.release is not None]
        if not refused or any(each.release is not None for each in provider.allowed(ask.package, [ask])):
            continue
        oldest, newest = refused[-1], refused[0]
        assert oldest.release is not None
        assert newest.release is not None
        needs = newest.release.python if len(refused) == 1 else oldest.release.python
        words = f"{wanted.text} needs Python {needs} ({_of(newest, refused)}), but the job runs Python {python}"
        return words, [*_without_specifier(problem, wanted), f"Python {needs}"]
    named = " and ".join(wanted.text for wanted in problem.wanted)
    words = f"{named}: some release that this needs does not run on Python {python}, which the job runs"
    return words, [remedy for wanted in problem.wanted for remedy in _without_specifier(problem, wanted)]


def _of(newest: Candidate, refused: Sequence[Candidate]) -> str:
    return "its own metadata" if len(refused) == 1 else f"no release up to {newest.text} runs on less"


def _date_words(problem: Problem) -> tuple[str, list[str]]:
    later = Provider(replace(problem, latest=""))
    for wanted in problem.wanted:
        ask = next(later.asks(wanted))
        refused = [each for each in later.allowed(ask.package, [ask]) if each.release is not None]
        if refused and all(each.release is not None and each.release.date > problem.latest for each in refused):
            first = refused[-1]
            assert first.release is not None
            words = (
                f"{wanted.text} was published on {first.release.date}, but the job takes nothing newer than "
                f"{problem.latest} (exclude-newer)"
            )
            return words, [*_without_specifier(problem, wanted), f'exclude-newer = "{first.release.date}"']
    named = " and ".join(wanted.text for wanted in problem.wanted)
    return f"{named} cannot be met by releases up to {problem.latest} (exclude-newer)", []


def _pair_words(problem: Problem) -> tuple[str, list[str]] | None:
    """Two requirements of which one excludes the other directly."""
    if len(problem.wanted) != 2:
        return None
    first, second = problem.wanted
    if first.name == second.name:
        return f"the job asks for {first.text} and for {second.text}, which exclude each other", []
    for asker, asked in ((first, second), (second, first)):
        if found := _demand_words(problem, asker, asked):
            return found
    return None


def _demand_words(problem: Problem, asker: Wanted, asked: Wanted) -> tuple[str, list[str]] | None:
    provider = Provider(problem)
    of_asker, of_asked = next(provider.asks(asker)), next(provider.asks(asked))
    takers = list(provider.allowed(of_asker.package, [of_asker]))
    if not takers or any(_goes_with(provider, taker, of_asked) for taker in takers):
        return None
    demands = {each.wanted.specifier for taker in takers for each in _demands(provider, taker, of_asked.package)}
    demand = next(_demands(provider, takers[0], of_asked.package)).wanted
    needs = f"{asked.name}{demand.specifier}"
    source = "its own metadata" if len(takers) == 1 else "in all these releases"
    if len(demands) > 1:
        source = f"{takers[0].text}; its other releases exclude it too"
    words = f"{asker.text} needs {needs} ({source}), but the job asks for {asked.text}"
    remedies = list(_other_releases(problem, asker, asked))
    if len(demands) == 1 and _works(problem, asked, needs):
        remedies.append(needs)
    else:
        remedies += _without_specifier(problem, asked)
    return words, remedies


def _demands(provider: Provider, candidate: Candidate, library: str) -> Iterator[Ask]:
    for wanted in provider.needs(candidate):
        yield from (ask for ask in provider.asks(wanted) if ask.package == library)


def _goes_with(provider: Provider, candidate: Candidate, asked: Ask) -> bool:
    """Whether a release takes any of the releases that `asked` takes."""
    demands = list(_demands(provider, candidate, asked.package))
    return next(iter(provider.allowed(asked.package, [asked, *demands])), None) is not None


def _other_releases(problem: Problem, asker: Wanted, asked: Wanted) -> Iterator[str]:
    """Which other releases of `asker` go with `asked`: the first newer ones on, else the last older one."""
    provider = Provider(problem)
    anyhow = Wanted(name=asker.name, text=asker.name)
    of_anyhow, of_asker, of_asked = (next(provider.asks(each)) for each in (anyhow, asker, asked))
    newest_first = list(provider.allowed(of_anyhow.package, [of_anyhow]))
    allowed = [each.version for each in provider.allowed(of_asker.package, [of_asker])]
    lowest = version(allowed[0]) if allowed else None
    if lowest is None:
        return
    bound = ""
    for each in newest_first:
        read = version(each.version)
        if read is None or read <= lowest or not _goes_with(provider, each, of_asked):
            break
        bound = each.version
    if bound and _works(problem, asker, f"{asker.name}>={bound}"):
        yield f"{asker.name}>={bound}"
        return
    older = (each.version for each in newest_first if _goes_with(provider, each, of_asked))
    last = next(older, None)
    if last is not None and _works(problem, asker, f"{asker.name}=={last}"):
        yield f"{asker.name}=={last}"


def _works(problem: Problem, changed: Wanted, text: str) -> bool:
    """Whether the requirements can be met with `text` in place of `changed`."""
    instead = read_wanted(text)
    if instead is None:
        return False
    wanted = [instead if each is changed else each for each in problem.wanted]
    solution = solve(problem.asking(*wanted))
    return isinstance(solution, Solution) and all(each.release is not None for each in solution.chosen.values())


def _without_specifier(problem: Problem, wanted: Wanted) -> Iterator[str]:
    """The release that would be installed if `wanted` did not say which."""
    free = Wanted(name=wanted.name, text=wanted.name, extras=wanted.extras)
    solution = solve(problem.asking(*(free if each is wanted else each for each in problem.wanted)))
    if wanted.specifier and isinstance(solution, Solution):
        chosen = next((each for each in solution.chosen.values() if each.key == wanted.name), None)
        if chosen is not None and chosen.release is not None:
            yield f"{wanted.name}=={chosen.version}"


def _chain_words(problem: Problem) -> tuple[str, list[str]]:
    """Requirements that exclude each other through what lies between them."""
    named = [wanted.text for wanted in problem.wanted]
    together = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    words = f"{together} cannot be installed together" if len(named) > 1 else f"{together} cannot be installed"
    failure = solve(problem)
    causes = failure.causes if isinstance(failure, Failure) else ()
    told = [
        f"{by.text} needs {ask.wanted.name}{ask.wanted.specifier}"
        for ask, by in causes
        if by is not None and ask.same is None and ask.wanted.specifier
    ]
    if told:
        words += f": {'; '.join(dict.fromkeys(told))}"
    return words, [remedy for wanted in problem.wanted for remedy in _without_specifier(problem, wanted)]
