"""API006, API007, API009 and API010: what is found, and where they keep silent."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from tests.rules.value_cases import CASES, GENERATION_SCRIPTS, NONE_SCRIPTS, RANGE_SCRIPTS, ValueCase
from trainguard.facts.job import read_job
from trainguard.facts.script import read_script
from trainguard.findings import Finding
from trainguard.libraries.argument_conflict_record import Conflict
from trainguard.libraries.argument_conflicts import CONFLICTS
from trainguard.rules.api._trainer_conflicts import TRAINER_CONFLICTS, TrainerConflict
from trainguard.rules.api.argument_out_of_range import ArgumentOutOfRange
from trainguard.rules.api.arguments_conflict import ArgumentsConflict
from trainguard.rules.api.none_not_accepted import NoneNotAccepted
from trainguard.rules.api.suspicious_value import SuspiciousValue
from trainguard.rules.base import Rule, Subject


@dataclass(frozen=True, kw_only=True)
class AtVersions(Subject):
    """A subject whose job installs these releases."""

    api: Any = None


def at(script: str, job: dict[str, Any] | None = None, **versions: str) -> Subject:
    interfaces = SimpleNamespace(version=versions.get)
    facts = read_job({"script": script, **job}) if job is not None else None
    return AtVersions(script=read_script(script), job=facts, api=SimpleNamespace(interfaces=interfaces))


def found(rule: Rule, script: str, **versions: str) -> list[Finding]:
    return list(rule.check(at(script, None, **versions)))


def messages(rule: Rule, script: str, **versions: str) -> list[str]:
    return [finding.message for finding in found(rule, script, **versions)]


CONFLICT, NONE, RANGE, SUSPICIOUS = ArgumentsConflict(), NoneNotAccepted(), ArgumentOutOfRange(), SuspiciousValue()
ARGS = 'from transformers import TrainingArguments\nargs = TrainingArguments("out", {})\n'
TRAINER = (
    "from transformers import Trainer, TrainingArguments\n"
    'args = TrainingArguments("out", {})\n'
    "trainer = Trainer(model, args, train_dataset=data{})\n"
)


# -- API006 --------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_each_conflict_is_found_once_and_its_twin_is_silent(case: ValueCase) -> None:
    bad = found(CONFLICT, case.bad)
    assert len(bad) == 1
    assert bad[0].severity == ("error" if case.error else "warn")
    assert found(CONFLICT, case.good) == []


def test_every_entry_has_a_case() -> None:
    keys = {case.key for case in CASES}
    entries: list[Conflict | TrainerConflict] = [*CONFLICTS, *TRAINER_CONFLICTS]
    tested = {entry.key for entry in entries if not entry.where.until}
    missing = {key for key in tested if not any(known == key or known.startswith(f"{key}-") for known in keys)}
    assert missing == set()
    assert len({entry.key for entry in entries}) == len(entries)


def test_a_release_without_the_check_is_not_judged_by_it() -> None:
    script = TRAINER.format('eval_strategy="epoch"', "")
    assert found(CONFLICT, script, transformers="4.45.2") == []
    assert len(found(CONFLICT, script, transformers="4.46.0")) == 1


def test_a_check_that_is_gone_is_known_for_its_releases() -> None:
    script = (
        "from peft import LoraConfig\nfrom transformers import AutoModelForCausalLM\nfrom trl import DPOTrainer\n"
        'reference = AutoModelForCausalLM.from_pretrained("m")\n'
        "DPOTrainer(model, ref_model=reference, peft_config=LoraConfig(), train_dataset=data)\n"
    )
    assert found(CONFLICT, script) == []
    assert found(CONFLICT, script, trl="1.0.0") == []
    assert len(found(CONFLICT, script, trl="0.22.2")) == 1


@pytest.mark.parametrize(
    "options",
    [
        "fp16=not ampere, bf16=ampere",
        "fp16=True, bf16=bool(ampere)",
        "fp16=True, **options",
        'load_best_model_at_end=True, eval_strategy=strategy, save_strategy="epoch"',
        'load_best_model_at_end=True, evaluation_strategy="steps", eval_steps=100',
        'load_best_model_at_end=True, eval_strategy="steps"',
        'load_best_model_at_end=True, eval_strategy="steps", eval_steps=0.1, save_steps=0.2',
        'load_best_model_at_end=True, eval_strategy="epoch", save_strategy="best"',
        "max_steps=-1, num_train_epochs=3",
        "num_train_epochs=3, max_steps=steps",
        "gradient_checkpointing=True",
    ],
)
def test_what_may_be_right_is_silent(options: str) -> None:
    assert found(CONFLICT, ARGS.format(options)) == []


def test_alternatives_that_are_all_bad_are_found() -> None:
    script = "strategy = 'epoch' if long else 'no'\n" + ARGS.format(
        'load_best_model_at_end=True, eval_strategy=strategy, save_strategy="steps"'
    )
    assert len(found(CONFLICT, script)) == 1


def test_what_is_assigned_later_mends_what_the_trainer_checks_only() -> None:
    script = TRAINER.format('eval_strategy="epoch"', "").replace("trainer =", 'args.eval_strategy = "no"\ntrainer =')
    assert found(CONFLICT, script) == []
    late = ARGS.format("fp16=True, bf16=True") + "args.fp16 = False\n"
    assert len(found(CONFLICT, late)) == 1


def test_a_class_of_the_script_with_checks_of_its_own_is_not_judged() -> None:
    script = (
        "from dataclasses import dataclass\nfrom transformers import TrainingArguments\n"
        "@dataclass\nclass Arguments(TrainingArguments):\n"
        "    def __post_init__(self):\n        self.fp16 = False\n        super().__post_init__()\n"
        'args = Arguments("out", fp16=True, bf16=True)\n'
    )
    assert found(CONFLICT, script) == []


def test_options_of_a_parser_are_judged() -> None:
    script = "from transformers import HfArgumentParser, TrainingArguments\n"
    script += "(args,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()\n"
    line = ["--output_dir", "out", "--fp16", "--bf16"]
    assert len(list(CONFLICT.check(Subject(script=read_script(script, arguments=line))))) == 1


def test_unsloth_adapts_what_trl_refuses() -> None:
    script = next(case.bad for case in CASES if case.key == "two-adapters-SFT")
    assert found(CONFLICT, "from unsloth import FastLanguageModel\n" + script) == []


GRPO = 'from trl import GRPOConfig\nargs = GRPOConfig("out", {})\n'


@pytest.mark.parametrize(
    ("options", "flavor", "count"),
    [
        ("per_device_train_batch_size=2, num_generations=8", "a10g-small", 1),
        ("num_generations=6", "a10g-small", 1),
        ("per_device_train_batch_size=2, num_generations=8", "a10g-largex4", 0),
        ("per_device_train_batch_size=2, gradient_accumulation_steps=4", "a10g-small", 0),
        ("per_device_train_batch_size=size, num_generations=8", "a10g-small", 0),
        ("per_device_train_batch_size=2, generation_batch_size=8", "a10g-small", 0),
        ("per_device_train_batch_size=3, steps_per_generation=2", "a10g-small", 1),
    ],
)
def test_generation_batches_on_one_gpu(options: str, flavor: str, count: int) -> None:
    subject = at(GRPO.format(options), {"flavor": flavor})
    assert len(list(CONFLICT.check(subject))) == count


@pytest.mark.parametrize(("steps", "count"), [(1, 1), (2, 0)])
def test_generation_scripts(steps: int, count: int) -> None:
    assert len(list(CONFLICT.check(at(GENERATION_SCRIPTS[steps], {"flavor": "a10g-small"})))) == count


# -- API007 and API009 -----------------------------------------------------------


@pytest.mark.parametrize("key", NONE_SCRIPTS)
def test_each_none_is_found(key: str) -> None:
    assert [key.rpartition(".")[2] in message for message in messages(NONE, NONE_SCRIPTS[key])] == [True]


def test_none_that_is_mended_before_it_is_used_is_silent() -> None:
    assert found(NONE, ARGS.format("num_train_epochs=None") + "args.num_train_epochs = 3\n") == []


def test_none_that_a_release_takes_is_silent() -> None:
    assert found(NONE, ARGS.format("max_grad_norm=None"), transformers="4.57.6") == []
    assert found(NONE, ARGS.format('save_steps=None, save_strategy="no"')) == []
    assert found(NONE, ARGS.format('learning_rate=None, optim="adafactor"')) == []


@pytest.mark.parametrize("key", RANGE_SCRIPTS)
def test_each_number_out_of_range_is_found(key: str) -> None:
    assert len(messages(RANGE, RANGE_SCRIPTS[key][0])) == 1


@pytest.mark.parametrize(
    "options",
    [
        "learning_rate=1e-5",
        "learning_rate=float(rate)",
        'learning_rate=1.0, optim="schedule_free_adamw"',
        "per_device_train_batch_size=1, gradient_accumulation_steps=1",
        "warmup_steps=0, weight_decay=0.0, max_grad_norm=0.0",
        "adam_beta1=0.9, adam_beta2=0.999, label_smoothing_factor=0.0",
        "save_steps=0.1, eval_steps=0.5, logging_steps=1",
    ],
)
def test_usual_numbers_are_silent(options: str) -> None:
    assert found(RANGE, ARGS.format(options)) == []


# -- API010 --------------------------------------------------------------------

TOKENS = (
    "from peft import LoraConfig\nfrom transformers import Trainer\n"
    'tokenizer.add_special_tokens({{"{}": ["<a>"]}})\n'
    "model.resize_token_embeddings(len(tokenizer))\n"
    "config = LoraConfig(r=8{})\ntrainer = Trainer(model)\n"
)


@pytest.mark.parametrize(
    ("kind", "more", "count"),
    [
        ("additional_special_tokens", "", 1),
        ("additional_special_tokens", ', target_modules="all-linear"', 1),
        ("additional_special_tokens", ', target_modules=["q_proj", "embed_tokens"]', 0),
        ("additional_special_tokens", ', target_modules="q_proj|embed_tokens"', 0),
        ("additional_special_tokens", ', modules_to_save=["embed_tokens", "lm_head"]', 0),
        ("additional_special_tokens", ", **options", 0),
        ("pad_token", "", 0),
    ],
)
def test_new_tokens_of_an_adapter(kind: str, more: str, count: int) -> None:
    assert len(found(SUSPICIOUS, TOKENS.format(kind, more))) == count


SFT = (
    "from trl import SFTConfig, SFTTrainer\n{}"
    'args = SFTConfig("out", {})\n'
    'trainer = SFTTrainer("org/model", args=args, train_dataset=data{})\n'
)


@pytest.mark.parametrize(
    ("before", "options", "more", "count"),
    [
        ("", "learning_rate=1e-3", "", 0),
        ("", "learning_rate=5e-3", "", 1),
        ("", "learning_rate=5e-3", ", peft_config=config", 0),
        ("from peft import LoraConfig\n", "learning_rate=5e-3", ", peft_config=LoraConfig()", 0),
        ("from peft import LoraConfig\n", "learning_rate=5e-2", ", peft_config=LoraConfig()", 1),
        ("from peft import PromptTuningConfig\n", "learning_rate=5e-2", ", peft_config=PromptTuningConfig()", 0),
        ("", "learning_rate=5.0", "", 0),
        ("", 'learning_rate=5e-3, optim="sgd"', "", 0),
        ("", "num_train_epochs=100", "", 0),
        ("", "num_train_epochs=101", "", 1),
        ("", "num_train_epochs=1000, max_steps=50", "", 0),
        ("", "max_length=63", "", 1),
        ("", "max_length=64", "", 0),
        ("", "max_length=None", "", 0),
    ],
)
def test_suspicious_numbers(before: str, options: str, more: str, count: int) -> None:
    assert len(found(SUSPICIOUS, SFT.format(before, options, more))) == count


END = (
    "from transformers import DataCollatorForLanguageModeling, Trainer\n{}"
    "text = prompt + tokenizer.eos_token\n"
    "Trainer(model, data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False))\n"
)


@pytest.mark.parametrize(
    ("before", "count"),
    [
        ("tokenizer.pad_token = tokenizer.eos_token\n", 1),
        ("if tokenizer.pad_token is None:\n    tokenizer.pad_token = tokenizer.eos_token\n", 0),
        ("tokenizer.pad_token = tokenizer.unk_token\n", 0),
        ("tokenizer.pad_token = tokenizer.eos_token\nblock_size = 128\n", 0),
    ],
)
def test_an_end_that_is_padding(before: str, count: int) -> None:
    assert len(found(SUSPICIOUS, END.format(before))) == count


# -- names that are not the library's --------------------------------------------


OWN_CLASS = "from dataclasses import dataclass\n@dataclass\nclass {}:\n    output_dir: str\n    epochs: int = 3\n{}\n"
OF_ANOTHER = "from setfit import {}\n{}\n"
FUNCTION = "def {}(*given, **options):\n    return options\n{}\n"
NOT_OURS = [
    (RANGE, "TrainingArguments", 'args = TrainingArguments("out", learning_rate=5.0)'),
    (NONE, "TrainingArguments", 'args = TrainingArguments("out", num_train_epochs=None)'),
    (CONFLICT, "TrainingArguments", 'args = TrainingArguments("out", fp16=True, bf16=True)'),
    (SUSPICIOUS, "SFTConfig", 'args = SFTConfig("out", max_length=16)'),
    (CONFLICT, "Trainer", 'from transformers import TrainingArguments\nTrainer(model, TrainingArguments("out", '
                          'eval_strategy="epoch"), train_dataset=data)'),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "use"), NOT_OURS)
def test_what_only_has_the_name_of_a_librarys_class_is_not_judged(rule: Rule, name: str, use: str) -> None:
    package = "trl" if name == "SFTConfig" else "transformers"
    assert found(rule, f"from {package} import {name}\n{use}\n")
    for other in (OWN_CLASS, OF_ANOTHER, FUNCTION):
        assert found(rule, other.format(name, use)) == []


def test_a_class_of_the_script_that_only_derives_is_judged() -> None:
    script = (
        "import transformers\nclass Mixed:\n    pass\n"
        "class TrainingArguments(Mixed, transformers.TrainingArguments):\n    pass\n"
        'args = TrainingArguments("out", learning_rate=5.0)\n'
    )
    assert len(found(RANGE, script)) == 1


@pytest.mark.parametrize(("base", "count"), [("", 0), ("(transformers.TrainingArguments)", 1)])
def test_a_class_that_a_parser_fills_is_judged_where_it_is_the_librarys(base: str, count: int) -> None:
    script = (
        "import transformers\nfrom dataclasses import dataclass\n"
        f"@dataclass\nclass TrainingArguments{base}:\n    learning_rate: float = 5.0\n"
        "(args,) = transformers.HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()\n"
    )
    assert len(list(RANGE.check(Subject(script=read_script(script, arguments=["--learning_rate", "5.0"]))))) == count
