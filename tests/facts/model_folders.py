"""Model, adapter and tokenizer folders as the real libraries save them, tiny and random."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers

# The classes' signatures are looser than their stubs.
tf: Any = transformers
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
ENDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}


def tokenizer(tokens: int = 64) -> Any:
    words = {f"w{number}": number for number in range(tokens - 1)} | {"<unk>": tokens - 1}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="w0", eos_token="w1")


def llama(**options: Any) -> Any:
    torch.manual_seed(0)
    return tf.LlamaForCausalLM(tf.LlamaConfig(**{**SIZES, **options}))


def save(folder: Path, model: Any, **options: Any) -> Path:
    """Saves a model with its tokenizer."""
    model.save_pretrained(folder, **options)
    tokenizer().save_pretrained(folder)
    return folder


def _without_groups() -> dict[str, Any]:
    return {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}


# Architectures whose layers, names or norms differ from each other in ways that a check could take for damage.
ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "llama-tied": lambda: llama(tie_word_embeddings=True),
    "llama-biases": lambda: llama(attention_bias=True, mlp_bias=True),
    "llama-bf16": lambda: llama().bfloat16(),
    "llama-classifier": lambda: tf.LlamaForSequenceClassification(tf.LlamaConfig(**SIZES, pad_token_id=0)),
    "qwen2": lambda: tf.Qwen2ForCausalLM(tf.Qwen2Config(**SIZES)),
    "qwen3": lambda: tf.Qwen3ForCausalLM(tf.Qwen3Config(**SIZES, head_dim=8)),
    "mistral": lambda: tf.MistralForCausalLM(tf.MistralConfig(**SIZES)),
    "mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**SIZES, num_local_experts=2)),
    "gemma": lambda: tf.GemmaForCausalLM(tf.GemmaConfig(**SIZES, head_dim=8)),
    "gemma2": lambda: tf.Gemma2ForCausalLM(tf.Gemma2Config(**SIZES, head_dim=8)),
    "gemma3": lambda: tf.Gemma3ForCausalLM(tf.Gemma3TextConfig(**SIZES, head_dim=8)),
    "phi3": lambda: tf.Phi3ForCausalLM(tf.Phi3Config(**SIZES, **ENDS)),
    "gpt2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(vocab_size=64, n_embd=16, n_layer=4, n_head=2, **ENDS)),
    "neox": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**_without_groups())),
    "t5": lambda: tf.T5ForConditionalGeneration(
        tf.T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=4, num_heads=2)
    ),
    "modernbert": lambda: tf.ModernBertForMaskedLM(
        tf.ModernBertConfig(**_without_groups(), **ENDS, cls_token_id=1, sep_token_id=1)
    ),
    "qwen3-moe": lambda: tf.Qwen3MoeForCausalLM(
        tf.Qwen3MoeConfig(
            **SIZES, head_dim=8, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8, mlp_only_layers=[0]
        )
    ),
    "qwen3-next": lambda: tf.Qwen3NextForCausalLM(
        tf.Qwen3NextConfig(
            **SIZES,
            head_dim=8,
            num_experts=2,
            num_experts_per_tok=1,
            moe_intermediate_size=8,
            shared_expert_intermediate_size=8,
            linear_num_key_heads=2,
            linear_num_value_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
        )
    ),
    "llava": lambda: tf.LlavaForConditionalGeneration(
        tf.LlavaConfig(
            text_config=tf.LlamaConfig(**SIZES),
            vision_config=tf.CLIPVisionConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=3,
                num_attention_heads=2,
                image_size=8,
                patch_size=4,
            ),
            image_token_index=5,
        )
    ),
}

_LORA: dict[str, Any] = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
ADAPTERS: dict[str, Callable[[], Any]] = {
    "lora": lambda: LoraConfig(**_LORA),
    "dora": lambda: LoraConfig(**_LORA, use_dora=True),
    "modules-to-save": lambda: LoraConfig(**_LORA, modules_to_save=["lm_head", "embed_tokens"]),
    "rank-pattern": lambda: LoraConfig(**_LORA, rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 4}),
    "rank-regex": lambda: LoraConfig(**_LORA, rank_pattern={"^model.layers.1.*v_proj": 8}),
    "all-linear": lambda: LoraConfig(r=4, target_modules="all-linear"),
    "biases": lambda: LoraConfig(**_LORA, bias="all"),
    "tokens": lambda: LoraConfig(**_LORA, trainable_token_indices={"embed_tokens": [1, 2]}),
    "replicated": lambda: LoraConfig(**_LORA, layer_replication=[(0, 4), (2, 4)]),
}


def save_adapter(folder: Path, config: Any, base: Any) -> Path:
    get_peft_model(copy.deepcopy(base), config).save_pretrained(folder)
    return folder


def other_folders(root: Path) -> dict[str, Path]:
    """Folders of other kinds: shards, torch's format, a tokenizer alone, the hub's cache, files beside."""
    model = llama()
    sharded = save(root / "sharded", model, max_shard_size="8KB")
    folders = {"sharded": sharded, "tokenizer": root / "tokenizer", "torch": root / "torch"}
    tokenizer().save_pretrained(folders["tokenizer"])
    folders["torch"].mkdir()
    torch.save(model.state_dict(), folders["torch"] / "pytorch_model.bin")
    torch.save(tf.TrainingArguments(output_dir="out", report_to=[]), folders["torch"] / "training_args.bin")
    model.config.save_pretrained(folders["torch"])
    tokenizer().save_pretrained(folders["torch"])
    beside = folders["beside"] = save(root / "beside", model)
    (beside / "model-q4.gguf").write_bytes(b"GGUF")
    (beside / "README.md").write_text("# A model")
    (beside / "original").mkdir()
    torch.save(model.state_dict(), beside / "original" / "consolidated.00.pth")
    quantized = folders["quantized"] = save(root / "quantized", model)
    config = json.loads((quantized / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (quantized / "config.json").write_text(json.dumps(config))
    snapshot = folders["cache"] = root / "models--org--name" / "snapshots" / "c0ffee"
    blobs = root / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, name in enumerate(sorted(os.listdir(sharded))):
        shutil.copy(sharded / name, blobs / f"{number:04x}")
        (snapshot / name).symlink_to(f"../../blobs/{number:04x}")
    padded = llama(vocab_size=128)
    folders["padded"] = save(root / "padded", padded)
    merged = get_peft_model(copy.deepcopy(model), LoraConfig(**_LORA)).merge_and_unload()
    folders["merged"] = save(root / "merged", merged)
    return folders
