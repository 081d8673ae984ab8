"""Names of metrics, the method that they tell, and what a run has declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.errors import UsageError
from trainguard.sources.declared import from_arguments, from_assignments
from trainguard.sources.names import is_record, method_of, renamed

# The names that each trainer of trl 1.16 logs.
DPO = "loss rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen logits/chosen"
KTO = "loss kl rewards/chosen rewards/rejected rewards/margins logps/chosen"
GRPO = "loss reward reward_std frac_reward_zero_std completions/mean_length kl clip_ratio/low_mean rewards/f/mean"
REWARD = "loss min_reward mean_reward max_reward accuracy margin"
SFT = "loss grad_norm learning_rate entropy num_tokens mean_token_accuracy"


@pytest.mark.parametrize(
    ("names", "method"), [(DPO, "dpo"), (KTO, "kto"), (GRPO, "grpo"), (REWARD, "reward"), (SFT, "sft")]
)
def test_the_method_is_told_from_the_names(names: str, method: str) -> None:
    assert method_of(names.split()) == method
    assert method_of([f"eval_{name}" for name in names.split()]) == method


def test_names_that_tell_no_method() -> None:
    assert method_of(["step", "learning_rate", "t"]) is None


def test_a_name_of_its_own_goes_before_an_alias() -> None:
    assert renamed({"train/global_step": 9, "step": 3, "lr": 1.0}) == {"step": 3, "learning_rate": 1.0}


@given(
    st.dictionaries(st.one_of(st.text(), st.integers()), st.one_of(st.none(), st.floats(), st.text(), st.booleans()))
)
def test_hostile_records(record: dict[Any, Any]) -> None:
    assert is_record(renamed(record)) in (True, False)


def test_assignments() -> None:
    given = from_assignments(("max_steps=1000", "learning_rate=2e-5", "expects_think=true", "lr_scheduler_type=cosine"))

    assert given == {"max_steps": 1000, "learning_rate": 2e-5, "expects_think": True, "lr_scheduler_type": "cosine"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_step=3", "did you mean max_steps?"),
        ("max_steps", "KEY=VALUE"),
        ("max_steps=many", "expected a number"),
        ("max_steps=1.5", "expected a whole number"),
        ("max_steps=nan", "expected a number"),
        ("peft=maybe", "expected true or false"),
    ],
)
def test_assignments_that_are_none(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_assignments((text,))
    assert said in str(caught.value)


def test_arguments_of_a_trainer() -> None:
    arguments = {
        "max_steps": -1,
        "num_train_epochs": 3.0,
        "learning_rate": 2e-5,
        "lr_scheduler_type": "SchedulerType.COSINE",
        "warmup_steps": 0,
        "logging_steps": 10,
        "logging_strategy": "steps",
        "eval_steps": None,
        "eval_strategy": "no",
        "save_steps": 500,
        "save_strategy": "epoch",
        "fp16": False,
        "max_grad_norm": 0.0,
    }

    assert from_arguments(arguments) == {
        "num_train_epochs": 3.0,
        "learning_rate": 2e-5,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0,
        "logging_steps": 10,
        "fp16": False,
    }


def test_a_warm_up_as_a_share_takes_the_planned_steps() -> None:
    arguments = {"lr_scheduler_type": "linear", "learning_rate": 1e-4, "warmup_ratio": 0.03, "warmup_steps": 0}

    assert from_arguments({**arguments, "max_steps": 110})["warmup_steps"] == 4
    assert "lr_scheduler_type" not in from_arguments(arguments)  # half a schedule would be a wrong one
