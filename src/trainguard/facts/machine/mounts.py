"""The kernel's table of mounts, read without touching any of the file systems in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

# File systems whose data is on another machine: those of ME_REMOTE in gnulib's lib/mountlist.c (2024), with the
# kernel's newer ones (Documentation/filesystems: ceph, smb3) and the FUSE ones that training clusters use.
_NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs ncpfs afs auristorfs coda ceph lustre gpfs beegfs fhgfs panfs pvfs2 orangefs wekafs "
    "ibrix acfs glusterfs".split()
)
_NETWORK_FUSE = frozenset(
    "sshfs s3fs gcsfuse rclone mountpoint-s3 goofys juicefs glusterfs ceph ceph-fuse blobfuse blobfuse2 davfs davfs2 "
    "curlftpfs alluxio alluxio-fuse seaweedfs lustre hdfs weka".split()
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the table: where, what (a device or `server:/path`) and of which type."""

    mount_point: str
    filesystem: str
    source: str
    read_only: bool


def read_mounts(table: Path = MOUNTINFO) -> tuple[Mount, ...] | None:
    """The mounts in the order of the table, None where the system has none (macOS)."""
    try:
        lines = table.read_bytes().split(b"\n")
    except OSError:
        return None
    return tuple(mount for line in lines if (mount := _mount(line)) is not None)


def mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that an absolute `path` without symlinks lies on. Of two on one point the later hides the earlier."""
    best = None
    for mount in mounts:
        point = mount.mount_point.rstrip("/")
        covers = path == point or path.startswith(point + "/")
        if covers and (best is None or len(point) >= len(best.mount_point.rstrip("/"))):
            best = mount
    return best


def is_network(filesystem: str) -> bool:
    """Whether a file system type keeps its data on another machine."""
    kind, _, fuse = filesystem.partition(".")
    return fuse in _NETWORK_FUSE if kind == "fuse" else filesystem in _NETWORK


def _mount(line: bytes) -> Mount | None:
    # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw   (proc_pid_mountinfo(5))
    before, separator, after = line.partition(b" - ")
    head, tail = before.split(b" "), after.split(b" ")
    if not separator or len(head) < 6 or len(tail) < 3:
        return None
    options = set(head[5].split(b",")) | set(tail[2].split(b","))
    return Mount(
        mount_point=_text(head[4]), filesystem=_text(tail[0]), source=_text(tail[1]), read_only=b"ro" in options
    )


def _text(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))
