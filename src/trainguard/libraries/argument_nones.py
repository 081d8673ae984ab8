"""Arguments for which None fails, though nothing in their signature says so.

Found by giving None to the fields whose default is a number or a choice, and training one step: transformers 5.23.0,
trl 1.16.0 and peft 0.21.2 (`tests/slow`), those of transformers and peft again with 4.46.3 and 0.13.2. Fields of
which None is a value (`eval_steps`, `save_total_limit`) or means False are not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainguard.libraries.argument_facts import ARGUMENTS, GENERATING, Since


@dataclass(frozen=True, slots=True, kw_only=True)
class NoneFact:
    """Arguments of the classes `owners` that may not be None; `why` says what the library does with them.

    `package`: the call must come from it. `adam`: only an optimizer of the Adam family reads them. `strategy`: they are
    read only where this option, if it is given, is "steps".
    """

    owners: frozenset[str]
    arguments: tuple[str, ...]
    where: Since
    why: str = "compares it or computes with it"
    package: str = ""
    adam: bool = False
    strategy: str = ""


_CHOICE = "looks it up among its choices"

REFUSES_NONE: tuple[NoneFact, ...] = (
    NoneFact(
        owners=ARGUMENTS,
        arguments=(
            "per_device_train_batch_size",
            "num_train_epochs",
            "max_steps",
            "gradient_accumulation_steps",
            "warmup_steps",
            "seed",
            "dataloader_num_workers",
        ),
        where=Since("transformers"),
    ),
    NoneFact(
        owners=ARGUMENTS,
        arguments=("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"),
        where=Since("transformers"),
        adam=True,
    ),
    NoneFact(
        owners=ARGUMENTS,
        arguments=("lr_scheduler_type", "optim", "eval_strategy", "save_strategy", "logging_strategy", "hub_strategy"),
        where=Since("transformers"),
        why=_CHOICE,
    ),
    # Before, trainer.py asked for `args.max_grad_norm is not None` first.
    NoneFact(owners=ARGUMENTS, arguments=("max_grad_norm",), where=Since("transformers", "5.3.0")),
    NoneFact(
        owners=ARGUMENTS,
        arguments=("logging_steps",),
        where=Since("transformers"),
        strategy="logging_strategy",
    ),
    NoneFact(owners=ARGUMENTS, arguments=("save_steps",), where=Since("transformers"), strategy="save_strategy"),
    NoneFact(
        owners=frozenset({"LoraConfig"}),
        arguments=("r", "lora_alpha", "lora_dropout"),
        where=Since("peft"),
        package="peft",
    ),
    NoneFact(owners=frozenset({"LoraConfig"}), arguments=("bias",), where=Since("peft"), why=_CHOICE, package="peft"),
    NoneFact(owners=GENERATING, arguments=("num_generations",), where=Since("trl", "0.22.0")),
    NoneFact(
        owners=frozenset({"GRPOConfig"}),
        arguments=("temperature", "beta", "epsilon", "num_iterations"),
        where=Since("trl", "0.22.0"),
    ),
)
