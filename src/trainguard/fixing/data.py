"""A repaired copy of a file of JSON Lines: written beside the file, never over it.

Roles are mapped, ShareGPT rows become messages, byte order marks go, and lines that no reader can read go into
`OUT.rejected.jsonl` with the reason. All else stays byte for byte. Every line that is not empty is in one of the two.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from trainguard.durable import sync_folder
from trainguard.errors import UnreadableInputError, UsageError
from trainguard.facts.data.faults import bad_line, not_an_object
from trainguard.facts.data.formats import kind_of
from trainguard.facts.data.options import MAX_LINE_BYTES
from trainguard.facts.data.ranges import BOM, open_regular
from trainguard.fixing.changes import WriteError
from trainguard.fixing.data_lines import Line, Rejects, lines
from trainguard.fixing.data_row import plan, rewritten

Progress = Callable[[int, int], None]
BOM_REMOVED = "byte order mark removed"
# Progress is told after so many bytes.
_PROGRESS_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What a repair did. `lines` are those that are not empty: each was written, changed or not, or rejected.

    `changes` counts what was done by its name, `reasons` the rejected lines by what is wrong with them. `rejected_path`
    is None where no line was rejected: then there is no such file.
    """

    path: str
    out: str
    rejected_path: str | None
    lines: int
    changed: int
    rejected: int
    changes: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def written(self) -> int:
        return self.lines - self.rejected


def rejected_path_of(out: Path) -> Path:
    """Where the lines go that are not in `out`."""
    return out.with_name(out.name + ".rejected.jsonl")


def repair(
    path: Path,
    out: Path,
    *,
    format: str | None = None,  # noqa: A002 - the name that all readers of data use
    overwrite: bool = False,
    on_progress: Progress | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> RepairReport:
    """Writes a repaired copy of `path` to `out`. `on_progress` gets the bytes done and the bytes in all.

    Raises UsageError where it is refused (not JSON Lines, or `out` may not be written), UnreadableInputError where
    `path` cannot be read or changes meanwhile, and WriteError where `out` cannot be written. Then `out` is as it was.
    """
    rejected = rejected_path_of(out)
    _refuse_format(path, format)
    _refuse_target(path, out, overwrite)
    _refuse_target(path, rejected, overwrite)
    try:
        handle = open_regular(path)
    except OSError as error:
        raise UnreadableInputError(f"{path}: cannot be read: {error.strerror or error}") from None
    with open(handle, "rb") as source:
        before = os.fstat(handle)
        with contextlib.ExitStack() as cleanup:
            copy, rest = (_temporary(target, before, cleanup) for target in (out, rejected))
            copier = _Copier(copy.file, rest.file, path)
            copier.run(source, before.st_size, max_line_bytes, on_progress)
            after = os.fstat(handle)
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise UnreadableInputError(f"{path}: changed while it was read; nothing was written")
            try:
                copy.sync()
                rest.sync()
                # The rejected lines first: whoever sees the copy can see what is missing from it.
                if copier.rejected:
                    rest.publish(rejected, overwrite)
                elif overwrite:
                    rejected.unlink(missing_ok=True)  # of the copy that is replaced now
                copy.publish(out, overwrite)
            except FileExistsError as error:
                raise UsageError(f"{error.filename}: is there by now; nothing was overwritten") from None
            except OSError as error:
                raise WriteError(f"{out}: cannot be written: {error.strerror or error}") from None
    return RepairReport(
        path=str(path),
        out=str(out),
        rejected_path=str(rejected) if copier.rejected else None,
        lines=copier.count,
        changed=copier.changed,
        rejected=copier.rejected,
        changes=dict(copier.changes),
        reasons=dict(copier.reasons),
    )


def _refuse_format(path: Path, given: str | None) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; repair its files one at a time")
        kind = kind_of(path, given)
    except OSError as error:
        raise UnreadableInputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if kind.refused:
        raise UsageError(f"{path}: is {kind.refused}, and only JSON Lines can be repaired")
    if kind.compression is not None:
        raise UsageError(f"{path}: is compressed with {kind.compression}; unpack it first, then repair it")
    if kind.encoding:
        raise UsageError(f"{path}: is {kind.encoding}; convert it first: iconv -f {kind.encoding} -t UTF-8")
    if kind.format not in ("jsonl", None):
        raise UsageError(f"{path}: is {kind.format}, and only JSON Lines can be repaired line by line")


def _refuse_target(path: Path, target: Path, overwrite: bool) -> None:
    with contextlib.suppress(OSError):
        if os.path.samefile(path, target) or os.path.realpath(path) == os.path.realpath(target):
            raise UsageError(f"{target}: is the file that is to be repaired; name another one for the copy")
    if not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}")
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"{target}: is no regular file; name another one for the copy")
    if not overwrite:
        raise UsageError(f"{target}: is there already; name another file, or say that it may be overwritten")


class _Temporary:
    """A file beside its target, until it is published."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.file, self._name = file, name

    def sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def publish(self, target: Path, overwrite: bool) -> None:
        """Gives the file its name at once. Raises FileExistsError where that is taken and may not be."""
        if overwrite:
            os.replace(self._name, target)
        else:
            try:
                os.link(self._name, target)  # unlike a rename, it never replaces
            except FileExistsError:
                raise FileExistsError(0, "exists", str(target)) from None
            except OSError:  # a file system without hard links
                if os.path.lexists(target):
                    raise FileExistsError(0, "exists", str(target)) from None
                os.replace(self._name, target)
        with contextlib.suppress(OSError):  # the content is safe by now
            sync_folder(target.parent)


def _temporary(target: Path, source: os.stat_result, cleanup: contextlib.ExitStack) -> _Temporary:
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp")
    except OSError as error:
        raise WriteError(f"{target}: cannot be written: {error.strerror or error}") from None
    cleanup.callback(_forget, name)
    os.fchmod(handle, stat.S_IMODE(source.st_mode) & 0o666)
    return _Temporary(cleanup.enter_context(open(handle, "wb", buffering=1 << 20)), name)


def _forget(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)


class _Copier:
    """Sends each line to the copy or to the rejected ones."""

    def __init__(self, copy: IO[bytes], rest: IO[bytes], path: Path) -> None:
        self._copy, self._rejects, self._path = copy, Rejects(rest), path
        self.count = self.changed = self.rejected = 0
        self.changes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._decode = msgspec.json.Decoder().decode

    def run(self, source: IO[bytes], size: int, limit: int, on_progress: Progress | None) -> None:
        told = 0
        for line in _read(lines(source, limit), self._path):
            try:
                self._one(line)
            except OSError as error:
                raise WriteError(f"the repaired copy cannot be written: {error.strerror or error}") from None
            if on_progress is not None and line.end - told >= _PROGRESS_BYTES:
                told = line.end
                on_progress(told, size)
        if on_progress is not None:
            on_progress(size, size)

    def _one(self, line: Line) -> None:
        if line.pieces is not None:
            self._reject("line too long")
            self._rejects.write_long(line.number, f"a line of more than {line.limit:,} bytes", line.pieces)
            return
        raw = line.raw
        if not raw.strip():
            self._copy.write(raw)
            return
        done: list[str] = []
        if raw.startswith(BOM):
            raw = raw[len(BOM) :]
            self.changes[BOM_REMOVED] += 1
            done.append(BOM_REMOVED)
            if not raw.strip():
                self._copy.write(raw)
                return
        content = raw.rstrip(b"\r\n")
        try:
            row = self._decode(content)
            bad = None if isinstance(row, dict) else not_an_object(row)
        except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
            row, bad = None, bad_line(content, error)
        if bad is not None or row is None:
            assert bad is not None
            self._reject(bad.name)
            self._rejects.write(line.number, bad.detail, content)
            return
        wanted = plan(row)
        if wanted is not None:
            raw = rewritten(content.decode("utf-8"), wanted).encode("utf-8") + raw[len(content) :]
            self.changes.update(wanted.done)
            done.extend(wanted.done or ("keys",))
        self._copy.write(raw)
        self.count += 1
        self.changed += bool(done)

    def _reject(self, name: str) -> None:
        self.count += 1
        self.rejected += 1
        self.reasons[name] += 1


def _read(found: Iterator[Line], path: Path) -> Iterator[Line]:
    """The lines; an error of reading is told apart from one of writing."""
    try:
        yield from found
    except OSError as error:
        raise UnreadableInputError(f"{path}: cannot be read to its end: {error.strerror or error}") from None
