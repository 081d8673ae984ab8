"""What the daemon's commands print, and how the daemon writes its log."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trainguard.report.visible import visible

if TYPE_CHECKING:
    from trainguard.daemon.lock import Holder
    from trainguard.daemon.settings import Settings
    from trainguard.queue.records import State, Worker

LogFormat = Literal["text", "json"]
# A line is 200 bytes and a file about ten lines: 20 MB hold 10,000 files.
_LOG_BYTES, _LOG_FILES = 10_000_000, 2


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        text = f"{when} {record.levelname.lower():7} {visible(record.getMessage())}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up_log(path: Path, *, form: LogFormat, quiet: bool) -> None:
    """Writes what the daemon does to `path`, bounded in size, and to stderr unless `quiet`.

    A full disk does not end a daemon, nor does one that does not answer: what cannot be written is lost. The folder is
    made by who takes its lock, since where a mount is away nothing is to be made.
    """
    from trainguard.daemon.logs import LogBeside

    logging.raiseExceptions = False
    formatter = _Json() if form == "json" else _Text()
    handlers: list[logging.Handler] = [] if quiet else [logging.StreamHandler(sys.stderr)]
    rotating = logging.handlers.RotatingFileHandler(
        path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8", errors="backslashreplace", delay=True
    )
    handlers.append(LogBeside(rotating))
    logger = logging.getLogger("trainguard")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = handlers
    for handler in handlers:
        handler.setFormatter(formatter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What `trainguard daemon status` has found: who holds the lock, and what is in the queue, where there is one."""

    holder: Holder | None
    settings: Settings
    worker: Worker | None = None
    paused: str | None = None
    counts: Mapping[State, int] = field(default_factory=dict)


def status_text(seen: Seen, *, config: str) -> str:
    """One paragraph: is there a daemon, what does it do, what waits."""
    if seen.holder is None:
        parts = [f"No daemon serves {seen.settings.home}; start one with: trainguard daemon start {config}"]
    else:
        doing = f": {seen.worker.doing}" if seen.worker is not None and seen.worker.doing else ""
        parts = [f"The daemon runs ({seen.holder}){doing}"]
    if seen.paused is not None:
        parts.append(f"The queue is paused: {seen.paused}")
    counts = seen.counts
    waiting = sum(counts.get(state, 0) for state in ("accepted", "checking", "waiting"))
    work = sum(counts.get(state, 0) for state in ("training", "verifying"))
    words = [f"{waiting:,} waiting", f"{work:,} in training", f"{counts.get('done', 0):,} done"]
    words += [f"{counts[state]:,} {state}" for state in ("failed", "quarantined", "held") if counts.get(state)]
    parts.append(f"Files: {', '.join(words)}")
    return visible(". ".join(part.rstrip(".") for part in parts) + ".") + "\n"


def status_json(seen: Seen) -> str:
    """The same for programs; docs/daemon.md has the fields."""
    holder, worker = seen.holder, seen.worker
    shown = {
        "running": holder is not None,
        "pid": holder.pid if holder is not None else None,
        "host": holder.host if holder is not None else None,
        "started": holder.started if holder is not None else None,
        "doing": worker.doing if worker is not None and holder is not None else None,
        "last_seen": worker.seen if worker is not None else None,
        "paused": seen.paused,
        "counts": dict(seen.counts),
        "config": str(seen.settings.config),
        "inbox": str(seen.settings.inbox),
        "output_dir": str(seen.settings.output_dir),
        "home": str(seen.settings.home),
    }
    return json.dumps(shown, ensure_ascii=True) + "\n"
