"""Options by argparse, metrics by wandb, scores by scikit-learn; one import is not installed, one key not given."""

import argparse

import wandb
from datasets import load_dataset
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="distilbert/distilbert-base-uncased")
parser.add_argument("--epochs", type=float, default=1)
parser.add_argument("--lr", type=float, default=5e-5)


def scores(prediction):
    return {"f1": f1_score(prediction.label_ids, prediction.predictions.argmax(-1))}


def main():
    args = parser.parse_args()
    wandb.init(project="reviews", name=run_name)

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=2)
    reviews = load_dataset("stanfordnlp/imdb").map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=256), batched=True
    )

    run_name = f"{args.model.split('/')[-1]}-{args.lr}"
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=run_name,
            num_train_epochs=args.epochs,
            learning_rate=args.lr,
            per_device_train_batch_size=32,
            eval_strategy="epoch",
            disable_tqdm=True,
            logging_strategy="steps",
            logging_first_step=True,
            report_to="wandb",
            push_to_hub=True,
            hub_model_id="my-org/reviews",
        ),
        train_dataset=reviews["train"],
        eval_dataset=reviews["test"],
        processing_class=tokenizer,
        compute_metrics=scores,
    )
    trainer.train()
    trainer.push_to_hub()


if __name__ == "__main__":
    main()
