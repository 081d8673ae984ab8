"""The starter that `trainguard init` writes: values chosen by what the machine, the model and the data are.

Pure: facts in, text out. Every value has its reason beside it, and numbers that are estimates say so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trainguard.facts.config.fields import fields
from trainguard.facts.config.judging import shown_value
from trainguard.report.visible import visible

# Bytes a parameter while training: with Adam and mixed precision 16 (Rajbhandari et al., ZeRO, 2020, section 3.1); a
# frozen weight has 2 in bfloat16, and 0.52 as NF4 with double quantization (Dettmers et al., QLoRA, 2023, section 3).
FULL_BYTES: Final = 16
FROZEN_BYTES: Final = 2
QLORA_BYTES: Final = 0.52
# What is left for activations, logits and the adapter.
_SHARE_FOR_WEIGHTS = 0.6
# The loss is computed on logits in float32, with their gradient beside them (transformers 5.23, loss/loss_utils.py,
# `logits.float()`); this share of the memory may go to them.
_LOGIT_BYTES = 8
_SHARE_FOR_LOGITS = 0.15
_LARGEST_BATCH = 8
_EFFECTIVE_BATCH = 16
_FEWEST_STEPS = 10  # of an epoch, below which a schedule means little
_LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_SMALL_ON_CPU = 200_000_000  # parameters; larger ones take minutes a step there
_BF16_SINCE = (8, 0)  # compute capability of Ampere (NVIDIA, CUDA C++ Programming Guide, "Compute Capabilities")
_FP16_SINCE = (7, 0)  # Volta, the first with tensor cores
DEFAULT_MODEL: Final = "Qwen/Qwen3-0.6B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen. None and "" where it could not be told.

    Sizes in bytes, lengths in tokens. `lengths_exact` is False for estimates without a tokenizer. `gpu_bytes` is the
    memory of the smallest GPU.
    """

    model: str | None = None
    parameters: int | None = None
    vocabulary: int | None = None
    positions: int | None = None
    is_adapter: bool = False
    data: tuple[str, ...] = ()
    eval_data: str | None = None
    rows: int | None = None
    shortest: int | None = None
    length_99: int | None = None
    longest: int | None = None
    lengths_exact: bool = False
    gpus: int | None = None
    gpu_name: str = ""
    gpu_bytes: int | None = None
    capability: tuple[int, int] | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A field, its value and the reason; `off` writes it as a comment."""

    name: str
    value: object
    why: str
    off: bool = False


def starter(seen: Seen) -> str:
    """The text of a configuration in TOML."""
    choices = chosen(seen)
    method = next(each.value for each in choices if each.name == "method")
    lines = [
        "# A guarded run. Every field: docs/config.md, or `trainguard config schema`.",
        f"# Written by `trainguard init` on {_machine(seen)}.",
        "# Check it with `trainguard check` and this file's name.",
        "",
    ]
    lines += _lines([each for each in choices if "." not in each.name])
    blocks: dict[str, list[Choice]] = {}
    for each in choices:
        if "." in each.name:
            blocks.setdefault(each.name.partition(".")[0], []).append(each)
    for block, own in blocks.items():
        if block == "lora" and method == "full":
            continue
        lines += ["", f"[{block}]", *_lines(own)]
    return "\n".join(lines) + "\n"


def chosen(seen: Seen) -> list[Choice]:
    """Every value with its reason, in the order in which they are written."""
    method, method_why = _method(seen)
    length, length_why = _max_length(seen)
    batch, batch_why = _batch_size(seen, length)
    accumulation, accumulation_why = _accumulation(seen, batch)
    steps = _steps_of_epoch(seen, batch * accumulation)
    precision, precision_why = _precision(seen)
    adapter = method != "full"
    model_why = f"{_millions(seen.parameters)} parameters" if seen.parameters else "a folder, or an id of the hub"
    rows = (
        f"{seen.rows:,} example{'s' if seen.rows != 1 else ''}"
        if seen.rows is not None
        else "a file, a folder of shards, or an id of the hub"
    )
    rate = "ten times that of full fine-tuning, as TRL's PEFT guide and the QLoRA paper have it"
    save, save_why = _save_steps(steps)
    return [
        Choice("base_model", seen.model or DEFAULT_MODEL, model_why if seen.model else f"an example; {model_why}"),
        _data(seen, rows),
        Choice("output_dir", "output", "checkpoints and the trained model"),
        Choice("method", method, method_why),
        Choice("max_length", length, length_why),
        Choice("learning_rate", 2e-4 if adapter else 2e-5, rate if adapter else "trl 1.16 SFTConfig"),
        Choice("scheduler", "cosine", "falls to 0 over the run; linear is the Trainer's default"),
        Choice("warmup", 0.03, "a share of all steps"),
        Choice("batch_size", batch, batch_why),
        Choice("gradient_accumulation", accumulation, accumulation_why),
        Choice("epochs", 3, f"about {steps * 3:,} steps" if steps is not None else "passes over the data"),
        Choice("precision", precision, precision_why),
        Choice("seed", 42, "the same run again"),
        Choice("lora.r", 16, "rank of the adapter"),
        Choice("lora.alpha", 32, "twice the rank"),
        Choice("lora.dropout", 0.05, "trl 1.16 ModelConfig"),
        Choice("lora.target_modules", "all-linear", "all linear layers, as the QLoRA paper"),
        Choice("eval.data", seen.eval_data or "eval.jsonl", "examples kept apart", off=seen.eval_data is None),
        Choice("eval.strategy", "epoch", "after each pass over the data", off=seen.eval_data is None),
        Choice("save.steps", save, save_why),
        Choice("save.keep", 3, "and never fewer than the last two that verify"),
        Choice("guard.retries", 3, "without a new verified checkpoint in between"),
        Choice("alerts.urls", ["mailto://user:password@example.org"], "in Apprise's form; never printed", off=True),
        Choice("queue.inbox", "inbox", "for `trainguard daemon`: files that arrive here are trained", off=True),
    ]


def _data(seen: Seen, rows: str) -> Choice:
    if not seen.data:
        return Choice("data", "train.jsonl", rows, off=True)
    return Choice("data", seen.data[0] if len(seen.data) == 1 else list(seen.data), rows)


def _method(seen: Seen) -> tuple[str, str]:
    if seen.method is not None:
        return seen.method, "as asked for"
    count = seen.parameters
    if seen.is_adapter or count is None:
        return "lora", "an adapter fits where all weights may not"
    if not seen.gpus:
        small = count <= _SMALL_ON_CPU and _fits(count * FULL_BYTES, seen.memory_bytes)
        why = "small enough for a CPU" if small else "no GPU here; bitsandbytes and all weights are for one"
        return ("full" if small else "lora"), why
    gpu = f"{_gb(seen.gpu_bytes)} GB of GPU memory" if seen.gpu_bytes else "GPU memory that could not be told"
    if _fits(count * FULL_BYTES, seen.gpu_bytes):
        return "full", f"all weights need about {_gb(count * FULL_BYTES)} GB, of {gpu}"
    if _fits(count * FROZEN_BYTES, seen.gpu_bytes) or seen.gpu_bytes is None:
        return "lora", f"all weights would need about {_gb(count * FULL_BYTES)} GB, of {gpu}"
    if _fits(count * QLORA_BYTES, seen.gpu_bytes):
        return "qlora", f"the weights alone need about {_gb(count * FROZEN_BYTES)} GB in 16 bits, of {gpu}"
    needed = f"even in 4 bits the weights need about {_gb(count * QLORA_BYTES)} GB, of {gpu}"
    return "qlora", f"{needed}: it will hardly fit"


def _fits(needed: float, available: int | None) -> bool:
    return available is not None and needed <= available * _SHARE_FOR_WEIGHTS


def _max_length(seen: Seen) -> tuple[int, str]:
    default = fields()["max_length"].default
    limit = seen.positions
    if seen.length_99 is None or seen.longest is None:
        length = min(default, limit) if limit is not None else default
        return length, "tokens; trl 1.16 SFTConfig" if length == default else "tokens; the model has no more positions"
    about = "" if seen.lengths_exact else "about "
    wanted = next((each for each in _LENGTHS if each >= seen.length_99), seen.length_99)
    if seen.shortest is not None:
        wanted = max(wanted, seen.shortest, 2)
    if limit is not None and wanted > limit >= seen.length_99:
        wanted = limit
    if limit is not None and wanted > limit:
        return limit, f"tokens; the model has no more positions, and the longest example has {about}{seen.longest:,}"
    return (
        wanted,
        f"tokens; 99 % of the examples have at most {about}{seen.length_99:,}, the longest {about}{seen.longest:,}",
    )


def _batch_size(seen: Seen, length: int) -> tuple[int, str]:
    memory = seen.gpu_bytes if seen.gpus else seen.memory_bytes
    where = "GPU" if seen.gpus else "machine"
    largest = _LARGEST_BATCH if seen.gpus else 2
    if seen.rows is not None:
        largest = max(1, min(largest, seen.rows))
    if memory is None or seen.vocabulary is None:
        return 1, "examples at a time; raise it while the memory allows"
    each = length * seen.vocabulary * _LOGIT_BYTES
    batch = int(memory * _SHARE_FOR_LOGITS // each)
    batch = max(1, min(largest, batch))
    batch = 1 << (batch.bit_length() - 1)  # a power of two
    return batch, f"examples at a time; the logits of one take {_size(each)} of the {where}'s {_gb(memory)} GB"


def _accumulation(seen: Seen, batch: int) -> tuple[int, str]:
    wanted = _EFFECTIVE_BATCH
    if seen.rows is not None:
        wanted = max(1, min(wanted, seen.rows // _FEWEST_STEPS))
    devices = max(1, seen.gpus or 1)
    count = max(1, wanted // (batch * devices))
    whole = batch * count * devices
    return count, f"a step sees {whole} example{'s' if whole > 1 else ''}" + (
        f" on {devices} GPUs" if devices > 1 else ""
    )


def _steps_of_epoch(seen: Seen, batch: int) -> int | None:
    if seen.rows is None:
        return None
    return max(1, -(-seen.rows // (batch * max(1, seen.gpus or 1))))


def _save_steps(steps: int | None) -> tuple[int, str]:
    default = int(fields()["save.steps"].default)
    if steps is None:
        return default, "what a crash costs at most; the Trainer's default"
    wanted = max(1, min(default, steps // 4))
    return (
        wanted,
        "what a crash costs at most: a quarter of an epoch" if wanted < default else "what a crash costs at most",
    )


def _precision(seen: Seen) -> tuple[str, str]:
    if seen.gpus == 0:
        return "fp32", "there is no GPU here"
    if seen.capability is None:
        return "auto", "bf16 where the GPU has it"
    name = f"{seen.gpu_name or 'the GPU'} (compute capability {seen.capability[0]}.{seen.capability[1]})"
    if seen.capability >= _BF16_SINCE:
        return "bf16", f"{name} has it"
    if seen.capability >= _FP16_SINCE:
        return "fp16", f"{name} has no bfloat16"
    return "fp32", f"{name} is slow in 16 bits"


def _machine(seen: Seen) -> str:
    parts = []
    if seen.cores:
        parts.append(f"{seen.cores} core{'s' if seen.cores > 1 else ''}")
    if seen.memory_bytes:
        parts.append(f"{_gb(seen.memory_bytes)} GB of memory")
    if seen.gpus:
        memory = f" with {_gb(seen.gpu_bytes)} GB" if seen.gpu_bytes else ""
        parts.append(f"{seen.gpus} x {seen.gpu_name or 'GPU'}{memory}")
    elif seen.gpus == 0:
        parts.append("no GPU")
    return visible(", ".join(parts)) or "this machine"


def _millions(count: int) -> str:
    return f"{count / 1e9:.2g} billion" if count >= 10**9 else f"{max(1, round(count / 1e6)):,} million"


def _size(size: int) -> str:
    return f"{_gb(size)} GB" if size >= 10**8 else f"{max(1, round(size / 1e6))} MB"


def _gb(size: float | None) -> str:
    gigabytes = (size or 0) / 1e9
    return f"{gigabytes:.0f}" if gigabytes >= 10 else f"{gigabytes:.2g}"


def _lines(choices: Sequence[Choice]) -> list[str]:
    written = [
        (f"{'# ' if each.off else ''}{each.name.rpartition('.')[2]} = {toml_value(each.value)}", visible(each.why))
        for each in choices
    ]
    width = min(max((len(left) for left, _ in written), default=0), 44)
    return [f"{left.ljust(width)}  # {why}" for left, why in written]


def toml_value(value: object) -> str:
    """A value as TOML writes it. Raises ValueError for a text that TOML cannot hold (undecodable names of files)."""
    if isinstance(value, str):
        value.encode()  # a surrogate is no character of TOML: UnicodeEncodeError is a ValueError
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return shown_value(value)
