"""Is what a run starts from sound: the token ids of its batches, its weights, and the folder that it writes to?

Looked at by assert_ready and before the first step. Nothing is changed.
"""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainguard.findings import Finding, Fix
from trainguard.signals.codes import run_finding
from trainguard.train.labels import label_findings

_SHOWN = 3  # names in a message
# What a run is trained in or from, and torch has a least and a largest number of; 8 bits and less are left out.
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def batch_findings(dataloader: Any, model: Any, args: Any, processing_class: Any = None) -> Iterator[Finding]:
    """What a few sampled batches say: which labels count, and ids that the input embedding has no row for."""
    noted = _Noted(dataloader)
    found: list[Finding] = []
    with contextlib.suppress(Exception):  # data that cannot be sampled, or are unusual, say nothing
        found += label_findings(noted, args, processing_class)
    yield from found
    rows = embedding_rows(model)
    if rows is None or noted.largest is None or noted.largest < rows:
        return
    yield Finding(
        severity="error",
        code="MODEL005",
        name="tokenizer-mismatch",
        message=(
            f"the sampled batches hold token ids up to {noted.largest} ({noted.key}), and the model's input embedding "
            f"has {rows} rows, so training ends with an IndexError, on a GPU with a device-side assert; call "
            "model.resize_token_embeddings(len(tokenizer)), or use the model's own tokenizer"
        ),
        fix=Fix("model.resize_token_embeddings(len(tokenizer))"),
        evidence={"largest_id": noted.largest, "rows": rows, "key": noted.key},
        docs="docs/rules/MODEL005.md",
    )


class _Noted:
    """Data and collator of a data loader; the largest token id of each batch that is made of them is noted."""

    def __init__(self, dataloader: Any) -> None:
        self.dataset = getattr(dataloader, "dataset", None)
        self.largest: int | None = None
        self.key = ""
        collate = getattr(dataloader, "collate_fn", None)
        self.collate_fn = self._noting(collate) if collate is not None else None

    def _noting(self, collate: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def collated(rows: Any) -> Any:
            batch = collate(rows)
            if isinstance(batch, Mapping) and "inputs_embeds" not in batch:
                for key, ids in batch.items():
                    self._note(key, ids)
            return batch

        return collated

    def _note(self, key: Any, ids: Any) -> None:
        # `decoder_input_ids` may go through an embedding of their own; the others are those of trl 1.16 (KL_input_ids).
        if not isinstance(key, str) or not (key == "input_ids" or key.endswith("_input_ids")) or "decoder" in key:
            return
        if not isinstance(ids, Tensor) or ids.dtype not in (torch.int64, torch.int32) or not ids.numel():
            return
        largest = int(ids.max())
        if self.largest is None or largest > self.largest:
            self.largest, self.key = largest, key


def embedding_rows(model: Any) -> int | None:
    """The rows of a language model's input embedding; None where ids beyond them may be meant, or nobody can tell."""
    if getattr(model, "main_input_name", None) != "input_ids" or (getattr(model, "_tp_size", None) or 1) > 1:
        return None
    # Ids of pictures and sounds may lie above the embedding: the model replaces them (transformers 5.23,
    # models/gemma3/modeling_gemma3.py and models/gemma3n).
    if set(getattr(getattr(model, "config", None), "sub_configs", None) or ()) - {"text_config", "encoder", "decoder"}:
        return None
    try:
        embedding = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    if not isinstance(embedding, nn.Module) or embedding._forward_pre_hooks:
        return None
    # Adapters wrap it (peft 0.21: base_layer, original_module). Sharded weights are smaller than the embedding is, and
    # a weight that was put in by hand leaves num_embeddings as it was.
    inner = [each for each in embedding.modules() if isinstance(each, nn.Embedding)]
    return max((max(each.num_embeddings, each.weight.shape[0]) for each in inner), default=None)


def finite_weights(model: nn.Module) -> Iterator[Finding]:
    """No weight is NaN or infinite, be it trained or frozen. Reads all of them, and waits once for each device."""
    groups: dict[tuple[torch.device, torch.dtype], list[tuple[str, nn.Parameter, Tensor]]] = {}
    count = 0
    for name, each in model.named_parameters():
        part: Any = each.data
        if hasattr(part, "to_local"):  # torch.distributed.tensor.DTensor: the part on this rank
            part = part.to_local()
        # Subclasses of Tensor are quantized weights, as those of torchao and bitsandbytes.
        if type(part) is not Tensor or part.device.type == "meta" or not part.numel() or part.dtype not in _DTYPES:
            continue
        count += 1
        groups.setdefault((part.device, part.dtype), []).append((name, each, part))
    verdicts: dict[torch.device, list[Tensor]] = {}
    members: dict[torch.device, list[tuple[str, nn.Parameter, Tensor]]] = {}
    with torch.no_grad():
        for (device, _), group in groups.items():
            # Least and largest are NaN where one number is. On a CPU ten times as fast as the norm (torch 2.13, one
            # thread: 0.5 ns a number against 4.7), and a sum overflows in float16.
            extremes = torch.stack([torch.stack(part.aminmax()) for _, _, part in group])
            verdicts.setdefault(device, []).append(extremes.isfinite().all(dim=1))
            members.setdefault(device, []).extend(group)
        names = [
            name
            for device, flags in verdicts.items()
            for (name, each, part), fine in zip(members[device], torch.cat(flags).tolist(), strict=True)
            if not fine and (each.requires_grad or not _is_mask(part))
        ]
    if names:
        yield run_finding(
            "RUN001",
            f"{len(names):,} of {count:,} tensors of weights hold NaN or infinities before the first step "
            f"({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}), so the loss becomes NaN; load "
            "the model again from a checkpoint that is whole, in bfloat16 in place of float16 if that overflowed",
            fix="load weights that are finite",
            evidence={"tensors": len(names), "of": count, "names": names[:_SHOWN], "weights_finite": False},
        )


def _is_mask(part: Tensor) -> bool:
    """Whether a frozen tensor is of 0 and infinities alone, as masks of attention that are kept as parameters."""
    return not bool(part.isnan().any()) and not bool(part[part.isfinite()].any())


def writable_output(args: Any) -> Iterator[Finding]:
    """The output folder can be made and written into, also where nothing is saved while training.

    A file without a name is made where the folder is or would be, and is gone at once: permissions alone say too much
    for root, of file systems that take no files, and of those that are mounted read-only.
    """
    given = getattr(args, "output_dir", None)
    if not given:
        return
    number = None
    try:
        place = next((each for each in [Path(given), *Path(given).absolute().parents] if each.exists()), Path("/"))
        if place.is_dir():
            with tempfile.TemporaryFile(dir=place):
                return
        why = f"{place} is a file"
    except OSError as error:
        why, number = error.strerror or type(error).__name__, error.errno
    saves = getattr(args, "save_strategy", None)
    lost = "neither the result nor a log could be kept" if _is_no(saves) else "the first save would end the run"
    message = f"output_dir={str(given)!r} cannot be written to ({why}), so {lost}; choose another"
    evidence = {"output_dir": str(given), "errno": errno.errorcode.get(number, "") if number is not None else None}
    if number in _FULL:
        yield run_finding("RUN025", message, fix="output_dir", evidence=evidence)
        return
    yield Finding(
        severity="error",
        code="SYS003",
        name="not-writable",
        message=message,
        fix=Fix("output_dir"),
        evidence=evidence,
        docs="docs/rules/SYS003.md",
    )


def _is_no(strategy: Any) -> bool:
    return str(getattr(strategy, "value", strategy)) == "no"
