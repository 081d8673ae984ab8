"""The files of a folder of training data: its shards, in the order of their names."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trainguard.facts.data.formats import known_name
from trainguard.facts.data.records import FileFormat

_MAX_FILES = 100_000
_MAX_DEPTH = 10
# Files that describe data or a model and hold no rows: datasets 5.2 (save_to_disk, dataset_infos.json), transformers.
_NO_DATA = frozenset(
    {
        "dataset_info.json",
        "dataset_infos.json",
        "dataset_dict.json",
        "state.json",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "metadata.json",
        "requirements.txt",
        "license.txt",
        "readme.txt",
    }
)
# Where files of several formats lie side by side, the rows are most likely in the first of these.
_ORDER: tuple[FileFormat, ...] = ("jsonl", "parquet", "json", "csv", "text")


# What Dataset.save_to_disk and DatasetDict.save_to_disk of datasets 5.2 write beside the *.arrow files
# (arrow_dataset.py, dataset_dict.py; config.py: DATASET_STATE_JSON_FILENAME, DATASETDICT_JSON_FILENAME).
_SAVED = frozenset({"state.json", "dataset_dict.json"})
SAVED_FOLDER = "a folder of Dataset.save_to_disk"


class Shards(NamedTuple):
    """The files to read, and what is to be said about the others."""

    files: list[Path]
    notes: list[str]


def shards_of(folder: Path) -> Shards:
    """The data files in the folder, of the format that comes first.

    Raises OSError where it cannot be listed, and ValueError where only load_from_disk reads it.
    """
    root = os.path.realpath(folder)
    os.listdir(folder)
    by_format: dict[FileFormat, list[Path]] = {}
    notes: list[str] = []
    outside = 0
    total = 0
    arrow = saved = False
    for path, is_link in _walk(folder):
        form, _ = known_name(path.name)
        arrow = arrow or path.suffix == ".arrow"
        saved = saved or path.name in _SAVED
        if form is None or path.name.lower() in _NO_DATA:
            continue
        if is_link and not _within(path, root):
            outside += 1
            continue
        total += 1
        if total > _MAX_FILES:
            notes.append(f"only the first {_MAX_FILES:,} files were looked at")
            break
        by_format.setdefault(form, []).append(path)
    if outside:
        notes.append(f"{outside} files are links that lead out of the folder: not read")
    chosen = next((form for form in _ORDER if form in by_format), None)
    if chosen is None and arrow and saved:
        raise ValueError(SAVED_FOLDER)
    if chosen is None:
        return Shards([], notes)
    others = Counter({form: len(files) for form, files in by_format.items() if form != chosen})
    if others:
        counts = ", ".join(f"{count} {form}" for form, count in others.items())
        notes.append(f"files of other formats beside the {chosen} ones were not read: {counts}")
    return Shards(sorted(by_format[chosen]), notes)


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """(file, whether it is a link) in a fixed order; hidden names, and folders that are links, are passed over."""
    base = len(folder.parts)
    for here, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith((".", "_")))
        if len(Path(here).parts) - base >= _MAX_DEPTH:
            names.clear()
        for name in sorted(files):
            if name.startswith((".", "_")):
                continue
            path = Path(here, name)
            try:
                mode = path.lstat().st_mode
            except OSError:
                continue
            if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                yield path, stat.S_ISLNK(mode)


def _within(path: Path, root: str) -> bool:
    target = os.path.realpath(path)
    return os.path.commonpath([root, target]) == root
