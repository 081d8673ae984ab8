"""What becomes of the model: what is loaded, saved, pushed and uploaded by a script."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from trainguard.facts.calls import Call
from trainguard.facts.resolver import Resolver
from trainguard.facts.values import ABSENT, Symbol, Text, Value, may_be_true, options, text
from trainguard.libraries.training_apis import HUB_METHODS, NOT_A_MODEL, SAVE_METHODS, UPLOAD_METHODS

SaveKind: TypeAlias = Literal["hub", "upload", "local"]
Thing: TypeAlias = Literal["model", "tokenizer", "dataset"]

# `X.save(…)` and `torch.save(…)` of these packages store a model; of others (PIL, numpy, …) they do not.
_SAVERS = {"torch", "safetensors", "accelerate", "lightning", "pytorch_lightning", "fabric", "mlx", "flax", "orbax"}
_KEEPING = HUB_METHODS | UPLOAD_METHODS | SAVE_METHODS | {"save", "export"}
_REMOTE_PATHS = ("s3://", "gs://", "gcs://", "hf://", "az://", "abfs://", "abfss://", "adl://", "oss://")


@dataclass(frozen=True, slots=True)
class Save:
    """One call that keeps something: where it goes to, what it is, and with which path or repository."""

    call: Call
    kind: SaveKind
    thing: Thing
    path: Value


class Persistence:
    """Loads, saves and pushes of a script. Only live code counts."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    @cached_property
    def model_loads(self) -> tuple[Call, ...]:
        """`from_pretrained` calls of a model: not of a tokenizer, processor or configuration."""
        return tuple(
            call
            for call in self._resolver.calls_by_written_name.get("from_pretrained", [])
            if not NOT_A_MODEL.search(_owner_name(call)) and call.live
        )

    @cached_property
    def saves(self) -> tuple[Save, ...]:
        """All calls that keep a model, tokenizer or dataset, on disk or on a hub."""
        found = []
        for call in self._resolver.calls:
            kind = _kind(call)
            if kind is not None and call.live:
                path = _path(call)
                found.append(Save(call, "upload" if _is_remote(path) else kind, _thing(call), path))
        return tuple(found)

    @cached_property
    def model_saves(self) -> tuple[Save, ...]:
        return tuple(save for save in self.saves if save.thing == "model")

    @property
    def uploads_model(self) -> bool:
        """Whether a call sends the model off the machine."""
        return any(save.kind != "local" for save in self.model_saves)


def _owner_name(call: Call) -> str:
    """The class that is loaded, `AutoTokenizer` of `AutoTokenizer.from_pretrained`."""
    for option in options(call.receiver):
        if isinstance(option, Symbol):
            return option.name
    return call.receiver_text.rpartition(".")[2]


def _kind(call: Call) -> SaveKind | None:
    names = call.names
    if names.isdisjoint(_KEEPING):
        return None
    if names & HUB_METHODS:
        return "hub"
    if names & UPLOAD_METHODS:
        return "upload"
    if names & SAVE_METHODS:
        pushes = call.argument("push_to_hub")
        return "hub" if pushes is not ABSENT and may_be_true(pushes) else "local"
    if "save" in names or "export" in names:
        owner = call.receiver_text.lower()
        package = call.package or ""
        if package in _SAVERS or any(word in owner for word in ("model", "trainer", "ckpt", "checkpoint", "fabric")):
            return "local"
        if package in ("wandb", "trackio", "mlflow", "comet_ml"):
            return "upload"
    return None


def _path(call: Call) -> Value:
    names = ("repo_id", "save_directory", "output_dir", "path", "f", "filename", "save_path", "checkpoint_dir")
    for name in names:
        if (value := call.argument(name)) is not ABSENT and name in call.keywords:
            return value
    torch_like = call.written_name in ("save", "save_file", "async_save") and call.package in _SAVERS
    return call.positional(1 if torch_like else 0)


def _is_remote(path: Value) -> bool:
    known = text(path) or (path.prefix if isinstance(path, Text) else "")
    return known.startswith(_REMOTE_PATHS)


_TOKENIZER_WORDS = ("tokenizer", "processor", "processing_class", "feature_extractor")
_DATASET_WORDS = ("dataset", "datasets", "ds", "data", "train_data", "train_ds", "eval_ds")


def _thing(call: Call) -> Thing:
    """What is kept, by what made it, else by the name of the variable."""
    for maker in call.receiver_calls:
        owner = _owner_name(maker)
        if maker.written_name == "from_pretrained":
            return "tokenizer" if NOT_A_MODEL.search(owner) else "model"
        if maker.package == "datasets" or maker.written_name in ("load_dataset", "load_from_disk"):
            return "dataset"
    receiver = call.receiver_text.lower().rpartition(".")[2]
    if receiver in _TOKENIZER_WORDS or receiver in ("tok", "tokenizer_fast") or receiver.endswith("tokenizer"):
        return "tokenizer"
    if receiver in _DATASET_WORDS or receiver.endswith(("dataset", "_ds")):
        return "dataset"
    if text(call.argument("repo_type")) == "dataset":
        return "dataset"
    return "model"
