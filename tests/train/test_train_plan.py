"""The plan of a run: its numbers are the Trainer's own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.checkpoint.manifest import Manifest
from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts
from trainguard.facts.config.schema import RunConfig
from trainguard.facts.config.schema_blocks import Evaluation, Lora, Saving
from trainguard.train.plan import DataSize, Plan, Weights, epoch_steps, make_plan, trained_weights, warmup_steps
from trainguard.train.standing import Standing, standing


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


@given(
    keep=st.one_of(st.none(), st.integers(1, 5)),
    saves=st.integers(1, 12),
    there=st.integers(0, 6),
    begins_on=st.booleans(),
)
def test_the_room_that_is_asked_for_is_what_the_saves_take(
    keep: int | None, saves: int, there: int, begins_on: bool
) -> None:
    """Against a folder that is pruned as `prunable` does it, save after save."""
    kept = there > 0 and begins_on
    made = plan(
        RunConfig(save=Saving(steps=10, keep=keep), max_steps=10 * saves),
        last_checkpoint_bytes=7,
        standing=there,
        begin_kept=kept,
    )
    folder, most = list(range(-there, 0)), there
    for save in range(saves):
        folder.append(save)
        most = max(most, len(folder))
        needed = {*folder[-2:], *([-1] if kept else [])}
        for each in [each for each in folder if each not in needed][: max(len(folder) - keep, 0) if keep else 0]:
            folder.remove(each)
    # One more is asked for than the saves themselves take: what is written at the end lies beside them.
    assert made.needed_bytes in {7 * max(most - there, 1), 7 * (most - there + 1)}


def _stands(step: int, *, before: int = 0, planned: int = 10, verified: bool = True) -> Checkpoint:
    run = {"step_before": before, "planned_steps": planned}
    manifest = Manifest(format_version=1, step=step, created="", files=(), run=run)
    return Checkpoint(path=Path("c"), name="c", step=step, size=100 + step, verified=verified, manifest=manifest)


def test_what_stands_gives_its_room_and_the_beginning_of_a_file_does_not() -> None:
    two_files = (_stands(5), _stands(10), _stands(15, before=10), _stands(18, before=10))
    facts = CheckpointsFacts(path="out", checkpoints=two_files)
    assert standing(facts) == Standing(count=4, begin_kept=True, bytes=118)
    without = CheckpointsFacts(path="out", checkpoints=(two_files[0], *two_files[2:]))
    assert standing(without) == Standing(count=3, begin_kept=False, bytes=118)  # its beginning is gone
    ended = CheckpointsFacts(path="out", checkpoints=two_files[:2])
    assert standing(ended) == Standing(count=2, begin_kept=True, bytes=110)  # the next file begins with the newest
    first = CheckpointsFacts(path="out", checkpoints=two_files[:1])
    assert standing(first) == Standing(count=1, begin_kept=False, bytes=105)  # it began with the base model
    assert standing(facts, before_step=15) == Standing(count=2, begin_kept=True, bytes=110)  # the others are set aside
    assert standing(None) == Standing()


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
