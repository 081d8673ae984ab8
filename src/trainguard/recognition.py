"""What a path that is named for a check is, besides a script or a job: data, a configuration, a model, checkpoints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from trainguard.rules.base import Kind

_DATA_SUFFIXES = (".jsonl", ".ndjson", ".parquet", ".csv", ".txt", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst")
_CONFIG_SUFFIXES = (".toml", ".yaml", ".yml")
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_SCRIPT_SUFFIXES = (".py", ".ipynb", ".pyw")
# Of a row: one of these says what is trained on.
_ROW_KEYS = {"messages", "conversations", "prompt", "completion", "text", "chosen", "rejected"}
# Of a configuration: the model and one thing that is said of its training.
_MODEL_KEYS = {"base_model", "model_name", "model_name_or_path"}
_RUN_KEYS = {
    *("batch_size", "data", "epochs", "gradient_accumulation", "learning_rate", "lora", "max_length", "max_steps"),
    *("method", "num_train_epochs", "output_dir", "precision", "save", "tokenizer", "train_file", "warmup"),
    *("dataset_name", "gradient_accumulation_steps", "max_seq_length", "per_device_train_batch_size", "warmup_steps"),
}
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_CHECKPOINT_FILES = {"trainer_state.json", "optimizer.pt", "scheduler.pt", "optimizer.bin", "training_args.bin"}
_MODEL_FILES = {
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "pytorch_model.bin",
    "generation_config.json",
}
_HEAD_BYTES = 64 * 1024


def kind_of_name(path: Path) -> Kind | None:
    """What the name of a file says, where it says enough."""
    name = path.name.lower()
    if name.endswith(_DATA_SUFFIXES):
        return "data"
    if name.endswith(_CONFIG_SUFFIXES) and name != "pyproject.toml":
        return "config"
    return "model" if name.endswith(_WEIGHT_SUFFIXES) else None


def kind_of_content(content: object) -> Kind | None:
    """What the content of a JSON file says, where it is no job."""
    if isinstance(content, Mapping):
        keys = content.keys()
        return "config" if _MODEL_KEYS & keys and _RUN_KEYS & keys and "script" not in keys else None
    if isinstance(content, list):
        first = content[0] if content else None
        if isinstance(first, Mapping) and _ROW_KEYS & first.keys() and not {"script", "command"} & first.keys():
            return "data"
    return None


def kind_of_broken_json(path: Path) -> Kind | None:
    """What a file named .json is that is no JSON document: JSON Lines, a long array of rows, a broken configuration."""
    try:
        if not path.is_file():
            return "config" if path.name == "config.json" else None
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return None
    text = head.decode("utf-8", "replace").lstrip()
    if text.startswith("[") and any(f'"{key}"' in text for key in _ROW_KEYS):
        return "data"
    try:
        first = json.loads(text.partition("\n")[0])
    except (ValueError, RecursionError):
        first = None
    if isinstance(first, Mapping) and _ROW_KEYS & first.keys():
        return "data"
    return "config" if any(f'"{key}"' in text for key in _MODEL_KEYS) or path.name == "config.json" else None


def kinds_of_folder(path: Path) -> list[Kind]:
    """What a folder is as a whole; nothing where it is one to look for scripts in."""
    try:
        with os.scandir(path) as entries:
            names = {entry.name: entry.is_dir() for entry in entries}
    except (OSError, ValueError):
        return []
    files = {name for name, is_folder in names.items() if not is_folder}
    if _CHECKPOINT.fullmatch(path.absolute().name) or files & _CHECKPOINT_FILES - {"training_args.bin"}:
        return ["checkpoint"]
    kinds: list[Kind] = []
    if _is_model(path, files):
        kinds.append("model")
    if any(is_folder and _CHECKPOINT.fullmatch(name) for name, is_folder in names.items()):
        kinds.append("checkpoint")
    if kinds or any(name.endswith(_SCRIPT_SUFFIXES) for name in files):
        return kinds
    # A text file is data where it is named; in a folder it may be notes or requirements.
    return ["data"] if any(kind_of_name(Path(name)) == "data" and not name.endswith(".txt") for name in files) else []


def _is_model(path: Path, files: set[str]) -> bool:
    if files & _MODEL_FILES or any(name.endswith((".safetensors", ".index.json")) for name in files):
        return True
    if "config.json" not in files:
        return False
    try:
        with (path / "config.json").open("rb") as file:
            content = json.loads(file.read(_HEAD_BYTES * 16))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, Mapping) and ("model_type" in content or "architectures" in content)
