"""The reference model of the campaign finds what must not be, and says nothing of what may."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from campaign.catalogue import BECAUSE
from campaign.model import judge

_HASHES = {"a": "a" * 64, "b": "b" * 64, "bad": "c" * 64}
_DROPPED: list[dict[str, Any]] = [
    {"name": "a.jsonl", "sha256": _HASHES["a"], "fate": "done", "rows": 5, "vanishes": False},
    {"name": "b.jsonl", "sha256": _HASHES["b"], "fate": "done", "rows": 4, "vanishes": False},
    {"name": "bad.jsonl", "sha256": _HASHES["bad"], "fate": "failed", "rows": 4, "vanishes": False},
]


def _file(number: int, name: str, state: str, step: int | None) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "sha256": _HASHES[name],
        "state": state,
        "step": step,
        "cause": None,
        "memory": {},
    }


def _sound() -> dict[str, Any]:
    first, second = f"1-{'a' * 16}", f"2-{'b' * 16}"
    return {
        "files": [_file(1, "a", "done", 3), _file(2, "b", "done", 5), _file(3, "bad", "failed", None)],
        "events": [
            {"kind": "attempt-start", "file_id": 1, "time": 10.0, "data": {}},
            {"kind": "attempt-end", "file_id": 1, "time": 12.0, "data": {"decision": {"act": "retry"}}},
            {"kind": "attempt-start", "file_id": 1, "time": 13.5, "data": {}},
            {"kind": "first-step", "file_id": 1, "time": 14.25, "data": {"seconds_since_fault": 2.5}},
        ],
        "seen": [[first, 0, row] for row in range(5)] + [[second, 0, row] for row in range(4)],
        "history": [{"file_id": first}],
        "newest": 5,
        "kept": {sha256: ["somewhere"] for sha256 in _HASHES.values()},
    }


def test_nothing_is_said_of_what_is_as_it_should_be() -> None:
    verdict = judge(_DROPPED, _sound())
    assert (verdict.violations, verdict.unearned, verdict.files) == ([], [], 3)
    assert (verdict.restarts, verdict.recoveries, verdict.starts) == ([1.5], [2.5], [0.75])


def _held(seen: dict[str, Any]) -> None:
    seen["files"][1]["state"] = "held"
    seen["seen"] = seen["seen"][:5]


def test_a_sound_file_that_was_put_aside_is_counted_and_breaks_nothing() -> None:
    seen = _sound()
    _held(seen)
    verdict = judge(_DROPPED, seen)
    assert verdict.violations == []
    assert len(verdict.unearned) == 1


def test_a_file_that_a_person_gave_up_is_not_missed() -> None:
    seen = _sound()
    _held(seen)
    seen["files"][1]["cause"] = f"cancelled: {BECAUSE}"
    assert judge(_DROPPED, seen).unearned == []


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "the content is lost": lambda seen: seen["kept"].pop(_HASHES["a"]),
    "in the queue 0 times": lambda seen: seen["files"].pop(0),
    "for ever": lambda seen: seen["files"][0].update(state="waiting"),
    "is malformed": lambda seen: seen["files"][2].update(state="done"),
    "trained 2 times": lambda seen: seen["files"].append(_file(4, "a", "done", 5)),
    "expected [0, 1, 2, 3, 4]": lambda seen: seen["seen"].pop(0),
    "trained twice": lambda seen: seen["seen"].extend(seen["seen"][:5]),
    "not done": lambda seen: seen["seen"].append(["9-f", 0, 0]),
    "newest verified": lambda seen: seen.update(newest=3),
    "which is not whole": lambda seen: seen.update(
        resumed=[{"file": "1-f", "checkpoint": "checkpoint-2", "whole": False}]
    ),
    "names a file twice": lambda seen: seen["history"].extend(seen["history"]),
}


@pytest.mark.parametrize("words", BREAKS)
def test_what_must_not_be_is_found(words: str) -> None:
    seen = copy.deepcopy(_sound())
    BREAKS[words](seen)
    assert any(words in violation for violation in judge(_DROPPED, seen).violations)


def test_rows_that_were_skipped_on_purpose_are_not_missed() -> None:
    seen = _sound()
    seen["files"][0]["memory"] = {"recovery": {"skipped": [[2, 2]]}}
    seen["seen"] = [each for each in seen["seen"] if each[0][0] != "1" or each[2] not in (2, 3)]
    assert judge(_DROPPED, seen).violations == []


def _real() -> dict[str, Any]:
    seen = _sound()
    seen |= {"seen": [], "history": [{"file_id": f"1-{'a' * 16}", "steps": 3}]}
    return seen | {"final": {"step": 5, "run": {"file_id": f"2-{'b' * 16}", "step_before": 3}}}


def test_of_the_real_trainer_each_file_has_all_of_its_steps_in_the_lineage() -> None:
    assert judge(_DROPPED, _real(), trainer="real").violations == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda seen: seen["history"].clear(), "expected {"),
        (lambda seen: seen["history"][0].update(steps=4), "expected {"),
        (lambda seen: seen["final"].update(step=6), "has made 6 steps, expected 5"),
        (lambda seen: seen["history"].append({"file_id": "9-f", "steps": 1}), "9-f"),
    ],
)
def test_of_the_real_trainer_what_must_not_be_is_found(spoil: Callable[[dict[str, Any]], object], words: str) -> None:
    seen = _real()
    spoil(seen)
    assert any(words in violation for violation in judge(_DROPPED, seen, trainer="real").violations)
