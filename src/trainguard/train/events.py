"""What happened in a guarded run: one JSON line an event, only ever appended, for people and for other processes."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainguard.findings import Finding

# The folder of a guarded run's own files, inside the Trainer's output folder.
FOLDER = "trainguard"
EVENTS = "events.jsonl"
# All stacks, at SIGUSR1.
STACKS = "stacks.txt"


class LineFile:
    """A file of JSON lines that is only appended to. Each line is one write, so that readers see it whole or torn.

    Nothing is written, and nothing raised, where the disk is full or the folder is gone: what watches a run must not
    end it. `failed` counts the lines that were lost so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed = 0
        self._descriptor: int | None = None

    def append(self, line: Mapping[str, Any]) -> None:
        content = (
            json.dumps(plain(line), separators=(",", ":"), default=str).encode("utf-8", "backslashreplace") + b"\n"
        )
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            os.write(self._descriptor, content)
        except OSError:
            self.failed += 1
            self.close()

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        size = os.fstat(descriptor).st_size
        # A process that was killed in a write leaves half a line; the next one must not be glued to it.
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        return descriptor

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.close(descriptor)
            except OSError:
                self.failed += 1


class EventLog:
    """The events of one run: `{"time", "t", "step", "event", ...}`, a finding under "finding"."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)

    @property
    def path(self) -> Path:
        return self._file.path

    def event(self, name: str, *, step: int | None = None, **values: Any) -> None:
        """Appends one event. `time` is unix seconds, `t` those of this machine's monotonic clock."""
        line = {"time": round(time.time(), 3), "t": round(time.monotonic(), 3), "step": step, "event": name}
        self._file.append({**line, **values})

    def finding(self, finding: Finding, **values: Any) -> None:
        self.event("finding", step=finding.step, finding=finding.to_dict(), **values)

    def close(self) -> None:
        self._file.close()


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    """The lines of such a file, oldest first, without those that are torn or no objects. [] where there is no file."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return []
    lines = []
    for line in content.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines


def plain(value: Any) -> Any:
    """`value` for JSON, which has no NaN and no infinities: they become texts, which trainguard reads as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
