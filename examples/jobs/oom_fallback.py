"""On an out-of-memory error it trains something else: half the context, and nobody is told. Nothing is saved."""

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

dataset = load_dataset("trl-lib/Capybara", split="train")


def train(max_length):
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-1.7B", dtype=torch.bfloat16),
        args=SFTConfig(
            output_dir="capybara",
            max_length=max_length,
            save_strategy="no",
            logging_strategy="steps",
            logging_first_step=True,
            disable_tqdm=True,
            report_to="trackio",
        ),
        train_dataset=dataset,
    )
    trainer.train()


try:
    train(max_length=4096)
except torch.cuda.OutOfMemoryError:
    train(max_length=1024)
