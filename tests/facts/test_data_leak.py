"""Evaluation rows in the training data are found, exactly and nearly; what both merely share is no leak."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.facts.test_data_near import Maker, Row

from trainguard.facts.data.leak import EvalIndex, conclude
from trainguard.facts.data.records import Leak


def leak(evaluation: list[Row], training: list[Row], *, ranges: int = 2) -> Leak:
    """As the reader does it: the index goes to workers as msgpack, and ranges come back."""
    index = EvalIndex.build(("eval.jsonl", line, row) for line, row in enumerate(evaluation, start=1))
    index.path = "eval.jsonl"
    state = msgspec.msgpack.encode(index.to_state())
    hits: list[tuple[str, int, dict[str, Any]]] = []
    step = -(-len(training) // ranges) or 1
    for start in range(0, len(training), step):
        worker = EvalIndex.from_state(msgspec.msgpack.decode(state))
        for number, row in enumerate(training[start : start + step]):
            worker.look("train.jsonl", number, row)
        hits.append(
            ("train.jsonl", start + 1, msgspec.msgpack.decode(msgspec.msgpack.encode(worker.hits()), strict=False))
        )
    return conclude(index, hits)


def cases(make: Maker, count: int) -> tuple[list[tuple[Row, Row]], list[tuple[Row, Row]], list[tuple[Row, Row]]]:
    """Pairs of an evaluation row and a training row: that say the same, that nearly do, and that do not."""
    exact, near, none = [], [], []
    frame, system = make.text(120), make.text(200)
    for _ in range(count):
        prompt, answer = make.text(make.chance.randint(12, 60)), make.text(make.chance.randint(6, 120))
        exact.append((make.layout(prompt, answer), make.layout(prompt.upper(), answer.replace(" ", "\n", 2))))
        prompt, answer = make.text(make.chance.randint(15, 60)), make.text(make.chance.randint(8, 120))
        kind = make.chance.randrange(3)
        if kind == 0:
            other = make.layout(make.edited(prompt, 0.02), make.edited(answer, 0.02))
        elif kind == 1:  # inside a longer conversation
            other = {
                "messages": [
                    {"role": "user", "content": make.text(40)},
                    {"role": "assistant", "content": make.text(80)},
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": answer},
                ]
            }
        else:
            other = make.layout("Question: " + prompt, answer + " " + make.text(20))
        near.append((make.layout(prompt, answer), other))
        question, answer = make.text(make.chance.randint(8, 20)), make.text(make.chance.randint(3, 30))
        again, reply = make.text(make.chance.randint(8, 20)), make.text(make.chance.randint(3, 30))
        kind = make.chance.randrange(4)
        if kind == 0:
            pair = make.layout(frame + question, answer), make.layout(frame + again, reply)
        elif kind == 1:
            pair = make.layout(question, answer, system=system), make.layout(again, reply, system=system)
        elif kind == 2:
            passage = make.text(200)
            pair = make.layout(passage + question, answer), make.layout(passage + again, reply)
        else:
            pair = make.layout("Say hello.", "Hello!"), make.layout("Say hello.", "Hello!")
        none.append(pair)
    return exact, near, none


@pytest.mark.parametrize("seed", ["A", "B"])  # the thresholds were chosen on A; B was scored once
def test_precision_and_recall(seed: str) -> None:
    make = Maker({"A": 21, "B": 4409}[seed])
    exact, near, none = cases(make, 300)
    for pairs, least_exact, least_near, most in ((exact, 300, 0, 300), (near, 0, 285, 300), (none, 0, 0, 3)):
        found = leak([one for one, _ in pairs], [other for _, other in pairs])
        assert found.exact >= least_exact
        assert found.exact + (found.near or 0) >= least_near
        assert found.exact + (found.near or 0) <= most
    everything = [*exact, *near, *none]
    found = leak([one for one, _ in everything], [other for _, other in reversed(everything)])
    assert found.eval_rows == 900
    assert found.exact == 300
    assert 285 <= (found.near or 0) <= 303


def chat(prompt: str, answer: str) -> Row:
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def test_the_places_are_those_of_the_training_rows() -> None:
    make = Maker(3)
    rows = [chat(make.text(30), make.text(30)) for _ in range(20)]
    found = leak([rows[4], rows[15], rows[15]], rows, ranges=3)
    assert (found.exact, found.near, found.eval_rows, found.eval_path) == (3, 0, 3, "eval.jsonl")
    assert [(sample.path, sample.line) for sample in found.samples] == [("train.jsonl", 5), ("train.jsonl", 16)]
    assert found.samples[0].text == rows[4]["messages"][0]["content"][:120]
    assert found.samples[0].detail == "stands in the evaluation data"


@pytest.mark.parametrize(
    ("evaluation", "training"),
    [
        ([], [chat("a", "b")]),
        ([chat("Hi", "Hello!")], [chat("Hi", "Hello!")]),
        ([{"messages": 5}, {}, {"text": None}], [{"messages": [{}]}, {"prompt": 7}]),
        ([{"text": "\ud800 " * 30}], [{"text": "\ud801 " * 30}]),
    ],
)
def test_no_leak(evaluation: list[Row], training: list[Row]) -> None:
    found = leak(evaluation, training)
    assert (found.exact, found.near) == (0, 0)


def test_ten_words_are_enough_for_the_same() -> None:
    row = chat("How many bolts does the second wheel have?", "It has nine bolts.")
    assert leak([row], [row]).exact == 1
