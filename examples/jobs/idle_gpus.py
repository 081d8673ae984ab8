"""A hand-written loop on one of the four GPUs that are paid for. The result stays on the job's disk."""

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("HuggingFaceTB/SmolLM2-360M")
model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-360M").to("cuda")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

stories = load_dataset("roneneldan/TinyStories", split="train[:50000]")
model.train()
for step, row in enumerate(stories):
    batch = tokenizer(row["text"], return_tensors="pt", truncation=True, max_length=512).to("cuda")
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 100 == 0:
        print(step, loss.item())

model.save_pretrained("./stories-model")
tokenizer.save_pretrained("./stories-model")
