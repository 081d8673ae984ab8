"""The choices that libraries check elsewhere than they declare them: each is found, and only where it holds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from trainguard import run_preflight_checks
from trainguard.findings import Finding
from trainguard.libraries.argument_choices import CHOICES, choices_of

DPO = "from trl import DPOConfig, DPOTrainer\nargs = DPOConfig('out', {})\nDPOTrainer(model, args=args)\n"
GRPO = "from trl import GRPOConfig, GRPOTrainer\nargs = GRPOConfig('out', {})\nGRPOTrainer(model, args=args)\n"
LORA = "from peft import LoraConfig, get_peft_model\nconfig = LoraConfig({})\nget_peft_model(model, config)\n"
ACCELERATOR = "from accelerate import Accelerator\naccelerator = Accelerator({})\n"
LOAD = "from datasets import load_dataset\ndata = load_dataset('json', {})\n"
TRAINING = "from transformers import Trainer, TrainingArguments\nargs = TrainingArguments('out', {})\n"


@dataclass(frozen=True)
class Case:
    """An entry of the table: what is right and what is not at `release`, and a release at which nothing is known."""

    argument: str
    script: str
    package: str
    release: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    before: str = ""


CASES = (
    Case(
        "loss_type",
        DPO,
        "trl",
        "1.16.0",
        ("'sigmoid_norm'", "['sigmoid', 'sft']", "losses", "'aot_unpaired'"),
        ("'sigmiod'", "['sigmoid', 'stf']", "'kto_pair'", "'aot_pair'"),
    ),
    Case("loss_type", DPO, "trl", "0.28.0", ("'aot_pair'", "'aot_unpaired'", "'sft'"), ("'sigmoid_norm'",)),
    Case("loss_type", GRPO, "trl", "1.16.0", ("'vespo'", "'dapo'"), ("'grop'", "'DAPO'"), "0.16.1"),
    Case("loss_type", GRPO, "trl", "0.21.0", ("'dr_grpo'",), ("'dapo'",)),
    Case("scale_rewards", GRPO, "trl", "1.16.0", ("'none'", "True", "False", "'batch'"), ("'groups'",), "0.21.0"),
    Case("importance_sampling_level", GRPO, "trl", "0.20.0", ("'token'", "'sequence'"), ("'tokens'",), "0.19.1"),
    Case("task_type", LORA, "peft", "0.21.2", ("'CAUSAL_LM'", "None"), ("'causal_lm'", "'CAUSALLM'"), "0.13.2"),
    Case(
        "init_lora_weights",
        LORA,
        "peft",
        "0.21.2",
        ("True", "False", "'gaussian'", "'OLoRA'", "'pissa_niter_4'", "'orthogonal'"),
        ("'gausian'", "'piss'"),
    ),
    Case("init_lora_weights", LORA, "peft", "0.10.0", ("'loftq'",), ("'pissa_niter_4'", "'eva'")),
    Case("bias", LORA, "peft", "0.7.1", ("'none'", "'all'", "'lora_only'"), ("'lora'",)),
    Case("mixed_precision", ACCELERATOR, "accelerate", "1.15.0", ("'bf16'", "'no'", "None"), ("'bf61'", "'BF16'")),
    Case("dynamo_backend", ACCELERATOR, "accelerate", "1.15.0", ("'inductor'", "'Inductor'"), ("'inducter'", "'ipex'")),
    Case("dynamo_backend", ACCELERATOR, "accelerate", "1.4.0", ("'ipex'",), ("'hpu_backend'",)),
    Case("verification_mode", LOAD, "datasets", "5.2.0", ("'no_checks'", "''"), ("'none'",)),
    Case("download_mode", LOAD, "datasets", "2.14.0", ("'force_redownload'", "None"), ("'force'",)),
    Case(
        "report_to",
        TRAINING,
        "transformers",
        "5.23.0",
        ("'wandb'", "['wandb', 'trackio']", "'none'", "None"),
        ("'wanbd'", "['tensorbord']"),
    ),
    Case("report_to", TRAINING, "transformers", "4.49.0", ("'all'",), ("'swanlab'",)),
)


def found(script: str, requirement: str) -> list[Finding]:
    job = {"operation": "run", "script": script, "dependencies": [requirement]}
    return [finding for finding in run_preflight_checks(job) if finding.code == "API005"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.argument}-{case.package}-{case.release}")
def test_what_is_not_accepted_is_found_and_the_rest_is_not(case: Case) -> None:
    requirement = f"{case.package}=={case.release}"
    for value in case.good:
        assert found(case.script.format(f"{case.argument}={value}"), requirement) == [], value
    for value in case.bad:
        (finding,) = found(case.script.format(f"{case.argument}={value}"), requirement)
        assert f"{case.argument} of " in finding.message
        if case.before:
            assert found(case.script.format(f"{case.argument}={value}"), f"{case.package}=={case.before}") == []


def test_every_entry_has_a_case() -> None:
    assert {entry.argument for entry in CHOICES} == {case.argument for case in CASES}
    assert len({(entry.path, entry.argument) for entry in CHOICES}) == len(CHOICES)


def test_a_message_says_what_is_almost_so_and_the_item_is_changed() -> None:
    (finding,) = found(DPO.format("loss_type=['sigmoid', 'stf']"), "trl==1.16.0")
    assert finding.message == ("loss_type of DPOConfig() does not accept 'stf' in trl 1.16.0; did you mean 'sft'?")
    assert finding.fix is not None
    (edit,) = finding.fix.edits
    assert (edit.old, edit.new, edit.where.line, edit.where.column) == ("stf", "sft", 2, 47)


def test_a_value_of_another_release_is_said_to_be_so() -> None:
    (finding,) = found(DPO.format("loss_type='aot_pair'"), "trl==1.16.0")
    assert "0.28.0" in finding.message


def test_a_field_that_another_library_inherits() -> None:
    (finding,) = found("from trl import SFTConfig\nSFTConfig(report_to='wanbd')\n", "trl==1.16.0")
    assert finding.message.startswith("report_to of SFTConfig() does not accept 'wanbd' in transformers 5.23.0")


def test_through_a_class_of_the_script() -> None:
    script = GRPO.replace("args = GRPOConfig", "class Mine(GRPOConfig):\n    pass\nargs = Mine")
    assert len(found(script.format("loss_type='grop'"), "trl==1.16.0")) == 1
    own = script.replace("    pass", "    def __post_init__(self):\n        self.loss_type = 'grpo'")
    assert found(own.format("loss_type='grop'"), "trl==1.16.0") == []


@pytest.mark.parametrize(
    "script",
    [
        GRPO.format("loss_type='mine'") + "class Own(GRPOTrainer):\n    pass\n",
        GRPO.format("loss_type='mine', use_liger_kernel=True"),
        GRPO.format("loss_type='mine'") + "args.loss_type = 'grpo'\n",
        "from own.trainers import GRPOTrainer\n" + GRPO.format("loss_type='mine'"),
        "from .trainers import GRPOTrainer\n" + GRPO.format("loss_type='mine'"),
        "from trl.experimental.gspo_token import GRPOTrainer\n" + GRPO.format("loss_type='mine'"),
        GRPO.format("loss_type='mine' if own else 'grpo'"),
        GRPO.format("scale_rewards='mine', multi_objective_aggregation='normalize_then_sum'"),
    ],
)
def test_a_check_that_may_be_another_one_is_not_relied_on(script: str) -> None:
    assert found(script, "trl==1.16.0") == []


def test_a_trainer_of_the_script_that_leaves_the_constructor_alone() -> None:
    script = TRAINING.format("report_to='wanbd'") + "class Own(Trainer):\n    def {}(self, *a):\n        pass\n"
    assert len(found(script.format("compute_loss"), "transformers==5.23.0")) == 1
    assert found(script.format("__init__"), "transformers==5.23.0") == []


def test_saved_infos_leave_the_mode_aside() -> None:
    assert found(LOAD.format("verification_mode='none', save_infos=True"), "datasets==5.2.0") == []
    assert len(found(LOAD.format("verification_mode='none', save_infos=False"), "datasets==5.2.0")) == 1


def test_releases_and_paths_that_are_not_known() -> None:
    place = "trl.trainer.grpo_config.GRPOConfig"
    assert choices_of(place, "loss_type", "0.16.1") is None
    assert choices_of(place, "loss_type", "0.21.0") == ("grpo", "bnpo", "dr_grpo")
    assert choices_of(place, "loss_type", "not a version") is None
    assert choices_of(place, "beta", "1.16.0") is None
    assert choices_of("peft.tuners.lora.config.LoraConfig", "bias", "0.8.0") is None
