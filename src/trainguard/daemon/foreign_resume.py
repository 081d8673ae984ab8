"""From where another attempt of somebody's command goes on, and what it would write over if it could not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainguard.checkpoints import quarantine
from trainguard.daemon.foreign_command import ForeignCommand
from trainguard.daemon.foreign_saves import has_counted, is_since, newest_since, saved_since
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import broken_and_newer
from trainguard.facts.checkpoint.verify import verify

# Before the first attempt, one that is younger may be another run's, which still writes it.
_YOUNG_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt stands when it begins."""

    checkpoint: Path | None = None
    step: int | None = None


class Resuming:
    """The checkpoints of one command, whose first attempt began at `began` (unix seconds). `note` is told of acts."""

    def __init__(self, command: ForeignCommand, *, began: float, note: Callable[[str], None]) -> None:
        self._command = command
        self._began = began
        self._note = note

    @property
    def can_resume(self) -> bool:
        """Whether another attempt can go on: it needs the folder of its checkpoints, unless the script looks itself."""
        command = self._command
        return command.picks_newest or (command.resume != "no" and command.output_dir is not None)

    def now(self) -> Place:
        """The newest verified checkpoint. Those of an earlier run are none of this one's, unless it goes on from them:
        because the user says so, or because the script does."""
        command, output = self._command, self._command.output_dir
        if output is None or not output.is_dir():
            return Place()
        theirs = command.resume == "itself" or command.is_asked_to_resume or self._names_one
        newest = newest_since(output, None if theirs else self._began)
        return Place(newest, verify(newest, output).step) if newest is not None else Place()

    def first(self) -> Place:
        """Where the first attempt begins, which is the command as it was given unless the user has said how to resume.

        A broken checkpoint that the script would take is put out of its way.
        """
        command = self._command
        if not command.picks_newest and not command.is_asked_to_resume:
            return Place()
        if command.picks_newest and command.output_dir is not None:
            self._set_aside(command.output_dir, before=time.time() - _YOUNG_SECONDS)
        return self.now()

    def next(self) -> Place:
        """Where an attempt after a failed one begins. What is broken and newer is put out of its way, so that nothing
        takes it and nothing is written over it."""
        command, place = self._command, self.now()
        would_take = command.picks_newest or (command.resume != "no" and place.checkpoint is None)
        if would_take and command.output_dir is not None:
            self._set_aside(command.output_dir)
        return place

    def would_be_lost(self, log: Path) -> str | None:
        """What an attempt that begins anew might write over; None where it goes on, or nothing is there. `log` is the
        output of the last attempt."""
        command = self._command
        if command.picks_newest:
            return None
        place = self.next() if self.can_resume else self.now()
        if place.checkpoint is not None:
            return None if self.can_resume else place.checkpoint.name
        if (saved := saved_since(command.output_dir or command.working_directory, self._began)) is not None:
            return saved.name
        if command.output_dir is None and has_counted(log):
            return "what it has saved, wherever that is"
        return None

    @property
    def _names_one(self) -> bool:
        """Whether the user's own words name a checkpoint to go on from."""
        names = [each for each in self._command.resume_words if each.startswith("-")]
        return any(word.partition("=")[0] in names for word in self._command.words)

    def _set_aside(self, output: Path, *, before: float | None = None) -> None:
        for each in broken_and_newer(output):
            if before is not None and is_since(each.path, before):
                continue
            with suppress(OSError, UsageError):
                quarantine(each.path, reasons=[each.why_not])
                self._note(f"{each.path.name} does not verify and was set aside: {each.why_not}")
