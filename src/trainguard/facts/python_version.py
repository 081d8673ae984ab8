"""Which Python a job will run."""

from __future__ import annotations

import re

# The default images of both modes carry it: huggingface_hub 2.4.0, DEFAULT_UV_IMAGE.
DEFAULT_PYTHON_VERSION = "3.12"
# The versions that uv offers, newest first: uv takes the image's Python where it fits, else the newest that does.
_OFFERED = ("3.14", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8")

_PLAIN = re.compile(r"(?:c?python|pypy)?[-@]?(3\.\d{1,2}|3\d{1,2})(?:[.\-+t].*)?")
_IN_IMAGE = re.compile(r"(?:^|[^a-z])py(?:thon)?[:_-]?3\.?(\d{1,2})(?!\d)")


def effective_python_version(python: str | None, requires_python: str | None, image: str | None) -> str:
    """The minor version of the job: what was asked for, else the image's where the script accepts it."""
    in_image = image_python_version(image) or DEFAULT_PYTHON_VERSION
    for asked in (python, requires_python):
        if asked is None:
            continue
        if match := _PLAIN.fullmatch(asked.strip().lower()):
            version = match[1]
            return version if "." in version else f"3.{version[1:]}"
        if re.search(r"[<>=~!]", asked):
            return _first_accepted(asked, (in_image, *_OFFERED)) or in_image
    return in_image


def image_python_version(image: str | None) -> str | None:
    """The Python that an image's name states (`python:3.11-slim`, `…-py3.10-…`), None where it states none."""
    match = _IN_IMAGE.search((image or "").lower())
    return f"3.{int(match[1])}" if match else None


def _first_accepted(specifier: str, versions: tuple[str, ...]) -> str | None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        accepted = SpecifierSet(specifier)
    except InvalidSpecifier:
        return None
    # The newest patch release of a minor version: a specifier such as `>=3.11.4` does not exclude 3.11.
    return next((version for version in versions if accepted.contains(f"{version}.99")), None) or next(
        (version for version in versions if accepted.contains(version)), None
    )
