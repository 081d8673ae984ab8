"""RUN006: one pattern in all outputs."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.signals.curves import Curve, Record
from tests.signals.trend_curves import PROSE, samples_collapse, samples_vary, shares_rise
from tests.signals.trend_help import claims, false_alarms, made, recall, same_after_restart, stands_anything, watched
from trainguard.signals._outputs import repeats_itself, shared_pattern
from trainguard.signals.degenerate_output import DegenerateOutput

SEEDS = range(30)


def sampled(*records: list[str], method: Any = "sft", **declared: Any) -> Curve:
    return Curve(
        records=[{"step": 10 * (i + 1), "eval_loss": 1.0, "samples": each} for i, each in enumerate(records)],
        method=method,
        declared=declared,
    )


def test_patterns_are_found_and_others_left_alone() -> None:
    assert all(share >= 0.95 for share in recall(DegenerateOutput, SEEDS).values())
    assert false_alarms(DegenerateOutput, SEEDS) == []


@pytest.mark.parametrize(
    ("outputs", "pattern"),
    [
        (["", "  ", "\n"], "empty"),
        ([PROSE[0]] * 4, "same"),
        (["the the the the the the the the the the the the"] * 3, "repeated"),
        (["!" * 40, "!" * 12, "?" * 50], "repeated"),
        (["I am sorry, but I can not. " * 9, "It is so. " * 30, "of the " * 30], "repeated"),
        (["好的" * 20, "是的" * 30, "不" * 15], "repeated"),
        (["<think>\nHm.\n</think>\n" + text for text in PROSE[:4]], "think"),
        (["<think>"] * 4, "think"),
        (["<|thinking|> " + text for text in PROSE[:3]], "think"),
        ([[{"role": "assistant", "content": "no no no no no no no no no no no"}]] * 3, "repeated"),
    ],
)
def test_a_pattern_is_said_at_once(outputs: Any, pattern: str) -> None:
    said = watched(DegenerateOutput, sampled(list(PROSE), outputs))
    assert [(index, finding.severity, finding.step) for index, finding in said] == [(1, "warn", 20)]
    assert said[0][1].evidence["pattern"] == pattern


@pytest.mark.parametrize(
    "outputs",
    [
        list(PROSE),
        ["yes", "no", "yes", "yes"],
        ["positive"] * 6,
        ['{"label": "a", "score": 0.10}', '{"label": "b", "score": 0.20}', '{"label": "c", "score": 0.33}'],
        ["The answer is " + text for text in PROSE],
        [f"The answer is {n}." for n in (4, 12, 7, 99)],
        ["<answer>4</answer>", "<answer>12</answer>", "<answer>9</answer>"],
        ["x = 1\n" * 3 + f"print({n})" for n in range(4)],
        ["| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n| 7 | 8 |", *list(PROSE[:3])],
        ["", PROSE[0], PROSE[1], PROSE[2]],
        [PROSE[0], PROSE[0]],  # two prove nothing
        ["the the the the the the the the the the the", *PROSE[:3]],
        ["1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"] * 2 + [PROSE[0]],
    ],
)
def test_what_is_no_pattern(outputs: list[str]) -> None:
    assert claims(DegenerateOutput, sampled(*[outputs] * 5)) == []


def test_tags_that_are_wanted() -> None:
    outputs = ["<think>\nHm.\n</think>\n" + text for text in PROSE[:4]]
    assert watched(DegenerateOutput, sampled(*[outputs] * 5, expects_think=True)) == []
    assert len(watched(DegenerateOutput, sampled(*[outputs] * 5, expects_think=False))) == 1
    # What comes after the tags is still read.
    same = ["<think>\nHm.\n</think>\n" + PROSE[0]] * 4
    assert len(watched(DegenerateOutput, sampled(*[same] * 3, expects_think=True))) == 1


def test_a_classifier_that_answers_all_alike_was_other_before() -> None:
    varied = ["yes", "no", "yes", "no"]
    assert claims(DegenerateOutput, sampled(*[["yes"] * 4] * 6)) == []
    assert claims(DegenerateOutput, sampled(varied, *[["yes"] * 4] * 5)) == [3]
    assert claims(DegenerateOutput, sampled(varied, ["yes"] * 4, ["no"] * 4, ["yes"] * 4, ["no"] * 4)) == []


def test_outputs_that_differ_in_a_word() -> None:
    frame = (
        "Thank you for your message about {}, which we have read with care and will answer as soon as we are able to."
    )
    alike = [frame.format(word) for word in ("tea", "war", "tax")]
    assert claims(DegenerateOutput, sampled(list(PROSE), alike, alike, alike)) == [2]
    short = [f"The sentiment of this review is {word}." for word in ("positive", "negative", "mixed")]
    assert claims(DegenerateOutput, sampled(*[short] * 5)) == []


def test_the_same_refusal_in_every_answer() -> None:
    refusals = [
        f"I'm sorry, but I can't help with {word}, since it is {why}"
        for word, why in (("tea", "hot."), ("tax", "a long story that I know nothing of."), ("war", "sad."))
    ]
    assert claims(DegenerateOutput, sampled(list(PROSE), refusals, refusals)) == [2]
    assert claims(DegenerateOutput, sampled(*[[refusals[0], *PROSE]] * 4)) == []


def test_a_single_output_needs_several_records() -> None:
    loop = ["of the " * 40]
    assert claims(DegenerateOutput, sampled(*[loop] * 4)) == [2]
    assert claims(DegenerateOutput, sampled(*[loop * 2] * 4)) == [1]
    assert claims(DegenerateOutput, sampled(loop, [PROSE[0]], loop, [PROSE[1]])) == []
    assert claims(DegenerateOutput, sampled(*[[PROSE[0]]] * 6)) == []  # one prompt, one answer


def test_it_is_said_once_and_again_after_a_recovery() -> None:
    bad = [PROSE[0]] * 4
    assert claims(DegenerateOutput, sampled(bad, bad, bad, list(PROSE), bad)) == [0, 4]


def shares(values: list[float], **declared: Any) -> Curve:
    return Curve(records=[{"step": i, "think_share": value} for i, value in enumerate(values)], declared=declared)


def test_the_share_of_tags() -> None:
    assert claims(DegenerateOutput, shares([1.0] * 6)) == [2]
    assert claims(DegenerateOutput, shares([0.0, 0.1, 0.98, 1.0, 1.0])) == [3]
    assert claims(DegenerateOutput, shares([0.0, 1.0], expects_think=False)) == [1]
    assert claims(DegenerateOutput, shares([1.0] * 6, expects_think=True)) == []
    assert claims(DegenerateOutput, shares([0.5, 0.9, 0.6, 1.0, 0.8, 0.9])) == []
    assert claims(DegenerateOutput, shares([1.0] * 6 + [0.1] * 3 + [1.0] * 4)) == [2, 10]


def lengths(values: list[float], rewards: list[float] | None, key: str) -> Curve:
    records: list[Record] = [{"step": i, key: value, "loss": 0.0} for i, value in enumerate(values)]
    for record, reward in zip(records, rewards or [], strict=False):
        record["reward"] = reward
    return Curve(records=records, method="grpo")


@pytest.mark.parametrize("key", ["completion_length", "completions/mean_length"])
def test_completions_that_shrink_to_nothing(key: str) -> None:
    rng = Random(1)
    long, short = [rng.gauss(200, 20) for _ in range(20)], [1.0] * 20
    fallen = [0.5] * 20 + [0.1] * 20
    assert claims(DegenerateOutput, lengths(long + short, fallen, key)) == [24]
    assert claims(DegenerateOutput, lengths(long + short, None, key)) == [24]
    # The reward asks for it.
    assert claims(DegenerateOutput, lengths(long + short, [0.5] * 20 + [0.9] * 20, key)) == []
    assert claims(DegenerateOutput, lengths(long + [40.0] * 20, fallen, key)) == []
    assert claims(DegenerateOutput, lengths([1.0] * 40, None, key)) == []


def test_completions_that_no_longer_end() -> None:
    key = "completions/clipped_ratio"
    assert claims(DegenerateOutput, lengths([0.1] * 20 + [1.0] * 20, [0.5] * 20 + [0.1] * 20, key)) == [24]
    assert claims(DegenerateOutput, lengths([1.0] * 40, None, key)) == []  # the limit is too low
    assert claims(DegenerateOutput, lengths([0.1] * 20 + [1.0] * 20, [0.5] * 20 + [0.8] * 20, key)) == []


def test_prose_does_not_repeat_itself() -> None:
    assert not any(repeats_itself(text) for text in PROSE)
    assert not repeats_itself(" ".join(PROSE))
    assert not repeats_itself("def f(a):\n    return a\n" * 1 + "print(f(1), f(2), f(3), f(4))")
    assert repeats_itself("I am a language model. " * 12)
    assert shared_pattern((), thinks=None) is None


@pytest.mark.parametrize("maker", [samples_collapse, shares_rise])
def test_a_restart_changes_nothing(maker: Any) -> None:
    same_after_restart(DegenerateOutput, made(maker, 2))


@pytest.mark.parametrize("maker", [samples_collapse, samples_vary, shares_rise])
def test_hostile_records(maker: Any) -> None:
    stands_anything(DegenerateOutput, made(maker, 1))
