"""trainer_state.json: what the Trainer takes a run up with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainguard.facts.checkpoint.records import CheckpointProblem, TrainerState
from trainguard.facts.weights.files import UnsoundError, open_regular, read_at, why_unreadable

# A log entry has about 150 bytes: ten million of them are 1.5 GB, and no run logs a hundredth of that.
MAX_BYTES = 256 * 2**20


def read_json(path: Path, *, limit: int = MAX_BYTES) -> Any:
    """The JSON value of a file as Python's own decoder reads it, which is what the Trainer uses (NaN is taken).

    Raises UnsoundError with the reason in words.
    """
    try:
        with open_regular(path) as (file, size):
            if size > limit:
                raise UnsoundError(f"it has {size:,} bytes, more than the {limit:,} that are read")
            data = read_at(file, 0, size)
    except OSError as error:
        raise UnsoundError(why_unreadable(error)) from None
    if not data:
        raise UnsoundError("it is empty")
    if not data.strip(b"\0"):
        raise UnsoundError(f"it holds {len(data):,} zero bytes and nothing else")
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UnsoundError(f"it is no UTF-8 at byte {error.start:,}") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        if error.pos >= len(data.rstrip()) - 1 or "Unterminated" in error.msg:
            raise UnsoundError(f"it ends in the middle of its JSON, at {at}") from None
        raise UnsoundError(f"it is no JSON at {at}: {error.msg}") from None
    except RecursionError:
        raise UnsoundError("its JSON is nested too deep") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise UnsoundError(f"it is no JSON that Python takes: {error}") from None


def read_state(path: Path, folder_step: int | None) -> tuple[TrainerState | None, list[CheckpointProblem]]:
    """The state, and what is wrong with it. `folder_step` is the number in the folder's name."""
    try:
        value = read_json(path)
    except UnsoundError as error:
        return None, [_corrupt(f"{path.name} cannot be used: {error}")]
    if not isinstance(value, dict):
        return None, [_corrupt(f"{path.name} holds no object, but {_kind(value)}")]
    state = _state_of(value)
    if state.global_step is None:
        # `TrainerState(**json.loads(text))` (trainer_callback.py:149): a state without global_step is one at 0.
        given = f"global_step {value['global_step']!r:.40}" if "global_step" in value else "no global_step"
        return state, [_corrupt(f"{path.name} has {given}, which is no whole number")]
    return state, _impossible(state, folder_step, path.name)


def _impossible(state: TrainerState, folder_step: int | None, name: str) -> list[CheckpointProblem]:
    step = state.global_step or 0
    evidence: dict[str, Any] = {"global_step": step, "folder_step": folder_step}
    if step < 0:
        words = f"{name} says global_step {step:,}, and no run has a negative step"
    elif folder_step is not None and step != folder_step:
        words = f"{name} says global_step {step:,}, and the folder's name says {folder_step:,}"
    elif state.last_logged_step is not None and state.last_logged_step > step:
        words = f"{name} says global_step {step:,}, and its log_history goes on to step {state.last_logged_step:,}"
        evidence["last_logged_step"] = state.last_logged_step
    else:
        return []
    cost = "the Trainer would skip the wrong share of the data and stop at the wrong step"
    return [CheckpointProblem(kind="impossible-step", file=name, words=words, cost=cost, evidence=evidence)]


def _corrupt(words: str) -> CheckpointProblem:
    return CheckpointProblem(
        kind="trainer-state-corrupt", file="trainer_state.json", words=words, cost="the Trainer fails on it"
    )


def _state_of(value: dict[str, Any]) -> TrainerState:
    history = value.get("log_history")
    steps = [
        step for each in history if isinstance(each, dict) and (step := _integer(each.get("step"))) is not None
    ] if isinstance(history, list) else []  # fmt: skip
    best = value.get("best_model_checkpoint")
    epoch = value.get("epoch")
    return TrainerState(
        global_step=_integer(value.get("global_step")),
        max_steps=_integer(value.get("max_steps")),
        epoch=epoch if isinstance(epoch, float) else None if (whole := _integer(epoch)) is None else float(whole),
        last_logged_step=max(steps, default=None),
        best_model_checkpoint=best if isinstance(best, str) else None,
    )


def _integer(value: object) -> int | None:
    # Bounded, so that what is made of it stays printable and can be compared with a step of 64 bits.
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "a truth value"}
    return names.get(type(value), "null")
