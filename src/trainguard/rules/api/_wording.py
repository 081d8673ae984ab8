"""How findings of the API rules name versions: which release, why that one, and which pin would help."""

from __future__ import annotations

from trainguard.facts.api import ApiFacts
from trainguard.libraries.api.query import Past


def distribution(library: str) -> str:
    """The name by which a library is installed."""
    return library.replace("_", "-")


def release(api: ApiFacts, library: str) -> str:
    """A library with its version, and how the job comes to it where it does not pin it."""
    version = api.interfaces.version(library)
    shown = f"{distribution(library)} {version}"
    reason = api.resolution.why.get(library)
    if api.resolution.assumed or reason is None:
        return f"{shown} (the newest; no version is declared)"
    if is_pinned(api, library):
        return shown
    if reason.by:
        return f"{shown} (the newest that {reason.by} admits, with {reason.requirement})"
    if reason.requirement.strip().lower().replace("_", "-") == distribution(library):
        return f"{shown} (the newest; the job pins none)"
    return f"{shown} (the newest that {reason.requirement} admits)"


def is_pinned(api: ApiFacts, library: str) -> bool:
    """Whether the job asks for one version of a library by itself."""
    reason = api.resolution.why.get(library)
    return reason is not None and not reason.by and "==" in reason.requirement and ".*" not in reason.requirement


def history(past: Past, what: str = "it") -> str:
    """In which releases something was, or will be."""
    name = distribution(past.package)
    if past.last is not None:
        return f"{what} is gone since {name} {past.gone} (last in {past.last})"
    return f"{what} comes with {name} {past.added}" if past.added is not None else ""


def pin(api: ApiFacts, past: Past) -> str:
    """The requirement that brings back what is missing; empty where the job's own requirements are against it."""
    name = distribution(past.package)
    if past.last is not None:
        older = f"{name}<{past.gone}"
        return older if api.allows(older, past.package) else ""
    newer = f"{name}>={past.added}"
    return newer if past.added is not None and api.allows(newer, past.package, instead=True) else ""


def joined(*parts: str) -> str:
    """The parts of a message that are not empty, as one line."""
    return "; ".join(part for part in parts if part)
