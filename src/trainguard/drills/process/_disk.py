"""A disk that notes everything that is asked of it: a file system in memory, served through /dev/fuse.

Every process writes to it through the kernel, so that SQLite's writes are seen as Python's are. What a power cut at any
moment would have left is made of the list of operations by `_power`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The protocol as include/uapi/linux/fuse.h defines it; 7.31 is that of Linux 5.4, which newer kernels speak too.
_VERSION = (7, 31)
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
MAX_WRITE = 1 << 20
_IN, _OUT = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY, _FOREVER = struct.Struct("<QQQQII"), 86_400
_SETATTR = struct.Struct("<IIQQQQQQIIIIIIII")
_MODE, _SIZE, _MTIME, _MTIME_NOW = 1 << 0, 1 << 3, 1 << 5, 1 << 8
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_BLOCK, _DISK_BLOCKS = 4096, 1 << 22
_ROOT = 1


@dataclass(slots=True)
class _Node:
    number: int
    mode: int
    changed: float
    content: bytearray = field(default_factory=bytearray)
    entries: dict[bytes, int] = field(default_factory=dict)
    links: int = 1


class Disk:
    """The file system: nodes by number, and `log`, what was done, in the order of the kernel's requests.

    Entries of the log: ("create", folder, name, number, mode, target), ("write", number, offset, bytes),
    ("size", number, size), ("link", folder, name, number), ("unlink", folder, name),
    ("rename", folder, name, folder, name), ("mode", number, mode), ("sync", number). `skew_seconds` is by how much the
    disk's clock is ahead; while `failing` is an errno, whatever would change the disk fails with it. `locked` are the
    numbers of files that somebody holds open without sharing them, as on a Windows share: EBUSY (fs/smb/client/
    smb2maperror.c, STATUS_SHARING_VIOLATION).
    """

    def __init__(self, start: Path | None = None, *, skew_seconds: float = 0.0) -> None:
        self._skew = skew_seconds
        self.failing: int | None = None
        self.locked: set[int] = set()
        self.log: list[tuple[Any, ...]] = []
        self._nodes = {_ROOT: _Node(_ROOT, stat.S_IFDIR | 0o755, self._now())}
        if start is not None:
            self._fill(_ROOT, start)

    def serve(self, device: int) -> None:
        """Answers the kernel until the mount is gone."""
        while True:
            try:
                request = os.read(device, MAX_WRITE + 65_536)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # ENODEV: unmounted
            _, code, unique, number, *_ = _IN.unpack_from(request)
            body = request[_IN.size :]
            if code in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET: want no answer
                continue
            try:
                handler = _HANDLERS.get(code)
                if self.failing is not None and code in _CHANGES - (_FREES if self.failing == errno.ENOSPC else set()):
                    raise OSError(self.failing, "")
                failed, answer = (errno.ENOSYS, b"") if handler is None else (0, handler(self, number, body))
            except OSError as error:
                failed, answer = error.errno or errno.EIO, b""
            with contextlib.suppress(OSError):  # whoever asked was killed meanwhile
                os.write(device, _OUT.pack(_OUT.size + len(answer), -failed, unique) + answer)

    def take(self, nodes: Mapping[int, Any]) -> None:
        """Fills an empty disk with what `_power.after_power_cut` says was left, all of which is certain now."""

        def fill(number: int, source: int) -> None:
            for name, place in nodes[source].entries.items():
                node = nodes[place]
                if place in known:
                    self._nodes[number].entries[name] = known[place].number
                    known[place].links += 1
                    self._note("link", number, name, known[place].number)
                    continue
                is_link = stat.S_ISLNK(node.mode)
                child = known[place] = self._make(number, name, node.mode, bytes(node.content) if is_link else b"")
                if stat.S_ISREG(node.mode):
                    child.content += node.content
                    self._note("write", child.number, 0, bytes(node.content))
                self._note("sync", child.number)
                if stat.S_ISDIR(node.mode):
                    fill(child.number, place)
            self._note("sync", number)

        known: dict[int, _Node] = {}
        fill(_ROOT, _ROOT)

    def number_of(self, path: str) -> int | None:
        number: int | None = _ROOT
        for name in path.split("/"):
            number = self._nodes[number].entries.get(os.fsencode(name)) if number is not None else None
        return number

    def bytes_of(self, path: str) -> bytes | None:
        """The content of a file, read past the kernel; None where there is none."""
        number = self.number_of(path)
        return bytes(self._nodes[number].content) if number is not None else None

    def lock(self, path: str, seconds: float) -> None:
        """Locks a file for so long."""
        number = self.number_of(path)
        assert number is not None, path
        self.locked.add(number)
        timer = threading.Timer(seconds, self.locked.discard, (number,))
        timer.daemon = True
        timer.start()

    def _not_locked(self, number: int) -> None:
        if number in self.locked:
            raise OSError(errno.EBUSY, "")

    def _fill(self, number: int, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            mode = path.lstat().st_mode
            target = os.fsencode(os.readlink(path)) if path.is_symlink() else b""
            child = self._make(number, os.fsencode(path.name), mode, target)
            if stat.S_ISDIR(mode):
                self._fill(child.number, path)
            elif stat.S_ISREG(mode):
                self._note("write", child.number, 0, path.read_bytes())
                child.content += path.read_bytes()
            self._note("sync", child.number)
        self._note("sync", number)

    def _note(self, *entry: Any) -> None:
        self.log.append(entry)

    def _now(self) -> float:
        return time.time() + self._skew

    def _make(self, folder: int, name: bytes, mode: int, target: bytes = b"") -> _Node:
        entries = self._nodes[folder].entries
        if name in entries:
            raise OSError(errno.EEXIST, "")
        node = _Node(len(self._nodes) + 1, mode, self._now(), bytearray(target))
        self._nodes[node.number] = node
        entries[name] = node.number
        self._note("create", folder, name, node.number, mode, target)
        return node

    def _child(self, folder: int, name: bytes) -> _Node:
        number = self._nodes[folder].entries.get(name)
        if number is None:
            raise OSError(errno.ENOENT, "")
        return self._nodes[number]

    def _attributes(self, node: _Node) -> bytes:
        seconds, rest = int(node.changed), int(node.changed % 1 * 1e9)
        size = len(node.content)
        blocks = -(-size // 512)
        times = (seconds, seconds, seconds, rest, rest, rest)
        links = 2 if stat.S_ISDIR(node.mode) else node.links
        return _ATTRIBUTES.pack(
            node.number, size, blocks, *times, node.mode, links, os.getuid(), os.getgid(), 0, _BLOCK, 0
        )

    def _entry(self, node: _Node) -> bytes:
        return _ENTRY.pack(node.number, 0, _FOREVER, _FOREVER, 0, 0) + self._attributes(node)

    def _remove(self, folder: int, name: bytes) -> None:
        node = self._child(folder, name)
        self._not_locked(node.number)
        if node.entries:
            raise OSError(errno.ENOTEMPTY, "")
        del self._nodes[folder].entries[name]
        node.links -= 1

    # The requests, in the order of their numbers.

    def lookup(self, number: int, body: bytes) -> bytes:
        return self._entry(self._child(number, body[:-1]))

    def getattr(self, number: int, _body: bytes) -> bytes:
        return struct.pack("<QII", _FOREVER, 0, 0) + self._attributes(self._nodes[number])

    def setattr(self, number: int, body: bytes) -> bytes:
        node = self._nodes[number]
        valid, _, _, size, _, _, mtime, _, _, rest, _, mode, *_ = _SETATTR.unpack_from(body)
        if valid & _MODE:
            node.mode = mode
            self._note("mode", number, mode)
        if valid & _SIZE:
            node.content[size:] = b"\0" * max(size - len(node.content), 0)
            node.changed = self._now()
            self._note("size", number, size)
        if valid & _MTIME:
            node.changed = self._now() if valid & _MTIME_NOW else mtime + rest / 1e9
        return self.getattr(number, b"")

    def readlink(self, number: int, _body: bytes) -> bytes:
        return bytes(self._nodes[number].content)

    def symlink(self, number: int, body: bytes) -> bytes:
        name, target, _ = body.split(b"\0")
        return self._entry(self._make(number, name, stat.S_IFLNK | 0o777, target))

    def mknod(self, number: int, body: bytes) -> bytes:
        return self._entry(self._make(number, body[16:-1], struct.unpack_from("<I", body)[0]))

    def mkdir(self, number: int, body: bytes) -> bytes:
        mode = struct.unpack_from("<I", body)[0]
        return self._entry(self._make(number, body[8:-1], stat.S_IFDIR | mode))

    def unlink(self, number: int, body: bytes) -> bytes:
        self._remove(number, body[:-1])
        self._note("unlink", number, body[:-1])
        return b""

    def rename(self, number: int, body: bytes) -> bytes:
        return self._rename(number, struct.unpack_from("<Q", body)[0], 0, body[8:])

    def rename2(self, number: int, body: bytes) -> bytes:
        folder, flags = struct.unpack_from("<QI", body)
        return self._rename(number, folder, flags, body[16:])

    def _rename(self, number: int, folder: int, flags: int, names: bytes) -> bytes:
        old, new, _ = names.split(b"\0")
        node, target = self._child(number, old), self._nodes[folder].entries.get(new)
        self._not_locked(node.number)
        if flags & _RENAME_EXCHANGE:
            raise OSError(errno.EINVAL, "")
        if target is not None and flags & _RENAME_NOREPLACE:
            raise OSError(errno.EEXIST, "")
        if target == node.number:
            return b""
        if target is not None:
            self._remove(folder, new)
        del self._nodes[number].entries[old]
        self._nodes[folder].entries[new] = node.number
        self._note("rename", number, old, folder, new)
        return b""

    def link(self, number: int, body: bytes) -> bytes:
        node, name = self._nodes[struct.unpack_from("<Q", body)[0]], body[8:-1]
        if name in self._nodes[number].entries:
            raise OSError(errno.EEXIST, "")
        self._nodes[number].entries[name] = node.number
        node.links += 1
        self._note("link", number, name, node.number)
        return self._entry(node)

    def open(self, number: int, _body: bytes) -> bytes:
        self._not_locked(number)
        return struct.pack("<QII", 0, 0, 0)

    def read(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self._nodes[number].content[offset : offset + size])

    def write(self, number: int, body: bytes) -> bytes:
        node = self._nodes[number]
        _, offset, size = struct.unpack_from("<QQI", body)
        data = body[40 : 40 + size]
        if offset > len(node.content):
            node.content += b"\0" * (offset - len(node.content))
        node.content[offset : offset + size] = data
        node.changed = self._now()
        self._note("write", number, offset, data)
        return struct.pack("<II", size, 0)

    def statfs(self, _number: int, _body: bytes) -> bytes:
        free = 0 if self.failing == errno.ENOSPC else _DISK_BLOCKS
        return struct.pack("<QQQQQIIII24x", _DISK_BLOCKS, free, free, 1 << 20, 1 << 20, _BLOCK, 255, _BLOCK, 0)

    def release(self, _number: int, _body: bytes) -> bytes:
        return b""

    def fsync(self, number: int, _body: bytes) -> bytes:
        self._note("sync", number)
        return b""

    def init(self, _number: int, body: bytes) -> bytes:
        flags = struct.unpack_from("<IIII", body)[3] & (_BIG_WRITES | _MAX_PAGES)
        return struct.pack("<IIIIHHIIHHI28x", *_VERSION, 0, flags, 16, 12, MAX_WRITE, 1, MAX_WRITE // 4096, 0, 0)

    def readdir(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        # A list of names that are never reused: what is removed while somebody reads moves nothing forward.
        entries = list(self._nodes[number].entries.items())
        answer = b""
        for place, (name, child) in enumerate(entries[offset:], offset + 1):
            kind = stat.S_IFMT(self._nodes[child].mode) >> 12
            record = struct.pack("<QQII", child, place, len(name), kind) + name
            record += b"\0" * (-len(record) % 8)
            if len(answer) + len(record) > size:
                break
            answer += record
        return answer

    def create(self, number: int, body: bytes) -> bytes:
        mode = struct.unpack_from("<II", body)[1]
        return self._entry(self._make(number, body[16:-1], stat.S_IFREG | (mode & 0o7777))) + self.open(number, b"")

    def unsupported(self, _number: int, _body: bytes) -> bytes:
        raise OSError(errno.EOPNOTSUPP, "")


_HANDLERS: dict[int, Callable[[Disk, int, bytes], bytes]] = {
    1: Disk.lookup,
    3: Disk.getattr,
    4: Disk.setattr,
    5: Disk.readlink,
    6: Disk.symlink,
    8: Disk.mknod,
    9: Disk.mkdir,
    10: Disk.unlink,
    11: Disk.unlink,  # RMDIR
    12: Disk.rename,
    13: Disk.link,
    14: Disk.open,
    15: Disk.read,
    16: Disk.write,
    17: Disk.statfs,
    18: Disk.release,
    20: Disk.fsync,
    26: Disk.init,
    27: Disk.open,  # OPENDIR
    28: Disk.readdir,
    29: Disk.release,  # RELEASEDIR
    30: Disk.fsync,  # FSYNCDIR
    35: Disk.create,
    43: Disk.unsupported,  # FALLOCATE
    45: Disk.rename2,
}

# What changes the disk; what of it a full one still allows: SETATTR, UNLINK, RMDIR, RENAME, FSYNC, FSYNCDIR, RENAME2.
_FREES = frozenset({4, 10, 11, 12, 20, 30, 45})
_CHANGES = frozenset({4, 6, 8, 9, 10, 11, 12, 13, 16, 20, 30, 35, 45})
