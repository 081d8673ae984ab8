"""Looks at a command that runs: its output, the records of its metrics, and whether it stands still."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]

from trainguard.daemon.hang import HangWatch, ask_for_stacks
from trainguard.daemon.processes import STOPPED, Process
from trainguard.sources.base import Record, Source
from trainguard.sources.guarded_run import GuardedRun
from trainguard.sources.log_lines import LogFile
from trainguard.train.events import FOLDER, STACKS
from trainguard.train.heartbeat import HEARTBEAT

# Of a script without heartbeats nobody knows the phases. It is taken to hang where for so long it has written nothing
# and its processes together have done next to nothing: a load, an evaluation and a save read, write or compute.
_STILL_SECONDS = 1800.0
# Its own silences lengthen that, as the slowest steps do in daemon/hang.py: an evaluation elsewhere, a barrier at which
# the other machines save, come again and again.
_FACTOR = 5.0
# Processor time of the whole tree in that time: idle threads of torch and of a tokenizer wake up now and then.
_STILL_CPU_SECONDS = 6.0
_STILL_BYTES = 1 << 20
_MEASURE_SECONDS = 5.0
_RECORDS_SECONDS = 1.0
# Whoever computes in silence is never ended for it: a mapping of data without bars takes hours. It is said once, after
# so long (what daemon/hang.py gives to tokenising) and so many of its own silences.
_BUSY_SECONDS = 7200.0
_BUSY_FACTOR = 20.0
# Longer than this between two looks the watcher was not there, or stopped along with the run.
_LONGEST_LOOK = 60.0
# What asks somebody at a terminal: a debugger, input("Continue? ").
_ASKS = re.compile(rb"(?:\((?:Pdb|Pdb\+\+|ipdb)\)|ipdb>|>>>|\?|\[[yY]/[nN]\]:?|: )[ ]?\Z")


class Spoken(Protocol):
    """What a command says: how many bytes so far, the last of them, whether they are kept from their reader, and
    whether a person may answer."""

    taken: int
    last: bytes

    @property
    def is_held(self) -> bool: ...

    @property
    def has_person(self) -> bool: ...


class ForeignWatch:
    """What is seen of one attempt. `step` is the newest step that a record named, `source` where the records come from,
    `has_metrics` whether any came.

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
        spoken: Spoken,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.step: int | None = None
        self.has_metrics = False
        self._output_dir = output_dir
        self._hang_seconds = hang_seconds
        self._began = began
        self._tree = tree
        self._spoken = spoken
        self._clock = clock
        self.source: Source = LogFile(log, log.name)
        self._guarded = False
        self._heart: HangWatch | None = None
        self._taken = 0
        self._looked = clock()
        self._silent = 0.0
        self._longest = 0.0
        self._still: _Still | None = None
        self._remarked = False
        self._remark: str | None = None
        self._records_at = 0.0

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
            self.has_metrics = True
            step = record.get("step")
            if isinstance(step, int) and not isinstance(step, bool):
                self.step = step
            yield record

    def hang(self) -> str | None:
        """Why the command is taken to stand still, in a sentence; None where it is not. Ask every second or so."""
        silent = self._listen()
        if self._heart is not None:
            hang = self._heart.look()
            return hang.why if hang is not None else None
        if self._hang_seconds is not None:
            if silent < self._hang_seconds:
                return None
            return f"nothing was written for {silent:,.0f} s, and --hang-seconds is {self._hang_seconds:,.0f}"
        if silent < _MEASURE_SECONDS:
            self._still = None
            return None
        return self._stands_still(silent)

    def remark(self) -> str | None:
        """What is worth saying about a silence that is none of a hang's, once for each."""
        said, self._remark = self._remark, None
        return said

    def _listen(self) -> float:
        """Seconds without a word. Time in which nobody looked is not held against the run."""
        now = self._clock()
        passed, self._looked = min(max(now - self._looked, 0.0), _LONGEST_LOOK), now
        if self._spoken.taken != self._taken or self._spoken.is_held:
            self._taken = self._spoken.taken
            self._longest = max(self._longest, self._silent)
            self._silent, self._remarked = 0.0, False
            return 0.0
        if not (self._spoken.has_person and _ASKS.search(self._spoken.last)):
            self._silent += passed
        return self._silent

    def _say(self, words: str) -> None:
        if not self._remarked:
            self._remarked, self._remark = True, words

    def dump_stacks(self) -> Path | None:
        """Asks a guarded run for its stacks; the file that they are in. Others have no handler, and would die of it."""
        if self._heart is None or self._heart.last is None or self._output_dir is None:
            return None
        stacks = self._output_dir / FOLDER / STACKS
        return stacks if ask_for_stacks(self._heart.last.pid, stacks=stacks) else None

    def close(self) -> None:
        self.source.close()

    def _is_guarded(self, output_dir: Path) -> bool:
        try:
            return (output_dir / FOLDER / HEARTBEAT).stat().st_mtime >= self._began
        except OSError:
            return False

    def _stands_still(self, silent: float) -> str | None:
        now = self._clock()
        if self._still is not None and now < self._still.looked + _MEASURE_SECONDS:
            return None
        tree = list(self._tree())
        if self._still is None:
            self._still = _Still(now, silent, *_effort(tree))
            return None
        self._still.looked = now
        seconds, moved = _effort(tree)
        stopped = next((each for each in tree if each.state in STOPPED), None)
        if stopped is not None:
            # By hand, or by a debugger: whoever did it lets it go on.
            self._still = _Still(now, silent, seconds, moved)
            self._say(f"process {stopped.pid} is stopped (SIGSTOP); `kill -CONT {stopped.pid}` lets it go on")
            return None
        # Processes that ended take their time with them: less than before is work too.
        if abs(seconds - self._still.seconds) > _STILL_CPU_SECONDS or abs(moved - self._still.moved) > _STILL_BYTES:
            self._still = _Still(now, silent, seconds, moved)
            if silent > max(_BUSY_SECONDS, _BUSY_FACTOR * self._longest):
                self._say(
                    f"nothing was written for {silent / 3600:,.1f} h, though its processes work; if it hangs (a "
                    "collective that spins does), --hang-seconds ends such a silence the next time"
                )
            return None
        budget = max(_STILL_SECONDS, _FACTOR * self._longest)
        still = silent - self._still.silent
        if still < budget:
            return None
        return (
            f"nothing was written for {silent / 60:,.0f} minutes, and in the last {still / 60:,.0f} of them the "
            f"processes used {abs(seconds - self._still.seconds):.1f} s of processor time"
        )


class _Still:
    """How long a tree of processes was silent when it last did something, and what its counters said then."""

    def __init__(self, looked: float, silent: float, seconds: float, moved: int) -> None:
        self.looked = looked
        self.silent = silent
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
