"""Checks of files in other processes: small ones in a worker that lives on, large ones in a process each.

To load Python and the rules takes longer than to read a small file a hundred times. A worker that crashes, hangs or is
killed says nothing about the file that it was at: that is checked once more, in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trainguard.daemon.aside import Aside, Said
from trainguard.daemon.settings import Settings
from trainguard.facts.config.records import Reference

logger = logging.getLogger(__name__)

# Up to here a file is read in one process anyway (facts/data/pool.py, MIN_PARALLEL_BYTES).
SMALL_BYTES = 24_000_000
# The slowest reading that is still work and not a hang: gzip on one core with all rows tokenized, 1 MB/s.
_SLOWEST_BYTES = 1_000_000
_LEAST_SECONDS = 900.0
# A small file takes milliseconds, and with the largest of tokenizers some seconds; a crowded machine needs longer.
WORKER_SECONDS = 300.0
# A worker that nobody has asked anything for so long is ended.
IDLE_SECONDS = 60.0
# Another one takes its place after so many files, or with so much memory: what libraries keep is given back by that.
MOST_FILES = 1_000
MOST_RESIDENT_BYTES = 256 << 20
_MOST_BYTES = 8 << 20


class Question(Struct, frozen=True, kw_only=True):
    """What a worker is asked: a file, and what belongs to its run. Lengths in tokens, `batch_size` in examples."""

    path: str
    deadline_seconds: float
    max_length: int | None = None
    batch_size: int | None = None
    tokenizer: str | None = None
    evaluation: str | None = None


class Inspector:
    """Checks one file at a time, and waits for nothing but where `poll` is told to. `begin` and `poll` raise OSError
    where nothing can be begun now: to be called again."""

    def __init__(
        self,
        *,
        worker_seconds: float = WORKER_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        most_files: int = MOST_FILES,
        most_resident_bytes: int = MOST_RESIDENT_BYTES,
    ) -> None:
        self._worker_seconds = worker_seconds
        self._idle_seconds = idle_seconds
        self._most_files = most_files
        self._most_resident_bytes = most_resident_bytes
        self._worker: _Worker | None = None
        self._aside: Aside | None = None
        self._path: Path | None = None
        self._size = 0
        self._settings: Settings | None = None

    def begin(self, path: Path, size: int, settings: Settings) -> None:
        """Starts the check of one file of `size` bytes: the same rules and values as the run itself would have."""
        self._path, self._size, self._settings = path, size, settings
        if size > SMALL_BYTES:
            self._check_alone()
            return
        if self._worker is None:
            self._worker = _Worker.started()
        asked = self._worker is not None and self._worker.ask(question_of(path, settings, self._worker_seconds))
        if not asked:
            self._give_up_worker("it could not be asked")

    def poll(self, wait_seconds: float = 0.0) -> Said | None:
        """What the check said once it has ended, None while it goes on; waits for it so long at the most."""
        if self._aside is not None:
            said = self._aside.poll()
            if said is not None:
                self._forget()
            return said
        if self._path is None:
            return None
        if self._worker is None:
            self._check_alone()  # no process could be begun when the worker was given up
            return None
        answer = self._worker.answer(wait_seconds)
        if answer is not None:
            if self._worker.answered >= self._most_files or answer.resident_bytes > self._most_resident_bytes:
                self._end_worker()
            self._forget()
            return answer.said
        if self._worker.gone:
            self._give_up_worker("it ended")
        elif self._worker.seconds > self._worker_seconds:
            self._give_up_worker(f"it gave no answer within {self._worker_seconds:,g} s")
        return None

    def rest(self) -> None:
        """For the time in which there is nothing to check: a worker that is not needed any more is ended."""
        if self._path is None and self._worker is not None and self._worker.seconds > self._idle_seconds:
            self._end_worker()

    def end(self) -> None:
        """Breaks the check off that goes on, if any."""
        if self._aside is not None:
            self._aside.end()
        elif self._path is not None:
            self._end_worker()
        self._forget()

    def close(self) -> None:
        """Ends all processes."""
        self.end()
        self._end_worker()

    @property
    def pid(self) -> int | None:
        """The worker's process, None where there is none now."""
        return self._worker.pid if self._worker is not None else None

    def _check_alone(self) -> None:
        assert self._path is not None
        assert self._settings is not None
        deadline = max(_LEAST_SECONDS, self._size / _SLOWEST_BYTES)
        self._aside = Aside(check_command(self._path, self._settings), deadline_seconds=deadline)

    def _give_up_worker(self, why: str) -> None:
        assert self._path is not None
        logger.warning("the worker that checked %s is given up (%s); the file is checked anew", self._path.name, why)
        self._end_worker()
        self._check_alone()

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _forget(self) -> None:
        self._aside = self._path = self._settings = None


class _Answer(Struct, frozen=True, kw_only=True):
    said: Said
    resident_bytes: int


class _Worker:
    """The process, with the pipes to it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._asks, self._answers = process, process.stdin, process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._received = b""
        self._since = time.monotonic()
        self.answered = 0
        self.gone = False

    @classmethod
    def started(cls) -> _Worker | None:
        command = [sys.executable, "-P", "-m", "trainguard.daemon.check_worker"]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError:
            return None
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def seconds(self) -> float:
        """Since it was asked, or has answered."""
        return time.monotonic() - self._since

    def ask(self, question: Question) -> bool:
        self._since = time.monotonic()
        try:
            # A line of some hundred bytes, and nothing else is in the pipe: it takes it at once (pipe(7), PIPE_BUF).
            self._asks.write(json.dumps(msgspec.structs.asdict(question)).encode() + b"\n")
        except OSError:  # it has ended
            return False
        return True

    def answer(self, wait_seconds: float) -> _Answer | None:
        until = time.monotonic() + wait_seconds
        while b"\n" not in self._received and not self.gone:
            ready = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))[0]
            if not ready:
                return None
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._answers.fileno(), 1 << 16)
                self._received += data
                self.gone = not data or len(self._received) > _MOST_BYTES
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received, self._since = rest, time.monotonic()
        try:
            told: dict[str, Any] = json.loads(line)
            said = Said(exit_code=told["exit_code"], output=line, error=str(told["error"]))
            resident = int(told["resident_bytes"])
        except (ValueError, KeyError, TypeError):
            self.gone = True
            return None
        self.answered += 1
        return _Answer(said=said, resident_bytes=resident)

    def end(self) -> None:
        for pipe in (self._asks, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # A process in an uninterruptible wait dies when the wait ends; nobody waits for that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)


def question_of(path: Path, settings: Settings, deadline_seconds: float) -> Question:
    run = settings.run
    tokenizer, evaluation = _beside(settings)
    return Question(
        path=str(path),
        deadline_seconds=deadline_seconds,
        max_length=run.max_length or None,
        batch_size=run.batch_size * run.gradient_accumulation,
        tokenizer=None if tokenizer is None else str(tokenizer),
        evaluation=None if evaluation is None else str(evaluation),
    )


def check_command(path: Path, settings: Settings) -> list[str]:
    """The same question as a command line."""
    asked = question_of(path, settings, 0.0)
    command = [sys.executable, "-m", "trainguard", "data", str(path), "--report", "json", "--isolated"]
    command += ["--max-length", str(asked.max_length)] if asked.max_length else []
    command += ["--batch-size", str(asked.batch_size)]
    command += ["--tokenizer", asked.tokenizer] if asked.tokenizer else []
    command += ["--eval", asked.evaluation] if asked.evaluation else []
    return command


def _beside(settings: Settings) -> tuple[Path | None, Path | None]:
    """The folder of the tokenizer and the evaluation data, where they are here."""
    named = settings.facts.named
    tokenizer = _folder(named.tokenizer) or _folder(named.base_model)
    if tokenizer is not None and not (tokenizer / "tokenizer.json").is_file():
        tokenizer = None
    evaluation = _folder(named.eval_data)
    return tokenizer, evaluation if evaluation is not None and evaluation.exists() else None


def _folder(reference: Reference | None) -> Path | None:
    return reference.path if reference is not None and reference.kind == "local" else None
