"""A summariser with Seq2SeqTrainer, moved from a workstation to a T4 as it was."""

from datasets import load_dataset
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

tokenizer = AutoTokenizer.from_pretrained("google/flan-t5-small")
model = AutoModelForSeq2SeqLM.from_pretrained("google/flan-t5-small")

dataset = load_dataset("json", data_files="/home/ana/projects/tickets/train.jsonl", split="train")


def tokenize(batch):
    return tokenizer(batch["text"], text_target=batch["summary"], truncation=True, max_length=512)


trainer = Seq2SeqTrainer(
    model=model,
    args=Seq2SeqTrainingArguments(
        output_dir="ticket-summaries",
        num_train_epochs=3,
        per_device_train_batch_size=16,
        learning_rate=3e-4,
        bf16=True,
        logging_strategy="steps",
        logging_steps=20,
        logging_first_step=True,
        push_to_hub=True,
        hub_model_id="my-org/ticket-summaries",
    ),
    train_dataset=dataset.map(tokenize, batched=True, remove_columns=dataset.column_names),
    data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
    processing_class=tokenizer,
)
trainer.train()
trainer.push_to_hub()
