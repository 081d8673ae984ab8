"""Limits of the control groups that this process is in, versions 1 and 2, with every group above it.

A limit of a group binds all groups below it, and inside a container the group's own file is often "max" while one
above it is not; so the lowest of the whole path counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainguard.facts.machine.mounts import read_mounts

# Version 1 writes "no limit" as the largest multiple of the page size below 2**63 (mm/page_counter.c,
# PAGE_COUNTER_MAX).
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimit:
    """The limit that binds first: its value, what it still allows, and the folder of its group."""

    limit: int
    free: int
    group: str


def memory_limit(root: Path = Path("/")) -> GroupLimit | None:
    """The memory limit with the least left, None where no group has one. Bytes.

    Pages of files count as free: the kernel drops them before a group runs out (Documentation/admin-guide/
    cgroup-v2.rst, memory.stat).
    """
    found = []
    for folder in _group_folders("memory", root):
        limit = _number(folder / "memory.max")
        used = _number(folder / "memory.current")
        names = ("active_file", "inactive_file")
        if limit is None:
            limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
            names = ("total_active_file", "total_inactive_file")
        if limit is None or limit >= _NO_LIMIT or used is None:
            continue
        cached = sum(_statistics(folder / "memory.stat", names))
        free = min(max(limit - used + cached, 0), limit)
        found.append(GroupLimit(limit=limit, free=free, group=_shown(folder, root)))
    return min(found, key=lambda each: each.free, default=None)


def process_limit(root: Path = Path("/")) -> GroupLimit | None:
    """The limit of processes and threads with the least left, None where no group has one."""
    found = []
    for folder in _group_folders("pids", root):
        limit, used = _number(folder / "pids.max"), _number(folder / "pids.current")
        if limit is not None and used is not None:
            found.append(GroupLimit(limit=limit, free=max(limit - used, 0), group=_shown(folder, root)))
    return min(found, key=lambda each: each.free, default=None)


def _group_folders(controller: str, root: Path) -> Iterator[Path]:
    """The folders of this process's group for `controller` and of those above it, the innermost first.

    Inside a container the path in /proc/self/cgroup may be that of the host, of which only the end, or nothing,
    is mounted; folders that do not exist are left out.
    """
    for mount, group in _mounts_and_groups(controller, root):
        path = mount
        folders = [path]
        for part in Path(group.lstrip("/")).parts:
            if part == "..":  # a group outside of this cgroup namespace
                break
            path = path / part
            folders.append(path)
        yield from reversed([folder for folder in folders if folder.is_dir()])


def _mounts_and_groups(controller: str, root: Path) -> Iterator[tuple[Path, str]]:
    groups: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")  # hierarchy-ID:controller-list:path (cgroups(7))
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups["cgroup2"] = path
        elif controller in controllers.split(","):
            groups["cgroup"] = path
    for mount in read_mounts(root / "proc/self/mountinfo") or ():
        if mount.filesystem == "cgroup" and controller not in mount.mount_point.rpartition("/")[2].split(","):
            continue
        if mount.filesystem in groups:
            yield root / mount.mount_point.lstrip("/"), groups[mount.filesystem]


def _number(path: Path) -> int | None:
    """The number in a file, None for "max" and for a file that is not there."""
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _statistics(path: Path, names: tuple[str, ...]) -> Iterator[int]:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name in names and value.isascii() and value.isdigit():
            yield int(value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _shown(folder: Path, root: Path) -> str:
    return "/" + str(folder.relative_to(root)).lstrip("/")
