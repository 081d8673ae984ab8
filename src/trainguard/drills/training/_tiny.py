"""A model of a few thousand weights with its tokenizer, and stock Trainers on the CPU. For forks: imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments

VOCABULARY = 320
_SPECIAL = ["<pad>", "<|im_start|>", "<|im_end|>"]
# ChatML. What stands between generation and endgeneration is learnt with assistant_only_loss.
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>\n{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes and a few words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["What is 1 + 1? It is 2.", "Why? Because it is so."], trainer)
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, pad_token="<pad>", eos_token="<|im_end|>"
    )
    made.chat_template = _TEMPLATE
    return made


def model(kind: type[LlamaForCausalLM] = LlamaForCausalLM, **config: Any) -> Any:
    """A Llama with random weights, the same each time."""
    torch.manual_seed(0)
    return kind(
        LlamaConfig(
            **{
                "vocab_size": VOCABULARY,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "max_position_embeddings": 256,
                "pad_token_id": 0,
                "eos_token_id": 2,
                "bos_token_id": None,
                **config,
            }
        )
    )


def make_base(folder: str) -> None:
    """Writes the model and its tokenizer."""
    tokenizer().save_pretrained(folder)
    model().save_pretrained(folder)


def rows(count: int = 32, length: int = 12, *, seed: int = 1, random: bool = False) -> list[dict[str, Any]]:
    """Sequences that count upwards from a random start, which can be learnt; `random` ones cannot."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for start in torch.randint(3, VOCABULARY, (count,), generator=generator).tolist():
        ids = (torch.arange(length) + start) % VOCABULARY
        if random:
            ids = torch.randint(3, VOCABULARY, (length,), generator=generator)
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()})
    return made


def train(
    *,
    guarded: bool,
    net: Any = None,
    data: Any = None,
    guard: Mapping[str, Any] | None = None,
    resume: bool = False,
    trainer: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Trains with the stock Trainer into `out`, with GuardCallback or alone; what there is to be judged.

    `guard` and `trainer` are further arguments of these, `arguments` those of TrainingArguments.
    """
    from trainguard.train.actions import NotReadyError
    from trainguard.train.callback import GuardCallback

    torch.set_num_threads(1)
    callback = GuardCallback(**(guard or {}))
    made = Trainer(
        model=net if net is not None else model(),
        args=TrainingArguments(
            **{
                "output_dir": "out",
                "max_steps": 8,
                "logging_steps": 1,
                "save_steps": 2,
                "per_device_train_batch_size": 4,
                "learning_rate": 1e-3,
                "report_to": [],
                "use_cpu": True,
                "disable_tqdm": True,
                "remove_unused_columns": False,
                **arguments,
            }
        ),
        train_dataset=data if data is not None else rows(),
        callbacks=[callback] if guarded else [],
        **(trainer or {}),
    )
    refused = False
    try:
        made.train(resume_from_checkpoint=resume or None)
    except NotReadyError:
        refused = True
    return {
        "findings": [finding.to_dict() for finding in callback.findings],
        "exit_code": callback.exit_code,
        "stopped": callback.stopped,
        "refused": refused,
        "steps": made.state.global_step,
        "losses": [str(line["loss"]) for line in made.state.log_history if "loss" in line],
        "checkpoints": checkpoints(),
    }


def checkpoints(output: str = "out") -> dict[str, bool]:
    """The checkpoints by name, and whether all their weights are finite."""
    found = sorted(Path(output).glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    return {
        path.name: all(bool(each.isfinite().all()) for each in load_file(path / "model.safetensors").values())
        for path in found
    }
