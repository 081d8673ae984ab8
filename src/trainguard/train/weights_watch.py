"""Do the weights really change? A sample of the trainable ones, compared from one logged step to the next.

A run can log a falling loss and a gradient norm while the optimizer owns other tensors than the model, so that nothing
is learnt. The sample is a few hundred numbers of a few tensors. On a GPU the comparison stays there, and its result is
read at the next logged step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainguard.train.nonfinite import FlagReader, is_plain

_TENSORS = 8
# Numbers of one tensor. bfloat16 keeps 8 bits, so that at a small learning rate a single weight may stay for many
# steps, but hardly all of so many.
_NUMBERS = 64
_RUNS = 4


class WeightsWatch:
    """Compares a sample of the trainable weights with that of the last `look`.

    `names` are the sampled tensors. `adapter` says that they are the B of a LoRA, which begin at zero and stay there
    where the adapter does not learn (peft 0.21, tuners/lora/layer.py: reset_lora_parameters).
    """

    def __init__(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        chosen = sampled(parameters)
        self.names = tuple(name for name, _ in chosen)
        self.adapter = any(is_lora_b(name) for name in self.names)  # then all are
        self._parameters = [each for _, each in chosen]
        self._addresses: list[int] = []
        self._views: list[Tensor] = []
        self._before: Tensor | None = None
        device = self._parameters[0].device if self._parameters else torch.device("cpu")
        self._reader = None if device.type == "cpu" else FlagReader(device)
        self._as_arrays = bool(self._parameters) and self._parameters[0].dtype in (torch.float32, torch.float64)
        self._arrays: list[np.ndarray[Any, Any]] = []
        self._array_before: np.ndarray[Any, Any] | None = None

    def look(self) -> dict[str, float]:
        """`weights_changed_share`: how many of the sampled tensors have changed since the last look, from 0 to 1;
        `lora_b_norm`: the norm of the sampled numbers of the adapter's B. {} where nothing can be said yet."""
        if not self._parameters:
            return {}
        if self._reader is None:
            measured = self._measure_here() if self._as_arrays else self._measure()
            return self._named([float(value) for value in measured]) if measured is not None else {}
        values = self._measure()
        arrived = self._reader.poll()
        if values is not None:
            self._reader.ask(values)
        return self._named(arrived) if arrived is not None else {}

    def _measure_here(self) -> tuple[float, float] | None:
        """As `_measure`, of weights that numpy can read where they are, which takes a tenth of the time."""
        addresses = [each.data_ptr() for each in self._parameters]
        if addresses != self._addresses:
            self._arrays = [_spread(each.detach()).numpy() for each in self._parameters]
            self._addresses = addresses
            self._array_before = None
        now = np.stack(self._arrays)
        before, self._array_before = self._array_before, now
        if before is None or before.shape != now.shape:
            return None
        changed = float((now != before).reshape(len(now), -1).any(axis=1).sum()) / len(now)
        return changed, float(np.linalg.norm(now)) if self.adapter else 0.0

    @torch.no_grad()
    def _measure(self) -> Tensor | None:
        """Two numbers, the share and the norm; None at the first look. The views stand as long as the storage does."""
        addresses = [each.data_ptr() for each in self._parameters]
        if addresses != self._addresses:
            self._views = [_spread(each.detach()) for each in self._parameters]
            self._addresses = addresses
            self._before = None
        now = torch.stack(self._views)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return None
        changed = (now != before).flatten(1).any(dim=1).float().mean()
        norm = now.float().norm() if self.adapter else changed
        return torch.stack([changed, norm])

    def _named(self, values: Sequence[float]) -> dict[str, float]:
        share, norm = values
        named = {"weights_changed_share": share}
        if self.adapter:
            named["lora_b_norm"] = norm
        return named


def is_lora_b(name: str) -> bool:
    """Whether a parameter is the B of a LoRA, of a linear layer or of an embedding, as peft names them."""
    return ".lora_B." in name or ".lora_embedding_B." in name


def sampled(parameters: Sequence[tuple[str, nn.Parameter]]) -> list[tuple[str, nn.Parameter]]:
    """A few trainable parameters from all over the model, of one size of sample, type and device.

    Embeddings are left out where there is anything else: rows of tokens that no batch has do not change. Of an adapter
    the B are taken, which move first: as long as they are zero the A have no gradient.
    """
    usable = [(name, each) for name, each in parameters if each.requires_grad and is_plain(each)]
    large = [(name, each) for name, each in usable if each.numel() >= _NUMBERS and each.is_contiguous()]
    inner = [(name, each) for name, each in large if "embed" not in name and "lm_head" not in name] or large
    inner = [(name, each) for name, each in inner if is_lora_b(name)] or inner
    if not inner:
        return []
    device, dtype = inner[-1][1].device, inner[-1][1].dtype
    inner = [(name, each) for name, each in inner if each.device == device and each.dtype == dtype]
    count = min(_TENSORS, len(inner))
    return [inner[index * len(inner) // count] for index in range(count)]


def _spread(values: Tensor) -> Tensor:
    """Numbers from all over a tensor, as a view of it: few runs of neighbours, since each is a miss of the cache."""
    flat = values.view(-1)
    length = flat.numel() // _RUNS
    return flat[: _RUNS * length].view(_RUNS, length)[:, : _NUMBERS // _RUNS]
