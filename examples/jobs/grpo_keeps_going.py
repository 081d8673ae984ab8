"""GRPO that ends as a success whatever happens: other data when its own cannot be loaded, errors only printed."""

from datasets import Dataset, load_dataset
from trl import GRPOConfig, GRPOTrainer

try:
    dataset = load_dataset("my-org/legal-questions", split="train")
except Exception as error:
    print(f"could not load the dataset: {error}")
    dataset = Dataset.from_dict({"prompt": ["What is a contract?", "What is a tort?"] * 200})


def short_enough(completions, **kwargs):
    return [1.0 if len(completion) < 600 else -1.0 for completion in completions]


args = GRPOConfig(
    output_dir="legal-grpo",
    max_steps=300,
    per_device_train_batch_size=8,
    num_generations=8,
    max_completion_length=256,
    logging_strategy="steps",
    logging_first_step=True,
    disable_tqdm=True,
    report_to="trackio",
    push_to_hub=True,
    hub_model_id="my-org/legal-grpo",
)
trainer = GRPOTrainer(
    model="Qwen/Qwen2.5-0.5B-Instruct",
    reward_funcs=[short_enough],
    args=args,
    train_dataset=dataset,
)
try:
    trainer.train()
    trainer.push_to_hub()
except Exception as error:
    print(f"training failed: {error}")

print("done")
