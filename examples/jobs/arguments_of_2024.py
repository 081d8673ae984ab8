"""Written for trl 0.12, as many tutorials and assistants still do; the job installs a release of today."""

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

MODEL = "Qwen/Qwen2.5-0.5B"

model = AutoModelForCausalLM.from_pretrained(MODEL, torch_dtype="bfloat16")
tokenizer = AutoTokenizer.from_pretrained(MODEL)
dataset = load_dataset("trl-lib/Capybara")

args = SFTConfig(
    output_dir="qwen2.5-0.5b-capybara",
    max_seq_length=2048,
    evaluation_strategy="steps",
    eval_steps=200,
    lr_scheduler_type="cosin",
    learning_rate=2e-5,
    num_train_epochs=1,
    bf16=True,
    logging_strategy="steps",
    logging_steps=10,
    logging_first_step=True,
    disable_tqdm=True,
    report_to="trackio",
    push_to_hub=True,
    hub_model_id="my-org/qwen2.5-0.5b-capybara",
)

trainer = SFTTrainer(
    model=model,
    args=args,
    train_dataset=dataset["train"],
    eval_dataset=dataset["test"],
    tokenizer=tokenizer,
)
trainer.train()
trainer.push_to_hub()
