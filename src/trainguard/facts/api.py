"""Which releases of the training libraries a job will have, and what their interfaces are: read when a rule asks."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from trainguard.libraries.api.index import Index, open_index
from trainguard.libraries.api.query import Interfaces
from trainguard.libraries.api.signatures import Signatures

if TYPE_CHECKING:
    from trainguard.facts.job import JobFacts
    from trainguard.facts.script import ScriptFacts
    from trainguard.libraries.resolution import Resolution


class ApiFacts:
    """The training libraries as one job will have them. `job` None: the script alone, as it was given.

    `stated` False: only some options of a job are known, and its packages are not among them.
    """

    def __init__(self, script: ScriptFacts | None, job: JobFacts | None, *, stated: bool = True) -> None:
        self._script = script
        self._job = job if stated else None

    @cached_property
    def index(self) -> Index:
        return open_index()

    @cached_property
    def resolution(self) -> Resolution:
        """One version for each library, or what contradicts itself."""
        from trainguard.facts.installed import installed_versions

        return installed_versions(self._job, self._script, self.index.all_releases)

    def allows(self, requirement: str, library: str, *, instead: bool = False) -> bool:
        """Whether the job could ask for this too and get the same releases of what it asks for but `library`.

        `instead`: in the place of what it asks of `library` now.
        """
        from trainguard.libraries.resolution import resolve

        asked = {name: reason.requirement for name, reason in self.resolution.why.items() if not reason.by}
        if instead:
            asked.pop(library, None)
        found = resolve([*asked.values(), requirement], self.index.all_releases)
        kept = [name for name in asked if name != library]
        return library in found.versions and all(
            found.versions.get(name) == self.resolution.versions.get(name) for name in kept
        )

    @cached_property
    def signatures(self) -> Signatures:
        """The signatures of what these versions offer."""
        return _signatures(self.index, tuple(sorted(self.resolution.versions.items())))

    @property
    def interfaces(self) -> Interfaces:
        """The interfaces of these versions."""
        return self.signatures.interfaces


# Jobs of one batch mostly install the same versions; what was looked up for one serves the next.
@lru_cache(maxsize=8)
def _signatures(index: Index, versions: tuple[tuple[str, str], ...]) -> Signatures:
    return Signatures(Interfaces(index, dict(versions)))
