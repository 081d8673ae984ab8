"""Trains a model of a few thousand weights for four steps on the CPU; run as a script of its own: OUTPUT_DIR.

The checkpoints are what the installed Trainer really writes, with everything that it needs to resume.
"""

from __future__ import annotations

import sys


def main() -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    tokens = torch.randint(0, 64, (16, 8))
    rows = [{"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)} for row in tokens]
    arguments = TrainingArguments(
        output_dir=sys.argv[1],
        max_steps=6,
        save_steps=2,
        logging_steps=1,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(f"{sys.argv[1]}/base")
    Trainer(model=model, args=arguments, train_dataset=rows).train()


if __name__ == "__main__":
    main()
