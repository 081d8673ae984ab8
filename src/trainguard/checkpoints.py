"""What is written about checkpoints: their manifest, and the quarantine of broken ones. Only `remove` deletes."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainguard.durable import sync_folder, temporary_prefix, write_atomically
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.folder import MANIFEST
from trainguard.facts.checkpoint.manifest import (
    FORMAT_VERSION,
    Manifest,
    ManifestFile,
    Progress,
    differences,
    in_threads,
    read_manifest,
    sampled_hash,
    whole_hash,
)
from trainguard.facts.weights.files import UnsoundError, open_regular

QUARANTINE = "quarantine"
REMOVED_PREFIX = ".trainguard-removed-"
# The libraries whose releases decide whether a checkpoint can be taken up again.
_LIBRARIES = ("trainguard", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors")
_TRIES = 1000


def write_manifest(
    folder: Path,
    *,
    step: int,
    run: Mapping[str, Any] | None = None,
    base_model: Path | None = None,
    created: datetime | None = None,
    libraries: Mapping[str, str] | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Writes trainguard.json into a checkpoint whose save has ended; its path.

    Every file of the checkpoint is hashed and synced first, so that the manifest stands only where all that it lists is
    on the disk: it is written beside, synced, and renamed into place. `run` are plain values that tell what the run was
    (base_model, tokenizer, max_length, ...); `base_model` is the folder of the model that is trained; `libraries` are
    versions by name, those of this process by default. `on_progress` gets the bytes that were read.

    Raises UsageError where `folder` is no folder or a file in it cannot be read, OSError where it cannot be written.
    """
    from trainguard.facts.checkpoint.fingerprint import fingerprint

    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder, so no manifest can be written into it")
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        step=step,
        created=(created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        files=_listed(folder, on_progress),
        run=dict(run or {}),
        base_model_fingerprint=fingerprint(base_model) if base_model is not None else None,
        libraries=dict(libraries) if libraries is not None else _versions(),
    )
    import msgspec

    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    path = folder / MANIFEST
    write_atomically(path, content)
    sync_folder(folder.parent)
    return path


def verify_manifest(folder: Path, *, deep: bool = False, on_progress: Progress | None = None) -> list[tuple[str, str]]:
    """What differs from the manifest of a checkpoint, as (file, words); with `deep` all bytes are compared.

    Raises UsageError where there is no manifest, or none that can be used.
    """
    try:
        manifest = read_manifest(folder)
    except UnsoundError as error:
        raise UsageError(f"{folder / MANIFEST}: {error}") from None
    if manifest is None:
        raise UsageError(f"{folder} has no {MANIFEST}; trainguard writes one after each save of a guarded run")
    return differences(folder, manifest, deep=deep, progress=on_progress)


def quarantine(folder: Path, *, reasons: Sequence[str] = (), when: datetime | None = None) -> Path:
    """Moves a checkpoint to `quarantine/` in its output folder, where no Trainer looks; where it is now.

    A file of the same name with .json beside it says why. Nothing is overwritten and nothing deleted; a second one of
    the same name gets a number. Raises UsageError where `folder` is no folder of its own, OSError where it stays.
    """
    folder = Path(os.path.abspath(folder))
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder}: is no folder that could be set aside")
    home = folder.parent / QUARANTINE
    home.mkdir(exist_ok=True)
    if home.is_symlink():
        raise UsageError(f"{home}: is a link; make it a folder, so that checkpoints stay on the disk where they are")
    note = {
        "moved_from": folder.name,
        "moved_at": (when or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "reasons": list(reasons),
    }
    content = (json.dumps(note, indent=2) + "\n").encode("utf-8", "backslashreplace")
    target = _reserve(home, folder.name, content)
    try:
        os.rename(folder, target)
    except OSError:
        _reason_file(target).unlink(missing_ok=True)
        raise
    sync_folder(home)
    sync_folder(folder.parent)
    return target


def remove(folder: Path) -> None:
    """Deletes a checkpoint. Its name goes first, in one step, so that no half of one is ever found under it."""
    aside = folder.with_name(f"{REMOVED_PREFIX}{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(folder, aside)
    sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _reserve(home: Path, name: str, content: bytes) -> Path:
    """A free name in the quarantine, taken by its reason file, which is written before the folder comes."""
    for number in range(_TRIES):
        target = home / (f"{name}.{number}" if number else name)
        if os.path.lexists(target):
            continue
        try:
            descriptor = os.open(_reason_file(target), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            continue
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return target
    raise UsageError(f"{home}: holds {_TRIES:,} checkpoints of the name {name}; move them elsewhere")


def _reason_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _listed(folder: Path, on_progress: Progress | None) -> tuple[ManifestFile, ...]:
    """Every regular file of the checkpoint, synced and hashed, in the order of their names."""

    def describe(name: str) -> ManifestFile:
        try:
            with open_regular(folder / name) as (file, size):
                os.fsync(file.fileno())
                whole = whole_hash(file, size, on_progress)
                return ManifestFile(name=name, size=size, xxh3_128=whole, sample_xxh3_128=sampled_hash(file, size))
        except UnsoundError as error:
            raise UsageError(f"{folder / name}: {error}, so no manifest can vouch for it") from None

    names, folders = _names(folder)
    files = tuple(in_threads(describe, names))
    for each in folders:
        sync_folder(each)
    return files


def _names(folder: Path) -> tuple[list[str], list[Path]]:
    names: list[str] = []
    folders = [folder]
    for parent, below, files in os.walk(folder):
        folders += [Path(parent) / name for name in below if not (Path(parent) / name).is_symlink()]
        for name in files:
            path = Path(parent) / name
            if path == folder / MANIFEST or _is_temporary(name) or not stat.S_ISREG(path.stat().st_mode):
                continue
            names.append(path.relative_to(folder).as_posix())
    return sorted(names), folders


_TEMPORARY = temporary_prefix(Path(MANIFEST))


def _is_temporary(name: str) -> bool:
    """Whether an interrupted write of a manifest left this file."""
    return name.startswith(_TEMPORARY)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
