"""The trainer of `trainguard train`: trl's SFTTrainer with verified saves, whose steps count on from file to file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer
from trl.trainer.sft_trainer import SFTTrainer

from trainguard.errors import TrainguardError
from trainguard.train.leaving_out import LeavesStepsOut
from trainguard.train.left_out import LeftOut
from trainguard.train.lineage import Continuation
from trainguard.train.verified_saves import VerifiedSaves

if TYPE_CHECKING:
    from transformers.trainer_utils import TrainOutput


class GuardedSFTTrainer(LeavesStepsOut, VerifiedSaves, SFTTrainer):
    """Trains one file of a lineage.

    The stock Trainer takes a checkpoint at step 40 as the middle of whatever data it is given: with 40 planned steps it
    trains nothing of another file and reports success. Here `state.global_step` counts over all files, so that the
    newest checkpoint has the highest number, while the budget, the place in the data and the schedule are this file's.
    The places in transformers 5.23, trainer.py: `_init_training_state` derives the place in the data from global_step
    (1678), `_prepare_for_training` makes the optimizer and the schedule for so many steps (1715), and
    `DefaultFlowCallback` stops at `state.max_steps`.
    """

    def __init__(self, *args: Any, continuation: Continuation | None = None, **kwargs: Any) -> None:
        continuation = continuation or Continuation()
        self.left_out = LeftOut.of(continuation.skipped)
        self.epoch_examples = continuation.epoch_examples
        self._moved_steps = bool(continuation.step_before or continuation.skipped)
        if self._moved_steps and not hasattr(Trainer, "_init_training_state"):
            raise TrainguardError(
                "the installed transformers cannot count steps on from file to file; pip install 'transformers>=5.23'"
            )
        self.continuation = continuation
        self._shift = 0  # the place in the schedule, less the count of the scheduler
        super().__init__(*args, **kwargs)

    @property
    def own_steps(self) -> int:
        """Steps of this file that are made."""
        return int(self.state.global_step) - self.continuation.step_before

    def planned_steps(self) -> int:
        """The steps of this file as the Trainer will count them, from the data as it was tokenized."""
        *_, steps = self.set_initial_training_values(self.args, self.get_train_dataloader())
        return int(steps or 0)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """As the Trainer's; without a checkpoint to resume from, the weights are those of the lineage."""
        weights = self.continuation.weights
        if (
            weights is not None
            and not resume_from_checkpoint
            and not (self.is_deepspeed_enabled or self.is_fsdp_enabled)
        ):
            self._load_from_checkpoint(str(weights))
        output: TrainOutput = super().train(resume_from_checkpoint, *args, **kwargs)
        return output

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: TRL writes one into output_dir at each save, in place. The result gets one of its own."""

    def _init_training_state(
        self,
        max_steps: int,
        num_update_steps_per_epoch: int,
        num_train_epochs: int,
        resume_from_checkpoint: str | None,
        trial: Any,
    ) -> tuple[int, int]:
        epochs, batches = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
        )
        before = self.continuation.step_before
        if not self._moved_steps:
            return epochs, batches
        if resume_from_checkpoint is None:
            self.state.global_step = before
        if self.own_steps < 0:
            raise TrainguardError(
                f"{resume_from_checkpoint} is at step {self.state.global_step:,}, and this file begins at {before:,}"
            )
        self.state.max_steps = before + max_steps
        return self.place_after(self.own_steps)

    # The schedule. It is torch's LambdaLR, whose count has to be that of the optimizer, or the checkpoint is taken for
    # one of two saves; so not the count is moved, but the place in the schedule that belongs to it.

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        created = self._moved_steps and self.lr_scheduler is None
        if self._jumps:
            num_training_steps = self.original_steps
        if self.continuation.schedule == "global":
            num_training_steps += self.continuation.step_before
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if created and hasattr(scheduler, "lr_lambdas"):
            scheduler.lr_lambdas = [self._moved(each) for each in scheduler.lr_lambdas]
            self._place_schedule(scheduler, made=0)
        return scheduler

    def _moved(self, function: Callable[[int], float]) -> Callable[[int], float]:
        return lambda count: function(self._place_in_schedule(count))

    @property
    def _jumps(self) -> bool:
        """Whether the schedule passes over what is left out, so that all other examples get the rate that they would
        have had: so it is with epochs, whose steps get fewer. With max_steps there are as many, and it does not."""
        return bool(self.left_out.ranges) and self.args.max_steps <= 0

    def _place_in_schedule(self, count: int) -> int:
        """The place that belongs to a count of the scheduler."""
        place = max(count + self._shift, 0)
        begin = self._schedule_begin
        if not self._jumps or place < begin:
            return place
        return begin + self.left_out.original(place - begin + 1) - 1

    @property
    def _schedule_begin(self) -> int:
        return self.continuation.step_before if self.continuation.schedule == "global" else 0

    def _place_schedule(self, scheduler: Any, *, made: int) -> None:
        """Puts the schedule where it belongs after `made` steps of this file, and tells the optimizer."""
        self._shift = self._schedule_begin + made - scheduler.last_epoch
        functions = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        rates = [base * function(scheduler.last_epoch) for base, function in functions]
        scheduler._last_lr = rates
        for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        prepared = super()._prepare_for_training(  # type: ignore[no-untyped-call]
            max_steps, train_dataloader, resume_from_checkpoint
        )
        if resume_from_checkpoint is None and self.continuation.weights is not None and self.continuation.moments:
            self._load_moments(str(self.continuation.weights))
        return prepared

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self._moved_steps and hasattr(self.lr_scheduler, "lr_lambdas"):
            self._place_schedule(self.lr_scheduler, made=self.own_steps)

    def _load_moments(self, checkpoint: str) -> None:
        """The optimizer's moments of the last file, under this file's learning rate and decay."""
        path = os.path.join(checkpoint, "optimizer.pt")
        if not os.path.isfile(path):
            return
        saved = torch.load(path, map_location="cpu", weights_only=True)
        optimizer: Any = self.optimizer
        now = optimizer.state_dict()
        if [len(each["params"]) for each in now["param_groups"]] != [
            len(each["params"]) for each in saved["param_groups"]
        ]:
            raise TrainguardError(f"{path}: holds moments of other parameters than this run trains")
        optimizer.load_state_dict({"state": saved["state"], "param_groups": now["param_groups"]})
        counted = [int(each["step"]) for each in saved["state"].values() if "step" in each]
        if counted and hasattr(self.lr_scheduler, "lr_lambdas"):
            scheduler: Any = self.lr_scheduler
            scheduler.last_epoch = max(counted)
            self._place_schedule(scheduler, made=0)

    def _finalize_training(self, trial: Any, num_train_samples: int, start_time: float) -> TrainOutput:
        # The Trainer takes the share of all steps that this call made, and all steps are those of the lineage.
        own = self.state.max_steps - self.continuation.step_before
        scaled = math.ceil(num_train_samples * self.state.max_steps / own) if own > 0 else num_train_samples
        output: TrainOutput = super()._finalize_training(trial, scaled, start_time)
        return output
