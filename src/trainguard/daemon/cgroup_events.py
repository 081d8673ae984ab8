"""How often the kernel has killed for memory in the control group that this process and its children are in."""

from __future__ import annotations

import os
from pathlib import Path

# The line of both versions: memory.events (Documentation/admin-guide/cgroup-v2.rst: "the number of processes belonging
# to this cgroup killed by any kind of OOM killer") and memory.oom_control (cgroup-v1/memory.rst, since Linux 4.13).
_FILES = {"cgroup2": "memory.events", "cgroup": "memory.oom_control"}


def oom_kills(root: Path = Path("/")) -> int | None:
    """The kernel's kills for memory in this group since it began; None where the system does not count them.

    Only the process's own group is asked: the victim's group is the one that is counted in, whichever limit was hit.
    """
    path = _counter(root)
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None


def _counter(root: Path) -> Path | None:
    from trainguard.facts.machine.mounts import read_mounts

    groups = {}
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        number, _, rest = line.partition(":")  # hierarchy-ID:controller-list:path (cgroups(7))
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups["cgroup2"] = path
        elif "memory" in controllers.split(","):
            groups["cgroup"] = path
    for mount in read_mounts(root / "proc/self/mountinfo") or ():
        name = _FILES.get(mount.filesystem)
        if name is None or mount.filesystem not in groups:
            continue
        if mount.filesystem == "cgroup" and "memory" not in mount.mount_point.rpartition("/")[2].split(","):
            continue
        base = root / mount.mount_point.lstrip("/")
        # Inside a container the path may be the host's, and the mount the container's own group.
        for folder in (base / groups[mount.filesystem].lstrip("/"), base):
            if ".." not in folder.parts and os.path.isfile(folder / name):
                return folder / name
    return None
