"""Decisions that all processes of a run take together: a process that stops alone leaves the others waiting for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import distributed

# How long a process may know something that the others do not, between two saves.
_EVERY_SECONDS = 1.0


class Together:
    """The greatest of what the processes have, at the same steps in each of them; nothing is asked in a single one.

    The numbers go through a group of their own over gloo, from CPU to CPU, so that no GPU is waited for.
    """

    def __init__(self) -> None:
        self.size = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
        self._next = 0
        self._group: distributed.ProcessGroup | None = None
        if self.size > 1 and distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo")

    @property
    def alone(self) -> bool:
        return self.size <= 1

    def due(self, step: int) -> bool:
        """Whether this is a step at which all ask; the answer is the same everywhere."""
        return not self.alone and step >= self._next

    def greatest(self, values: Sequence[float]) -> list[float]:
        """Of each value the greatest that a process has. All processes have to ask."""
        if self.alone:
            return list(values)
        shared = torch.tensor(list(values), dtype=torch.float64)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX, group=self._group)
        greatest: list[float] = shared.tolist()
        return greatest

    def ask_again(self, step: int, step_seconds: float) -> None:
        """Sets the next step to ask at; `step_seconds` is the slowest process's, and so the same everywhere."""
        steps = math.ceil(_EVERY_SECONDS / step_seconds) if step_seconds > 0 else 1
        self._next = step + max(1, min(steps, 1000))

    def barrier(self) -> None:
        """Waits until all processes are here."""
        if not self.alone:
            distributed.barrier(group=self._group)
