"""Which releases of the training libraries a job will have when its script starts.

What a job declares is installed in steps, and a later one acts upon what the earlier ones left: the image, the block of
the script, the launcher's packages, each `pip install` of the command, those of the script itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from trainguard.facts.image_releases import image_releases
from trainguard.facts.install_steps import Installation, InstallStep, installation
from trainguard.facts.python_version import image_python_version

if TYPE_CHECKING:
    from trainguard.facts.job import JobFacts
    from trainguard.facts.script import ScriptFacts
    from trainguard.libraries.api.records import Release
    from trainguard.libraries.resolution_records import Conflict, Reason, Resolution

# Of images in use, the oldest first: pytorch/pytorch had 3.10 until 2.3, as Ubuntu 22.04 has, and 3.11 after that.
_OLDER_PYTHONS = ("3.10", "3.11")
_UNREAD_IMAGE = "the image {0} may hold another version"


def installed_versions(
    job: JobFacts | None,
    script: ScriptFacts | None,
    releases: Mapping[str, Sequence[Release]],
    *,
    stated: bool = True,
) -> Resolution:
    """The versions of the libraries in `releases` (import name to releases, oldest first) that the job will have.

    `stated` False: the job's packages are not among what is known of it (`Subject.dependencies_stated`). Where nothing
    is declared at all, the newest releases of what the script imports are taken, and the result says `assumed`.
    """
    found = installation(job, script)
    if not found.declares and (job is None or not stated or not job.remote):  # anything may be there
        return _assumed(script, releases, found.python)
    image = job.image if job is not None and not found.isolated else None
    result = _follow(found, image, releases, found.python)
    if job is None or not job.image_given or job.python is not None or image_python_version(job.image) is not None:
        return result
    # An image whose name does not state its Python: only what does not depend on it is known.
    older = _with_older_python(found, image, releases, result)
    doubtful = [name for name, version in result.versions.items() if older.versions.get(name) != version]
    sure = result.without(dict.fromkeys(doubtful, f"the Python of the image {job.image} decides"))
    return sure if older.conflict is not None else replace(sure, conflict=None)


def _with_older_python(
    found: Installation, image: str | None, releases: Mapping[str, Sequence[Release]], result: Resolution
) -> Resolution:
    """What the oldest likely Python would give: one with which the installation fails runs no script at all."""
    for python in _OLDER_PYTHONS:
        older = _follow(found, image, releases, python)
        if older.conflict is None or result.conflict is not None:
            return older
    return result


def _follow(
    found: Installation, image: str | None, releases: Mapping[str, Sequence[Release]], python: str
) -> Resolution:
    from trainguard.libraries.resolution_records import Resolution

    state = _State(releases=releases, python=python)
    if image is not None:
        state.take_image(image)
    for step in found.steps:
        state.take(step)
    return Resolution(versions=state.versions, why=state.why, unknown=state.unknown, conflict=state.conflict)


def _assumed(script: ScriptFacts | None, releases: Mapping[str, Sequence[Release]], python: str) -> Resolution:
    from trainguard.libraries.resolution import resolve
    from trainguard.libraries.resolution_records import Resolution

    imported = (
        {each.module.partition(".")[0] for each in script.imports if each.module} if script is not None else set()
    )
    wanted = sorted(imported & releases.keys())
    if not wanted:
        return Resolution(assumed=True)
    return replace(resolve(wanted, releases, python=python), assumed=True)


@dataclass(slots=True, kw_only=True)
class _State:
    """What is installed after the steps so far."""

    releases: Mapping[str, Sequence[Release]]
    python: str
    versions: dict[str, str] = field(default_factory=dict)
    why: dict[str, Reason] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    conflict: Conflict | None = None

    def take_image(self, image: str | None) -> None:
        from trainguard.libraries.packages import image_brings
        from trainguard.libraries.resolution_records import Reason

        held = image_brings(image)
        names = {name.replace("_", "-"): name for name in self.releases}
        maybe = names.values() if held is None else (names[name] for name in names if name in held)
        self._doubt(maybe, _UNREAD_IMAGE.format(image))
        for library, version in image_releases(image).items():
            listed = [release.version for release in self.releases.get(library, ())]
            if version in listed:
                self.unknown.pop(library, None)
                self.versions[library] = version
                self.why[library] = Reason(requirement=f"image {image}", newest=version == listed[-1])

    def take(self, step: InstallStep) -> None:
        from trainguard.libraries.resolution import resolve

        found = resolve(
            step.requirements,
            self.releases,
            python=self.python,
            exclude_newer=date.fromisoformat(step.exclude_newer) if step.exclude_newer else None,
            installed={**dict.fromkeys(self.unknown), **self.versions},
            upgrade=step.upgrade,
            dependencies=step.dependencies,
            unreadable=step.unreadable,
        )
        if found.conflict is not None and step.certain and self.conflict is None:
            self.conflict = found.conflict
        if not step.certain:
            self._take_maybe(found)
            return
        for library, version in found.versions.items():
            self.unknown.pop(library, None)
            if self.versions.get(library) != version or library not in self.why:
                self.why[library] = found.why[library]
            self.versions[library] = version
        for library, reason in found.unknown.items():
            self._doubt((library,), reason)
        if step.unreadable:
            pinned = found.versions.keys()
            self._doubt((name for name in self.releases if name not in pinned), f"{step.unreadable} may install it")

    def _take_maybe(self, found: Resolution) -> None:
        """An installation that the script makes perhaps: in a handler, say, where an import fails."""
        for library, version in found.versions.items():
            if library in self.versions and self.versions[library] != version:
                self._doubt((library,), "the script may install another version")
            elif library not in self.unknown:
                self.versions[library] = version
                self.why.setdefault(library, found.why[library])
        for library, reason in found.unknown.items():
            self._doubt((library,), reason)

    def _doubt(self, libraries: Iterable[str], reason: str) -> None:
        for library in list(libraries):
            self.versions.pop(library, None)
            self.why.pop(library, None)
            self.unknown.setdefault(library, reason)
