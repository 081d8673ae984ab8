"""Which distributions a job will have: what it declares, what that brings, and what its image holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainguard.facts.requirements import Requirement, parse_requirement

if TYPE_CHECKING:
    from trainguard.facts.job import JobFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """`names` are the distributions that the job will have, canonical; `direct` those it asks for itself.

    `complete` is False where something is installed that cannot be told, so that a distribution missing
    from `names` may be there all the same; `unknown` says what that is.
    """

    names: frozenset[str] = frozenset()
    direct: frozenset[str] = frozenset()
    complete: bool = True
    unknown: tuple[str, ...] = ()

    def has(self, *distributions: str) -> bool:
        """Whether any of `distributions` is there for certain."""
        return not self.names.isdisjoint(distributions)


def declared_distributions(job: JobFacts, script_installs: Iterable[str | Requirement] = ()) -> Declared:
    """What the job will have installed; `script_installs` is what the script installs while it runs."""
    from trainguard.libraries.packages import brought_by, image_brings, image_surely_brings, is_known

    requirements = [*job.dependencies]
    requirements += [r if isinstance(r, Requirement) else parse_requirement(r) for r in script_installs]
    unknown: list[str] = []
    if job.command is not None:
        requirements += job.command.installs
        unknown += job.command.unknown_installs
    if image_brings(job.image) is None:
        unknown.append(f"image {job.image}")
    unknown += [r.raw for r in requirements if r.name is None or not is_known(r.name)]
    direct = frozenset(r.name for r in requirements if r.name is not None)
    # An upper bound on one package can hold back what it brings, and older releases brought other things.
    brought = brought_by(
        (key for r in requirements if (key := r.key) is not None), older=any(r.bounded for r in requirements)
    )
    return Declared(
        names=direct | brought | image_surely_brings(job.image),
        direct=direct,
        complete=not unknown,
        unknown=tuple(unknown),
    )
