"""The zip archive that torch.save writes: its directory, its members' places, and the pickle in it.

Members are stored uncompressed: `<name>/data.pkl`, `<name>/data/<key>` for each storage, `version`, `byteorder`
(torch 2.13, serialization.py, `_save`).
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

from trainguard.facts.weights.files import UnsoundError, read_at
from trainguard.facts.weights.pickle_danger import MAX_PICKLE_BYTES, judge, scan_pickles, scan_zip
from trainguard.facts.weights.pickle_walk import MAX_OPCODES, walk
from trainguard.facts.weights.records import DangerousGlobal, WeightsFile
from trainguard.facts.weights.state_dict import Storage, storages_of, tensors_of

# Length of a member's local header without name and extra field, and where their lengths stand in it
# (APPNOTE.TXT 6.3.10, section 4.3.7).
_LOCAL = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_FIRST_OF_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(6))


def read(path: Path, file: FileIO, size: int) -> WeightsFile:
    """What the archive holds. Raises UnsoundError where its directory cannot be read."""
    buffered = io.BufferedReader(file)
    try:
        with zipfile.ZipFile(buffered) as archive:
            members = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError) as error:
        words = f"it is a zip archive without a sound directory at its end ({_words(error)})"
        return WeightsFile(path=path, format="torch-zip", bytes=size, problem=words)
    finally:
        buffered.detach()
    starts: dict[str, int] = {}
    problem: str | None = None
    for name, info in members.items():
        try:
            starts[name] = _data_start(file, info)
            if starts[name] + info.compress_size > size:
                raise UnsoundError("lies beyond the end of the file")
        except UnsoundError as error:
            problem = problem or f"its member {name!r} {error}"
    return _with_pickles(path, file, size, members, starts, problem)


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).lower()


def _data_start(file: FileIO, info: zipfile.ZipInfo) -> int:
    try:
        header = read_at(file, info.header_offset, _LOCAL.size)
    except (UnsoundError, OverflowError, OSError):
        raise UnsoundError("lies beyond the end of the file") from None
    signature, name_bytes, extra_bytes = _LOCAL.unpack(header)
    if signature != _LOCAL_SIGNATURE:
        raise UnsoundError("is not where the archive's directory says")
    return int(info.header_offset + _LOCAL.size + name_bytes + extra_bytes)


def _with_pickles(
    path: Path,
    file: FileIO,
    size: int,
    members: Mapping[str, zipfile.ZipInfo],
    starts: Mapping[str, int],
    problem: str | None,
) -> WeightsFile:
    dangerous: list[DangerousGlobal] = []
    imports: set[str] = set()
    tensors = None
    unscanned = None
    main = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if not main and problem is None:
        problem = "it is a zip archive without the data.pkl that torch.save writes"
    for name, info in members.items():
        if name not in starts or not _may_be_pickle(file, name, info, starts[name]):
            continue
        try:
            text = _content(file, info, starts[name])
        except UnsoundError as error:
            unscanned = unscanned or f"its member {name!r} {error}"
            continue
        if name not in main:
            dangerous += scan_zip(text) if text.startswith(_LOCAL_SIGNATURE) else scan_pickles(text)
            continue
        data = io.BytesIO(text)
        walked = walk(data)
        dangerous += judge(walked, text)
        imports |= {str(each) for each in walked.imports}
        if walked.problem is not None or walked.too_long:
            problem = problem or walked.problem
            unscanned = unscanned or (f"its pickle has more than {MAX_OPCODES:,} opcodes" if walked.too_long else None)
            continue
        problem = problem or _storage_problem(name, storages_of(walked.storages), members)
        tensors = tensors_of(walked.value)
    return WeightsFile(
        path=path,
        format="torch-zip",
        bytes=size,
        problem=problem,
        tensors=tensors,
        dangerous=tuple(sorted(set(dangerous), key=str)),
        imports=tuple(sorted(imports)),
        unscanned=unscanned,
    )


def _may_be_pickle(file: FileIO, name: str, info: zipfile.ZipInfo, start: int) -> bool:
    """Whether a member is a pickle or a zip. Storages are raw numbers that may begin like one, and are not opened."""
    if name.endswith(".pkl"):
        return True
    folder, _, last = name.rpartition("/")
    if folder.rpartition("/")[2] in ("data", "storages") or last in ("version", "byteorder"):
        return False
    if info.compress_type != zipfile.ZIP_STORED:
        return last.endswith((".pickle", ".bin", ".pt", ".pth", ".ckpt"))
    try:
        return read_at(file, start, min(4, info.file_size)).startswith((*_FIRST_OF_PICKLE, _LOCAL_SIGNATURE))
    except UnsoundError:
        return False


def _content(file: FileIO, info: zipfile.ZipInfo, start: int) -> bytes:
    if max(info.file_size, info.compress_size) > MAX_PICKLE_BYTES:
        raise UnsoundError(f"has {info.file_size:,} bytes, too many to look into")
    stored = read_at(file, start, info.compress_size)
    if info.compress_type == zipfile.ZIP_STORED:
        return stored
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise UnsoundError("is compressed in a way that torch does not read")
    import zlib

    try:
        return zlib.decompressobj(-15).decompress(stored, MAX_PICKLE_BYTES)
    except zlib.error:
        raise UnsoundError("cannot be decompressed") from None


def _storage_problem(
    pickle_name: str, storages: Mapping[str, Storage] | None, members: Mapping[str, zipfile.ZipInfo]
) -> str | None:
    """A storage that the pickle names and the archive lacks, or that is shorter than its tensors need."""
    folder = pickle_name.removesuffix("data.pkl") + "data/"
    for key, storage in (storages or {}).items():
        member = members.get(folder + key)
        if member is None:
            return f"it lacks {folder + key!r}, which its data.pkl names"
        if storage.bytes is not None and member.file_size < storage.bytes:
            return f"its member {folder + key!r} has {member.file_size:,} bytes, and its tensors need {storage.bytes:,}"
    return None
