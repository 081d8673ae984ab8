"""Builds environments that hold given releases of the training libraries, once, with pip.

torch is large and the same for all: it is installed into one environment and linked into the others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_DONE = "complete"


def environment(folder: Path, requirements: tuple[str, ...], name: str = "") -> Path:
    """The interpreter of an environment with `requirements` and torch, built under `folder` if it is not there.

    Raises subprocess.CalledProcessError if pip cannot install them.
    """
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    place = folder / f"{name or '-'.join(requirements[:2]).replace('==', '-')}-{key}-{version}"
    if not (place / _DONE).exists():
        torch = _torch(folder / f"torch-{version}")
        _made(place)
        constraint = _link_torch(torch, place)
        _pip(place, *requirements, constraint)
        (place / _DONE).touch()
    return python_of(place)


def tool(folder: Path, requirement: str, command: str) -> Path:
    """A command of a tool, in an environment that holds nothing else, built if it is not there.

    Raises subprocess.CalledProcessError if pip cannot install it.
    """
    place = folder / requirement.replace("==", "-")
    if not (place / _DONE).exists():
        _made(place)
        _pip(place, requirement)
        (place / _DONE).touch()
    return python_of(place).with_name(command)


def python_of(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def packages_of(place: Path) -> Path:
    """Its site-packages."""
    if os.name == "nt":
        return place / "Lib" / "site-packages"
    return place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _torch(place: Path) -> Path:
    if not (place / _DONE).exists():
        _made(place)
        _pip(place, "torch")
        (place / _DONE).touch()
    return place


def _made(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    print(f"building {place}", file=sys.stderr)
    subprocess.run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", place], check=True)


def _link_torch(source: Path, place: Path) -> str:
    """Links torch's own folders, not its dependencies, which each environment needs at versions of its own.
    Returns the requirement that keeps pip from taking another."""
    version = ""
    for path in packages_of(source).iterdir():
        name = path.name
        if name in ("torch", "torchgen", "functorch") or (name.startswith("torch-") and name.endswith(".dist-info")):
            (packages_of(place) / name).symlink_to(path, target_is_directory=True)
            if name.endswith(".dist-info"):
                version = name.removeprefix("torch-").removesuffix(".dist-info")
    return f"torch=={version}"


def _pip(place: Path, *requirements: str) -> None:
    command = [str(python_of(place)), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements]
    subprocess.run(command, check=True)
