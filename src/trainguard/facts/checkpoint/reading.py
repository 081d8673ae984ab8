"""An output folder with its checkpoints, or one checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from trainguard.facts.checkpoint.folder import (
    CHECKPOINT_NAME,
    MANIFEST,
    OPTIMIZER,
    RNG,
    SCHEDULER,
    STAGING,
    STATE,
)
from trainguard.facts.checkpoint.other_model import read_base
from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts
from trainguard.facts.checkpoint.verify import verify

OnProgress = Callable[[int, int], None]
# More checkpoints than a folder of a run ever holds.
_MAX_CHECKPOINTS = 10_000


def read_checkpoints(
    path: Path, *, base: Path | None = None, deep: bool = False, on_progress: OnProgress | None = None
) -> CheckpointsFacts:
    """The checkpoints at `path`: an output folder, or one checkpoint folder.

    `base` is the folder of the model that is trained. `deep` reads all bytes: blocks of zeros anywhere, hashes against
    the manifest. `on_progress` gets bytes done and bytes in all. Raises nothing for what is on the disk.
    """
    shown_base = str(base) if base is not None else None
    try:
        found, leftovers, single = _find(path)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror or type(error).__name__
        reason = "is no folder" if isinstance(error, NotADirectoryError) else reason
        return CheckpointsFacts(path=str(path), unreadable=reason, base=shown_base, deep=deep)
    root = path.absolute().parent if single else path
    known_base = read_base(base) if base is not None else None
    progress = _Progress(found, on_progress) if on_progress is not None and deep else None
    checkpoints: list[Checkpoint] = []
    for each in found:
        one = verify(each, root, base=known_base, deep=deep, progress=progress.add if progress is not None else None)
        checkpoints.append(one)
    return CheckpointsFacts(
        path=str(path),
        checkpoints=tuple(checkpoints),
        single=single,
        leftovers=leftovers,
        base=shown_base,
        deep=deep,
    )


def checkpoint_folders(output_dir: Path) -> list[Path]:
    """The folders that `get_last_checkpoint` would choose from, in the order of their steps.

    Links are none of them: what they lead to is not in this folder. Raises OSError where it cannot be listed.
    """
    found: list[tuple[int, str, Path]] = []
    with os.scandir(output_dir) as entries:
        for entry in entries:
            match = CHECKPOINT_NAME.match(entry.name)
            if match is None or len(match[1]) > 18 or len(found) >= _MAX_CHECKPOINTS:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    found.append((int(match[1]), entry.name, Path(output_dir) / entry.name))
            except OSError:
                continue
    return [path for _, _, path in sorted(found)]


def _find(path: Path) -> tuple[list[Path], tuple[str, ...], bool]:
    """The checkpoint folders at `path`, the leftovers of saves beside them, and whether `path` is one itself."""
    found = checkpoint_folders(path)
    names = set(os.listdir(path))
    if not found and (CHECKPOINT_NAME.match(_name(path)) is not None or _is_checkpoint(names)):
        return [path], (), True
    return found, tuple(sorted(name for name in names if STAGING.match(name))), False


def _name(path: Path) -> str:
    return path.name or path.absolute().name


def _is_checkpoint(names: set[str]) -> bool:
    """Whether a folder of another name is a checkpoint. trainer_state.json alone also stands in an output folder, after
    `trainer.save_state()`."""
    return MANIFEST in names or (STATE in names and bool(names & {OPTIMIZER, SCHEDULER, RNG}))


class _Progress:
    """Counts bytes over all checkpoints, for a bar."""

    def __init__(self, folders: list[Path], tell: OnProgress) -> None:
        self._tell = tell
        self._done = 0
        self._total = sum(_deep_bytes(folder) for folder in folders)

    def add(self, count: int) -> None:
        self._done += count
        self._tell(min(self._done, self._total), self._total)


def _deep_bytes(folder: Path) -> int:
    """Bytes that a deep reading goes over: safetensors files, and with a manifest all files once more."""
    total = 0
    manifest = (folder / MANIFEST).is_file()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    total += size * (manifest + entry.name.endswith(".safetensors"))
    except OSError:
        return total
    return total
