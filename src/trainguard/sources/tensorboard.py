"""TensorBoard event files, as torch's SummaryWriter and the Trainer's TensorBoardCallback write them.

A file is a run of TFRecords: length (8 bytes), a checksum of it (4), the data, a checksum of those (4), each an `Event`
in Protocol Buffers (tensorboard 2.21, compat/tensorflow_stub/pywrap_tensorflow.py `PyRecordReader_New`). The records
are cut here, so that lengths are bounded and a file that grows is followed; the `tensorboard` package decodes events.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.errors import UsageError
from trainguard.sources.base import Record, Source
from trainguard.sources.declared import from_arguments
from trainguard.sources.files import Tail, is_inside, names_in
from trainguard.sources.names import SUMMARY, is_record, renamed

# tensorboard 2.21, backend/event_processing/io_wrapper.py `IsTensorFlowEventsFile`: the name contains this.
EVENTS = "tfevents"
_HEADER = struct.Struct("<QI")
_LONGEST_EVENT = 1 << 26  # bytes; an event with pictures may be large, one with a number has 50
_MOST_FILES = 200
_DEPTH = 4  # folders below the one that is given: the Trainer writes to output_dir/runs/<date>_<host>
_MISSING = 'TensorBoard event files need the package tensorboard: pip install "trainguard[watch]"'


def event_files(folder: Path) -> list[Path]:
    """The event files in a folder and those below it, oldest first by name of folder and file. No link leads out."""
    found: list[Path] = []
    waiting = [(folder, 0)]
    while waiting and len(found) < _MOST_FILES:
        place, depth = waiting.pop(0)
        for name in names_in(place):
            path = place / name
            if path.is_symlink() and not is_inside(path, folder):
                continue
            if EVENTS in name and path.is_file():
                found.append(path)
            elif depth < _DEPTH and not name.startswith("checkpoint-") and path.is_dir() and not path.is_symlink():
                waiting.append((path, depth + 1))
    return found


class EventFiles(Source):
    """The scalars of the newest run in a folder, or of one event file, put together to a record a step.

    A run is the event files of one folder. Where several runs lie below the folder the newest is watched.
    """

    kind = "tensorboard"

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(name)
        self._event = _decoder()
        self._path = path
        self._folder = path if path.is_dir() else None
        self._files: dict[Path, _File] = {}
        self._run: Path | None = None
        self._open = _Gathering()
        self._first: float | None = None
        self._quiet = 0

    def poll(self, *, last: bool = False) -> Iterator[Record]:
        self._look()
        came = False
        for file in sorted(self._files.values(), key=lambda each: each.path.name):
            for data in file.events():
                came = True
                yield from map(self.noticed, self._read(data))
            if file.damage is not None:
                self.note(f"{file.path.name}: is damaged from byte {file.damage:,} on, and not read further")
        self._quiet = 0 if came else self._quiet + 1
        # The scalars of a step come one by one; silence completes them.
        if last or self._quiet > 0:
            yield from map(self.noticed, self._open.take())

    def _look(self) -> None:
        paths = event_files(self._folder) if self._folder is not None else [self._path]
        if not paths:
            return
        if self._run is None:
            runs = {path.parent for path in paths}
            newest = max(paths, key=_changed)
            self._run = newest.parent
            if len(runs) > 1:
                shown = os.path.relpath(self._run, self._folder) if self._folder is not None else self._run
                self.note(f"{len(runs)} runs are here; the newest is watched, {shown}: name another one to watch that")
        for path in paths:
            if path.parent == self._run and path not in self._files:
                self._files[path] = _File(path)

    def _read(self, data: bytes) -> Iterator[Record]:
        try:
            event = self._event.FromString(data)
            values = list(event.summary.value)
        except Exception:  # protobuf's DecodeError, whose module differs by implementation
            self.note("an event that cannot be decoded was left out")
            return
        for value in values:
            tag = value.tag
            scalar = _scalar(value)
            if scalar is None:
                if tag in ("args/text_summary", "model_config/text_summary"):
                    self._arguments(value)
                continue
            if self._first is None:
                self._first = event.wall_time
            yield from self._open.add(tag, scalar, int(event.step), max(event.wall_time - self._first, 0.0))

    def _arguments(self, value: Any) -> None:
        """TensorBoardCallback writes the TrainingArguments and the model's configuration as JSON texts."""
        try:
            given = json.loads(value.tensor.string_val[0])
        except (ValueError, RecursionError, IndexError, UnicodeDecodeError):
            return
        if isinstance(given, dict):
            self.declared.update(from_arguments(given))

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _File:
    """One event file, cut into the data of its events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: int | None = None  # the byte from which on it cannot be read
        self._start = 0
        self._tail = Tail(path)
        self._rest = bytearray()
        self._again = 0

    def events(self) -> Iterator[bytes]:
        if self.is_damaged():
            return
        for block in self._tail.blocks():
            if self._tail.again != self._again:
                self._again, self._rest, self._start = self._tail.again, bytearray(), 0
            self._rest += block
            yield from self._cut()
            if self.is_damaged():
                self._tail.close()
                return

    def is_damaged(self) -> bool:
        return self.damage is not None

    def _cut(self) -> Iterator[bytes]:
        start, rest = 0, self._rest
        while len(rest) - start >= _HEADER.size:
            length, _ = _HEADER.unpack_from(rest, start)
            if length > _LONGEST_EVENT:
                self.damage = self._start
                break
            end = start + _HEADER.size + length + 4
            if len(rest) < end:
                break
            yield bytes(rest[start + _HEADER.size : end - 4])
            self._start += end - start
            start = end
        del rest[:start]

    def close(self) -> None:
        self._tail.close()


class _Gathering:
    """Scalars of one step that came one by one, put together. Evaluations are records of their own."""

    def __init__(self) -> None:
        self._key: tuple[int, str] | None = None
        self._record: Record = {}

    def add(self, tag: str, value: float, step: int, t: float) -> Iterator[Record]:
        key = (step, _group(tag))
        if tag.endswith("/epoch") and tag not in self._record and self._key is not None and self._key[0] == step:
            key = self._key  # the Trainer writes it with evaluations too
        # The same tag twice is another log of the same step.
        if key != self._key or tag in self._record:
            yield from self.take()
            self._key = key
        self._record[tag] = value
        self._record["step"], self._record["t"] = step, t

    def take(self) -> Iterator[Record]:
        record, self._record, self._key = self._record, {}, None
        if record and is_record(named := renamed(record)):
            yield named


def _group(tag: str) -> str:
    """Training, evaluation and the summary at the end are logs of their own."""
    if tag.startswith(("eval/", "eval_", "val/", "validation/", "valid/")):
        return "eval"
    name = tag.rpartition("/")[2]
    return "summary" if name in SUMMARY or name.startswith(("train_", "total_flos")) else "train"


def _scalar(value: Any) -> float | None:
    """The number of a summary: `simple_value` (torch), or a tensor of one float (TensorFlow 2)."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return None
    tensor = value.tensor
    if len(tensor.float_val) == 1:
        return float(tensor.float_val[0])
    if len(tensor.double_val) == 1:
        return float(tensor.double_val[0])
    # tensorboard 2.21, types.proto: DT_FLOAT is 1, DT_DOUBLE 2.
    sizes = {1: ("<f", 4), 2: ("<d", 8)}
    shape, size = sizes.get(tensor.dtype, ("", 0))
    if size and len(tensor.tensor_content) == size:
        return float(struct.unpack(shape, tensor.tensor_content)[0])
    return None


def _changed(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name


def _decoder() -> Any:
    try:
        return importlib.import_module("tensorboard.compat.proto.event_pb2").Event
    except ImportError:
        raise UsageError(_MISSING) from None
