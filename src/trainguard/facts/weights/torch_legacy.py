"""What torch.save wrote before zip archives, and pickles of any origin.

The legacy format is a row of five pickles (a magic number, the protocol version, facts about the system, the object,
the keys of its storages), and then each storage as eight bytes for its number of elements and its raw elements
(torch 2.13, serialization.py, `_legacy_save`, `_legacy_load`).
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import BinaryIO

from trainguard.facts.weights.files import UnsoundError
from trainguard.facts.weights.pickle_danger import MAX_PICKLE_BYTES, judge, scan_pickles
from trainguard.facts.weights.pickle_walk import MAX_OPCODES, PickleWalk, walk
from trainguard.facts.weights.records import DangerousGlobal, WeightsFile
from trainguard.facts.weights.state_dict import storages_of, tensors_of

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES = 5
_LENGTH_BYTES = 8
_MAX_TAR_MEMBERS = 10_000


def read(path: Path, file: BinaryIO, size: int) -> WeightsFile:
    """A legacy file of torch, or a bare pickle, or neither."""
    walks, end = _walk_all(file, _LEGACY_PICKLES)
    dangerous: list[DangerousGlobal] = []
    for walked, text in walks:
        dangerous += judge(walked, text)
    imports = {str(each) for walked, _ in walks for each in walked.imports}
    first = walks[0][0]
    legacy = first.problem is None and first.value == MAGIC_NUMBER
    broken = next((walked.problem for walked, _ in walks if walked.problem is not None), None)
    tensors = None
    unscanned: str | None = None
    if any(walked.too_long for walked, _ in walks):
        problem, unscanned = broken, f"its pickle has more than {MAX_OPCODES:,} opcodes"
    elif legacy:
        problem = broken or (_storage_problem(walks, end, size) if len(walks) == _LEGACY_PICKLES else "it breaks off")
        tensors = tensors_of(walks[3][0].value) if len(walks) > 3 else None
    elif first.problem is not None and not first.imports:
        problem = "it is neither a zip archive nor a pickle"
    else:
        problem = first.problem
        tensors = tensors_of(first.value) if problem is None else None
        # Nothing loads what stands behind the first pickle by itself, but a reader that loads twice would.
        more, unscanned = _rest(file, end, size)
        dangerous += more
    return WeightsFile(
        path=path,
        format="torch-legacy" if legacy else "pickle" if first.opcodes else "unknown",
        bytes=size,
        problem=problem,
        tensors=tensors,
        dangerous=tuple(sorted(set(dangerous), key=str)),
        imports=tuple(sorted(imports)),
        unscanned=unscanned,
    )


def _walk_all(file: BinaryIO, count: int) -> tuple[list[tuple[PickleWalk, bytes]], int]:
    """Up to `count` pickles that follow each other, with their bytes, and where the last one ends."""
    walks: list[tuple[PickleWalk, bytes]] = []
    end = 0
    limited = _Limited(file)
    for _ in range(count):
        file.seek(end)
        walked = walk(limited)  # type: ignore[arg-type]
        reached = file.tell()
        file.seek(end)
        walks.append((walked, file.read(min(reached - end, MAX_PICKLE_BYTES))))
        end = reached
        if walked.problem is not None or walked.too_long or (len(walks) == 1 and walked.value != MAGIC_NUMBER):
            break
    return walks, end


class _Limited:
    """A file for `pickletools.genops` that gives no more bytes at a time than a pickle may have.

    An opcode may claim that terabytes follow.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        if count > MAX_PICKLE_BYTES:
            raise UnsoundError(f"its pickle claims an object of {count:,} bytes")
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline(MAX_PICKLE_BYTES)


def _rest(file: BinaryIO, end: int, size: int) -> tuple[list[DangerousGlobal], str | None]:
    if end >= size:
        return [], None
    if size - end > MAX_PICKLE_BYTES:
        return [], f"{size - end:,} bytes stand behind its pickle, too many to look into"
    file.seek(end)
    return scan_pickles(file.read(size - end)), None


def _storage_problem(walks: list[tuple[PickleWalk, bytes]], end: int, size: int) -> str | None:
    storages = storages_of(walks[3][0].storages)
    keys = walks[4][0].value
    if storages is None or not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        return None
    missing = [key for key in storages if key not in keys]
    if missing:
        return f"it lacks the storage {missing[0]!r}, which its pickle names"
    needed = 0
    for key in keys:
        storage = storages.get(key)
        if storage is None or storage.bytes is None:
            return None
        needed += _LENGTH_BYTES + storage.bytes
    if end + needed > size:
        return f"its storages need {needed:,} bytes, and only {size - end:,} follow its pickles"
    return None


def read_tar(path: Path, file: BinaryIO, size: int) -> WeightsFile:
    """The tar of torch before 0.1.10: `sys_info`, `pickle`, `storages` and `tensors`, each of them pickles."""
    dangerous: list[DangerousGlobal] = []
    names: set[str] = set()
    problem = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                names.add(member.name)
                if member.isfile() and member.size <= MAX_PICKLE_BYTES and len(names) < _MAX_TAR_MEMBERS:
                    content = archive.extractfile(member)
                    dangerous += scan_pickles(content.read(member.size)) if content is not None else []
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        problem = f"it is a tar archive that breaks off ({error})"
    if problem is None and not {"pickle", "storages", "tensors"} <= names:
        problem = "it is a tar archive, and not one that torch wrote"
    return WeightsFile(
        path=path,
        format="torch-tar",
        bytes=size,
        problem=problem,
        dangerous=tuple(sorted(set(dangerous), key=str)),
    )
