"""What resolving a job's requirements says: a version for each library, why, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a library has its version: `requirement` decided it, which `by` asked for (`trl 1.16.0`).

    `by` is empty where the job itself asks. `newest` tells whether the version is the newest that is indexed.
    """

    requirement: str
    by: str = ""
    newest: bool = True

    @property
    def text(self) -> str:
        return f"{self.requirement} (of {self.by})" if self.by else self.requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Requirements that no installer can meet together.

    `requirements` are those of the job that are in the way of each other, as few as it takes. `words` says who asks
    for what, `remedies` are requirements any one of which would do, the first the one that changes least.
    """

    kind: Literal["versions", "python", "date"]
    requirements: tuple[str, ...]
    words: str
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The versions of the indexed libraries that a job has, by the libraries' import names.

    `unknown` are libraries that it has, or may have, at a version that cannot be told, each with the reason. A library
    in neither is not installed. `assumed` tells that nothing was declared, and that the newest releases of what the
    script imports were taken in its place.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, Reason] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    conflict: Conflict | None = None
    assumed: bool = False

    def without(self, reasons: Mapping[str, str]) -> Resolution:
        """The same with the libraries of `reasons` at a version that cannot be told."""
        return replace(
            self,
            versions={name: version for name, version in self.versions.items() if name not in reasons},
            why={name: reason for name, reason in self.why.items() if name not in reasons},
            unknown={**self.unknown, **reasons},
        )
