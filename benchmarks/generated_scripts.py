"""Training scripts that look like people's, as many and as long as a measurement needs; one seed, one text."""

from __future__ import annotations

import random
from string import Template

_IMPORTS = '''"""Fine-tunes $model on $dataset."""

import argparse
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, DatasetDict, load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import ${method}Config, ${method}Trainer

logger = logging.getLogger(__name__)

MODEL = "$model"
DATASET = "$dataset"
OUTPUT = "$output"
SYSTEM_PROMPT = """You are a careful assistant.
Answer in at most $number sentences, and say so when you do not know."""


@dataclass
class RunSettings:
    learning_rate: float = $rate
    epochs: int = $small
    batch_size: int = $batch
    max_length: int = $length
    lora_rank: int = $rank


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--dataset", default=DATASET)
    parser.add_argument("--output", default=OUTPUT)
    parser.add_argument("--learning-rate", type=float, default=$rate)
    parser.add_argument("--epochs", type=int, default=$small)
    parser.add_argument("--seed", type=int, default=$number)
    parser.add_argument("--hub-model-id", default="someone/$output")
    return parser.parse_args()
'''

_FUNCTIONS = (
    """
def format_$word(row: dict) -> dict:
    question, answer = row["question"].strip(), row["answer"].strip()
    messages = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": f"{question}\\n\\nContext: {row.get('context', '')[:$length]}"},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages, "length_$number": len(question) + len(answer)}
""",
    '''
def keep_$word(row: dict, shortest: int = $small, longest: int = $length) -> bool:
    """Rows that are neither empty nor longer than what the model reads."""
    text = " ".join(message["content"] for message in row["messages"])
    words = [word for word in text.split() if word.isalnum()]
    if not words:
        return False
    share = sum(len(word) > $small for word in words) / len(words)
    return shortest <= len(words) <= longest and share > 0.0$number
''',
    """
def load_$word(name: str, seed: int = $number) -> DatasetDict:
    path = Path("cache") / f"{name.replace('/', '-')}.json"
    if path.exists():
        with path.open() as file:
            rows = json.load(file)
        logger.info("read %d rows of $word", len(rows))
        return Dataset.from_list(rows).train_test_split(test_size=0.$small, seed=seed)
    data = load_dataset(name, split="train")
    data = data.filter(lambda row: row["answer"] is not None)
    return data.train_test_split(test_size=0.$small, seed=seed)
""",
    """
def score_$word(predictions: tuple) -> dict[str, float]:
    logits, labels = predictions
    guesses = np.argmax(logits, axis=-1)
    mask = labels != -100
    right = (guesses == labels) & mask
    total = int(mask.sum())
    accuracy = float(right.sum()) / max(total, 1)
    return {"accuracy_$word": accuracy, "tokens": float(total)}
""",
    '''
class Watch$Word(TrainerCallback):
    """Stops where the loss of $word has not improved for $number logs."""

    def __init__(self, patience: int = $number) -> None:
        self.best = float("inf")
        self.patience = patience
        self.since_best = 0

    def on_log(self, args, state, control, logs=None, **kwargs):
        loss = (logs or {}).get("loss")
        if loss is None:
            return control
        if loss < self.best - $rate:
            self.best, self.since_best = loss, 0
        else:
            self.since_best += 1
        if self.since_best > self.patience:
            logger.warning("no progress since step %d", state.global_step - self.since_best)
            control.should_training_stop = True
        return control
''',
    """
def memory_of_$word(device: int = 0) -> str:
    if not torch.cuda.is_available():
        return "no GPU"
    used = torch.cuda.max_memory_allocated(device) / 2**30
    whole = torch.cuda.get_device_properties(device).total_memory / 2**30
    return f"{used:.1f} of {whole:.1f} GiB ({100 * used / whole:.0f} %)"
""",
    """
def sample_$word(model, tokenizer, prompts: list[str], count: int = $small) -> list[str]:
    answers = []
    for index in range(0, len(prompts), $batch):
        batch = tokenizer(prompts[index : index + $batch], return_tensors="pt", padding=True).to(model.device)
        with torch.no_grad():
            tokens = model.generate(**batch, max_new_tokens=$length, do_sample=True, num_return_sequences=count)
        answers.extend(tokenizer.batch_decode(tokens, skip_special_tokens=True))
    return [answer.strip() for answer in answers if answer]
""",
)

_MAIN = """
def main() -> None:
    logging.basicConfig(level=logging.INFO)
    options = parse_arguments()
    settings = RunSettings(learning_rate=options.learning_rate, epochs=options.epochs)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16, attn_implementation="sdpa")
    data = load_dataset(options.dataset, split="train").train_test_split(test_size=0.05, seed=options.seed)
    args = ${method}Config(
        output_dir=options.output,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=$small,
        gradient_checkpointing=True,
        bf16=True,
        logging_steps=$number,
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=$length,
        report_to="trackio",
        run_name=f"$word-{options.seed}",
        push_to_hub=True,
        hub_model_id=options.hub_model_id,
        hub_strategy="every_save",
    )
    trainer = ${method}Trainer(
        model=model,
        args=args,
        train_dataset=data["train"],
        eval_dataset=data["test"],
        processing_class=tokenizer,
        peft_config=LoraConfig(r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, task_type="CAUSAL_LM"),
    )
    trainer.train()
    logger.info("done: %s", trainer.evaluate())
    trainer.push_to_hub()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
"""

_WORDS = "row turn answer prompt chapter ticket review recipe poem proof letter report lesson verdict theorem".split()
_MODELS = "Qwen/Qwen3-0.6B HuggingFaceTB/SmolLM3-3B ibm-granite/granite-3.3-2b-base allenai/OLMo-2-0425-1B".split()
_DATASETS = "trl-lib/Capybara HuggingFaceH4/ultrachat_200k openai/gsm8k allenai/tulu-3-sft-mixture".split()


def training_script(seed: int, *, lines: int) -> str:
    """A TRL script of exactly `lines` lines, 100 or more; the last few are comments."""
    numbers = random.Random(seed)
    method = numbers.choice(["SFT", "DPO"])
    imports, main = _filled(_IMPORTS, numbers, method), _filled(_MAIN, numbers, method)
    parts = [imports]
    room = lines - imports.count("\n") - main.count("\n") - 2
    index = numbers.randrange(len(_FUNCTIONS))
    while (part := _filled(_FUNCTIONS[index % len(_FUNCTIONS)], numbers, method)).count("\n") + 1 <= room:
        parts.append(part)
        room -= part.count("\n") + 1
        index += 1
    text = "\n".join([*parts, main])
    return text + f"# seed {seed}\n" * (lines - text.count("\n"))


def _filled(template: str, numbers: random.Random, method: str) -> str:
    word = f"{numbers.choice(_WORDS)}_{numbers.randrange(1000)}"
    return Template(template).substitute(
        word=word,
        Word=word.title().replace("_", ""),
        model=numbers.choice(_MODELS),
        dataset=numbers.choice(_DATASETS),
        output=f"{numbers.choice(_WORDS)}-model-{numbers.randrange(1000)}",
        method=method,
        rate=f"{numbers.randrange(1, 90)}e-6",
        number=numbers.randrange(10, 90),
        small=numbers.randrange(2, 9),
        batch=numbers.choice([2, 4, 8, 16]),
        length=numbers.choice([256, 512, 1024, 2048]),
        rank=numbers.choice([8, 16, 32, 64]),
    )
