"""config.json of transformers: what it says about the shape of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainguard.facts.model.json_files import read_object
from trainguard.facts.model.records import ModelConfig
from trainguard.facts.weights.files import UnsoundError

# Names of the text part in models of several parts (transformers 5.23, configuration_utils.py, `get_text_config`).
_TEXT_PARTS = ("text_config", "language_config", "llm_config", "thinker_config", "decoder", "generator", "text_encoder")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def read_config(path: Path) -> ModelConfig:
    """Reads a config.json. Whatever is wrong is the `problem` of the result."""
    try:
        raw = read_object(path)
    except UnsoundError as error:
        return ModelConfig(problem=str(error))
    text = next((part for name in _TEXT_PARTS if isinstance(part := raw.get(name), dict)), None)
    about: Mapping[str, Any] = raw if text is None else text
    architectures = raw.get("architectures")
    layer_types = about.get("layer_types")
    tied = raw.get("tie_word_embeddings", about.get("tie_word_embeddings"))
    model_type = raw.get("model_type")
    return ModelConfig(
        model_type=model_type if isinstance(model_type, str) else None,
        architectures=_texts(architectures),
        vocab_size=_whole(about, ("vocab_size",)),
        hidden_size=_whole(about, _HIDDEN),
        layers=_whole(about, _LAYERS),
        max_positions=_whole(about, _POSITIONS),
        tied=tied if isinstance(tied, bool) else None,
        quantized=bool(raw.get("quantization_config") or about.get("quantization_config") or raw.get("quantization")),
        layer_types=_texts(layer_types),
        composite=text is not None or bool(raw.get("is_encoder_decoder")) or "vision_config" in raw,
        raw=raw,
    )


def _whole(about: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    values = (about.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
