"""What a loss that is not finite must lead to, and a model that has one. For the drills; imports torch in forks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainguard.drills.base import Outcome

AT = 5


def nothing_lost(outcome: Outcome) -> Iterator[str]:
    """What is wrong where the run goes on, a checkpoint holds such weights, or none before it stands."""
    values = outcome.values
    if values["steps"] > AT + 1:
        yield f"the run went on to step {values['steps']}, {values['steps'] - AT} after the loss was not finite"
    spoilt = [name for name, finite in values["checkpoints"].items() if not finite]
    if spoilt:
        yield f"{', '.join(spoilt)} was saved with weights that are not finite"
    if values["latest"] is None or values["latest"].name != "checkpoint-4":
        yield f"the checkpoint to resume from is {values['latest']}, expected checkpoint-4"


def train(value: float, *, guarded: bool, **arguments: Any) -> dict[str, Any]:
    """Eight steps of which the fifth has that loss."""
    from transformers import LlamaForCausalLM

    from trainguard.drills.training import _tiny

    class Spoilt(LlamaForCausalLM):  # type: ignore[no-untyped-call]
        passes = 0

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            self.passes += 1
            if self.passes == AT:
                output.loss = output.loss * value
            return output

    return _tiny.train(guarded=guarded, net=_tiny.model(Spoilt), **arguments)
