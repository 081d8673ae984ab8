"""Faults for a run, made in its own process before it begins. For forks: imports torch.

Where a machine has no GPU, its allocator is stood in for at the lowest boundary that there is, with its exception and
its words; where it has one, the allocator itself runs out.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

_MIB = 2**20
# As torch 2.13 words it (c10/cuda/CUDACachingAllocator.cpp).
_WORDS = (
    "CUDA out of memory. Tried to allocate {tried:.2f} MiB. GPU 0 has a total capacity of 79.19 GiB of which 1.00 MiB "
    "is free. Of the allocated memory 78.00 GiB is allocated by PyTorch, and 4.00 KiB is reserved by PyTorch but "
    "unallocated."
)


def install(fault: Mapping[str, Any]) -> None:
    """Makes the fault named `what`, with the rest as its arguments."""
    arguments = {key: value for key, value in fault.items() if key != "what"}
    _FAULTS[fault["what"]](**arguments)


def _full_while_loading() -> None:
    """The weights do not fit: no allocation succeeds when the model is to go to its device."""
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(1e-6)
        return
    to = PreTrainedModel.to

    @functools.wraps(to)
    def full(self: Any, *_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError(_WORDS.format(tried=sum(each.nbytes for each in self.parameters()) / _MIB))

    setattr(PreTrainedModel, "to", full)  # noqa: B010


def _full_while_training(*, at: int, rows: int) -> None:
    """From the `at`-th micro-batch on (not the first), the activations of `rows` rows and more do not fit."""
    step = Trainer.training_step
    count = 0
    # Without a GPU: the largest piece that a token has taken so far decides what may be taken from then on.
    pieces = _Pieces()

    @functools.wraps(step)
    def limited(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        batch, length = inputs["input_ids"].shape
        if torch.cuda.is_available() and count >= at:
            torch.cuda.set_per_process_memory_fraction(_SHARE)
            most = _SHARE * torch.cuda.get_device_properties(0).total_memory
            # What a longer batch would take: more than there is from `rows` rows on.
            hog = torch.empty(int(most * (batch + 0.5) / rows), dtype=torch.uint8, device="cuda")
            del hog
            torch.cuda.empty_cache()
            return step(self, model, inputs, *args, **kwargs)
        pieces.tokens = batch * length
        pieces.most = pieces.of_token * length * (rows - 0.5) if count >= at else math.inf
        with pieces:
            return step(self, model, inputs, *args, **kwargs)

    setattr(Trainer, "training_step", limited)  # noqa: B010


_SHARE = 0.02  # of the GPU's memory, for a run of a tiny model


class _Pieces(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """An allocator that gives `most` bytes in one piece and no more; it notes how large a piece `of_token` was."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = math.inf
        self.tokens = 1
        self.of_token = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            size = each.untyped_storage().nbytes() if isinstance(each, torch.Tensor) else 0
            if size > self.most:
                raise torch.OutOfMemoryError(_WORDS.format(tried=size / _MIB))
            if self.most == math.inf:
                self.of_token = max(self.of_token, size / self.tokens)
        return made


def _own_code(*, at: int, place: str) -> None:
    """Calls `go` of the module own.py: at the `at`-th micro-batch with it, or while the data is tokenized."""
    spec = importlib.util.spec_from_file_location("own", "own.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    owner, name = (
        (PreTrainedTokenizerBase, "apply_chat_template") if place == "tokenize" else (Trainer, "training_step")
    )
    setattr(owner, name, _calling(getattr(owner, name), module.go, at))


def _calling(function: Callable[..., Any], go: Callable[..., Any], at: int) -> Any:
    count = 0

    @functools.wraps(function)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            go(args[1] if len(args) > 1 else None)
        return function(self, *args, **kwargs)

    return called


_FAULTS: Mapping[str, Callable[..., None]] = {
    "full-while-loading": _full_while_loading,
    "full-while-training": _full_while_training,
    "own-code": _own_code,
}
