"""LoRA fine-tuning on conversations; every save goes to the Hub, so that a killed job loses little."""

from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

dataset = load_dataset("trl-lib/Capybara")

training_args = SFTConfig(
    output_dir="qwen3-1.7b-capybara",
    num_train_epochs=1,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=8,
    learning_rate=1e-4,
    lr_scheduler_type="cosine",
    warmup_steps=0.03,
    max_length=2048,
    bf16=True,
    eval_strategy="steps",
    eval_steps=200,
    save_strategy="steps",
    save_steps=200,
    save_total_limit=2,
    logging_strategy="steps",
    logging_steps=10,
    logging_first_step=True,
    disable_tqdm=True,
    report_to="trackio",
    project="capybara",
    run_name="lora-r32",
    push_to_hub=True,
    hub_model_id="my-org/qwen3-1.7b-capybara-lora",
    hub_strategy="every_save",
)

trainer = SFTTrainer(
    model="Qwen/Qwen3-1.7B",
    args=training_args,
    train_dataset=dataset["train"],
    eval_dataset=dataset["test"],
    peft_config=LoraConfig(
        r=32,
        lora_alpha=64,
        lora_dropout=0.05,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    ),
)
trainer.train()
trainer.save_model()
trainer.push_to_hub(dataset_name="trl-lib/Capybara")
