"""What the daemon's commands print, and how the daemon writes its log."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trainguard.report.visible import visible

if TYPE_CHECKING:
    from trainguard.daemon.lock import Holder
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

    A full disk does not end a daemon: what cannot be written is lost.
    """
    logging.raiseExceptions = False
    formatter = _Json() if form == "json" else _Text()
    handlers: list[logging.Handler] = [] if quiet else [logging.StreamHandler(sys.stderr)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8", errors="backslashreplace"
            )
        )
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror or error}", file=sys.stderr)
    logger = logging.getLogger("trainguard")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = handlers
    for handler in handlers:
        handler.setFormatter(formatter)


def status_text(
    whom: Holder | None,
    worker: Worker | None,
    *,
    paused: str | None,
    counts: Mapping[State, int],
    home: Path,
    config: str,
) -> str:
    """One paragraph: is there a daemon, what does it do, what waits."""
    if whom is None:
        parts = [f"No daemon serves {home}; start one with: trainguard daemon start {config}"]
    else:
        doing = f": {worker.doing}" if worker is not None and worker.doing else ""
        parts = [f"The daemon runs ({whom}){doing}"]
    if paused is not None:
        parts.append(f"The queue is paused: {paused}")
    waiting = sum(counts.get(state, 0) for state in ("accepted", "checking", "waiting"))
    work = sum(counts.get(state, 0) for state in ("training", "verifying"))
    words = [f"{waiting:,} waiting", f"{work:,} in training", f"{counts.get('done', 0):,} done"]
    words += [f"{counts[state]:,} {state}" for state in ("failed", "quarantined", "held") if counts.get(state)]
    parts.append(f"Files: {', '.join(words)}")
    return visible(". ".join(part.rstrip(".") for part in parts) + ".")
