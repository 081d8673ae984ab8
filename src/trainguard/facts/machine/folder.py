"""A folder to write into: its file system, room, permissions and a real write, without ever hanging."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainguard.facts.machine.child import ask_child
from trainguard.facts.machine.mounts import is_network, mount_of, read_mounts
from trainguard.facts.machine.records import FolderFacts, LockFacts, WriteProbe

# An automounter or a disk that has to spin up takes some seconds for its first answer.
DEADLINE_SECONDS = 10.0
# The file on which a guarded run or a daemon holds a kernel lock (flock) for as long as it lives in a folder.
LOCK_NAME = "trainguard.lock"

_PROBE = Path(__file__).with_name("_folder_probe.py")
_PLAIN = (
    "problem probed read_only total_bytes free_bytes total_inodes free_inodes mode owner user skew_seconds stuck_at "
    "checkpoint_bytes"
).split()


def read_folder(folder: Path, *, deadline_seconds: float = DEADLINE_SECONDS) -> FolderFacts:
    """What `folder` is, which need not exist yet. Returns within the deadline (and a second), whatever hangs."""
    shown = str(folder)
    try:
        absolute = os.path.abspath(shown)
    except OSError:  # the current folder is gone
        return FolderFacts(path=shown, problem="the current folder does not exist any more")
    if "\0" in absolute:
        return FolderFacts(path=shown, problem="a path cannot hold a NUL character")
    question = {"path": absolute, "lock": LOCK_NAME}
    answer = ask_child(_PROBE, question, deadline_seconds=deadline_seconds)
    values = dict(answer.values)
    facts = {name: values.get(name) for name in _PLAIN}
    mount = _mount_facts(values.get("real") or absolute)
    if mount.pop("read_only", None):
        facts["read_only"] = True
    return FolderFacts(
        path=shown,
        answered=_answered(values, timed_out=answer.timed_out),
        deadline_seconds=deadline_seconds,
        write=_write_probe(values.get("write")),
        lock=_lock(values.get("lock")),
        **mount,
        **facts,
    )


def _answered(values: Mapping[str, Any], *, timed_out: bool) -> bool | None:
    if values.get("answered"):
        return True
    # Without its first line the child never came to the file system: the machine was too busy to start it.
    return False if timed_out and values.get("started") else None


def _mount_facts(path: str) -> dict[str, Any]:
    mounts = read_mounts()
    mount = mount_of(path, mounts) if mounts is not None else None
    if mount is None:
        return {}
    return {
        "filesystem": mount.filesystem,
        "source": mount.source,
        "mount_point": mount.mount_point,
        "network": is_network(mount.filesystem),
        "read_only": mount.read_only,
    }


def _write_probe(values: object) -> WriteProbe | None:
    return WriteProbe(**values) if isinstance(values, dict) else None


def _lock(values: object) -> LockFacts | None:
    return LockFacts(**values) if isinstance(values, dict) else None
