"""NaN and infinities in a run, seen although the Trainer hides them, and without making a GPU wait.

`logging_nan_inf_filter` puts the average of the losses before in the place of a loss that is NaN (transformers 5.23,
trainer.py:1921), so that the log looks well while the weights are lost. Looked at are the loss that the model itself
gives and a few gradients. Clipping by norm multiplies every gradient with max_norm / norm: where the norm is NaN all of
them are NaN, and where it is infinite they are 0 but for those that were infinite, which become NaN (torch 2.13,
nn/utils/clip_grad.py:164). So a few small tensors tell, one step later at the latest. Before a checkpoint all trainable
weights are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Gradients that are looked at in each step. One would tell; another one covers a tensor that a step does not use.
_WATCHED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What was not finite, and the first step at whose end that was known. Steps count from 1.

    `infinite` says that a loss was infinite and not NaN.
    """

    loss: bool
    infinite: bool = False
    gradients: bool
    step: int


class NonfiniteWatch:
    """Keeps a flag on the device of the model: 0 while all that was looked at is finite, NaN from then on.

    `note_loss` and `note_gradients` only add to the flag, which makes nobody wait. `look` gives what is known so far:
    on a CPU at once, on a GPU by a copy that the CPU reads once it has arrived, so one to three steps later.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.watched = watched(parameters)
        device = self.watched[0].device if self.watched else torch.device("cpu")
        self._on_cpu = device.type == "cpu"
        # Of the losses, of the gradients, and how many losses were infinite.
        self._flag = torch.zeros(3, dtype=torch.float32, device=device)
        self._reader = None if self._on_cpu else FlagReader(device)
        self._loss_seen = False
        self._gradients_seen = False
        self._infinite_seen = False

    def note_loss(self, loss: Tensor) -> None:
        """Looks at a loss as the model gives it, before the Trainer averages it."""
        if self._on_cpu:
            if loss.is_cpu and not self._loss_seen:
                value = loss.sum().item() if loss.ndim else loss.item()
                self._loss_seen = not _is_finite(value)
                self._infinite_seen = math.isinf(value)
            return
        if loss.device == self._flag.device:
            total = loss.detach().sum().float()
            self._flag[0].add_(total * 0.0)
            self._flag[2].add_(total.isinf())

    def note_gradients(self) -> None:
        """Looks at a few gradients, once they are clipped and before the optimizer uses them."""
        for parameter in self.watched:
            gradient = parameter.grad
            if gradient is None or gradient.is_sparse:
                continue
            if self._on_cpu:
                self._gradients_seen = self._gradients_seen or not _is_finite(_one(gradient).item())
            else:
                self._flag[1].add_(_one(gradient).float() * 0.0)

    def look(self, step: int) -> Suspicion | None:
        """What was not finite up to now, as far as it is known without waiting."""
        if self._reader is not None:
            values = self._reader.poll()
            if values is not None:
                self._read(values)
            self._reader.ask(self._flag)
        return self._suspicion(step)

    def look_now(self, step: int) -> Suspicion | None:
        """As `look`, but waits for the device. Right only where somebody else is about to wait for it."""
        if self._reader is not None:
            self._read(self._flag.tolist())
        return self._suspicion(step)

    def _read(self, values: Sequence[float]) -> None:
        self._loss_seen, self._gradients_seen = (not _is_finite(value) for value in values[:2])
        self._infinite_seen = values[2] > 0

    def clear(self) -> None:
        """Forgets what was seen, so that the next time is seen too."""
        self._loss_seen = self._gradients_seen = self._infinite_seen = False
        self._flag.zero_()
        if self._reader is not None:
            self._reader.drop()

    def _suspicion(self, step: int) -> Suspicion | None:
        if not (self._loss_seen or self._gradients_seen):
            return None
        return Suspicion(loss=self._loss_seen, gradients=self._gradients_seen, infinite=self._infinite_seen, step=step)


class FlagReader:
    """Brings small tensors of a GPU to the CPU without waiting: one copy at a time, into pinned memory."""

    def __init__(self, device: torch.device) -> None:
        # Pinned memory and events are there for these; elsewhere the flag is read before a save only.
        self._module: Any = getattr(torch, device.type, None) if device.type in ("cuda", "xpu") else None
        self._event: Any = None
        self._copy: Tensor | None = None

    def ask(self, values: Tensor) -> bool:
        """Starts a copy of `values`, unless one is under way. Whether it did."""
        if self._event is not None or self._module is None:
            return False
        if self._copy is None or self._copy.shape != values.shape:
            self._copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        self._copy.copy_(values.detach(), non_blocking=True)
        self._event = self._module.Event()
        self._event.record()
        return True

    def poll(self) -> list[float] | None:
        """The values that were asked for, once they have arrived; None as long as they have not."""
        if self._event is None or self._copy is None or not self._event.query():
            return None
        self._event = None
        values: list[float] = self._copy.tolist()
        return values

    def drop(self) -> None:
        """Forgets a copy that is under way."""
        self._event = None
        self._copy = None


def watched(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """A few trainable parameters whose gradients are looked at: small ones, from the end and the middle of the model.

    A row of an embedding that no token of a batch names has no gradient, so vectors come first. Sharded parameters are
    left out: their parts on this rank may be empty.
    """
    usable = [each for each in parameters if each.requires_grad and each.numel() and is_plain(each)]
    if not usable:
        return []
    device = usable[-1].device
    usable = [each for each in usable if each.device == device]
    vectors = [each for each in usable if each.ndim == 1]
    chosen = vectors if len(vectors) >= _WATCHED else usable
    return list({id(each): each for each in (chosen[-1], chosen[len(chosen) // 2])}.values())


def nonfinite_parameters(parameters: Sequence[tuple[str, nn.Parameter]]) -> list[str]:
    """The names of the trainable parameters that hold NaN or infinities. Reads all of them and waits for the device.

    Of parameters that are sharded the part on this rank is read.
    """
    bad: list[str] = []
    groups: dict[tuple[torch.device, torch.dtype], list[tuple[str, Tensor]]] = {}
    for name, each in parameters:
        part = _local(each) if each.requires_grad else None
        if part is not None and part.numel() and part.is_floating_point():
            groups.setdefault((part.device, part.dtype), []).append((name, part))
    for group in groups.values():
        # One pass over the weights: the largest magnitude is NaN or infinite where one number is. The sum would
        # overflow in float16.
        with torch.no_grad():
            norms = torch._foreach_norm([part for _, part in group], float("inf"))
            finite = torch.isfinite(torch.stack([norm.float() for norm in norms])).tolist()
        bad += [name for (name, _), is_fine in zip(group, finite, strict=True) if not is_fine]
    return bad


def is_plain(parameter: nn.Parameter) -> bool:
    """Whether a parameter lies whole on this rank, in memory that can be read: no shard, no meta tensor."""
    return type(parameter.data) is Tensor and parameter.device.type != "meta"


def _local(parameter: nn.Parameter) -> Tensor | None:
    """The numbers of a parameter that lie on this rank; None where there are none to read."""
    part: Any = parameter.data
    if hasattr(part, "to_local"):  # torch.distributed.tensor.DTensor
        part = part.to_local()
    return part if isinstance(part, Tensor) and part.device.type != "meta" else None


def _one(gradient: Tensor) -> Tensor:
    return gradient[0] if gradient.ndim == 1 else gradient.reshape(-1)[0]


def _is_finite(value: float) -> bool:
    # NaN is the one number that is not equal to itself; faster than math.isfinite for a Python float.
    return value - value == 0.0
