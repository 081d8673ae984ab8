"""What GuardCallback measures of the model while it trains: losses, gradients, labels, weights, memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainguard.findings import Finding
from trainguard.signals.codes import run_finding
from trainguard.train.before import owned
from trainguard.train.labels import IGNORED, all_masked
from trainguard.train.nonfinite import FlagReader, NonfiniteWatch
from trainguard.train.weights_watch import WeightsWatch

# Micro-batches of which the labels are counted, where the data could not be sampled before.
_LABEL_BATCHES = 8
# How often gradients that are left over are read; where they are 0 the loop sets them to zeros, not to None.
_LOOKS = 3
_GIB = 2**30


class ModelWatch:
    """The instruments on one model. `start` attaches them, `close` takes them off; nothing is written."""

    def __init__(self, model: nn.Module, optimizer: Any, args: Any, *, count_labels: bool, first_step: int = 0) -> None:
        self._model = model
        self._optimizer = optimizer
        self._args = args
        self.named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self._all = list(model.parameters())
        self._trains = [each.requires_grad for each in self._all]
        self.nonfinite = NonfiniteWatch([each for _, each in self.named])
        self.weights = WeightsWatch(self.named)
        self.labels = LabelCount() if count_labels else None
        self._hook = LossHook(self.nonfinite, self.labels)
        self._handle: Any = None
        self._first_step = first_step
        self._looks_left = _LOOKS
        device = next((each.device for _, each in self.named), torch.device("cpu"))
        self._gpu = device if device.type == "cuda" else None

    def start(self) -> None:
        # A hook makes a compiled model compile anew, and the replicas of DataParallel run in threads of their own.
        if getattr(self._args, "torch_compile", False) or getattr(self._args, "n_gpu", 1) > 1:
            return
        self._handle = self._model.register_forward_hook(self._hook, with_kwargs=True)

    def measured(self) -> dict[str, float]:
        """What goes into the record of a logged step, beside what the Trainer logs."""
        values = self.weights.look()
        if self._gpu is not None:
            values["memory_gb"] = torch.cuda.memory_allocated(self._gpu) / _GIB
            values["memory_reserved_gb"] = torch.cuda.memory_reserved(self._gpu) / _GIB
        return values

    def frozen_since(self) -> list[Finding]:
        """What is wrong with the optimizer's parameters, where some were frozen or thawed since the last time."""
        now = [each.requires_grad for each in self._all]
        if now == self._trains:
            return []
        self._trains = now
        return list(owned(self._model, self._optimizer, self._args))

    def left_gradients(self, step: int) -> Finding | None:
        """RUN020, once, where the gradients of the last step are still there as the next begins, so that they add up.

        The Trainer's `model.zero_grad()` sets them to None (torch 2.13, nn/modules/module.py), so that there is nothing
        to be read as a rule; the first that are found are, which waits for the device.
        """
        if self._looks_left <= 0 or step == self._first_step:
            return None
        left = [each.grad for each in self.nonfinite.watched if each.grad is not None]
        if not left:
            return None
        self._looks_left -= 1
        if not all(bool(gradient.any()) for gradient in left):
            return None
        self._looks_left = 0
        return run_finding(
            "RUN020",
            f"the gradients of step {step:,} are still there as the next step begins, so each step adds to all before "
            "it; call model.zero_grad() after the optimizer's step (an override of zero_grad keeps them)",
            step=step,
            fix="model.zero_grad()",
            evidence={"tensors": len(left)},
        )

    def masked_labels(self, step: int) -> Finding | None:
        """RUN017, once, where all labels of the first batches were masked."""
        if self.labels is None or (counted := self.labels.result()) is None:
            return None
        tokens, rows, self.labels = self.labels.tokens, self.labels.rows, None
        self._hook.labels = None
        return all_masked(self._args, rows=rows, tokens=tokens, key="labels", step=step) if counted == 0 else None

    def close(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


class LossHook:
    """Sees what the model gives back. A copy of the model shares it, and is not looked at."""

    def __init__(self, nonfinite: NonfiniteWatch, labels: LabelCount | None) -> None:
        self._nonfinite = nonfinite
        self.labels = labels
        self._failed = False

    def __deepcopy__(self, memo: dict[int, Any]) -> LossHook:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_no_hook, ())

    def __call__(self, module: nn.Module, given: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not module.training or self._failed:
            return
        try:
            loss = getattr(output, "loss", None)
            if isinstance(loss, Tensor):
                self._nonfinite.note_loss(loss)
            if self.labels is not None:
                first = given[0] if given else None
                batch = first if isinstance(first, dict) else kwargs
                self.labels.note(batch.get("labels"))
        except Exception:  # a model with an output of its own kind is let be
            self._failed = True


def _nothing(*given: Any) -> None:
    """The hook of a model that was pickled with ours."""
    del given


def _no_hook() -> Any:
    return _nothing


class LabelCount:
    """Counts the labels that are not masked in the first batches, on their device, and reads the count later."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._reader: FlagReader | None = None
        self._asked = False
        self._seen = 0
        self.tokens = 0
        self.rows = 0

    def note(self, labels: Any) -> None:
        if self._seen >= _LABEL_BATCHES or not isinstance(labels, Tensor) or labels.ndim != 2:
            return
        self._seen += 1
        self.tokens += labels.numel()
        self.rows += labels.shape[0]
        count = (labels != IGNORED).sum().float().reshape(1)
        self._sum = count if self._sum is None else self._sum + count

    def none_so_far(self) -> bool:
        """Whether all labels up to now were masked. Waits for the device."""
        return self._sum is not None and float(self._sum.item()) == 0

    def result(self) -> float | None:
        """How many were not masked, once enough batches were seen and the count has arrived."""
        if self._seen < _LABEL_BATCHES or self._sum is None:
            return None
        if self._sum.device.type == "cpu":
            return float(self._sum.item())
        if self._reader is None:
            self._reader = FlagReader(self._sum.device)
        if not self._asked:
            self._asked = self._reader.ask(self._sum)
            return None
        values = self._reader.poll()
        return values[0] if values is not None else None
