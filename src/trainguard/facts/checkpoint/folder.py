"""The names that a Trainer gives to what it saves, and the listing of one checkpoint folder.

Names: transformers 5.23, utils/__init__.py (weights), trainer_pt_utils.py and trainer.py (the others); their places in
a save: trainer.py, `_save_checkpoint` (lines 3355-3422) and `_save` (4131-4179).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# transformers 5.23, trainer_utils.py:267, `_re_checkpoint`: `get_last_checkpoint` takes the highest number of these.
CHECKPOINT_NAME = re.compile(r"^checkpoint-(\d+)$", re.ASCII)
STATE = "trainer_state.json"
OPTIMIZER = "optimizer.pt"
SCHEDULER = "scheduler.pt"
SCALER = "scaler.pt"
RNG = "rng_state.pth"
RNG_OF_PROCESS = re.compile(r"^rng_state_(\d+)\.pth$", re.ASCII)
ARGUMENTS = "training_args.bin"
MANIFEST = "trainguard.json"
SAFE_WEIGHTS = "model.safetensors"
SAFE_INDEX = "model.safetensors.index.json"
OLD_WEIGHTS = "pytorch_model.bin"
OLD_INDEX = "pytorch_model.bin.index.json"
SAFE_ADAPTER = "adapter_model.safetensors"
OLD_ADAPTER = "adapter_model.bin"
ADAPTER_CONFIG = "adapter_config.json"
CONFIG = "config.json"
# trainer_jit_checkpoint.py:57: there from the begin of a save on SIGTERM to its end.
SENTINEL = "checkpoint-is-incomplete.txt"
# Folders that transformers 4.37 to 4.39 saved into before they renamed them (trainer.py, `_save_checkpoint`).
STAGING = re.compile(r"^tmp-checkpoint-\d+$", re.ASCII)
# Left by writers that write beside and rename: downloads of huggingface_hub (.incomplete) and others. What an
# interrupted writer of a manifest leaves (trainguard.checkpoints) says nothing against the save, which had ended.
_LEFTOVER = re.compile(r"(\.tmp|\.temp|\.incomplete|\.partial|\.part)$|^\.tmp|^tmp[a-z0-9_]{8}$")

# More files than a checkpoint of a thousand processes has. A folder beyond it is no checkpoint, and is not listed on.
MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file of a checkpoint; `modified_ns` in nanoseconds since 1970."""

    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What stands in a checkpoint folder, one level deep.

    `outside` are links that lead out of the output folder or nowhere: they count as missing. `special` are pipes,
    devices and sockets. `all_bytes` and `all_files` count the folders in it as well.
    """

    path: Path
    files: Mapping[str, Entry] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    special: tuple[str, ...] = ()
    unreadable: str | None = None
    all_bytes: int = 0
    all_files: int = 0

    def has(self, name: str) -> bool:
        return name in self.files

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Names that only an interrupted writer leaves."""
        return tuple(
            name
            for name in self.files
            if name == SENTINEL or (_LEFTOVER.search(name) and not name.startswith(f".tmp-{MANIFEST}-"))
        )

    @property
    def saved(self) -> float | None:
        """When the newest file was written, in seconds since 1970."""
        return max((entry.modified_ns for entry in self.files.values()), default=0) / 1e9 or None


def list_folder(path: Path, root: Path) -> Folder:
    """Lists a checkpoint folder. Links are followed inside of `root` and inside of a cache of the Hub only."""
    files: dict[str, Entry] = {}
    folders: list[str] = []
    outside: list[str] = []
    special: list[str] = []
    try:
        with os.scandir(path) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_ENTRIES:
                    return Folder(path=path, unreadable=f"it holds more than {MAX_ENTRIES:,} entries")
                try:
                    if entry.is_symlink() and not _stays_inside(Path(entry.path), root):
                        outside.append(entry.name)
                        continue
                    about = entry.stat()
                except FileNotFoundError:  # went away while the folder was listed
                    continue
                except OSError:
                    outside.append(entry.name)
                    continue
                if stat.S_ISDIR(about.st_mode):
                    folders.append(entry.name)
                elif stat.S_ISREG(about.st_mode):
                    files[entry.name] = Entry(about.st_size, about.st_mtime_ns)
                else:
                    special.append(entry.name)
    except OSError as error:
        return Folder(path=path, unreadable=f"it cannot be read ({error.strerror or type(error).__name__})")
    more_bytes, more_files = _below(path, folders)
    return Folder(
        path=path,
        files=dict(sorted(files.items())),
        folders=tuple(sorted(folders)),
        outside=tuple(sorted(outside)),
        special=tuple(sorted(special)),
        all_bytes=sum(entry.size for entry in files.values()) + more_bytes,
        all_files=len(files) + more_files,
    )


def _stays_inside(link: Path, root: Path) -> bool:
    """Whether a link ends inside of `root`, or goes from a snapshot of the Hub's cache to its blobs.

    huggingface_hub 1.x, file_download.py, "File cache": models--org--name/snapshots/<revision>/... are links into
    models--org--name/blobs.
    """
    target = Path(os.path.realpath(link))
    inside = Path(os.path.realpath(root))
    if target.is_relative_to(inside):
        return True
    here = Path(os.path.realpath(link.parent))
    for parent in here.parents:
        if parent.name == "snapshots":
            return target.is_relative_to(parent.parent / "blobs")
    return False


def _below(path: Path, folders: list[str]) -> tuple[int, int]:
    """Bytes and files in the folders of a checkpoint (of DeepSpeed, FSDP, adapters). Links are not followed."""
    size = count = 0
    for name in folders:
        for parent, _, names in os.walk(path / name):
            for each in names:
                try:
                    about = os.lstat(os.path.join(parent, each))
                except OSError:
                    continue
                count += 1
                size += about.st_size if stat.S_ISREG(about.st_mode) else 0
            if count > MAX_ENTRIES:
                return size, count
    return size, count
