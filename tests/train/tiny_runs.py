"""A tiny causal model, its data and a stock Trainer on the CPU, made in place, for the tests of the guarded run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

VOCABULARY = 64


def model(seed: int = 0, **config: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            **{
                "vocab_size": VOCABULARY,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "max_position_embeddings": 64,
                **config,
            }
        )
    )


def lora(base: nn.Module | None = None, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **options})
    return get_peft_model(base or model(), config)


def rows(count: int = 32, length: int = 12, *, seed: int = 1, masked: bool = False) -> list[dict[str, Any]]:
    """Sequences that count upwards from a random start, which a tiny model learns in a few dozen steps."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for start in torch.randint(0, VOCABULARY, (count,), generator=generator).tolist():
        ids = (torch.arange(length) + start) % VOCABULARY
        labels = torch.full_like(ids, -100) if masked else ids.clone()
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels})
    return made


def arguments(output: Path, **more: Any) -> TrainingArguments:
    return TrainingArguments(
        **{
            "output_dir": str(output),
            "max_steps": 8,
            "logging_steps": 1,
            "save_steps": 4,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-3,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "remove_unused_columns": False,
            **more,
        }
    )


def trainer(
    output: Path, *callbacks: Any, net: Any = None, data: Any = None, kind: type[Trainer] = Trainer, **more: Any
) -> Trainer:
    """A Trainer that is ready; arguments of Trainer itself are given as `trainer_...`."""
    own = {name.removeprefix("trainer_"): more.pop(name) for name in list(more) if name.startswith("trainer_")}
    return kind(
        model=net if net is not None else model(),
        args=arguments(output, **more),
        train_dataset=data if data is not None else rows(),
        callbacks=list(callbacks),
        **own,
    )


def codes(findings: Any) -> list[str | None]:
    return [finding.code for finding in findings]
