"""LeavesStepsOut: a Trainer that leaves out the examples of some steps, and nothing else of the order of its data.

The places of transformers 5.23, trainer.py, that this rests on: `set_initial_training_values` (2487) counts the steps,
and `_run_epoch` (1819) is called for each epoch with its loader, its number of micro-batches and of steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from trainguard.train.left_out import Batches, LeftOut, Window, order_of

if TYPE_CHECKING:
    from transformers import Trainer

    _Trainer = Trainer
else:
    _Trainer = object

# Gets the original step, the epoch from 0 on, the place in its order, and rows of the data as it was tokenized.
OnLeftOut: TypeAlias = Callable[[int, int, int, Sequence[int]], None]


class LeavesStepsOut(_Trainer):
    """Put before a Trainer class in the bases. To be set before `train()`:

    - `left_out`: original steps that are not made. With `num_train_epochs` there are fewer steps then, with `max_steps`
      as many, of which the last come from further on.
    - `epoch_examples`: how many examples an epoch has, where a larger micro-batch dropped the rest at its end
      (`dataloader_drop_last`); None where nothing is cut.
    - `on_left_out(step, epoch, position, rows)`: called for each micro-batch that is left out, by all processes.
    """

    left_out: LeftOut = LeftOut()
    epoch_examples: int | None = None
    on_left_out: OnLeftOut | None = None
    _steps_per_epoch: int = 1
    original_steps: int = 0

    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        return self._cut(loader) if self.epoch_examples is not None else loader

    def set_initial_training_values(self, args: Any, dataloader: Any) -> Any:
        """The steps of one epoch are those without anything left out; those of the run are those that are made."""
        epochs, per_epoch, *between, steps = super().set_initial_training_values(args, dataloader)
        self._steps_per_epoch, self.original_steps = per_epoch, steps
        if self.left_out.ranges:
            if args.max_steps > 0:
                self.original_steps = self.left_out.original(steps)
                epochs = math.ceil(self.original_steps / per_epoch)
            else:
                steps = self.left_out.made(steps)
        return (epochs, per_epoch, *between, steps)

    def examples_of_an_epoch(self) -> int | None:
        """How many examples an epoch has where its rest is dropped; None where all are trained on."""
        if not self.args.dataloader_drop_last:
            return self.epoch_examples
        unit = self._train_batch_size * self.args.world_size
        whole: int = len(cast(Sized, self.train_dataset)) // unit * unit
        return min(whole, self.epoch_examples) if self.epoch_examples is not None else whole

    def place_after(self, made: int) -> tuple[int, int]:
        """Where `made` steps of this file lead to: the epoch, and micro-batches of it that were trained on."""
        before = self.left_out.original(made + 1) - 1
        epoch = before // self._steps_per_epoch
        steps = self.left_out.made(before) - self.left_out.made(epoch * self._steps_per_epoch)
        return epoch, steps * self.args.gradient_accumulation_steps

    def _run_epoch(self, *, epoch: int, train_dataloader: Any, **given: Any) -> None:  # type: ignore[override]
        # accelerate 1.15 finds the sampler two batch samplers deep, and a resumed run in several processes has three:
        # it would go on in the order of epoch 0.
        order = order_of(train_dataloader)
        if hasattr(order, "set_epoch"):
            order.set_epoch(epoch)
        first = epoch * self._steps_per_epoch + 1
        gone = self.left_out.within(first, first + self._steps_per_epoch - 1)
        if gone:
            train_dataloader = self._cut(train_dataloader, [(begin - first, end - first) for begin, end in gone], epoch)
            left = len(train_dataloader)
            if left == 0:
                for _ in train_dataloader.batch_sampler:  # what is left out is noted
                    raise AssertionError("an epoch without steps has a batch")
                return
            steps = math.ceil(left / self.args.gradient_accumulation_steps)
            given = {**given, "steps_in_epoch": left, "num_update_steps_per_epoch": steps}
        super()._run_epoch(epoch=epoch, train_dataloader=train_dataloader, **given)  # type: ignore[no-untyped-call]

    def _cut(self, loader: Any, gone: Sequence[Window] = (), epoch: int = 0) -> Any:
        """`loader` without some steps of an epoch (counted from 0), and without what is beyond its examples."""
        from accelerate import skip_first_batches  # type: ignore[import-untyped]
        from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler  # type: ignore[import-untyped]

        batches = loader.batch_sampler
        while isinstance(batches, SkipBatchSampler) and not batches.skip_batches:
            batches = batches.batch_sampler
        shard = batches if isinstance(batches, BatchSamplerShard) else None
        processes = shard.num_processes if shard is not None and not shard.split_batches else 1
        size, group = self._train_batch_size, self.args.gradient_accumulation_steps * processes
        first = epoch * self._steps_per_epoch + 1

        def note(index: int, rows: Sequence[int]) -> None:
            if self.on_left_out is not None:
                self.on_left_out(first + index // group, epoch, index * size, rows)

        cut: Any = Batches(
            shard.batch_sampler if shard is not None else batches,
            group=group,
            gone=gone,
            limit=self.epoch_examples // size if self.epoch_examples is not None else None,
            on_left_out=note,
        )
        if shard is not None:
            # Beneath the division among the processes, which is made of what is left.
            shard = copy.copy(shard)
            shard.batch_sampler, cut = cut, shard
        fresh: Any = skip_first_batches(loader, 0)
        fresh.batch_sampler.batch_sampler = cut
        return fresh
