"""Looks at a command that runs: its output, the records of its metrics, and whether it stands still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from trainguard.daemon.hang import HangWatch, ask_for_stacks
from trainguard.daemon.processes import Process
from trainguard.sources.base import Record, Source
from trainguard.sources.files import Tail
from trainguard.sources.guarded_run import GuardedRun
from trainguard.sources.log_lines import LogFile
from trainguard.train.events import FOLDER, STACKS
from trainguard.train.heartbeat import HEARTBEAT

# Of a script without heartbeats nobody knows the phases. It is taken to hang where for so long it has written nothing
# and its processes together have done next to nothing: a load, an evaluation and a save read, write or compute.
_STILL_SECONDS = 1800.0
# Processor time of the whole tree in that time: idle threads of torch and of a tokenizer wake up now and then.
_STILL_CPU_SECONDS = 6.0
_STILL_BYTES = 1 << 20
_MEASURE_SECONDS = 5.0
_RECORDS_SECONDS = 1.0


class ForeignWatch:
    """What is seen of one attempt. `step` is the newest step that a record named, `source` where the records come from.

    `hang_seconds` is the user's own limit: silence of the output for so long is a hang, whatever the processes do.
    """

    def __init__(
        self,
        log: Path,
        *,
        output_dir: Path | None,
        hang_seconds: float | None,
        began: float,
        tree: Callable[[], Iterable[Process]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.step: int | None = None
        self._log = log
        self._tail = Tail(log)
        self._output_dir = output_dir
        self._hang_seconds = hang_seconds
        self._began = began
        self._tree = tree
        self._clock = clock
        self.source: Source = LogFile(log, log.name)
        self._guarded = False
        self._heart: HangWatch | None = None
        self._spoke_at = clock()
        self._still: _Still | None = None
        self._records_at = 0.0

    def output(self) -> Iterator[bytes]:
        """What the command has written since the last call."""
        for block in self._tail.blocks():
            self._spoke_at = self._clock()
            yield block

    def records(self, *, last: bool = False) -> Iterator[Record]:
        """The records that are new: of the guard where the script has one, else of its output."""
        now = self._clock()
        if not last and now < self._records_at:
            return
        self._records_at = now + _RECORDS_SECONDS
        if not self._guarded and self._output_dir is not None and self._is_guarded(self._output_dir):
            self._guarded = True
            self.source.close()
            self.source = GuardedRun(self._output_dir, self._output_dir.name)
            self._heart = HangWatch(self._output_dir, hang_seconds=self._hang_seconds, tree=self._tree)
        for record in self.source.poll(last=last):
            step = record.get("step")
            if isinstance(step, int) and not isinstance(step, bool):
                self.step = step
            yield record

    def hang(self) -> str | None:
        """Why the command is taken to stand still, in a sentence; None where it is not."""
        if self._heart is not None:
            hang = self._heart.look()
            return hang.why if hang is not None else None
        silent = self._clock() - self._spoke_at
        if self._hang_seconds is not None:
            if silent < self._hang_seconds:
                return None
            return f"nothing was written for {silent:,.0f} s, and --hang-seconds is {self._hang_seconds:,.0f}"
        if silent < _MEASURE_SECONDS:
            self._still = None
            return None
        return self._stands_still(silent)

    def dump_stacks(self) -> Path | None:
        """Asks a guarded run for its stacks; the file that they are in. Others have no handler, and would die of it."""
        if self._heart is None or self._heart.last is None or self._output_dir is None:
            return None
        stacks = self._output_dir / FOLDER / STACKS
        return stacks if ask_for_stacks(self._heart.last.pid, stacks=stacks) else None

    def close(self) -> None:
        self._tail.close()
        self.source.close()

    def _is_guarded(self, output_dir: Path) -> bool:
        try:
            return (output_dir / FOLDER / HEARTBEAT).stat().st_mtime >= self._began
        except OSError:
            return False

    def _stands_still(self, silent: float) -> str | None:
        now = self._clock()
        if self._still is None:
            self._still = _Still(now, *_effort(self._tree()))
            return None
        if now < self._still.looked + _MEASURE_SECONDS:
            return None
        self._still.looked = now
        seconds, moved = _effort(self._tree())
        # Processes that ended take their time with them: less than before is work too.
        if abs(seconds - self._still.seconds) > _STILL_CPU_SECONDS or abs(moved - self._still.moved) > _STILL_BYTES:
            self._still = _Still(now, seconds, moved)
            return None
        if now - self._still.since < _STILL_SECONDS:
            return None
        minutes = (now - self._still.since) / 60
        return (
            f"nothing was written for {silent / 60:,.0f} minutes, and in the last {minutes:,.0f} of them the processes "
            f"used {abs(seconds - self._still.seconds):.1f} s of processor time"
        )


class _Still:
    """Since when a tree of processes has done nothing, and what its counters said then."""

    def __init__(self, since: float, seconds: float, moved: int) -> None:
        self.since = since
        self.looked = since
        self.seconds = seconds
        self.moved = moved


def _effort(tree: Iterable[Process]) -> tuple[float, int]:
    """Processor seconds and bytes read and written by a tree of processes, as far as they may be asked."""
    seconds, moved = 0.0, 0
    for found in tree:
        with suppress(psutil.Error, OSError, AttributeError, NotImplementedError):
            each = psutil.Process(found.pid)
            times = each.cpu_times()
            seconds += times.user + times.system
            counters = each.io_counters()
            moved += counters.read_chars + counters.write_chars
    return seconds, moved
