"""The schema of a guarded run. It is what `trainguard config schema` exports and docs/config.md is made of.

Defaults are those of trl 1.16 `SFTConfig`, which differ from transformers 5.23 `TrainingArguments` in a few fields;
where trainguard takes another value, the field says why.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from trainguard.facts.config.schema_blocks import Alerts, Evaluation, Guard, Lora, Queue, Saving
from trainguard.facts.config.schema_notes import Text, about

Method: TypeAlias = Literal["full", "lora", "qlora"]
Precision: TypeAlias = Literal["auto", "bf16", "fp16", "fp32"]
# transformers 5.23, trainer_utils.py `SchedulerType`.
Scheduler: TypeAlias = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "reduce_lr_on_plateau",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
    "greedy",
]


class RunConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A guarded run: what is trained, on what, how, and what is done when it goes wrong."""

    base_model: Annotated[
        Text | None,
        about(
            "The model to start from: a folder, or an id of the hub such as org/name.",
            because="a run starts from a model",
            example="models/Qwen2.5-0.5B",
            required=True,
        ),
    ] = None
    model_name: Annotated[
        str | None, about("A name for the model in logs and reports.", default="The last part of base_model.")
    ] = None
    tokenizer: Annotated[
        Text | None,
        about(
            "The tokenizer: a folder or an id of the hub.",
            default="That of base_model.",
            because="an empty name is no tokenizer",
        ),
    ] = None
    data: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)] | None,
        about(
            "The training data: a file, a folder of shards, an id of the hub, or several of them.",
            default="None: the daemon takes files from the inbox of `queue`.",
            because="an empty name is no data",
            example="train.jsonl",
        ),
    ] = None
    output_dir: Annotated[
        Text,
        about(
            "The folder for checkpoints, logs and the trained model.",
            default="Beside the configuration; the Trainer's own default is trainer_output.",
            because="checkpoints need a folder",
        ),
    ] = "output"
    method: Annotated[
        Method,
        about(
            "Train all weights (full), an adapter (lora), or an adapter on weights in 4 bits (qlora).",
            default="As TRL without a peft_config; lora where the configuration has values for an adapter.",
        ),
    ] = "full"
    lora: Annotated[Lora, about("The adapter, for the methods lora and qlora.")] = field(default_factory=Lora)
    max_length: Annotated[
        Annotated[int, Meta(ge=2)],
        about(
            "Longer examples are cut to this length.",
            unit="tokens",
            default="trl 1.16 SFTConfig.",
            because="each token is learnt from those before it, so that fewer than 2 leave nothing to learn",
            example=2048,
        ),
    ] = 1024
    packing: Annotated[
        bool, about("Put several examples into one sequence of max_length.", default="trl 1.16 SFTConfig.")
    ] = False
    assistant_only_loss: Annotated[
        bool | None,
        about(
            "Learn from the assistant's words alone; null lets the data and the chat template decide.",
            default="Yes for chats whose template can mark those words; trl 1.16 SFTConfig has false.",
            nulls=True,
        ),
    ] = None
    chat_template: Annotated[
        Text | None, about("A Jinja file with the chat template.", default="That of the tokenizer.")
    ] = None
    learning_rate: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "The highest learning rate of the schedule.",
            default="trl 1.16 SFTConfig (TrainingArguments has 5e-5); 2e-4 for lora and qlora, as TRL's PEFT guide and "
            "the QLoRA paper take ten times that of full fine-tuning.",
            because="at 0 nothing is learnt, and torch's optimizers refuse a negative one",
            example=2e-5,
        ),
    ] = 2e-5
    scheduler: Annotated[
        Scheduler, about("How the learning rate goes on after the warm-up.", default="transformers 5.23.")
    ] = "linear"
    scheduler_arguments: Annotated[
        dict[str, Any], about("Arguments of the schedule, such as min_lr_rate.", default="None.")
    ] = field(default_factory=dict)
    warmup: Annotated[
        Annotated[float, Meta(ge=0)],
        about(
            "The learning rate rises from 0 for so long.",
            unit="steps, or a share of all steps where it is below 1",
            default="transformers 5.23 warmup_steps, which reads numbers below 1 the same way.",
            because="a warm-up has no negative length",
            example=0.03,
            steps=True,
        ),
    ] = 0
    batch_size: Annotated[
        Annotated[int, Meta(ge=1)],
        about(
            "Examples in one forward pass of one GPU.",
            unit="examples",
            default="transformers 5.23 per_device_train_batch_size.",
            because="a batch has at least one example",
            example=8,
        ),
    ] = 8
    gradient_accumulation: Annotated[
        Annotated[int, Meta(ge=1)],
        about(
            "Batches that are added up before the weights change.",
            unit="batches",
            default="transformers 5.23.",
            because="a step is the sum of at least one batch",
            example=4,
        ),
    ] = 1
    epochs: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "How often all data is seen; max_steps goes before it.",
            unit="passes over the data",
            default="transformers 5.23 num_train_epochs.",
            because="the Trainer compares it with 0, and at 0 it makes no step",
            example=3,
        ),
    ] = 3.0
    max_steps: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about(
            "Stop after so many optimizer steps, whatever epochs says.",
            unit="steps",
            default="None: epochs decides. The Trainer's -1 is read as none.",
            because="a run of no step learns nothing",
            example=1000,
            nulls=True,
        ),
    ] = None
    optimizer: Annotated[
        Text,
        about(
            "The optimizer, by the Trainer's name for it.",
            default="transformers 5.23 optim.",
            because="a run needs an optimizer",
            example="adamw_torch_fused",
        ),
    ] = "adamw_torch_fused"
    weight_decay: Annotated[
        Annotated[float, Meta(ge=0)],
        about(
            "Decay of the weights.", default="transformers 5.23.", because="torch's optimizers refuse a negative one"
        ),
    ] = 0.0
    max_grad_norm: Annotated[
        Annotated[float, Meta(ge=0)],
        about(
            "Gradients are scaled down to this norm; 0 leaves them as they are.",
            default="transformers 5.23.",
            because="a norm is not negative",
        ),
    ] = 1.0
    gradient_checkpointing: Annotated[
        bool,
        about(
            "Compute activations twice instead of keeping them, to save memory.",
            default="trl 1.16 SFTConfig (TrainingArguments has false).",
        ),
    ] = True
    precision: Annotated[
        Precision,
        about(
            "The number format of the computation.",
            default="bf16 where the GPU has it, else fp32; SFTConfig chooses the same way.",
        ),
    ] = "auto"
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**32 - 1)],
        about(
            "The seed of weights, order and dropout.",
            default="transformers 5.23.",
            because="numpy takes 32 bits (`transformers.set_seed` hands it over)",
        ),
    ] = 42
    logging_steps: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "A line of metrics every so many steps; what watches the run sees no more than these.",
            unit="steps, or a share of all steps where it is below 1",
            default="trl 1.16 SFTConfig (TrainingArguments has 500).",
            because="the Trainer refuses 0",
            example=10,
            steps=True,
        ),
    ] = 10
    eval: Annotated[Evaluation, about("Evaluation while training.")] = field(default_factory=Evaluation)
    save: Annotated[Saving, about("Checkpoints.")] = field(default_factory=Saving)
    guard: Annotated[Guard, about("What is done when something goes wrong.")] = field(default_factory=Guard)
    alerts: Annotated[Alerts, about("Who is told.")] = field(default_factory=Alerts)
    queue: Annotated[Queue, about("Where the daemon takes files from.")] = field(default_factory=Queue)
    trainer_arguments: Annotated[
        dict[str, Any],
        about("Further arguments of trl.SFTConfig, handed over as they stand.", default="None."),
    ] = field(default_factory=dict)
