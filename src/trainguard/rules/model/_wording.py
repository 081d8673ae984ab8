"""Words and files that the rules about models share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainguard.rules._example_files import Recipe, tensors

_NAMED = 3


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number:,} {word}s"


# Files of examples: a model of two layers, small enough to be read in a page.
CONFIG = (
    '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 4, "hidden_size": 2, '
    '"num_hidden_layers": 1, "tie_word_embeddings": false}'
)
TOKENIZER = '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3}, "merges": []}, "added_tokens": []}'
LAYER: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "input_layernorm.weight": ("F32", (2,)),
    "mlp.down_proj.weight": ("F32", (2, 4)),
    "mlp.gate_proj.weight": ("F32", (4, 2)),
    "mlp.up_proj.weight": ("F32", (4, 2)),
    "post_attention_layernorm.weight": ("F32", (2,)),
    "self_attn.k_proj.weight": ("F32", (2, 2)),
    "self_attn.o_proj.weight": ("F32", (2, 2)),
    "self_attn.q_proj.weight": ("F32", (2, 2)),
    "self_attn.v_proj.weight": ("F32", (2, 2)),
}
TENSORS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "lm_head.weight": ("F32", (4, 2)),
    "model.embed_tokens.weight": ("F32", (4, 2)),
    **{f"model.layers.0.{name}": entry for name, entry in LAYER.items()},
    "model.norm.weight": ("F32", (2,)),
}


def model_files(folder: str = "model") -> dict[str, str | Recipe]:
    """A whole model with its tokenizer."""
    return {
        f"{folder}/config.json": CONFIG,
        f"{folder}/model.safetensors": tensors(TENSORS),
        f"{folder}/tokenizer.json": TOKENIZER,
    }


def adapter_files(folder: str = "adapter", *, rank: int = 2, features: int = 2) -> dict[str, str | Recipe]:
    """An adapter of rank 2 for that model's q_proj. `rank` is what its configuration says."""
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    return {
        f"{folder}/adapter_config.json": f'{{"peft_type": "LORA", "r": {rank}, "target_modules": ["q_proj"]}}',
        f"{folder}/adapter_model.safetensors": tensors(
            {f"{module}.lora_A.weight": ("F32", (2, features)), f"{module}.lora_B.weight": ("F32", (features, 2))}
        ),
    }
