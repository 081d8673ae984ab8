"""What torch.save has written, held against the structure of its zip archive. Nothing is unpickled.

A save that was cut short has no central directory, which stands at the end of a zip archive; a block of zeros in the
middle breaks the checksum of the entry that it lies in, or its header. Layout: torch 2.13, serialization.py, "record"
names in `_save` (data.pkl, byteorder, data/<key>, version), all stored without compression.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from trainguard.facts.weights.files import UnsoundError, is_pointer, open_regular, read_at, why_unreadable
from trainguard.facts.weights.torch_file import read_torch_file

_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_BYTES = 30  # APPNOTE.TXT 6.3.10, 4.3.7; names and an extra field follow, their lengths at 26 and 28
_PIECE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A file of torch.save. `problem` says what is wrong with it, None for nothing.

    `pickle` are the bytes of data.pkl, None where they cannot be had; `sizes` are the bytes of the tensors by key.
    `older` is the format of before torch 1.6. `summed` says that the checksums of all entries were compared.
    """

    length: int = 0
    problem: str | None = None
    pickle: bytes | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    older: bool = False
    summed: bool = False


def read_archive(path: Path, *, sum_below: int, pickle_below: int = 1 << 22, deep: bool = False) -> Archive:
    """Reads the structure of `path`, and compares checksums where it has fewer than `sum_below` bytes, or `deep`."""
    size = 0
    try:
        with open_regular(path) as (file, size):
            if size == 0:
                raise UnsoundError("it is empty")
            if read_at(file, 0, min(size, 4)) != _LOCAL_HEADER[: min(size, 4)]:
                return _not_zip(path, file, size)
            return _read_zip(file, size, summed=deep or size < sum_below, pickle_below=pickle_below)
    except UnsoundError as error:
        return Archive(length=size, problem=str(error))
    except OSError as error:
        return Archive(length=size, problem=why_unreadable(error))


def read_entries(path: Path, keys: set[str], *, limit: int = 64) -> dict[str, bytes]:
    """Entries data/<key> of at most `limit` bytes. Those that cannot be had are left out."""
    try:
        with open_regular(path) as (file, _), _opened(file) as archive:
            found = {}
            for info in archive.infolist():
                parts = info.filename.split("/")
                if len(parts) == 3 and parts[1] == "data" and parts[2] in keys and info.file_size <= limit:
                    found[parts[2]] = read_at(file, _data_start(file, info), info.file_size)
            return found
    except (UnsoundError, OSError):
        return {}


def _not_zip(path: Path, file: FileIO, size: int) -> Archive:
    head = read_at(file, 0, min(size, 4096))
    if not head.strip(b"\0"):
        return Archive(length=size, problem="it begins with zeros")
    if is_pointer(head, size):
        return Archive(length=size, problem="it is a Git LFS pointer, a text that stands where the file should be")
    # torch before 1.6, and _use_new_zipfile_serialization=False: a row of pickles and storages with their lengths.
    older = read_torch_file(path)
    if older.problem is not None:
        return Archive(length=size, problem=older.problem)
    return Archive(length=size, older=True)


def _opened(file: FileIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        words = "" if "not a zip file" in str(error) else f" ({error})"
        raise UnsoundError(f"its end is missing: there is no directory of the zip archive{words}") from None


def _read_zip(file: FileIO, size: int, *, summed: bool, pickle_below: int) -> Archive:
    archive = _opened(file)
    entries = archive.infolist()
    if archive.comment:
        raise UnsoundError("bytes follow the end of its zip archive")
    pickle: bytes | None = None
    sizes: dict[str, int] = {}
    end = 0
    for info in entries:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            raise UnsoundError(f"its entry {info.filename!r} is compressed or locked, which torch does not write")
        start = _data_start(file, info)
        if start + info.file_size > size:
            raise UnsoundError(f"its entry {info.filename!r} reaches beyond the end of the file")
        end = max(end, start + info.file_size)
        parts = info.filename.split("/")
        if len(parts) == 3 and parts[1] == "data":
            sizes[parts[2]] = info.file_size
        is_pickle = len(parts) == 2 and parts[1] == "data.pkl"
        if summed or is_pickle or info.file_size <= 1024:
            content = _summed(file, info, start, keep=is_pickle and info.file_size < pickle_below)
            pickle = content if is_pickle else pickle
    if not any(len(name) == 2 and name[1] == "data.pkl" for name in (info.filename.split("/") for info in entries)):
        raise UnsoundError("its zip archive holds no data.pkl, so torch.save did not write it")
    return Archive(length=size, pickle=pickle, sizes=sizes, summed=summed)


def _data_start(file: FileIO, info: zipfile.ZipInfo) -> int:
    header = read_at(file, info.header_offset, _LOCAL_HEADER_BYTES)
    if not header.startswith(_LOCAL_HEADER):
        blank = "zeros stand" if not any(header) else "something else stands"
        raise UnsoundError(f"{blank} where its entry {info.filename!r} begins, at byte {info.header_offset:,}")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + names


def _summed(file: FileIO, info: zipfile.ZipInfo, start: int, *, keep: bool) -> bytes | None:
    """Compares the checksum of an entry; its content where it is to be kept. Raises UnsoundError where it differs."""
    total = 0
    kept: list[bytes] = []
    for offset in range(0, info.file_size, _PIECE):
        piece = read_at(file, start + offset, min(_PIECE, info.file_size - offset))
        total = zlib.crc32(piece, total)
        if keep:
            kept.append(piece)
    if total != info.CRC and info.CRC not in _NOT_COMPUTED:
        raise UnsoundError(
            f"the checksum of its entry {info.filename!r} differs: its bytes are not those that were saved"
        )
    return b"".join(kept) if keep else None


# `torch.serialization.set_crc32_options(False)` writes archives without checksums (torch 2.13, serialization.py:231).
_NOT_COMPUTED = frozenset({0})
