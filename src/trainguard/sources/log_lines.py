"""Logs of a Trainer as text: the dicts that it prints among progress bars and other lines, and JSON lines.

The formats: transformers 5.23 prints `{'loss': '2.345', 'grad_norm': '1.2', 'learning_rate': '2e-05', 'epoch': '0.1'}`
(trainer_callback.py, `ProgressCallback.on_log` and `PrinterCallback`: numbers as texts of four digits, no step);
releases before 5.0 print the same with bare numbers and `nan`. tqdm 4.67 writes its bar over and over behind a carriage
return, ` 10%|#         | 10/100 [00:01<00:09,  9.80it/s]`, and `tqdm.write` redraws it right behind the text, so that
the bar after a dict tells the step that the dict lacks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from trainguard.sources.bars import BarSteps
from trainguard.sources.base import Record, Source
from trainguard.sources.declared import KEYS, from_arguments
from trainguard.sources.files import Tail
from trainguard.sources.names import is_record, renamed

# A longer line is dropped as far as its end: it is no line of metrics, and memory is bounded.
_LONGEST_LINE = 1 << 20  # bytes
# A dict that a terminal or a collector of logs has cut is put together from so many pieces at most.
_MOST_PIECES = 4
_BREAK = re.compile(rb"[\r\n]")
# ECMA-48 control sequences (colours, cursor) and operating system commands (titles, links).
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[@-Z\\-_])")
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?")
_STAMP_WITHIN = 80  # characters from the start of a line
_NUMBER = r"[+-]?(?:\d[\d_]*\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf|NaN|Infinity)"
_PAIR = re.compile(
    r"(?P<quote>['\"])(?P<key>[^'\"\\]{1,200})(?P=quote)\s*:\s*"
    rf"(?:'(?P<single>[^'\\]{{0,400}})'|\"(?P<double>[^\"\\]{{0,400}})\"|(?P<number>{_NUMBER})(?=\s*[,}}\]])"
    rf"|(?:np\.|numpy\.|torch\.)?(?:float\d+|int\d+|tensor)\(\s*(?P<wrapped>{_NUMBER})[^)]{{0,60}}\)"
    r"|(?P<word>True|False|None|true|false|null)\b)"
)
_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_OPENING = re.compile(r"\{\s*['\"]")


class LineReader:
    """Bytes of a log to records. Feed it blocks as they come; `flush` gives what it still holds.

    What the log tells of the run's promises goes into `declared`, before the record that tells it.
    """

    def __init__(self, declared: dict[str, Any]) -> None:
        self.declared = declared
        self.method: str | None = None
        self._rest = b""
        self._dropping = False
        self._piece = ""  # a dict that was cut, and of how many lines it is
        self._pieces = 0
        self._first: float | None = None
        self._latest = 0.0
        self._bars = BarSteps()
        self.lines = 0

    def feed(self, block: bytes) -> Iterator[Record]:
        """The records that the block completes."""
        data = self._rest + block if self._rest else block
        start = 0
        for match in _BREAK.finditer(data):
            line = data[start : match.start()]
            start = match.end()
            if self._dropping:
                self._dropping = False
            elif line:
                yield from self._line(line)
        self._rest = data[start:]
        if len(self._rest) > _LONGEST_LINE:
            self._rest, self._dropping = b"", True

    def flush(self) -> Iterator[Record]:
        """What was held back: the last line without its end, records that waited for a bar."""
        rest, self._rest = self._rest, b""
        if rest and not self._dropping:
            yield from self._line(rest)
        yield from self._stepped(self._bars.flush())

    def idle(self) -> Iterator[Record]:
        """What waited for a bar that does not come, since nothing comes."""
        yield from self._stepped(self._bars.flush())

    def restart(self) -> None:
        """The file began anew: half a line of the old one is none of the new one."""
        self._rest, self._dropping, self._piece = b"", False, ""

    def _line(self, line: bytes) -> Iterator[Record]:
        if len(line) > _LONGEST_LINE:
            return
        self.lines += 1
        if b"{" not in line and b"%|" not in line and not self._piece:
            return  # most lines of a log
        text = line.decode("utf-8", "replace")
        if "\x1b" in text:
            text = _ANSI.sub("", text)
        yield from self._stepped(self._bars.text(text))
        for record in self._records(text):
            yield from self._stepped(self._bars.record(record))

    def _stepped(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            if self._bars.total is not None:
                self.declared.setdefault("max_steps", self._bars.total)
            yield record

    def _records(self, text: str) -> Iterator[Record]:
        opening = _OPENING.search(text)
        if opening is None:
            if not self._piece or self._bars.is_bar(text):
                return
            text, self._pieces = self._piece + text, self._pieces + 1
            opening = _OPENING.search(text)
        else:
            self._pieces = 1
        self._piece = ""
        if opening is None:
            return
        body = text[opening.start() :]
        if "}" not in body:
            if self._pieces < _MOST_PIECES and len(text) <= _LONGEST_DICT:
                self._piece = text
            return
        found = _mapping(body)
        if found is None:
            return
        record = renamed(found)
        if not is_record(record):
            self.declared.update(_arguments(found))
            if isinstance(found.get("declared"), dict) and isinstance(found.get("method"), str):
                self.method = found["method"]
            return
        planned = found.get("total_steps")
        if isinstance(planned, int) and not isinstance(planned, bool) and planned > 0:
            self.declared.setdefault("max_steps", planned)  # LLaMA-Factory's trainer_log.jsonl
        self._time(record, text[: min(opening.start(), _STAMP_WITHIN)])
        yield record

    def _time(self, record: Record, before: str) -> None:
        """Seconds since the first stamp, where lines carry one and the record none. It never goes back."""
        if "t" in record:
            return
        stamp = _stamp(before)
        if stamp is None:
            return
        if self._first is None:
            self._first = stamp
        self._latest = max(stamp - self._first, self._latest)
        record["t"] = self._latest


_LONGEST_DICT = 1 << 16  # characters


def _mapping(body: str) -> dict[str, Any] | None:
    """The mapping that a text begins with: JSON, or the repr of a dict. None for neither."""
    if body.startswith("{") and '"' in body:
        found = _json(body)
        if found is not None:
            for inside in ("record", "log", "message", "msg"):
                value = found.get(inside)
                if isinstance(value, dict):
                    return value
                if isinstance(value, str) and (opening := _OPENING.search(value)) is not None:
                    return _mapping(value[opening.start() :])
            return found
    pairs: dict[str, Any] = {}
    for match in _PAIR.finditer(body[: body.rfind("}") + 1]):
        word = match["word"]
        text = next(
            (match[name] for name in ("single", "double", "number", "wrapped") if match[name] is not None), None
        )
        if match["number"] is not None or match["wrapped"] is not None:
            pairs[match["key"]] = _value(text or "")
        else:
            pairs[match["key"]] = _WORDS[word] if word is not None else text
        if len(pairs) >= _MOST_PAIRS:
            break
    return pairs or None


_MOST_PAIRS = 500


def _json(body: str) -> dict[str, Any] | None:
    try:
        found, _ = _DECODER.raw_decode(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


_DECODER = json.JSONDecoder()


def _value(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return None


def _arguments(found: dict[str, Any]) -> dict[str, Any]:
    """What a printed configuration of a Trainer promises, or the header of recorded metrics."""
    if isinstance(found.get("declared"), dict):
        return {key: value for key, value in found["declared"].items() if key in KEYS}
    if "lr_scheduler_type" in found and "per_device_train_batch_size" in found:
        return from_arguments(found)
    return {}


def _stamp(text: str) -> float | None:
    match = _STAMP.search(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
    zone = (match[8] or "Z").replace("Z", "+00:00")
    try:
        # Without a zone the seconds are right among themselves, which is all that is asked.
        at = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
        return at.timestamp() + float(f"0.{match[7] or 0}")
    except (ValueError, OverflowError):
        return None


class LogFile(Source):
    """A log file with the Trainer's dict lines, or JSON lines. Of any length: it is read in blocks."""

    kind = "log"

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(name)
        self._tail = Tail(path)
        self._reader = LineReader(self.declared)
        self._again = 0
        self._quiet = 0

    def poll(self, *, last: bool = False) -> Iterator[Record]:
        came = False
        for block in self._tail.blocks():
            came = True
            if self._tail.again != self._again:
                self._again = self._tail.again
                self._reader.restart()
            for record in self._reader.feed(block):
                self.method = self._reader.method
                yield self.noticed(record)
        self.method = self._reader.method
        self._quiet = 0 if came else self._quiet + 1
        if last:
            yield from map(self.noticed, self._reader.flush())
        elif self._quiet > 1:
            yield from map(self.noticed, self._reader.idle())

    def close(self) -> None:
        self._tail.close()
