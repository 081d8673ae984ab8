"""A hand-written loop with Accelerate. The state goes to a mounted bucket, the model to the Hub."""

import torch
import trackio
from accelerate import Accelerator
from datasets import load_dataset
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    default_data_collator,
    get_cosine_schedule_with_warmup,
)

MODEL = "HuggingFaceTB/SmolLM2-135M"
REPO = "my-org/smollm2-stories"
CHECKPOINTS = "/mnt/checkpoints/smollm2-stories"
BLOCK_TOKENS = 512
SAVE_EVERY_STEPS = 500

accelerator = Accelerator(mixed_precision="bf16", gradient_accumulation_steps=4)
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL)


def to_blocks(batch):
    """Stories end to end, cut into blocks of one length: nothing is padded, nothing but the last rest is lost."""
    tokens = []
    for text in batch["text"]:
        tokens += [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    starts = range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS)
    blocks = [tokens[start : start + BLOCK_TOKENS] for start in starts]
    return {"input_ids": blocks, "labels": [list(block) for block in blocks]}


stories = load_dataset("roneneldan/TinyStories", split="train[:200000]")
blocks = stories.map(to_blocks, batched=True, remove_columns=stories.column_names)
loader = DataLoader(blocks, batch_size=16, shuffle=True, collate_fn=default_data_collator)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
scheduler = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=100, num_training_steps=len(loader) // 4)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)

trackio.init(project="stories")
model.train()
for step, batch in enumerate(loader, start=1):
    with accelerator.accumulate(model):
        loss = model(**batch).loss
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    if step % 50 == 0:
        trackio.log({"loss": loss.item(), "learning_rate": scheduler.get_last_lr()[0]}, step=step)
    if step % SAVE_EVERY_STEPS == 0:
        accelerator.save_state(CHECKPOINTS)
trackio.finish()

accelerator.wait_for_everyone()
accelerator.unwrap_model(model).push_to_hub(REPO)
tokenizer.push_to_hub(REPO)
