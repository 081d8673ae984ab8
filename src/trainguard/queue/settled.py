"""What people find in the queue's folder: `done/`, `failed/` and `quarantined/`, a folder for each file that ended
there.

The file in it is another name of the content in custody, not a copy: reading it is free, and writing into it is
refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainguard.durable import make_folder_below, sync_folder, write_atomically
from trainguard.findings import Finding
from trainguard.queue.names import safe_name
from trainguard.queue.reasons import reason_text
from trainguard.queue.records import ENDED, Event, QueuedFile, State
from trainguard.queue.sidecars import write_sidecar

REASON = "REASON.md"


def folder_of(home: Path, file: QueuedFile, state: State) -> Path:
    return home / state / f"{file.id}-{safe_name(file.name)}"


def settle(
    home: Path,
    file: QueuedFile,
    to: State | None = None,
    *,
    content: Path | None,
    events: Sequence[Event] = (),
    finding: Finding | Mapping[str, Any] | None = None,
    config: str | None = None,
) -> Path:
    """Makes the folder of a file that ended in `to` (its state, if not given), with REASON.md where it was put aside.

    `events` are its history, `finding` what decided, `config` the configuration as commands name it. May be called
    again. Raises ValueError for a state that is no end, OSError where it cannot be written.
    """
    state = to or file.state
    if state not in ENDED:
        raise ValueError(f"file {file.id} is {state}, and only what has ended is settled")
    folder = folder_of(home, file, state)
    make_folder_below(home, folder)
    if content is not None:
        _name(content, folder / safe_name(file.name))
    if state != "done":
        text = reason_text(file, state, events=events, finding=finding, config=config)
        write_atomically(folder / REASON, text.encode("utf-8", "backslashreplace"), sync=False)
    sync_folder(folder)
    write_sidecar(home, file)
    return folder


def is_shown(home: Path, file: QueuedFile) -> bool:
    """Whether a folder shows the file as one that has ended."""
    return any(os.path.lexists(folder_of(home, file, state)) for state in ENDED)


def remove(home: Path, file: QueuedFile) -> None:
    """Takes away what `settle` made; what somebody else has put there stays. The content is in custody."""
    for state in sorted(ENDED):
        folder = folder_of(home, file, state)
        if not folder.is_dir() or folder.is_symlink():
            continue
        for name in (safe_name(file.name), REASON):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
            sync_folder(folder.parent)


def bring_back(home: Path, file: QueuedFile, to: Path) -> Path | None:
    """Puts a content that is missing in custody back there, from a folder where people see it; None where it is not."""
    for state in sorted(ENDED):
        path = folder_of(home, file, state) / safe_name(file.name)
        if path.is_file() and not path.is_symlink():
            make_folder_below(home, to.parent)
            _name(path, to)
            sync_folder(to.parent)
            return to
    return None


def _name(content: Path, name: Path) -> None:
    """Another name for a content: a hard link, or a symlink where the file system has none."""
    if os.path.lexists(name):
        return
    try:
        os.link(content, name)
    except FileExistsError:
        return
    except OSError:
        with contextlib.suppress(FileExistsError):
            os.symlink(os.path.relpath(content, name.parent), name)
