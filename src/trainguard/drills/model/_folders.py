"""Small model folders, written byte by byte: no library is asked to make what another will read."""

from __future__ import annotations

import json
from pathlib import Path

from trainguard.drills.data._rows import write_tokenizer
from trainguard.rules._example_files import tensors, write_files

_HIDDEN = 8
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": _HIDDEN,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "vocab_size": 16,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
}
_LAYER = {
    "input_layernorm": (_HIDDEN,),
    "post_attention_layernorm": (_HIDDEN,),
    "mlp.down_proj": (_HIDDEN, 16),
    "mlp.gate_proj": (16, _HIDDEN),
    "mlp.up_proj": (16, _HIDDEN),
    "self_attn.k_proj": (_HIDDEN, _HIDDEN),
    "self_attn.o_proj": (_HIDDEN, _HIDDEN),
    "self_attn.q_proj": (_HIDDEN, _HIDDEN),
    "self_attn.v_proj": (_HIDDEN, _HIDDEN),
}


def write_model(folder: Path, *, rows: int = 16) -> Path:
    """A Llama of one layer with its tokenizer of 3 words; `rows` are those of its embedding."""
    shapes = {"model.embed_tokens.weight": (rows, _HIDDEN), "model.norm.weight": (_HIDDEN,)}
    shapes |= {f"model.layers.0.{name}.weight": shape for name, shape in _LAYER.items()}
    weights = tensors({name: ("F32", shape) for name, shape in shapes.items()}, metadata={"format": "pt"})
    config = json.dumps(CONFIG | {"vocab_size": rows})
    write_tokenizer(folder)
    write_files({"config.json": config, "model.safetensors": weights}, folder)
    return folder


def write_adapter(folder: Path, *, base: str, hidden: int = _HIDDEN) -> Path:
    """A LoRA of rank 2 on the query projection of a base of that width."""
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = tensors({f"{stem}.lora_A.weight": ("F32", (2, hidden)), f"{stem}.lora_B.weight": ("F32", (hidden, 2))})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_files({"adapter_config.json": json.dumps(config), "adapter_model.safetensors": weights}, folder)
    return folder
