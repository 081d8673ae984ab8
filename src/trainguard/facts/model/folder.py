"""What lies in a folder: its regular files, links that leave it, and what has a similar name where there is none."""

from __future__ import annotations

import difflib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from trainguard.facts.model.records import Escape

# "org/name" as the hub takes it (huggingface_hub 1, utils/_validators.py, REPO_ID_REGEX).
_HUB_ID = re.compile(r"(?:\w[\w.-]*/)?\w[\w.-]{0,95}")
# A folder of weights has some dozens of files. Beyond, it is something else, and a listing of it would take long.
MAX_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Listing:
    """Names of the regular files at the top of the folder, folders there, and links that lead out of it."""

    files: tuple[str, ...]
    folders: tuple[str, ...] = ()
    escapes: tuple[Escape, ...] = ()
    broken_links: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.files or self.folders or self.escapes or self.broken_links)


def list_folder(folder: Path) -> Listing:
    """Raises OSError where the folder cannot be listed."""
    files: list[str] = []
    folders: list[str] = []
    escapes: list[Escape] = []
    broken: list[str] = []
    root = os.path.realpath(folder)
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_FILES:
                break
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if not _stays(root, target) and not _same_file_elsewhere(entry.name, target):
                    escapes.append(Escape(entry.name, os.readlink(entry.path), link=True))
                    continue
                if not os.path.exists(target):
                    broken.append(entry.name)
                    continue
            _sort_in(entry, files, folders)
    escapes.sort(key=lambda escape: escape.named_in)
    return Listing(tuple(sorted(files)), tuple(sorted(folders)), tuple(escapes), tuple(sorted(broken)))


def _sort_in(entry: os.DirEntry[str], files: list[str], folders: list[str]) -> None:
    try:
        mode = entry.stat().st_mode
    except OSError:
        return
    if stat.S_ISREG(mode):
        files.append(entry.name)
    elif stat.S_ISDIR(mode):
        folders.append(entry.name)


def _stays(root: str, target: str) -> bool:
    """Whether a link's target lies in the folder, or is a blob of the same repository in the hub's cache.

    The cache has `models--org--name/snapshots/<revision>/file` as a link to `../../blobs/<hash>` (huggingface_hub 1,
    file_download.py, `_create_symlink`).
    """
    if target == root or target.startswith(root.rstrip(os.sep) + os.sep):
        return True
    snapshots, _, _ = root.partition(f"{os.sep}snapshots{os.sep}")
    return snapshots != root and os.path.dirname(target) == os.path.join(snapshots, "blobs")


def _same_file_elsewhere(name: str, target: str) -> bool:
    """Whether a link stands for a file of the same name: so people share the weights of a base between folders.

    A link that is to smuggle something out bears another name than what it leads to.
    """
    return os.path.basename(target) == name and os.path.isfile(target)


def is_hub_id(text: str) -> bool:
    """Whether a path could be meant as the id of a repository on the hub."""
    return text.count("/") == 1 and _HUB_ID.fullmatch(text) is not None


def nearest_existing(path: Path) -> str | None:
    """What lies beside the missing path under a similar name; else the deepest folder of it that is there, if any."""
    missing = path
    try:
        while not missing.parent.is_dir():
            if missing.parent == missing:
                return None
            missing = missing.parent
        names: list[str] = []
        with os.scandir(missing.parent) as entries:
            for number, entry in enumerate(entries):
                if number >= MAX_FILES:
                    break
                names.append(entry.name)
    except (OSError, ValueError):
        return None
    folded = {name.casefold(): name for name in sorted(names, reverse=True)}
    close = difflib.get_close_matches(missing.name.casefold(), folded, n=1, cutoff=0.6)
    return str(missing.parent / folded[close[0]]) if close else None
