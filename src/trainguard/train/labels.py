"""What the loss is counted on, read from a few batches: are there labels that are not masked, and the end of a text?

The batches are made from the data set and the collator of the run, beside its own iterator: the order of the data and
the random numbers stay as they are. Data that can be read once only are not touched; of them the first batches are
looked at as the model gets them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from trainguard.findings import Finding
from trainguard.signals.codes import run_finding

IGNORED = -100  # the label that the loss leaves out (torch.nn.CrossEntropyLoss ignore_index; transformers; trl)
_BATCHES = 6
_BATCH_ROWS = 8
_SECONDS = 2.0
# Rows that must all be masked for a verdict. A few may be by bad luck: a prompt that is longer than max_length.
_ROWS_FOR_VERDICT = 4
# What says which tokens count, by trainer: labels of a language model (transformers, trl sft), completions (trl dpo
# and kto 1.16, whose losses mask the prompt by it).
_MASKS = ("labels", "completion_mask")


def label_findings(dataloader: Any, args: Any, processing_class: Any = None) -> Iterator[Finding]:
    """All labels masked, or the end of the texts masked because it is the padding token too, or padding counted."""
    width = getattr(args, "per_device_train_batch_size", None)
    rows = [row for batch in sampled_batches(dataloader, width) for row in _rows(batch)]
    if len(rows) < min(_ROWS_FOR_VERDICT, _length(getattr(dataloader, "dataset", None))) or not rows:
        return
    counted = sum(row.counted for row in rows)
    total = sum(row.total for row in rows)
    if counted == 0:
        yield all_masked(args, rows=len(rows), tokens=total, key=rows[0].key)
        return
    yield from _padding(rows, processing_class)


def all_masked(args: Any, *, rows: int, tokens: int, key: str, step: int | None = None) -> Finding:
    """The finding that no token of what was sampled counts."""
    if getattr(args, "assistant_only_loss", False):
        why = (
            "with assistant_only_loss=True the chat template must mark the assistant's turns; use one with "
            "{% generation %} and {% endgeneration %} around them"
        )
    elif getattr(args, "completion_only_loss", None) or key == "completion_mask":
        why = "the completions are empty or cut off; raise max_length above the longest prompt"
    else:
        why = "the prompt template of the collator does not occur in the texts, or max_length cuts the answers off"
    return run_finding(
        "RUN017",
        f"all {tokens:,} labels of {rows:,} sampled examples are masked ({key}), so the loss counts nothing and "
        f"nothing is learnt: {why}",
        step=step,
        evidence={"examples": rows, "tokens": tokens, "counted": 0, "key": key},
    )


class Row:
    """One example of a batch, as the loss sees it."""

    def __init__(self, key: str, counts: Tensor, ids: Tensor | None, attended: Tensor | None) -> None:
        self.key = key
        self.total = int(counts.numel())
        self.counted = int(counts.sum())
        self.counts = counts
        self.ids = ids if ids is not None and ids.shape == counts.shape else None
        self.attended = attended if attended is not None and attended.shape == counts.shape else None


def _rows(batch: Any) -> Iterator[Row]:
    if not isinstance(batch, Mapping):
        return
    key = next((name for name in _MASKS if isinstance(batch.get(name), Tensor)), None)
    if key is None:
        return
    mask: Tensor = batch[key]
    # Classes of sequences, scores and images are no tokens.
    if mask.ndim != 2 or mask.is_floating_point() or mask.shape[1] < 2:
        return
    ids, attended = batch.get("input_ids"), batch.get("attention_mask")
    if key == "labels" and not (isinstance(ids, Tensor) and ids.shape == mask.shape):
        return  # of another model than a causal one, or of several labels an example: what 0 means is not known
    counts = mask != IGNORED if key == "labels" else mask != 0
    for index in range(mask.shape[0]):
        yield Row(
            key,
            counts[index],
            ids[index] if isinstance(ids, Tensor) and ids.ndim == 2 and index < ids.shape[0] else None,
            attended[index] if isinstance(attended, Tensor) and attended.ndim == 2 and index < len(attended) else None,
        )


def _padding(rows: list[Row], processing_class: Any) -> Iterator[Finding]:
    tokenizer = getattr(processing_class, "tokenizer", processing_class)
    pad, eos = getattr(tokenizer, "pad_token_id", None), getattr(tokenizer, "eos_token_id", None)
    seen = [row for row in rows if row.key == "labels" and row.ids is not None and row.attended is not None]
    trained_padding = sum(int((row.counts & (row.attended == 0)).sum()) for row in seen if row.attended is not None)
    padding = sum(row.total - int((row.attended != 0).sum()) for row in seen if row.attended is not None)
    if padding and trained_padding == padding:
        yield run_finding(
            "RUN017",
            f"all {padding:,} padding tokens of {len(seen):,} sampled examples are in the labels, so the model learns "
            f"to write padding; set the labels of padding to {IGNORED}, as DataCollatorForLanguageModeling does",
            severity="warn",
            evidence={"examples": len(seen), "padding": padding},
        )
    if not isinstance(eos, int) or pad != eos:
        return
    ended = [row for row in seen if _ends_with(row, eos)]
    learnt = sum(int((row.counts & (row.ids == eos)).sum()) for row in seen if row.ids is not None)
    if len(ended) >= _ROWS_FOR_VERDICT and learnt == 0:
        yield run_finding(
            "RUN017",
            f"pad_token_id and eos_token_id are both {eos}, and the end of all {len(ended):,} sampled texts that have "
            "one is masked as padding, so it never learns to stop; give the tokenizer a padding token of its own",
            severity="warn",
            fix='tokenizer.pad_token = "<|pad|>"',
            evidence={"examples": len(ended), "pad_token_id": pad, "eos_token_id": eos},
        )


def _ends_with(row: Row, token: int) -> bool:
    if row.ids is None or row.attended is None:
        return False
    text = row.ids[row.attended != 0]
    # With padding equal to the end, a collator may mask the attention to it as well.
    return bool(text.numel() and int(text[-1]) == token)


def sampled_batches(dataloader: Any, width: Any = None) -> Iterator[Any]:
    """A few batches from all over the data, made beside the run's iterator; nothing where the data can be read once.

    Read are data sets of which reading changes nothing: those of `datasets`, and lists. `width` is the batch size. At
    most two seconds.
    """
    dataset, collate = getattr(dataloader, "dataset", None), getattr(dataloader, "collate_fn", None)
    if collate is None or not _readable(dataset) or dataset is None:
        return
    count = len(dataset)
    if count == 0:
        return
    width = min(_BATCH_ROWS, max(1, width if isinstance(width, int) else 1), count)
    starts = sorted({index * (count - width) // max(1, _BATCHES - 1) for index in range(_BATCHES)})
    until = time.monotonic() + _SECONDS
    with random_numbers_kept():
        for start in starts:
            yield collate([dataset[index] for index in range(start, start + width)])
            if time.monotonic() > until:
                return


def can_sample(dataloader: Any) -> bool:
    """Whether batches can be made of the data beside the run."""
    return _readable(getattr(dataloader, "dataset", None)) and getattr(dataloader, "collate_fn", None) is not None


def _readable(dataset: Any) -> bool:
    if isinstance(dataset, list | tuple):
        return True
    kind = type(dataset)
    return kind.__module__.split(".")[0] == "datasets" and kind.__name__ == "Dataset"


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Gives back the states of all generators of random numbers, so that a run goes on as if nothing had been drawn."""
    import numpy as np

    python, array, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(cpu)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)


def _length(value: Any) -> int:
    try:
        return len(value)
    except (TypeError, NotImplementedError):
        return _ROWS_FOR_VERDICT
