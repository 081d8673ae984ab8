"""A Trackio project on this machine, read through Trackio's own API (trackio 0.43, api.py and sqlite_storage.py)."""

from __future__ import annotations

import difflib
import importlib.util
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from trainguard.errors import UsageError
from trainguard.sources.base import Record, Source
from trainguard.sources.declared import from_arguments
from trainguard.sources.names import is_number, number, renamed

MISSING = 'a Trackio project needs the package trackio: pip install "trainguard[watch]"'
SQLITE = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html, 1.3
# After the last planned step an evaluation may still be written.
_SETTLED_SECONDS = 60.0
# What Trackio keeps of a name (trackio 0.43, utils.py `canonical_project_name`).
_KEPT = re.compile(r"[A-Za-z0-9_-]")


def has_trackio() -> bool:
    """Whether Trackio is installed. Asking imports nothing: that takes a second."""
    return importlib.util.find_spec("trackio") is not None


def projects() -> list[str]:
    """The projects of the local store, by name of their database. Raises UsageError where Trackio is missing."""
    storage = _storage()
    folder = Path(storage.get_project_db_path("x")).parent
    try:
        return sorted(path.stem for path in folder.glob("*.db") if not path.name.startswith("registry-"))
    except OSError:
        return []


def is_project(name: str) -> bool:
    """Whether the local store has such a project. Raises UsageError where Trackio is missing."""
    if not "".join(_KEPT.findall(name)):
        return False
    return bool(_storage().get_project_db_path(name).exists())


def store_of(project: str) -> Path:
    """The database of a project. Raises UsageError where Trackio is missing."""
    return Path(_storage().get_project_db_path(project)).resolve()


class TrackioRun(Source):
    """One run of a project: the newest, or the one that is named.

    Raises UsageError where Trackio is missing, or the project or run is not there.
    """

    kind = "trackio"
    every_seconds = 2.0

    def __init__(self, project: str, run: str | None, name: str) -> None:
        super().__init__(name)
        self._storage = _storage()
        self._project = project
        self._asked = run
        self._run: Any = None
        self._given = 0
        self._first: float | None = None
        self._latest = 0.0
        self._newest = 0.0  # unix seconds of the newest row
        self._done = False
        if not self._storage.get_project_db_path(project).exists():
            raise UsageError(no_project(project))
        self._choose()

    def poll(self, *, last: bool = False) -> Iterator[Record]:  # noqa: ARG002 - the signature of all sources
        if self._run is None:
            self._choose()
        if self._run is None:
            return
        try:
            count = self._storage.get_log_count(self._project, self._run.name, run_id=self._run.id)
            if count <= self._given:
                # TrackioCallback leaves the summary out (transformers 5.23), so that the plan has to tell.
                self.ended = self._done and time.time() - self._newest > _SETTLED_SECONDS
                return
            logs = self._storage.get_logs(self._project, self._run.name, run_id=self._run.id)
        except Exception as error:  # Trackio raises what sqlite3 and orjson raise
            raise UsageError(f"the Trackio project {self._project} cannot be read: {error}") from None
        new, self._given = logs[self._given :], len(logs)
        for log in new:
            record = self._record(log)
            planned, step = self.declared.get("max_steps"), number(record.get("step"))
            self._done = isinstance(planned, int) and step is not None and step >= planned
            yield self.noticed(record)

    def _record(self, log: Mapping[str, Any]) -> Record:
        """A row under the Trainer's names. Trackio counts rows as `step`; the Trainer's own is `train/global_step`."""
        values = {key: value for key, value in log.items() if key not in ("timestamp", "step")}
        own = "train/global_step" in values or "global_step" in values
        record = renamed(values if own else {**values, "step": log.get("step")})
        if (t := self._seconds(log.get("timestamp"))) is not None and not is_number(record.get("t")):
            record["t"] = t
        return record

    def _seconds(self, timestamp: object) -> float | None:
        if not isinstance(timestamp, str):
            return None
        try:
            at = datetime.fromisoformat(timestamp).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
        self._newest = at
        if self._first is None:
            self._first = at
        elif at - self._first <= self._latest:
            return None  # rows that Trackio sent together carry one time: that of the first alone says something
        self._latest = at - self._first
        return self._latest

    def _choose(self) -> None:
        try:
            from trackio import Api

            runs = list(Api().runs(self._project))
        except Exception as error:
            raise UsageError(f"the Trackio project {self._project} cannot be read: {error}") from None
        if self._asked is not None:
            names = [run.name for run in runs]
            found = [run for run in runs if self._asked in (run.name, run.id)]
            if not found:
                close = difflib.get_close_matches(self._asked, names, n=1)
                hint = f"did you mean {self._project}/{close[0]}?" if close else f"it has {_listed(names)}"
                raise UsageError(f"the Trackio project {self._project} has no run {self._asked}; {hint}")
            self._run = found[-1]
        elif runs:
            self._run = runs[-1]
            if len(runs) > 1:
                self.note(
                    f"the project has {len(runs)} runs; the newest is watched, {self._run.name}: name another one as "
                    f"{self._project}/RUN"
                )
        if self._run is not None:
            config = self._run.config
            if isinstance(config, Mapping):
                self.declared.update(from_arguments(config))


def no_project(name: str) -> str:
    """What is said of a project that is not there."""
    there = projects()
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {_listed(there)}"
    return f"there is no Trackio project {name} on this machine; {hint}"


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _storage() -> Any:
    try:
        from trackio.sqlite_storage import SQLiteStorage
    except ImportError:
        raise UsageError(MISSING) from None
    return SQLiteStorage
