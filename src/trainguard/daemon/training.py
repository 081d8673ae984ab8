"""The run of one attempt: a process under its nanny, and what is seen of it from outside."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainguard.daemon.background import Background
from trainguard.daemon.child import Child, Ended
from trainguard.daemon.clock import Every
from trainguard.daemon.hang import Hang, HangWatch, ask_for_stacks
from trainguard.daemon.progress import Progress
from trainguard.daemon.settings import Settings
from trainguard.daemon.witness import Witness
from trainguard.recovery.records import Evidence
from trainguard.train.events import FOLDER, STACKS

logger = logging.getLogger(__name__)

_HANG_LOOK_SECONDS = 1.0
# Stacks are there within a second, or never: then the run is in the kernel, or somebody has stopped it.
_STACKS_SECONDS = 10.0
_PATIENCE_SECONDS = 0.2
_END_SECONDS = 30.0


class Training:
    """Begins when it is made. `began` is unix seconds, `progress` how far it is; `hung` why it was ended, if for that.

    `hang_seconds` takes the place of all that is given to a phase, for tests.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        settings: Settings,
        folder: Path,
        environment: Mapping[str, str],
        hang_seconds: float | None = None,
    ) -> None:
        self.folder = folder
        self.hung: Hang | None = None
        self.ended: Ended | None = None
        self._settings = settings
        self._hang_seconds = hang_seconds
        self._looking = Every(_HANG_LOOK_SECONDS)
        self._continued = False
        self._stacks: Background[bool] | None = None
        self._judging: Background[Evidence] | None = None
        self.progress = Progress(settings.output_dir)
        self._witness = Witness(settings.output_dir)
        self._hang = self._new_watch()
        self.began = time.time()
        self._child = Child.start(
            list(command), folder=folder, environment=environment, working_directory=settings.config.parent
        )

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def poll(self) -> Ended | None:
        """How it ended, None while it goes on."""
        if self.ended is None:
            self.ended = self._child.poll()
        return self.ended

    def stop(self, deadline_seconds: float) -> None:
        """SIGTERM, and the end of the whole tree at the deadline. Returns at once."""
        self._child.stop(deadline_seconds)

    def kill(self) -> None:
        self._child.kill()

    def close(self) -> None:
        """Ends it and waits for that."""
        if self.poll() is None:
            self._child.kill()
            self._child.wait(_END_SECONDS)
        self._witness.close()

    def is_stopped_and_forgotten(self, hang: Hang) -> bool:
        """Somebody has stopped the process, and perhaps forgotten it: it is let go on, once, with a new budget."""
        if not hang.stopped or self._continued:
            return False
        self._continued = True
        logger.warning("%s; it is let go on", hang.why)
        self._child.signal(signal.SIGCONT)
        self._hang = self._new_watch()
        return True

    def end_if_hung(self) -> Hang | None:
        """The hang for which it was ended just now: its stacks were asked for before. None as a rule."""
        if self.hung is not None or (self._stacks is None and not self._looking.due()):
            return None
        hang = self._hang.look()
        if hang is None or self.is_stopped_and_forgotten(hang):
            self._stacks = None
            return None
        if self._stacks is None and hang.pid is not None:
            path, pid = self._settings.output_dir / FOLDER / STACKS, hang.pid
            self._stacks = Background(lambda: ask_for_stacks(pid, stacks=path), "stacks")
        if self._stacks is not None and not self._stacks.done and self._stacks.seconds < _STACKS_SECONDS:
            return None
        self.hung = hang
        # One that does not step does not save either: it would hold the GPU until a deadline for nothing.
        self._child.kill()
        return hang

    def evidence(self, asked_by: str | None) -> Evidence | None:
        """What is known of its end; None until it is collected, which takes seconds where a disk does not answer."""
        if self._judging is None:
            self._judging = Background(lambda: self._evidence(asked_by), "evidence")
            self._judging.wait(_PATIENCE_SECONDS)
        return self._judging.result() if self._judging.done else None

    def _evidence(self, asked_by: str | None) -> Evidence:
        assert self.ended is not None
        step, before = self.progress.step, self.progress.step_before
        return self._witness.evidence(
            self.ended,
            folder=self.folder,
            asked_by=asked_by,
            hang=self.hung,
            planned_steps=self.progress.planned,
            own_steps=step - before if step is not None and before is not None else None,
        )

    def _new_watch(self) -> HangWatch:
        given = self._hang_seconds
        return HangWatch(
            self._settings.output_dir,
            hang_seconds=given if given is not None else self._settings.run.guard.hang_seconds,
            every_phase=given is not None,
            tree=lambda: self._child.tree(),  # noqa: PLW0108 - there is no child yet
        )
