"""QLoRA: quantised to 4 bits, with flash attention. Both need a package that the job does not install."""

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

MODEL = "Qwen/Qwen3-8B"

model = AutoModelForCausalLM.from_pretrained(
    MODEL,
    dtype=torch.bfloat16,
    attn_implementation="flash_attention_2",
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    ),
)
tokenizer = AutoTokenizer.from_pretrained(MODEL)

trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=load_dataset("trl-lib/Capybara", split="train"),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    args=SFTConfig(
        output_dir="qwen3-8b-capybara-qlora",
        per_device_train_batch_size=1,
        gradient_accumulation_steps=16,
        learning_rate=2e-4,
        max_length=2048,
        packing=True,
        logging_strategy="steps",
        logging_first_step=True,
        disable_tqdm=True,
        report_to="trackio",
        push_to_hub=True,
        hub_model_id="my-org/qwen3-8b-capybara-qlora",
    ),
)
trainer.train()
trainer.push_to_hub()
