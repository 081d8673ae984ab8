"""The manifest of a checkpoint: trainguard.json, which lists its files with sizes and hashes.

It is written last (`trainguard.checkpoints.write_manifest`), so that where it stands the save reached its end, and what
it lists can be held against what is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from trainguard.facts.checkpoint.folder import MANIFEST
from trainguard.facts.weights.files import UnsoundError, open_regular, read_at, why_unreadable

FORMAT_VERSION = 1
_MAX_BYTES = 64 * 2**20
_BLOCK = 4096
# Blocks behind a sample: 256 KiB a file, which a disk reads in milliseconds. Weights of another step differ in each.
_SAMPLED_BLOCKS = 64
_PIECE = 8 * 2**20
# Reading and hashing both let other threads run; more threads than this gain nothing on one disk.
_THREADS = min(4, os.cpu_count() or 1)

Progress = Callable[[int], None]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its name inside the checkpoint with forward slashes, its bytes, and the XXH3 hashes (128 bits, hex)
    of all of it and of evenly spread samples of it."""

    name: str
    size: int
    xxh3_128: str
    sample_xxh3_128: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a manifest. `created` is UTC in ISO 8601, `run` what the run was, as plain values."""

    format_version: int
    step: int
    created: str
    files: tuple[ManifestFile, ...]
    run: dict[str, Any] = {}
    base_model_fingerprint: str | None = None
    libraries: dict[str, str] = {}


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a checkpoint, None where there is none. Raises UnsoundError for one that cannot be used."""
    try:
        with open_regular(folder / MANIFEST) as (file, size):
            if size > _MAX_BYTES:
                raise UnsoundError(f"it has {size:,} bytes, more than the {_MAX_BYTES:,} that are read")
            data = read_at(file, 0, size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnsoundError(why_unreadable(error)) from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnsoundError(f"it is no manifest: {error}") from None
    if manifest.format_version > FORMAT_VERSION:
        raise UnsoundError(f"it is of format {manifest.format_version}, and this release reads up to {FORMAT_VERSION}")
    for each in manifest.files:
        if not _is_inside(each.name):
            raise UnsoundError(f"it names a file outside of the checkpoint: {each.name!r}")
    return manifest


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and "\\" not in name and "\0" not in name and not path.is_absolute() and ".." not in path.parts


def differences(
    folder: Path,
    manifest: Manifest,
    *,
    skip: Collection[str] = (),
    deep: bool = False,
    progress: Progress | None = None,
) -> list[tuple[str, str]]:
    """What differs from the manifest, as (file, words): sizes and samples, with `deep` all bytes.

    Names in `skip` are left out, and so is what a link in a folder below leads to.
    """

    home = folder.resolve()

    def compare(each: ManifestFile) -> str | None:
        if each.name in skip:
            return None
        try:
            if not (folder / each.name).parent.resolve().is_relative_to(home):
                return "lies behind a link that leads out of the checkpoint"
            with open_regular(folder / each.name) as (file, size):
                if size != each.size:
                    return f"has {size:,} bytes, and the manifest says {each.size:,}"
                if sampled_hash(file, size) != each.sample_xxh3_128:
                    return "holds other bytes than the manifest says"
                if deep and whole_hash(file, size, progress) != each.xxh3_128:
                    return "holds other bytes than the manifest says"
        except FileNotFoundError:
            return "is missing, and the manifest lists it"
        except UnsoundError as error:
            return f"cannot be compared with the manifest: {error}"
        except OSError as error:
            return f"cannot be compared with the manifest: {why_unreadable(error)}"
        return None

    words = in_threads(compare, manifest.files)
    return [(each.name, word) for each, word in zip(manifest.files, words, strict=True) if word is not None]


def in_threads(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))


def sampled_hash(file: FileIO, size: int) -> str:
    """The hash of blocks spread evenly over a file, first and last among them; of all of it where it is short."""
    import xxhash

    total = xxhash.xxh3_128()
    if size <= _SAMPLED_BLOCKS * _BLOCK:
        total.update(read_at(file, 0, size))
        return total.hexdigest()
    for number in range(_SAMPLED_BLOCKS):
        total.update(read_at(file, (size - _BLOCK) * number // (_SAMPLED_BLOCKS - 1), _BLOCK))
    return total.hexdigest()


def whole_hash(file: FileIO, size: int, progress: Progress | None = None) -> str:
    """The hash of a whole file, read in large pieces."""
    import xxhash

    total = xxhash.xxh3_128()
    for offset in range(0, size, _PIECE):
        piece = read_at(file, offset, min(_PIECE, size - offset))
        total.update(piece)
        if progress is not None:
            progress(len(piece))
    return total.hexdigest()
