"""Steps that are left out: their examples are not trained on, and everything else is as it was."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.train import test_train_trainer as trainers
from tests.train.test_train_trainer import Guarded, Rates, StopAt, base, last, make, rows, weights

from trainguard.errors import UsageError
from trainguard.train.left_out import Batches, LeftOut, parse_window
from trainguard.train.lineage import Continuation
from trainguard.train.skipped import SKIPPED, SkippedRows

pytestmark = trainers.pytestmark
__all__ = ["base"]


# -- which steps ---------------------------------------------------------------

windows_of_steps = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)).map(lambda x: (x[0], sum(x))), max_size=5)


@given(windows_of_steps)
def test_left_out_is_what_remains_of_a_list_of_steps(windows: list[tuple[int, int]]) -> None:
    steps = list(range(1, 500))
    for first, after in windows:
        del steps[first - 1 : after]
    found = LeftOut.of(windows)
    assert [found.original(number) for number in range(1, 100)] == steps[:99]
    assert [found.made(original) for original in range(100)] == [
        sum(each <= original for each in steps) for original in range(100)
    ]
    gone = [each for first, last in found.within(20, 60) for each in range(first, last + 1)]
    assert gone == [each for each in range(20, 61) if each not in steps]


@pytest.mark.parametrize("text", ["", "0-3", "5-4", "-3", "a", "3-", "1-2-3", "\uff11-2", "9" * 13])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="such as 5-8"):
        parse_window(text)
    assert (parse_window("7"), parse_window(" 5 - 8 ")) == ((7, 7), (5, 8))


@given(
    examples=st.integers(1, 60), size=st.integers(1, 4), group=st.integers(1, 4), limit=st.none() | st.integers(1, 12),
    gone=st.lists(st.integers(0, 12), max_size=4, unique=True),
)  # fmt: skip
def test_batches_are_those_of_the_steps_that_remain(
    examples: int, size: int, group: int, limit: int | None, gone: list[int]
) -> None:
    from torch.utils.data import BatchSampler

    inner = list(BatchSampler(range(examples), size, drop_last=False))
    seen: list[int] = []
    ranges = LeftOut.of([(each + 1, each + 1) for each in sorted(gone, reverse=True)]).ranges
    cut = Batches(
        _Listed(inner), group=group, gone=[(first - 1, last - 1) for first, last in ranges], limit=limit,
        on_left_out=lambda _, batch: seen.extend(batch),
    )  # fmt: skip
    whole = inner[:limit]
    expected = [batch for index, batch in enumerate(whole) if index // group not in gone]
    assert list(cut) == expected
    assert len(cut) == len(expected)
    assert sorted([each for batch in expected for each in batch] + seen) == [each for batch in whole for each in batch]


class _Listed:
    def __init__(self, batches: list[list[int]]) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_leave_out_the_same_steps(processes: int) -> None:
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    order = list(range(48))
    random.Random(7).shuffle(order)
    group, size = 2, 2

    def steps(inner: Any) -> list[list[int]]:
        """The examples of each step, over all processes."""
        shards = [list(BatchSamplerShard(inner, processes, rank)) for rank in range(processes)]
        made = range(0, len(shards[0]), group)
        return [sorted(one for shard in shards for batch in shard[at : at + group] for one in batch) for at in made]

    whole = steps(BatchSampler(order, size, drop_last=False))
    cut = Batches(BatchSampler(order, size, drop_last=False), group=group * processes, gone=[(1, 2)])
    assert steps(cut) == whole[:1] + whole[3:]


# -- in the trainer: 40 examples, 20 steps an epoch, two epochs -----------------


def without(seen: list[int], *gone: tuple[int, int], step: int = 2) -> list[int]:
    """Examples without those of some original steps."""
    left = {number for first, last in gone for number in range(first, last + 1)}
    return [each for place, each in enumerate(seen) if place // step + 1 not in left]


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with nothing left out, and its folder with a checkpoint after every fourth step."""
    output = tmp_path_factory.mktemp("whole")
    noted = Rates()
    trainer = make(Guarded, base, output, rows(0), noted, save_steps=4)
    trainer.train()
    return trainer, noted, output


class SaveAndStopAt(StopAt):
    """Ends a run after a step at which a checkpoint was saved."""

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        control = super().on_step_end(args, state, control, **more)
        control.should_save |= control.should_training_stop
        return control


def resumed(base: Path, whole: Any, tmp_path: Path, at: int, *callbacks: Any, **more: Any) -> Any:
    """A run that goes on from a checkpoint of `whole` in a folder of its own."""
    trainer = make(Guarded, base, tmp_path / "out", rows(0), *callbacks, **more)
    trainer.train(resume_from_checkpoint=str(whole[2] / f"checkpoint-{at}"))
    return trainer


def test_a_window_is_left_out_and_everything_else_stays_in_order(base: Path, whole: Any, tmp_path: Path) -> None:
    noted: list[tuple[Any, ...]] = []
    rates = Rates()
    trainer = make(Guarded, base, tmp_path, rows(0), rates, continuation=Continuation(skipped=((5, 7),)), save_steps=40)
    trainer.on_left_out = lambda *given: noted.append(given)
    assert trainer.planned_steps() == 37
    trainer.train()
    seen = whole[0].seen
    assert trainer.seen == without(seen, (5, 7))
    assert (trainer.own_steps, trainer.state.max_steps) == (37, 37)
    # Each example gets the learning rate that it would have had.
    assert rates.rates == whole[1].rates[:4] + whole[1].rates[7:]
    assert [(step, epoch, position) for step, epoch, position, _ in noted] == [(5, 0, 8), (6, 0, 10), (7, 0, 12)]
    assert [each for *_, batch in noted for each in batch] == seen[8:14]


def test_up_to_the_window_a_resumed_run_has_the_weights_of_the_one_before(
    base: Path, whole: Any, tmp_path: Path
) -> None:
    continuation = Continuation(skipped=((9, 10),))
    stopped = resumed(base, whole, tmp_path, 4, SaveAndStopAt(8), continuation=continuation, save_steps=40)
    from safetensors.torch import load_file

    before = load_file(whole[2] / "checkpoint-8" / "model.safetensors")
    for name, value in load_file(last(tmp_path / "out") / "model.safetensors").items():
        assert torch.equal(value, before[name]), name
    again = make(Guarded, base, tmp_path / "out", rows(0), continuation=continuation, save_steps=40)
    again.train(resume_from_checkpoint=str(last(tmp_path / "out")))
    assert stopped.seen + again.seen == without(whole[0].seen, (9, 10))[8:]


@pytest.mark.parametrize(
    ("windows", "gone", "at"),
    [
        (((1, 1),), ((1, 1),), 0),
        (((19, 22),), ((19, 22),), 12),  # over the end of the first epoch
        (((5, 6), (9, 9)), ((5, 6), (11, 11)), 4),  # the second counts what is left
        (((21, 40),), ((21, 40),), 20),  # the whole second epoch
        (((39, 99),), ((39, 40),), 32),  # up to the end and beyond
        (((1, 20), (3, 4)), ((1, 20), (23, 24)), 0),  # the whole first epoch
    ],
)
def test_windows_anywhere(base: Path, whole: Any, tmp_path: Path, windows: Any, gone: Any, at: int) -> None:
    given: dict[str, Any] = {"continuation": Continuation(skipped=windows), "save_steps": 20}
    if at:
        trainer = resumed(base, whole, tmp_path, at, **given)
    else:
        trainer = make(Guarded, base, tmp_path / "out", rows(0), **given)
        trainer.train()
    expected = without(whole[0].seen, *gone)
    assert getattr(trainer, "seen", []) == expected[at * 2 :]
    assert trainer.own_steps == len(expected) // 2


@pytest.mark.parametrize("stop", [18, *(pytest.param(each, marks=pytest.mark.slow) for each in (6, 25))])
def test_a_kill_after_the_window_resumes_as_if_there_had_been_none(
    base: Path, whole: Any, tmp_path: Path, stop: int
) -> None:
    given: dict[str, Any] = {"continuation": Continuation(skipped=((3, 4), (20, 20))), "save_steps": 40}
    through = make(Guarded, base, tmp_path / "through", rows(0), **given)
    through.train()
    killed = make(Guarded, base, tmp_path / "out", rows(0), SaveAndStopAt(stop), **given)
    killed.train()
    again = make(Guarded, base, tmp_path / "out", rows(0), **given)
    again.train(resume_from_checkpoint=str(last(tmp_path / "out")))
    assert killed.seen + again.seen == through.seen == without(whole[0].seen, (3, 4), (22, 22))
    for name, value in weights(through).items():
        assert torch.equal(value, weights(again)[name]), name


def test_with_max_steps_there_are_as_many_and_the_schedule_is_its_own(base: Path, whole: Any, tmp_path: Path) -> None:
    rates = Rates()
    trainer = make(
        Guarded,
        base,
        tmp_path,
        rows(0),
        rates,
        max_steps=36,
        continuation=Continuation(skipped=((5, 9),)),
        save_steps=40,
    )
    trainer.train()
    assert trainer.own_steps == 36
    assert trainer.seen[: 35 * 2] == without(whole[0].seen, (5, 9))  # and one of the third epoch
    assert rates.rates[4:6] == pytest.approx([0.01, 0.01 * 31 / 32])


def test_in_a_later_file_too(base: Path, whole: Any, tmp_path: Path) -> None:
    rates = Rates()
    continuation = Continuation(step_before=40, weights=last(whole[2]), skipped=((2, 5),))
    trainer = make(Guarded, base, tmp_path, rows(0), rates, continuation=continuation, save_steps=40)
    trainer.train()
    assert trainer.seen == without(whole[0].seen, (2, 5))
    assert (trainer.state.global_step, trainer.own_steps) == (76, 36)
    assert rates.rates == whole[1].rates[:1] + whole[1].rates[5:]


# -- another make-up of the same effective batch --------------------------------


@pytest.mark.parametrize("drop", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [43, *(pytest.param(each, marks=pytest.mark.slow) for each in (40, 42))])
def test_half_the_micro_batch_in_the_middle_sees_the_same_examples_a_step(
    base: Path, tmp_path: Path, drop: bool, count: int
) -> None:
    """As after running out of GPU memory: 4 x 1 becomes 2 x 2, and then 1 x 4."""
    given: dict[str, Any] = {"save_steps": 40, "dataloader_drop_last": drop, "learning_rate": 1e-3}
    sizes = [
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
    ]
    through = make(Guarded, base, tmp_path / "through", rows(0, count), **given, **sizes[0])
    through.train()

    seen: list[int] = []
    output, epoch_examples, trainer = tmp_path / "out", None, through
    for size, stop in zip(sizes, (4, 13, 99), strict=True):
        continuation = Continuation(skipped=(), epoch_examples=epoch_examples)
        trainer = make(
            Guarded, base, output, rows(0, count), SaveAndStopAt(stop), continuation=continuation, **given, **size
        )
        epoch_examples = trainer.examples_of_an_epoch()
        trainer.train(resume_from_checkpoint=str(last(output)) if seen else None)
        seen += trainer.seen
    assert seen == through.seen
    assert trainer.own_steps == through.own_steps
    worst = max(float((value - weights(trainer)[name]).abs().max()) for name, value in weights(through).items())
    assert worst < 1e-4  # sums of floats in another order


# -- what is written down -------------------------------------------------------


class _Letters:
    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(map(chr, ids))


def test_what_was_left_out_is_listed_once_with_its_line_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"text": "a"}\n\n{"text": "b"}\n \n\n{"text": "c"}\n')
    token = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ"
    data = [{"input_ids": [ord(each) for each in f"{text} {token}"]} for text in "abc"]
    for _ in range(2):  # a resumed run passes them again
        out = SkippedRows(tmp_path, file_number=2, dataset=data, tokenizer=_Letters(), file=file)
        out.note(7, 0, 12, [2, 0])
        out.note(8, 0, 14, [1])
        out.close()
    lines = [json.loads(line) for line in (tmp_path / "trainguard" / SKIPPED).read_text().splitlines()]
    assert [(each["step"], each["position"], each["row"], each["line"]) for each in lines] == [
        (7, 12, 2, 6),
        (7, 13, 0, 1),
        (8, 14, 1, 3),
    ]
    assert all(each["text"][0] in "abc" and token not in each["text"] and "***" in each["text"] for each in lines)


def test_a_row_that_cannot_be_shown_is_listed_all_the_same(tmp_path: Path) -> None:
    out = SkippedRows(tmp_path, file_number=1, dataset=[{}], tokenizer=None, file=tmp_path / "gone")
    out.note(1, 0, 0, [0])
    out.close()
    line = json.loads((tmp_path / "trainguard" / SKIPPED).read_text())
    assert (line["text"], line["line"], line["row"]) == (None, None, 0)
