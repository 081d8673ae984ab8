"""Asks a package index, through pip and PyPI's JSON API, which releases there are, and fetches their wheels.

Used only when someone builds or updates an index; no check comes here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.version import InvalidVersion, Version

from trainguard.errors import UnreadableInputError

JSON_API = "https://pypi.org/pypi/{name}/json"  # docs.pypi.org/api/json
_TIMEOUT_SECONDS = 60
# A wheel is read, not run, so any platform's will do; Linux on x86-64 is where jobs run.
_PLATFORMS = (*(f"manylinux_2_{glibc}_x86_64" for glibc in range(39, 16, -1)), "manylinux2014_x86_64", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A release that offers a wheel; `date` is the day of its first upload."""

    version: str
    date: str
    yanked: bool


def published(distribution: str, since: str = "0", *, api: str = JSON_API) -> list[Published]:
    """The final releases from `since` on that have a wheel, oldest first; `api` is an address with `{name}`.

    Raises UnreadableInputError if the package index cannot be asked or does not know the name.
    """
    try:
        with urllib.request.urlopen(api.format(name=distribution), timeout=_TIMEOUT_SECONDS) as answer:
            releases = json.load(answer)["releases"]
    except (OSError, ValueError, KeyError) as error:
        raise UnreadableInputError(f"{distribution}: the package index cannot be asked: {error}") from error
    found = []
    for version, files in releases.items():
        wheels = [file for file in files if file["filename"].endswith(".whl")]
        if wheels and _is_wanted(version, since):
            day = min(file["upload_time_iso_8601"] for file in wheels)[:10]
            found.append(Published(version=version, date=day, yanked=all(file["yanked"] for file in wheels)))
    return sorted(found, key=lambda release: Version(release.version))


def _is_wanted(version: str, since: str) -> bool:
    try:
        known = Version(version)
    except InvalidVersion:
        return False
    return not known.is_prerelease and known >= Version(since)


@contextmanager
def fetched(distribution: str, version: str, keep: Path | None = None) -> Iterator[Path]:
    """The wheel of a release, for as long as the block runs; with `keep`, from that folder and left in it.

    Raises UnreadableInputError with pip's last words if it cannot be had.
    """
    if keep is not None:
        folder = keep / distribution
        wheel = _wheel_in(folder, version) or _download(distribution, version, folder)
        yield wheel
        return
    with TemporaryDirectory(prefix="trainguard-") as name:
        yield _download(distribution, version, Path(name))


def _download(distribution: str, version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--ignore-requires-python", "--implementation", "cp", "--python-version", "3.12",
               "--abi", "cp312", "--abi", "abi3", "--abi", "none", "--dest", str(folder)]  # fmt: skip
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run([*command, f"{distribution}=={version}"], capture_output=True, text=True, check=False)
    wheel = _wheel_in(folder, version)
    if done.returncode != 0 or wheel is None:
        words = done.stderr.strip().splitlines()
        raise UnreadableInputError(f"{distribution}=={version}: pip cannot fetch it: {words[-1] if words else '?'}")
    return wheel


def _wheel_in(folder: Path, version: str) -> Path | None:
    wanted = Version(version)
    for wheel in sorted(folder.glob("*.whl")):
        try:
            if Version(wheel.name.split("-")[1]) == wanted:
                return wheel
        except (IndexError, InvalidVersion):
            continue
    return None
