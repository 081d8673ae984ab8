"""Writes that a power cut cannot tear: a file beside, synced, renamed, and the folder synced."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_synced(path: Path, content: bytes) -> None:
    """Replaces `path` in one step: whoever reads it sees the old content or the new one, whole. Raises OSError.

    The folder is not synced: the caller does it once for many files.
    """
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut. Network file systems that refuse to sync a folder are let be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder and syncs the one above, where it was not there. Raises OSError."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder(folder.parent)
        make_folder(folder)
        return
    sync_folder(folder.parent)
