"""Whether a checkpoint is one of the model that is being trained: by its configuration, names and shapes.

Silent wherever a difference may be honest: a vocabulary that was resized, a head that was exchanged, the text part of a
model of several, a quantised base, a configuration of another release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.facts.checkpoint.fingerprint import fingerprint
from trainguard.facts.checkpoint.folder import ADAPTER_CONFIG, CONFIG, MANIFEST, Folder
from trainguard.facts.checkpoint.manifest import Manifest
from trainguard.facts.checkpoint.saved_weights import SavedWeights, tensors_of
from trainguard.facts.checkpoint.trainer_state import read_json
from trainguard.facts.weights.files import UnsoundError
from trainguard.facts.weights.records import TensorEntry

# Fields of a configuration that no training changes (transformers 5.23, configuration_utils.py and the models').
_SIZES = ("hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "num_attention_heads", "n_head",
          "intermediate_size")  # fmt: skip
# peft 0.21, utils/save_and_load.py: names of LoRA's matrices in a file, without the adapter's name.
_LORA = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<matrix>[AB])\.weight$")
_MAX_CONFIG_BYTES = 16 * 2**20
_LAYER = re.compile(r"\.(\d{1,6})\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The model that is trained: its folder as given, its configuration and its tensors, None where it has none."""

    path: Path
    shown: str
    config: Mapping[str, Any] | None
    tensors: Mapping[str, TensorEntry] | None
    fingerprint: str | None = None

    @property
    def quantised(self) -> bool:
        return self.config is not None and self.config.get("quantization_config") is not None


def read_base(path: Path) -> Base:
    return Base(
        path=path,
        shown=str(path),
        config=read_config(path / CONFIG),
        tensors=tensors_of(path),
        fingerprint=fingerprint(path),
    )


def read_config(path: Path) -> Mapping[str, Any] | None:
    try:
        value = read_json(path, limit=_MAX_CONFIG_BYTES)
    except UnsoundError:
        return None
    return value if isinstance(value, dict) else None


def other_model(folder: Folder, weights: SavedWeights, base: Base, manifest: Manifest | None) -> tuple[str, str] | None:
    """(file, words) where the checkpoint cannot be one of `base`, None where it may be."""
    recorded = manifest.base_model_fingerprint if manifest is not None else None
    if recorded is not None and base.fingerprint is not None and recorded != base.fingerprint:
        return MANIFEST, f"says that it was trained from another model than {base.shown}"
    if weights.adapter:
        words = _adapter_mismatch(weights.names, base) if weights.names else None
        return (weights.files[0], words) if words is not None else None
    if folder.has(CONFIG) and (words := _config_mismatch(read_config(folder.path / CONFIG), base.config)) is not None:
        return CONFIG, words
    words = _shape_mismatch(weights.names, base) if weights.names else None
    return (weights.files[0], words) if words is not None else None


def _config_mismatch(config: Mapping[str, Any] | None, base: Mapping[str, Any] | None) -> str | None:
    if config is None or base is None:
        return None
    own, other = _text_part(config), _text_part(base)
    differing = [
        key
        for key in _SIZES
        if isinstance(own.get(key), int) and isinstance(other.get(key), int) and own[key] != other[key]
    ]
    types = (own.get("model_type"), other.get("model_type"))
    if all(isinstance(each, str) for each in types) and not _related(str(types[0]), str(types[1])):
        return f"is a {types[0]!s:.40} model, and the base is a {types[1]!s:.40}"
    if differing:
        key = differing[0]
        return f"has {key} {own[key]:,}, and the base has {other[key]:,}"
    return None


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    part = config.get("text_config")
    return part if isinstance(part, dict) else config


def _related(one: str, other: str) -> bool:
    """gemma3 and gemma3_text are one model: the text part of it can be trained alone."""
    return one.startswith(other) or other.startswith(one)


def _shape_mismatch(names: Mapping[str, TensorEntry] | None, base: Base) -> str | None:
    if names is None or base.tensors is None or base.quantised:
        return None
    for name, entry in names.items():
        other = base.tensors.get(name)
        if other is None or entry.shape == other.shape:
            continue
        # The first dimension of an embedding or a head is the vocabulary or the labels, which a training may resize.
        if entry.shape[1:] == other.shape[1:] and _LAYER.search(name) is None:
            continue
        return f"has {name!r} as {_shape(entry)}, and the base has it as {_shape(other)}"
    return None


def _adapter_mismatch(names: Mapping[str, TensorEntry] | None, base: Base) -> str | None:
    """LoRA's A has the inputs of the layer that it changes, its B the outputs; the layer has to be there."""
    if names is None or base.tensors is None or base.quantised:
        return None
    layers = _layers(base.tensors)
    for name, entry in names.items():
        match = _LORA.match(name)
        if match is None or len(entry.shape) != 2:
            continue
        module = match["module"]
        layer = base.tensors.get(f"{module}.weight")
        if layer is not None and len(layer.shape) == 2:
            size = entry.shape[1] if match["matrix"] == "A" else entry.shape[0]
            if size not in layer.shape:
                side = "inputs" if match["matrix"] == "A" else "outputs"
                return f"adapts {module!r} with {size:,} {side}, and the base has it as {_shape(layer)}"
        elif (place := _LAYER.search(f"{module}.")) is not None:
            count = layers.get(module[: place.start()], 0)
            if int(place[1]) >= count > 0:
                return (
                    f"adapts layer {int(place[1]):,} of {module[: place.start()]!r}, and the base has {count:,} there"
                )
    return None


def _layers(tensors: Mapping[str, TensorEntry]) -> dict[str, int]:
    """How many layers stand under each name, such as {"model.layers": 32}."""
    counts: dict[str, int] = {}
    for name in tensors:
        if (place := _LAYER.search(name)) is not None:
            before = name[: place.start()]
            counts[before] = max(counts.get(before, 0), int(place[1]) + 1)
    return counts


def adapter_base(folder: Folder) -> str | None:
    """What adapter_config.json says that the adapter was trained on: an id of the Hub or a path."""
    config = read_config(folder.path / ADAPTER_CONFIG) if folder.has(ADAPTER_CONFIG) else None
    name = (config or {}).get("base_model_name_or_path")
    return name if isinstance(name, str) else None


def _shape(entry: TensorEntry) -> str:
    return " x ".join(f"{length:,}" for length in entry.shape) or "a scalar"
