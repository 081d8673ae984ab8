"""Inference, no training: the default timeout is fine, and no model needs saving."""

from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

MODEL = "Qwen/Qwen3-0.6B"

tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, device_map="auto")
generate = pipeline("text-generation", model=model, tokenizer=tokenizer)

questions = load_dataset("openai/gsm8k", "main", split="test[:200]")["question"]
rows = []
for question in questions:
    reply = generate([{"role": "user", "content": question}], max_new_tokens=256, return_full_text=False)
    rows.append({"question": question, "answer": reply[0]["generated_text"]})

Dataset.from_list(rows).push_to_hub("my-org/gsm8k-answers")
