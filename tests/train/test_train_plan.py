"""The plan of a run: its numbers are the Trainer's own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.config.schema import RunConfig
from trainguard.facts.config.schema_blocks import Evaluation, Lora, Saving
from trainguard.train.plan import DataSize, Plan, Weights, epoch_steps, make_plan, trained_weights, warmup_steps


def plan(run: RunConfig, examples: int | None = 40, tokens: int | None = None, **more: object) -> Plan:
    size = DataSize(examples=examples, tokens=tokens) if examples is not None else None
    return make_plan(run, size, Weights(all=1_000, trained=10), output_dir="out", **more)  # type: ignore[arg-type]


def test_steps_are_epochs_times_batches_rounded_up_once() -> None:
    made = plan(RunConfig(batch_size=3, gradient_accumulation=2, epochs=1.5), 40)
    assert made.steps_per_epoch == 7  # 14 batches of 3, two a step
    assert made.steps == math.ceil(1.5 * 7)
    assert made.effective_batch == 6


def test_max_steps_goes_before_epochs() -> None:
    assert plan(RunConfig(max_steps=5, epochs=100)).steps == 5


def test_processes_share_the_batches() -> None:
    made = plan(RunConfig(batch_size=2, epochs=1), 40, processes=4)
    assert (made.steps, made.effective_batch) == (5, 8)


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_epoch_steps_are_those_of_accelerate_and_the_trainer(rows: int, batch: int, sums: int, processes: int) -> None:
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler, SequentialSampler

    sampler = BatchSampler(SequentialSampler(range(rows)), batch, drop_last=False)
    shard = BatchSamplerShard(sampler, num_processes=processes, process_index=0, even_batches=True)
    batches = len(list(shard))
    assert epoch_steps(rows, batch, sums, processes) == max(batches // sums + int(batches % sums > 0), 1)


@pytest.mark.parametrize(("given_", "steps", "expected"), [(0, 100, 0), (0.03, 100, 3), (0.031, 100, 4), (7, 100, 7)])
def test_warm_up_is_a_number_or_a_share(given_: float, steps: int, expected: int) -> None:
    assert warmup_steps(given_, steps) == expected


def test_packing_counts_sequences_and_says_that_it_estimates() -> None:
    made = plan(RunConfig(packing=True, max_length=100, batch_size=2, epochs=1), 400, tokens=2_000)
    assert (made.steps, made.approximate) == (10, True)


def test_data_of_the_hub_has_no_steps_before_it_is_there() -> None:
    made = plan(RunConfig(epochs=2), None)
    assert (made.steps, made.examples, made.saves) == (None, None, None)


def test_checkpoints_are_weights_and_two_moments() -> None:
    full = plan(RunConfig(save=Saving(steps=10, keep=3), epochs=2, batch_size=2))
    assert full.checkpoint_bytes == 1_000 * 4 * 3
    assert full.needed_bytes == full.checkpoint_bytes * 4  # three that are kept and the one being written
    assert plan(RunConfig(method="lora")).checkpoint_bytes == 10 * 4 * 3
    assert plan(RunConfig(), last_checkpoint_bytes=77).checkpoint_bytes == 77
    assert plan(RunConfig(save=Saving(strategy="no"))).needed_bytes is None


def test_evaluation_is_only_where_there_are_data() -> None:
    assert plan(RunConfig(eval=Evaluation(strategy="steps", steps=5))).eval_strategy == "no"
    assert plan(RunConfig(eval=Evaluation(data="e", strategy="steps"), logging_steps=7)).eval_every == 7


# peft 0.21 asks transformers 5.23 by the older of two names.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_size_of_an_adapter_is_peft_s() -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    for targets in ("all-linear", ["q_proj", "down_proj"]):
        model = LlamaForCausalLM(config)
        shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
        found = trained_weights(shapes, RunConfig(method="lora", lora=Lora(r=4, target_modules=targets)))
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"))
        assert found.trained == sum(each.numel() for each in adapted.parameters() if each.requires_grad)
        assert found.all == sum(math.prod(shape) for shape in shapes.values())


def test_a_regular_expression_of_targets_is_not_guessed() -> None:
    found = trained_weights({"a.q_proj.weight": (4, 4)}, RunConfig(method="lora", lora=Lora(target_modules=".*q.*")))
    assert found.trained is None
