"""What is known of an accepted file, kept beside its content: from these the queue is rebuilt when its database is
lost.

`files/<sha256>/.<16 hex digits>.json`, one for each row; names in custody never begin with a dot.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from trainguard.durable import make_folder_below, write_atomically
from trainguard.queue.records import Priority, QueuedFile, State

FILES = "files"
# One holds a row of the queue and its memory; whatever is larger is none of ours.
_MAX_BYTES = 16 << 20


class Sidecar(Struct, frozen=True, kw_only=True):
    """A row as it was when the file was accepted or settled. Times are unix seconds, sizes bytes."""

    id: int
    lineage: str
    name: str
    sha256: str
    bytes: int
    origin: str
    priority: Priority
    state: State
    state_since: float
    accepted_at: float
    due_at: float
    held_from: State | None = None
    cause: str | None = None
    attempts: int = 0
    step_before: int | None = None
    step: int | None = None
    checkpoint: str | None = None
    same_as: int | None = None
    memory: dict[str, Any] = field(default_factory=dict)


def write_sidecar(home: Path, file: QueuedFile, *, sync: bool = True, sync_content: bool = True) -> Path:
    """Writes what is known of `file` beside its content; `sync` and `sync_content` as for `write_atomically`. Raises
    OSError."""
    path = _path_of(home, file)
    values = {name: getattr(file, name) for name in Sidecar.__struct_fields__}
    content = msgspec.json.encode(Sidecar(**values), enc_hook=repr)
    try:
        write_atomically(path, content, sync=sync, sync_content=sync_content)
    except FileNotFoundError:
        make_folder_below(home, path.parent)
        write_atomically(path, content, sync=sync, sync_content=sync_content)
    return path


def keep_word(home: Path, file: QueuedFile) -> None:
    """After a file was held or released: a queue that is rebuilt from the folders must not train what is held. Never
    raises OSError; the row stands."""
    with contextlib.suppress(OSError):
        write_sidecar(home, file)


def read_sidecar(home: Path, file: QueuedFile) -> Sidecar | None:
    """That of one row; None where there is none that can be read. Never raises."""
    return _read(_path_of(home, file))


def read_sidecars(home: Path) -> Iterator[Sidecar]:
    """All that can be read, in no order. What is damaged is left out; never raises."""
    for folder in _folders(home / FILES):
        yield from sidecars_of(folder)


def sidecars_of(folder: Path) -> list[Sidecar]:
    """Those of one content. Never raises."""
    found = []
    for path in _names(folder):
        if not (path.name.startswith(".") and path.name.endswith(".json")):
            continue
        sidecar = _read(path)
        if sidecar is not None and sidecar.sha256 == folder.name:
            found.append(sidecar)
    return found


def _read(path: Path) -> Sidecar | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Sidecar)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _folders(home: Path) -> Iterator[Path]:
    for path in _names(home):
        if len(path.name) == hashlib.sha256().digest_size * 2 and path.is_dir():
            yield path


def _names(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except OSError:
        return []


def _path_of(home: Path, file: QueuedFile) -> Path:
    return home / FILES / file.sha256 / f".{_key(file.origin)}.json"


def _key(origin: str) -> str:
    return hashlib.sha256(origin.encode("utf-8", "backslashreplace")).hexdigest()[:16]
