"""DPO with HfArgumentParser. It runs for hours, and the job says nothing about the timeout."""

from dataclasses import dataclass, field

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, HfArgumentParser
from trl import DPOConfig, DPOTrainer


@dataclass
class DataArguments:
    model_name: str = field(metadata={"help": "the model to tune"})
    dataset_name: str = field(default="trl-lib/ultrafeedback_binarized")


parser = HfArgumentParser((DataArguments, DPOConfig))
data_args, training_args = parser.parse_args_into_dataclasses()

training_args.push_to_hub = True
training_args.report_to = ["trackio"]
training_args.disable_tqdm = True
training_args.logging_strategy = "steps"
training_args.logging_first_step = True

model = AutoModelForCausalLM.from_pretrained(data_args.model_name)
tokenizer = AutoTokenizer.from_pretrained(data_args.model_name)
dataset = load_dataset(data_args.dataset_name)

trainer = DPOTrainer(
    model=model,
    args=training_args,
    train_dataset=dataset["train"],
    processing_class=tokenizer,
)
trainer.train()
trainer.push_to_hub()
