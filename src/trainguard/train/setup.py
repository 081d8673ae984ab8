"""Loads what a run needs: tokenizer, data, model. Each function is one phase, so that a failure has a place."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainguard.errors import UsageError
from trainguard.facts.config.records import Reference
from trainguard.facts.config.schema import RunConfig
from trainguard.facts.data.formats import kind_of
from trainguard.facts.data.roles import SYNONYMS
from trainguard.train.arguments import Device, loading_arguments, lora_arguments

if TYPE_CHECKING:
    from datasets import Dataset  # type: ignore[import-untyped]
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl.trainer.sft_config import SFTConfig

# How datasets 5.2 calls its readers (packaged_modules/__init__.py), by our names for the formats.
_READERS = {"jsonl": "json", "json": "json", "parquet": "parquet", "csv": "csv", "text": "text"}
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


def this_device() -> Device:
    """What this process computes on."""
    cuda = torch.cuda.is_available()
    return Device(
        cuda=cuda,
        bf16=cuda and torch.cuda.is_bf16_supported(including_emulation=False),
        mps=not cuda and torch.backends.mps.is_available(),
    )


def quieten() -> None:
    """Bars of the libraries on a terminal alone, and none for each file of a checkpoint: they would go through ours."""
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    # What the libraries warn each other of is nothing that whoever runs them could change.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|accelerate)\.")
    disable_progress_bar()  # type: ignore[no-untyped-call]
    if not sys.stderr.isatty():
        disable_progress_bars()


# -- tokenizer and chat template -----------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What the chat template decides: whether only the assistant's words are learnt, and why."""

    assistant_only: bool
    why: str


def load_tokenizer(run: RunConfig, name: str, folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer with its chat template; `name` is a folder or an id, `folder` that of the configuration.

    Raises UsageError where it has no token to pad with, or the template's file cannot be read.
    """
    from transformers import AutoTokenizer

    remote = bool(run.trainer_arguments.get("trust_remote_code"))
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, trust_remote_code=remote)
    if run.chat_template is not None:
        tokenizer.chat_template = _read_template(folder / run.chat_template)
    if tokenizer.pad_token is None and tokenizer.eos_token is None and "pad_token" not in run.trainer_arguments:
        raise UsageError(
            f"{name}: the tokenizer has neither a pad_token nor an eos_token, and batches need padding: set one in its "
            "tokenizer_config.json"
        )
    return tokenizer


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UsageError(f"chat_template {path}: cannot be read: {reason}; name a Jinja file") from None


def choose_loss(run: RunConfig, tokenizer: Any, *, conversational: bool, completion: bool) -> Template:
    """Whether only the assistant's words are learnt: as the run says, else yes for chats whose template marks them.

    trl 1.16 (`SFTTrainer.__init__`) swaps in a template with marks for the model families that it knows. Raises
    UsageError where the run asks for it and neither is so.
    """
    asked = run.assistant_only_loss
    if asked is False:
        return Template(assistant_only=False, why="assistant_only_loss is false")
    if not conversational:
        if asked:
            raise UsageError(
                "assistant_only_loss: the data are no chats, so no words are the assistant's; leave it out"
            )
        return Template(assistant_only=False, why="completion only" if completion else "all text is learnt")
    if completion and asked is None:
        return Template(assistant_only=False, why="completion only: the prompt is not learnt")
    if tokenizer.chat_template is None:
        raise UsageError(
            "chat_template: the tokenizer has none, and the data are chats: name a Jinja file with chat_template, or "
            "another tokenizer with tokenizer"
        )
    marked, words = _marks(tokenizer)
    if marked:
        return Template(assistant_only=True, why=words)
    if asked:
        raise UsageError(
            "assistant_only_loss: the chat template does not mark the assistant's words ({% generation %} ... "
            "{% endgeneration %}), and TRL has no version of it that does: name one that does with chat_template, or "
            "write assistant_only_loss = false"
        )
    return Template(
        assistant_only=False,
        why="the chat template does not mark the assistant's words with {% generation %}, so all words are learnt",
    )


def _marks(tokenizer: Any) -> tuple[bool, str]:
    template = tokenizer.chat_template
    text = template.get("default", "") if isinstance(template, dict) else template
    if _GENERATION.search(text):
        return True, "the chat template marks the assistant's words"
    try:
        from trl.chat_template_utils import get_training_chat_template

        get_training_chat_template(tokenizer)
    except (ImportError, ValueError):
        return False, ""
    except Exception:  # TRL renders the template to look at it, and a template may raise what it likes
        return False, ""
    return True, "TRL's own version of this chat template marks the assistant's words"


# -- data ----------------------------------------------------------------------


def load_data(references: Sequence[Reference]) -> Dataset:
    """All training rows, in the order of the files. Raises UsageError for data that no reader takes."""
    from datasets import concatenate_datasets

    parts = [_load_one(each) for each in references]
    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)


def _load_one(reference: Reference) -> Dataset:
    from datasets import load_dataset

    if reference.kind != "local" or reference.path is None:
        return _with_known_roles(load_dataset(reference.given, split="train"))
    files = _files(reference.path)
    kinds = {kind_of(file).format for file in files} - {None}
    if len(kinds) != 1:
        found = ", ".join(sorted(str(kind) for kind in kinds)) or "no rows"
        raise UsageError(f"{reference.path}: holds {found}, and one folder of shards has one format; split them")
    kind = str(kinds.pop())
    options = {"delimiter": "\t"} if kind == "csv" and files[0].name.lower().split(".")[-1] == "tsv" else {}
    rows = load_dataset(_READERS[kind], data_files=[str(file) for file in files], split="train", **options)
    return _with_known_roles(rows)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith((".", "_")))
    data = [each for each in found if kind_of(each).format is not None and each.suffix.lower() not in (".md", ".yaml")]
    if not data:
        raise UsageError(f"{path}: holds no training files")
    return data


def _with_known_roles(rows: Dataset) -> Dataset:
    """ShareGPT's speakers (human, gpt) under the names that chat templates know; trl 1.16 renames the keys alone."""
    if "conversations" not in rows.column_names:
        return rows

    def rename(example: dict[str, Any]) -> dict[str, Any]:
        messages = [
            {
                **{key: value for key, value in each.items() if key not in ("from", "value")},
                "role": _role(each.get("from", each.get("role"))),
                "content": each.get("value", each.get("content")),
            }
            for each in example["conversations"] or []
        ]
        return {"messages": messages}

    kept = [name for name in rows.column_names if name in ("tools", "chat_template_kwargs")]
    removed = [name for name in rows.column_names if name not in kept]
    return rows.map(rename, remove_columns=removed, desc="Naming the speakers")


def _role(given: Any) -> Any:
    return SYNONYMS.get(given.strip().lower(), given) if isinstance(given, str) else given


# -- model and trainer ---------------------------------------------------------


def load_model(run: RunConfig, name: str, precision: str) -> PreTrainedModel:
    """The weights, in 4 bits for qlora. `name` is a folder or an id of the hub."""
    from transformers import AutoModelForCausalLM

    arguments = loading_arguments(run, precision)
    if run.method == "qlora":
        from transformers import BitsAndBytesConfig

        # The QLoRA paper's settings (Dettmers et al. 2023, section 3): NF4, double quantisation, 16 bits for sums.
        arguments.setdefault(
            "quantization_config",
            BitsAndBytesConfig(  # type: ignore[no-untyped-call]
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16 if precision == "bf16" else torch.float16,
            ),
        )
        arguments.setdefault("device_map", {"": torch.cuda.current_device()})
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(name, **arguments)
    return model


def make_arguments(arguments: dict[str, Any]) -> SFTConfig:
    """trl's SFTConfig. Raises UsageError for an argument that the installed release does not take, or refuses."""
    from trl.trainer.sft_config import SFTConfig

    known = inspect.signature(SFTConfig).parameters
    if "activation_checkpointing" in known:  # transformers 5.23 warns of the older name
        names = {f"gradient{rest}": f"activation{rest}" for rest in ("_checkpointing", "_checkpointing_kwargs")}
        arguments = {names.get(name, name): value for name, value in arguments.items()}
    for name in arguments:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"trainer_arguments.{name}: the installed trl has no such argument{hint}")
    try:
        return SFTConfig(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"trl's SFTConfig refuses the configuration: {error}") from error


def adapter(run: RunConfig) -> LoraConfig | None:
    """peft's LoraConfig, None where all weights are trained."""
    if run.method == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(**lora_arguments(run))
