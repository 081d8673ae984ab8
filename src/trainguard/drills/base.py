"""What a drill is: one class in one file that causes one fault for real and checks what a user would see of it.

`provoke` makes the fault in a scratch folder and asks the running guard; `expect` judges what came out. Between them
goes an `Outcome`, so that a drill cannot pass by looking at its own preparation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from trainguard.drills.catalogue import EDGE_CASES
from trainguard.drills.guard import Guard
from trainguard.findings import Finding, Severity

Area: TypeAlias = Literal[
    "data", "model", "checkpoint", "config", "machine", "gpu", "training", "code", "process", "queue"
]
Need: TypeAlias = Literal["linux", "mount", "fuse", "seccomp", "train", "trl", "data", "disk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen: the findings, and whatever else `expect` looks at."""

    findings: tuple[Finding, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def of(self, code: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.code == code]


class Drill:
    """Base of all drills.

    `number` is the row of the catalogue, which gives the title and the codes. `guards` are those of the codes that
    this drill asks for; with them switched off it must fail. `needs` names what a machine must have: without it the
    drill is not run, and not passed.
    """

    number: ClassVar[int]
    area: ClassVar[Area]
    needs: ClassVar[frozenset[Need]] = frozenset()
    guards: ClassVar[tuple[str, ...]] = ()
    slow: ClassVar[bool] = False

    @property
    def title(self) -> str:
        return EDGE_CASES[self.number].title

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes whose findings this drill expects."""
        return self.guards or EDGE_CASES[self.number].codes

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Causes the fault in the empty folder `scratch` and asks `guard`."""
        raise TypeError(f"{type(self).__name__} does not define provoke, so nothing happens to {guard} in {scratch}")

    def expect(self, outcome: Outcome) -> Iterable[str]:
        """What is wrong with the outcome, a sentence each; nothing where the drill is passed."""
        raise TypeError(f"{type(self).__name__} does not define expect, so {outcome} is not judged")


def missing(
    outcome: Outcome,
    code: str,
    *,
    severity: Severity = "error",
    says: Iterable[str] = (),
    line: int | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """What a finding of `code` lacks: that it is there, its severity, words in its message, its line, its numbers."""
    found = outcome.of(code)
    if not found:
        others = sorted({finding.code or "?" for finding in outcome.findings})
        yield f"there is no {code}" + (f", only {', '.join(others)}" if others else "")
        return
    texts = [f"{finding.message} {finding.fix or ''}" for finding in found]
    if all(finding.severity != severity for finding in found):
        yield f"{code} is {found[0].severity}, expected {severity}"
    for word in says:
        if not any(word in text for text in texts):
            yield f"{code} does not say {word!r}: {found[0].message}"
    if line is not None and all(finding.where is None or finding.where.line != line for finding in found):
        yield f"{code} points to {found[0].where}, expected line {line}"
    for key, value in (evidence or {}).items():
        if all(finding.evidence.get(key) != value for finding in found):
            yield f"{code} has {key}={found[0].evidence.get(key)!r} in its evidence, expected {value!r}"


def surplus(outcome: Outcome, *allowed: str) -> Iterator[str]:
    """Errors beside those that were provoked: a drill's files are sound but for the one fault."""
    for finding in outcome.findings:
        if finding.severity == "error" and finding.code not in allowed:
            yield f"{finding.code or 'an error'} was not provoked: {finding.message}"
