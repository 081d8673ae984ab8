"""VerifiedSaves: a Trainer whose checkpoints appear whole, synced and listed, or not at all.

    class MyTrainer(VerifiedSaves, SFTTrainer): ...

A checkpoint is written into a folder aside, then synced, listed in a manifest and renamed (`staging`). At every instant
there is a verified checkpoint once there has been one; only verified ones are resumed from. The places of the Trainer
that this rests on, in transformers 5.23, trainer.py: `_save_checkpoint` (3355) joins `_get_output_dir(trial)` and
`checkpoint-<step>`, saves the trainer state there as its last file, pushes, and prunes that same folder; in DDP every
rank runs through it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainguard.errors import UsageError
from trainguard.fencing import FencedError
from trainguard.findings import Finding
from trainguard.train.resuming import choose
from trainguard.train.saving import CheckpointKeeper
from trainguard.train.space import (
    FULL_BELOW_BYTES,
    DiskFullError,
    OnWait,
    allocated_bytes,
    is_disk_full,
    least_bytes,
    wait_for_space,
)
from trainguard.train.staging import Staging

if TYPE_CHECKING:
    from transformers import Trainer

    _Trainer = Trainer
else:
    _Trainer = object

logger = logging.getLogger(__name__)
_STATE = "trainer_state.json"
_RETRY_SECONDS = 1.0
_Decision = TypeVar("_Decision")


class VerifiedSaves(_Trainer):
    """Put before a Trainer class in the bases. What may be set on the class or the trainer before `train()`:

    - `checkpoint_run`: plain values that the manifests hold; `checkpoint_base`: the folder of the trained model.
    - `verify_in_background`: sync, hash and rename while training goes on. A callback's `on_save` then comes before the
      checkpoint has its name; `keeper.on_verified(folder, step)` comes after.
    - `space_wait_seconds`: how long a save waits for room on a full disk, after pruning; then `DiskFullError`.
    - `on_space_wait(free bytes or None, seconds waited)`: called every two seconds meanwhile, for heartbeats.

    `keeper` is the CheckpointKeeper, in the process that saves; its findings are the run's.
    """

    checkpoint_run: Mapping[str, Any] | None = None
    checkpoint_base: Path | None = None
    verify_in_background: bool = True
    space_wait_seconds: float = 600.0
    on_space_wait: OnWait | None = None
    _keeper: CheckpointKeeper | None = None
    _place: Staging | None = None
    _push_later: bool = False
    _said_waiting: bool = False

    @property
    def keeper(self) -> CheckpointKeeper:
        if self._keeper is None:
            self._keeper = CheckpointKeeper(self._run_dir(None), keep=self.args.save_total_limit)
        return self._keeper

    def train(
        self, resume_from_checkpoint: str | bool | None = None, trial: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """`resume_from_checkpoint=True` is the newest verified one; one that is named has to verify.

        Raises UnverifiedError, a ValueError, where there is none, and DiskFullError where a save found no room.
        """
        limit = self.args.save_total_limit
        keeper = self.keeper
        keeper.keep = limit if limit is not None and limit > 0 else None
        keeper.background = self.verify_in_background
        keeper.run, keeper.base_model = dict(self.checkpoint_run or {}), self.checkpoint_base
        if self.args.should_save:
            self._put_in_order()
        self._barrier()
        chosen = self._agreed(lambda: choose(keeper.output_dir, resume_from_checkpoint))
        # At the end of a run with a limit of 1 the Trainer deletes all but the best (`_finalize_training`, 2024).
        self.args.save_total_limit = None
        try:
            return super().train(str(chosen) if chosen is not None else None, trial, *args, **kwargs)
        finally:
            self.args.save_total_limit = limit
            keeper.close()

    def _put_in_order(self) -> None:
        """Finishes, drops and sets aside what a killed process left. Raises UsageError where another one still runs."""
        if self.keeper.claim() == "taken":
            raise UsageError(
                f"output_dir {self.keeper.output_dir}: another run writes into it; give this one a folder of its own, "
                "or end the other first"
            )
        done = self.keeper.settle()
        for path in done.finished:
            logger.warning("%s was complete when its process was killed: verified now", path.name)
        for step in done.dropped:
            logger.warning("the save of step %d did not reach its end and was removed", step)
        for path, why in done.quarantined:
            logger.warning("%s is broken and was moved to %s: %s", path.name, path.parent, why)

    # The save.

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._place.home) if self._place is not None else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        keeper, step = self.keeper, int(self.state.global_step)
        keeper.wait()
        place = Staging(run_dir=self._run_dir(trial), step=step, fence=keeper.fence)
        keeper.output_dir = place.run_dir  # a trial of a hyperparameter search has a folder of its own
        self._agreed(lambda: self._room_ahead(step))
        begun = time.monotonic()
        self._said_waiting = False
        while not self._written(place, model, trial, begun):
            pass
        self._barrier()
        if self.args.should_save:
            keeper.best(self.state.best_model_checkpoint)
            keeper.publish(place)
        if not keeper.background:
            self._barrier()
        pushed, self._push_later = self._push_later, False
        if pushed:
            keeper.wait()
            super()._push_from_checkpoint(str(place.final))

    def _written(self, place: Staging, model: Any, trial: Any, begun: float) -> bool:
        """One try to write everything into the folder aside. False where it failed and there is room for another."""
        best = self.state.best_model_checkpoint
        if self.args.should_save:
            place.begin()
        self._barrier()
        try:
            with self._aside(place):
                super()._save_checkpoint(model, trial)
            self._name_best(place)
            if self.args.should_save:
                place.mark_saved(self.keeper.run, self.keeper.base_model)
        except BaseException as error:
            self.state.best_model_checkpoint, self._push_later = best, False
            written = allocated_bytes(place.home)
            expected = max(self.keeper.expected_bytes(), self._least_bytes())
            full = is_disk_full(error, place.run_dir, needed_bytes=expected - written)
            if self.args.should_save:
                place.discard()
            if not full:
                raise
            # As much as was written did not do: another try wants more than that.
            wanted = max(expected, written + FULL_BELOW_BYTES)
            if self.args.world_size > 1:  # the others are on their way through the save, and cannot be called back
                raise DiskFullError(self._no_room(place.step, wanted, error), place.run_dir) from error
            self._recover(place.step, wanted, error, begun)
            return False
        return True

    @contextlib.contextmanager
    def _aside(self, place: Staging) -> Iterator[None]:
        self._place = place
        try:
            yield
        finally:
            self._place = None

    def _name_best(self, place: Staging) -> None:
        """Where this checkpoint is the best one, the state names its final place, here and in the saved state."""
        if self.state.best_model_checkpoint != str(place.staged):
            return
        self.state.best_model_checkpoint = str(place.final)
        if self.args.should_save:
            self.state.save_to_json(str(place.staged / _STATE))

    def _load_best_model(self) -> None:
        """The best one may be the last, which may be without its name yet."""
        self.keeper.wait()
        self._barrier()
        super()._load_best_model()

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        """The end of a run as transformers 5 has it; `on_train_end` comes at the end of it."""
        self.keeper.wait()
        return super()._finalize_training(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Uploading runs in the background and reads the folder, so it begins when that has its name."""
        if self._place is not None:
            self._push_later = True
        else:
            super()._push_from_checkpoint(checkpoint_folder)

    # Room.

    def _least_bytes(self) -> int:
        return least_bytes(self.model, None if self.args.save_only_model else self.optimizer)

    def _room_ahead(self, step: int) -> None:
        if self.keeper.is_fenced() and self.keeper.fenced is not None:
            raise self.keeper.fenced
        finding = self.keeper.make_room(
            step, least_bytes=self._least_bytes(), wait_seconds=self.space_wait_seconds, on_wait=self.on_space_wait
        )
        if finding is not None:
            raise DiskFullError(finding, self.keeper.output_dir)

    def _recover(self, step: int, wanted: int, error: BaseException, begun: float) -> None:
        """Room for another try, by pruning first and by waiting next. Raises DiskFullError where none came."""
        keeper = self.keeper
        if removed := keeper.free_up(wanted):
            names = [folder.name for folder in removed]
            words = f"{', '.join(names)} went for it, the oldest that is not needed"
            keeper.say_full(step, words, wanted, severity="warn", error=error, removed=names)
            return
        left = self.space_wait_seconds - (time.monotonic() - begun)
        if left > 0:
            if not self._said_waiting:
                self._said_waiting = True
                keeper.say_full(
                    step, f"the run waits up to {left:,.0f} s for room", wanted, severity="warn", error=error
                )
            # What the file system calls free may not be free for this user (a quota, a thin volume): not at once again.
            time.sleep(min(_RETRY_SECONDS, left))
            if wait_for_space(keeper.output_dir, wanted, deadline_seconds=left, on_wait=self.on_space_wait):
                return
        raise DiskFullError(self._no_room(step, wanted, error), keeper.output_dir) from error

    def _no_room(self, step: int, wanted: int, error: BaseException) -> Finding:
        return self.keeper.say_full(step, "the run ends", wanted, error=error)

    # Several processes.

    def _run_dir(self, trial: Any) -> Path:
        return Path(super()._get_output_dir(trial))

    def _barrier(self) -> None:
        if self.args.world_size > 1:
            self.accelerator.wait_for_everyone()

    def _agreed(self, decide: Callable[[], _Decision]) -> _Decision:
        """What the first process decides, in all processes; where it raises, all raise."""
        if self.args.world_size <= 1:
            return decide()
        from torch import distributed

        outcome: list[Any] = [None, None]
        if self.args.process_index == 0:
            try:
                outcome[0] = decide()
            except (OSError, ValueError, FencedError) as error:
                outcome[1] = error
        distributed.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1]
        decided: _Decision = outcome[0]
        return decided
