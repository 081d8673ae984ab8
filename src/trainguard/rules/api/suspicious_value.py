"""API010: values that are legal and almost surely wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.facts.values import Instance, options, text
from trainguard.findings import Finding
from trainguard.libraries.argument_facts import ARGUMENTS, TRL_CONFIGS
from trainguard.rules.api._adam import is_adam
from trainguard.rules.api._option_values import as_used, combinations, first_if_all, has_own_checks, renamed, show
from trainguard.rules.api._special_tokens import masked_end, untrained_tokens
from trainguard.rules.api._trainers import TrainerUse, is_certainly_given, is_certainly_none, trainer_uses
from trainguard.rules.base import Example, Rule, Subject

# LoRA is trained with ten times the rate of the full model (Thinking Machines, "LoRA Without Regret", 2025; peft's
# own examples: 1e-4 to 5e-4, at most 3e-3). The full model: 2e-5 in TRL's SFT examples; 1e-3 is used with Adafactor
# for T5 only, and 1e-2 for an adapter by nobody.
_ADAPTER_RATE = 1e-2
_FULL_RATE = 1e-3
# Methods that are trained with rates of 1e-2 and more (peft 0.21.2, examples: prompt tuning 3e-2, VeRA 1e-2), or a
# part of the model alone.
_OTHER_METHODS = {
    "PromptTuningConfig", "PrefixTuningConfig", "PromptEncoderConfig", "MultitaskPromptTuningConfig", "IA3Config",
    "VeraConfig", "VBLoRAConfig", "FourierFTConfig", "LNTuningConfig", "RandLoraConfig", "XLoraConfig",
    "AdaptionPromptConfig",
    "TrainableTokensConfig", "C3AConfig", "BOFTConfig", "OFTConfig", "HRAConfig", "requires_grad", "requires_grad_",
    "create_optimizer", "optimizers", "optimizer_cls_and_kwargs", "get_decay_parameter_names",
}  # fmt: skip
_ADAPTERS = {"LoraConfig", "AdaLoraConfig", "LoHaConfig", "LoKrConfig"}
_MAY_BE_ADAPTER = _ADAPTERS | {
    "get_peft_model",
    "PeftModel",
    "get_peft_config",
    "ModelConfig",
    "add_adapter",
    "use_peft",
}
# The longest fine-tuning runs of the libraries' own examples have 100 epochs; pretraining of vision models has more.
_MOST_EPOCHS = 100
_TEXT_MODELS = ("ForCausalLM", "ForSeq2SeqLM", "ForSequenceClassification", "ForTokenClassification")
# A chat template alone takes some 20 tokens (Qwen 2.5 with its default system prompt).
_SHORTEST = 64


class SuspiciousValue(Rule):
    """A value that is legal and almost surely wrong.

    *What it does*

    Fires for a `learning_rate` above 1e-2 for a LoRA adapter, or above 1e-3 for all weights of a pretrained model,
    with Adam; for `num_train_epochs` above 100 when a pretrained language model is trained; for a `max_length` below
    64; for a `LoraConfig` that trains neither the embeddings nor the new tokens which the script adds; and for a
    padding token set to the end-of-text token where the labels are built by leaving out the padding, so that the model
    never learns to stop. A model that is made from its configuration is not judged.

    *Why it costs you*

    The run does not fail: it takes its hours, and the model is worse than before.

    *Example*

    ```python
    SFTConfig("out", learning_rate=2e-2, max_length=16)
    ```

    *Use instead*

    ```python
    SFTConfig("out", learning_rate=2e-5, max_length=1024)
    ```
    """

    code = "API010"
    name = "suspicious-value"
    severity = "warn"
    area = "api"

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or not (script.training.trainers or script.training.configs):
            return
        for config in script.training.configs:
            if config.class_names & TRL_CONFIGS and not has_own_checks(script, config.class_names, config.kind):
                yield from self._short(config)
        for use in trainer_uses(script):
            if use.config is not None and use.config.class_names & ARGUMENTS:
                yield from self._rate(use, script)
                yield from self._epochs(use)
        for message, where, fix in (*untrained_tokens(script), *masked_end(script)):
            yield self.finding(message, where=where, fix=fix)

    def _short(self, config: Config) -> Iterator[Finding]:
        read = renamed(as_used(config), ("max_length", "max_seq_length"))
        found = first_if_all(combinations(read, {"max_length": None}), _is_short)
        if found is not None:
            yield self.finding(
                f"max_length={show(found.values['max_length'])} cuts nearly every example off: a chat template alone "
                "takes some 20 tokens; take what your data needs, such as 1024",
                where=read("max_length")[1],
                fix="max_length=1024",
            )

    def _rate(self, use: TrainerUse, script: ScriptFacts) -> Iterator[Finding]:
        if script.mentions & _OTHER_METHODS:
            return
        limit, kind, usual = _rate_limit(use, script)
        found = first_if_all(
            combinations(use.read, {"learning_rate": 0.0, "optim": "adamw_torch"}),
            lambda values: is_adam(values) and limit < values["learning_rate"] < 1,
        )
        if limit and found is not None:
            yield self.finding(
                f"learning_rate={show(found.values['learning_rate'])} is far above what {kind} bears and will wreck "
                f"it; take about {usual}",
                where=use.read("learning_rate")[1],
                fix=f"learning_rate={usual}",
            )

    def _epochs(self, use: TrainerUse) -> Iterator[Finding]:
        found = first_if_all(
            combinations(use.read, {"num_train_epochs": 3, "max_steps": -1}),
            lambda values: values["num_train_epochs"] > _MOST_EPOCHS and values["max_steps"] <= 0,
        )
        if found is not None and _is_pretrained(use):
            epochs = show(found.values["num_train_epochs"])
            yield self.finding(
                f"num_train_epochs={epochs} shows a pretrained model each example {epochs} times, so it learns them by "
                "heart; 1 to 5 are usual; for a number of steps take max_steps",
                where=use.read("num_train_epochs")[1],
                fix="num_train_epochs=3",
            )

    _SFT = (
        "from trl import SFTConfig, SFTTrainer\n"
        'args = SFTConfig("out", {})\n'
        'trainer = SFTTrainer("Qwen/Qwen2.5-0.5B", args=args, train_dataset=data{})\n'
    )
    VALID = (
        Example(script=_SFT.format("learning_rate=2e-5, num_train_epochs=3, max_length=2048", "")),
        Example(
            script="from peft import LoraConfig\n" + _SFT.format("learning_rate=2e-3", ", peft_config=LoraConfig()"),
            why="An adapter bears more than the full model.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM, Trainer, TrainingArguments\n"
                "model = AutoModelForCausalLM.from_config(config)\n"
                'Trainer(model, TrainingArguments("out", learning_rate=6e-3, num_train_epochs=200)).train()\n'
            ),
            why="A new model is trained from nothing.",
        ),
        Example(script=_SFT.format('learning_rate=5e-3, optim="adafactor"', ""), why="Not Adam."),
    )
    INVALID = (
        Example(
            script=_SFT.format("learning_rate=2e-2", ""),
            findings=(
                (
                    2,
                    "learning_rate=0.02 is far above what a pretrained model whose weights are all trained bears and "
                    "will wreck it; take about 2e-5",
                ),
            ),
        ),
        Example(
            script="from peft import LoraConfig\n"
            + _SFT.format("learning_rate=2e-2, max_length=16", ", peft_config=LoraConfig()"),
            findings=(
                (
                    3,
                    "learning_rate=0.02 is far above what an adapter bears and will wreck it; take about 2e-4",
                ),
                (
                    3,
                    "max_length=16 cuts nearly every example off: a chat template alone takes some 20 tokens; take "
                    "what your data needs, such as 1024",
                ),
            ),
        ),
        Example(
            script=_SFT.format("num_train_epochs=1000", ""),
            findings=(
                (
                    2,
                    "num_train_epochs=1000 shows a pretrained model each example 1000 times, so it learns them by "
                    "heart; 1 to 5 are usual; for a number of steps take max_steps",
                ),
            ),
        ),
        Example(
            script=(
                "from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer\n"
                'tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen2.5-0.5B")\n'
                "tokenizer.pad_token = tokenizer.eos_token\n"
                "data = data.map(lambda row: tokenizer(row['text'] + tokenizer.eos_token))\n"
                "collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)\n"
                "Trainer(model, train_dataset=data, data_collator=collator).train()\n"
            ),
            findings=(
                (
                    3,
                    "the padding token is the end-of-text token, and DataCollatorForLanguageModeling takes every "
                    "padding token out of the labels: the model never learns to stop; give the padding a token of "
                    "its own",
                ),
            ),
        ),
    )


def _is_short(values: Mapping[str, Any]) -> bool:
    length = values["max_length"]
    return isinstance(length, int) and not isinstance(length, bool) and 0 < length < _SHORTEST


def _rate_limit(use: TrainerUse, script: ScriptFacts) -> tuple[float, str, str]:
    """The highest learning rate, what bears it, and a usual one; 0 where what is trained cannot be told."""
    adapter = use.argument("peft_config")
    if is_certainly_given(adapter) or script.mentions & {"get_peft_model"}:
        return (_ADAPTER_RATE, "an adapter", "2e-4") if script.mentions & _ADAPTERS else (0.0, "", "")
    if is_certainly_none(adapter) and not script.mentions & _MAY_BE_ADAPTER and _is_pretrained(use):
        return _FULL_RATE, "a pretrained model whose weights are all trained", "2e-5"
    return 0.0, "", ""


def _is_pretrained(use: TrainerUse) -> bool:
    """Whether a language model is trained that certainly comes with its weights."""
    return all(_is_loaded(use, option) for option in options(use.model))


def _is_loaded(use: TrainerUse, model: object) -> bool:
    if isinstance(model, Instance):
        return model.call.written_name == "from_pretrained" and any(
            name in model.call.receiver_text for name in _TEXT_MODELS
        )
    value = use.model
    return use.name not in ("Trainer", "Seq2SeqTrainer") and text(value) is not None
