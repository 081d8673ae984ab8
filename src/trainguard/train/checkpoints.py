"""The checkpoints of a run under GuardCallback: who keeps them, what is done around a save, and at the end."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from trainguard.fencing import FencedError
from trainguard.findings import Finding
from trainguard.train.resuming import resumed_unverified
from trainguard.train.saved_weights import saved_differently
from trainguard.train.saving import CheckpointKeeper
from trainguard.train.stopping import StopSignals

logger = logging.getLogger(__name__)

# `save_total_limit` of the arguments that are taken over, by their identity. An exception out of `train()` calls no
# hook that would give it back, and the next run with the same arguments must not keep everything.
_LIMITS: dict[int, int | None] = {}


def _limit_of(args: Any) -> int | None:
    """The limit that the user has set, whether it is in `args` still or was taken over by a run that failed."""
    key = id(args)
    if key not in _LIMITS or args.save_total_limit is not None:
        _LIMITS[key] = args.save_total_limit
        weakref.finalize(args, _LIMITS.pop, key, None)
    return _LIMITS[key]


class Checkpoints:
    """Verifies what a Trainer saves into `args.output_dir`, and deletes old ones in its place.

    A Trainer that has a keeper of its own (VerifiedSaves) keeps it; of a stock one `save_total_limit` is taken over
    until `close`, because it deletes the older checkpoint before the new one is verified (transformers 5.23,
    trainer.py:3416). `writes` is True in the process that saves; in the others nothing is done.
    """

    def __init__(
        self,
        args: Any,
        trainer: Any = None,
        *,
        verify: bool,
        keep: int | None,
        writes: bool,
        on_verified: Callable[[Path, int], None] | None = None,
    ) -> None:
        self._args = args
        self._output_dir = Path(args.output_dir)
        self._limit: int | None = None
        self._taken_over = False
        self._own = False
        self.keeper: CheckpointKeeper | None = None
        theirs = getattr(trainer, "keeper", None)
        if isinstance(theirs, CheckpointKeeper):
            self.keeper = theirs if writes else None
            if theirs.on_verified is None:
                theirs.on_verified = on_verified
            return
        if not verify:
            return
        self._limit, self._taken_over = _limit_of(args), True
        args.save_total_limit = None
        if writes:
            self.keeper = CheckpointKeeper(
                self._output_dir, keep=keep if keep is not None else self._limit, on_verified=on_verified
            )
            self._own = True

    def resumed_from(self, step: int) -> list[Finding]:
        """An error where the checkpoint that this run has resumed from is broken."""
        finding = resumed_unverified(self._output_dir, step) if self._taken_over else None
        return [finding] if finding is not None else []

    def before_save(self, step: int, *, stopping: bool = False) -> bool:
        """Gets room for the save that is about to begin. Whether there is some; a run that stops tries in any case."""
        if self.keeper is None or not self._own:
            return True
        return self.keeper.saving(self._output_dir / f"checkpoint-{step}", step) or stopping

    def after_save(self, step: int, model: nn.Module | None, *, best: str | None = None) -> Finding | None:
        """Syncs, hashes and lists what was saved, in the background; a finding where it is not the model's weights."""
        if self.keeper is None:
            return None
        folder = self._output_dir / f"checkpoint-{step}"
        finding = saved_differently(folder, model, step) if model is not None and folder.is_dir() else None
        if self._own and finding is None:
            self.keeper.best(best)
            self.keeper.saved(folder, step)
        return finding

    def findings(self) -> list[Finding]:
        return self.keeper.findings() if self.keeper is not None else []

    @property
    def fenced(self) -> FencedError | None:
        """Somebody else has the output folder now, as a save has found out."""
        return self.keeper.fenced if self.keeper is not None else None

    def finish(self, signals: StopSignals | None = None) -> Path | None:
        """Waits until all is verified, up to the deadline of a run that was asked to stop; the newest verified one."""
        if self.keeper is None:
            return None
        asked = signals is not None and signals.requested is not None
        try:
            self.keeper.wait(signals.remaining() if asked and signals is not None else None)
        except TimeoutError as error:
            logger.warning("%s", error)
        return self.keeper.latest_verified()

    def close(self) -> None:
        if self._taken_over:
            self._args.save_total_limit = self._limit
            _LIMITS.pop(id(self._args), None)
            self._taken_over = False
        if self.keeper is not None and self._own:
            self.keeper.close()
        self.keeper = None
