"""What a SOURCE is: a folder, a file, a Trackio project or a stream. Raises UsageError where it is none of them."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from trainguard.errors import UsageError
from trainguard.sources import trackio_store
from trainguard.sources.base import Source
from trainguard.sources.files import is_inside, names_in, open_regular
from trainguard.sources.guarded_run import FOLDER, GuardedRun, is_guarded
from trainguard.sources.log_lines import LogFile
from trainguard.sources.stdin import Stream
from trainguard.sources.tensorboard import EVENTS, EventFiles, event_files
from trainguard.sources.trackio_store import SQLITE, TrackioRun
from trainguard.sources.trainer_state import STATE, TrainerFolder, checkpoint_step, state_files

STDIN = "-"
_TRACKIO = "trackio:"
_LOGS = (".log", ".jsonl", ".out", ".txt")
_WHAT = (
    "a Trainer's output folder, a log file, a JSONL file, TensorBoard event files, a Trackio project, or - for stdin"
)


def recognise(text: str, *, stdin: int = 0) -> Source:
    """The source that a name means. `stdin` is the descriptor for `-`.

    Raises UsageError for what is not there, is empty, or holds no metrics of a run.
    """
    if text == STDIN:
        return Stream(stdin, "<stdin>")
    if text.startswith(_TRACKIO):
        return _trackio(text.removeprefix(_TRACKIO), text)
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise UsageError(f"{text}: cannot be read: {error.strerror}") from None
        return _no_path(text, path)
    if stat.S_ISDIR(mode):
        return _folder(path, text)
    if stat.S_ISREG(mode):
        return _file(path, text)
    if stat.S_ISFIFO(mode):
        return _fifo(path, text)
    raise UsageError(f"{text}: is a device or a socket; name {_WHAT}")


def _folder(path: Path, text: str) -> Source:
    # `trainguard watch out/trainguard` is the run of `out`.
    if path.name == FOLDER and is_guarded(path.parent) and not is_guarded(path):
        path = path.parent
    if is_guarded(path):
        return GuardedRun(path, text)
    if state_files(path):
        source = TrainerFolder(path, text)
        if path.is_dir() and checkpoint_step(path.name) is None and event_files(path):
            source.note(
                f"{STATE} is written at saves; TensorBoard events are here too, written at every log: name their "
                "folder to see more"
            )
        return source
    if event_files(path):
        return EventFiles(path, text)
    raise UsageError(f"{text}: {_what_is_missing(path)}")


def _what_is_missing(path: Path) -> str:
    names = names_in(path)
    if not names:
        return f"is an empty folder; name {_WHAT}, or wait for the run with --follow"
    logs = [name for name in names if name.endswith(_LOGS) and is_inside(path / name, path) and (path / name).is_file()]
    below = [name for name in names if (path / name).is_dir() and is_inside(path / name, path)]
    runs = [name for name in below[:200] if state_files(path / name) or is_guarded(path / name)]
    missing = f"has no {STATE}, no checkpoint-N with one and no TensorBoard events"
    if runs:
        return f"{missing}; did you mean {path / runs[0]}?"
    if logs:
        return f"{missing}; did you mean {path / logs[0]}?"
    if any(checkpoint_step(name) is not None for name in names):
        return f"{missing}: its checkpoints have lost theirs; name a log file, or the run's TensorBoard events"
    return f"{missing}; name {_WHAT}"


def _file(path: Path, text: str) -> Source:
    if path.name == STATE:
        return TrainerFolder(path.parent, text)
    try:
        descriptor = open_regular(path)
        try:
            start = os.pread(descriptor, 512, 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{text}: cannot be read: {error.strerror or error}") from None
    if EVENTS in path.name:
        return EventFiles(path, text)
    if start.startswith(SQLITE):
        return _database(path, text)
    if b"\0" in start:
        raise UsageError(f"{text}: is a binary file; name {_WHAT}")
    return LogFile(path, text)


def _database(path: Path, text: str) -> Source:
    """A SQLite file: the store of a Trackio project, which Trackio finds by the project's name."""
    if not trackio_store.has_trackio():
        raise UsageError(f"{text}: is a SQLite database; {trackio_store.MISSING}")
    if path.stem in trackio_store.projects() and trackio_store.store_of(path.stem) == path.resolve():
        return TrackioRun(path.stem, None, text)
    raise UsageError(
        f"{text}: is a SQLite database outside of Trackio's folder; set TRACKIO_DIR={path.resolve().parent} and name "
        f"the project, trackio:{path.stem}"
    )


def _fifo(path: Path, text: str) -> Source:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{text}: cannot be read: {error.strerror or error}") from None
    return Stream(descriptor, text, owned=True)


def _no_path(text: str, path: Path) -> Source:
    """A name that is no path: a Trackio project, or a path that was misspelt."""
    near = _nearest(path)
    installed = trackio_store.has_trackio()
    looks_like_path = text.startswith((".", "/", "~")) or text.endswith((*_LOGS, ".json")) or near is not None
    if installed and not looks_like_path and trackio_store.is_project(text.partition("/")[0]):
        return _trackio(text, text)
    hint = f"did you mean {near}?" if near is not None else f"name {_WHAT}"
    if looks_like_path:
        raise UsageError(f"{text}: there is no such file or folder; {hint}")
    if not installed:
        raise UsageError(f"{text}: there is no such file or folder; {hint} ({trackio_store.MISSING})")
    raise UsageError(f"{text}: there is no such file or folder, and {trackio_store.no_project(text)}")


def _trackio(text: str, name: str) -> Source:
    project, _, run = text.partition("/")
    if not project:
        raise UsageError(f"{name}: name a project, trackio:PROJECT or trackio:PROJECT/RUN")
    return TrackioRun(project, run or None, name)


def _nearest(path: Path) -> Path | None:
    """What lies near a missing path: a name like its last part that exists, in the folder that exists."""
    parent, wanted = path.parent, path.name
    if not parent.is_dir():
        return None
    close = difflib.get_close_matches(wanted, names_in(parent)[:2000], n=1)
    return parent / close[0] if close else None
