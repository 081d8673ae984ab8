"""What a drill needs of the machine, and whether it is there."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache

from trainguard.drills.base import Need

_DISK_BYTES = 3 * 10**9
_DEADLINE_SECONDS = 20.0
_SECCOMP_MACHINES = ("x86_64", "aarch64")

_MODULES: dict[Need, tuple[str, ...]] = {
    "train": ("torch", "transformers", "accelerate"),
    "trl": ("torch", "transformers", "accelerate", "trl", "peft", "datasets", "jinja2"),
    "data": ("tokenizers", "jinja2"),
}
_WORDS: dict[Need, str] = {
    "linux": "Linux",
    "mount": "root, or user namespaces that may mount",
    "fuse": "root, or user namespaces that may mount, and /dev/fuse",
    "seccomp": "Linux on x86-64 or ARM64",
    "train": "torch and transformers (pip install 'trainguard[train]')",
    "trl": "Linux, torch, transformers, trl, peft and datasets (pip install 'trainguard[train]')",
    "data": "the readers of data (pip install 'trainguard[data]')",
    "disk": "3 GB of free disk",
}


def unmet(needs: frozenset[Need]) -> str | None:
    """`needs root, ...` for the first need that this machine does not meet, None where it meets all."""
    for need in sorted(needs):
        if not _is_met(need):
            return f"needs {_WORDS[need]}"
    return None


@cache
def _is_met(need: Need) -> bool:
    linux = sys.platform == "linux"
    if need == "linux":
        return linux
    if need == "seccomp":
        return linux and platform.machine() in _SECCOMP_MACHINES
    if need == "mount":
        return linux and _may_mount()
    if need == "fuse":
        return linux and os.access("/dev/fuse", os.R_OK | os.W_OK) and _may_mount()
    if need == "disk":
        return shutil.disk_usage(tempfile.gettempdir()).free >= _DISK_BYTES
    if need == "trl" and not linux:
        return False
    return all(importlib.util.find_spec(name) is not None for name in _MODULES[need])


def _may_mount() -> bool:
    """Whether a child can get a name space of its own and mount in it."""
    command = [sys.executable, "-m", "trainguard.drills.inside", '{"setup": [{"what": "tmpfs"}], "ask": false}']
    with tempfile.TemporaryDirectory(prefix="trainguard-drill-") as folder:
        try:
            done = subprocess.run(command, capture_output=True, check=False, cwd=folder, timeout=_DEADLINE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0
