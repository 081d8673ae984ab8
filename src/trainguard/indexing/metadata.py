"""A release as its METADATA describes it."""

from __future__ import annotations

import zipfile
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from trainguard.libraries.api.records import Release

_TRAINING_LIBRARIES = {
    "accelerate",
    "bitsandbytes",
    "datasets",
    "huggingface-hub",
    "kernels",
    "peft",
    "safetensors",
    "trackio",
    "transformers",
    "trl",
}


def read_release(path: Path, *, date: str = "", yanked: bool = False) -> Release:
    """The release in a wheel; its metadata knows neither the day of the upload nor whether it was yanked.

    Raises `ValueError` where the wheel has no METADATA.
    """
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            if name.endswith(".dist-info/METADATA") and name.count("/") == 1:
                return parse_release(wheel.read(name).decode("utf-8", "replace"), date=date, yanked=yanked)
    raise ValueError(f"{path.name}: no METADATA")


def parse_release(text: str, *, date: str = "", yanked: bool = False) -> Release:
    """The release that a METADATA text describes. Of extras' requirements those are kept that
    are for another training library."""
    headers = HeaderParser().parsestr(text)
    requires = tuple(line for line in headers.get_all("Requires-Dist") or [] if _counts(line))
    return Release(
        version=headers["Version"] or "",
        date=date,
        python=headers["Requires-Python"] or "",
        requires=requires,
        yanked=yanked,
    )


def _counts(requirement: str) -> bool:
    """Whether a requirement bears on the versions of the training libraries: those of extras only between these."""
    try:
        read = Requirement(requirement)
    except InvalidRequirement:
        return True  # the resolver says what it cannot read
    # A marker without `extra` is the same for any extra; one with it is false for none.
    of_extra = read.marker is not None and "extra" in str(read.marker)
    return not of_extra or canonicalize_name(read.name) in _TRAINING_LIBRARIES
