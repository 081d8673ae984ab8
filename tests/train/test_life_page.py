"""docs/life-of-a-guarded-run.md is written by hand, and has to be what the code and the installed Trainer do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from tests.train.tiny_runs import rows, trainer
from transformers import TrainerCallback

from trainguard.train import events, failures, heartbeat, recorder
from trainguard.train.actions import _BY_CODE, ACTIONS
from trainguard.train.callback import GuardCallback
from trainguard.train.stopping import EXIT_STOPPED
from trainguard.train.verified_saves import VerifiedSaves

PAGE = (Path(__file__).parents[2] / "docs/life-of-a-guarded-run.md").read_text(encoding="utf-8")
GUARD = re.findall(r"^guard +(on_\w+)", PAGE, re.MULTILINE)
SAVES = re.findall(r"^saves +(\w+)", PAGE, re.MULTILINE)
HOOKS = [name for name in vars(GuardCallback) if name.startswith("on_") and hasattr(TrainerCallback, name)]


def test_every_hook_of_the_callback_has_its_line() -> None:
    assert sorted(set(GUARD)) == sorted(HOOKS)


def test_every_method_that_the_saves_override_has_its_line() -> None:
    from transformers import Trainer

    overridden = [name for name in vars(VerifiedSaves) if callable(getattr(Trainer, name, None)) and name[:2] != "__"]
    assert sorted(SAVES) == sorted(overridden)


class Noting(TrainerCallback):
    """Notes the hooks of the callback in the order in which a Trainer calls them."""

    def __init__(self) -> None:
        self.called: list[str] = []


def _note(name: str) -> Any:
    def hook(self: Noting, *_: Any, **__: Any) -> None:
        self.called.append(name)

    return hook


for hook_name in HOOKS:
    setattr(Noting, hook_name, _note(hook_name))


def test_the_hooks_stand_in_the_order_of_the_installed_trainer(tmp_path: Path) -> None:
    """One step with a log, an evaluation and a save is the page from top to bottom."""
    noting = Noting()
    run = trainer(
        tmp_path,
        noting,
        data=rows(8),
        max_steps=1,
        save_steps=1,
        gradient_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=1,
        trainer_eval_dataset=rows(4),
    )
    run.train()
    first: list[str] = []
    for name in noting.called:
        if name not in first:
            first.append(name)
    assert first == list(dict.fromkeys(GUARD))


def test_the_actions_and_files_are_those_of_the_code() -> None:
    table = PAGE.partition("| action |")[2].partition("\n\n")[0]
    cells = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    assert list(cells) == list(ACTIONS)
    for action in ACTIONS:
        named = set(re.findall(r"[A-Z]+\d{3}", cells[action]))
        assert named == {code for code, given in _BY_CODE.items() if given == action}
    for name in (events.EVENTS, heartbeat.HEARTBEAT, recorder.WATCHER, events.STACKS, failures.FAILURE):
        assert f"| `{name}` |" in PAGE
    assert f"| {EXIT_STOPPED} |" in PAGE


@pytest.mark.parametrize("event", ["start", "resume", "metrics", "save", "verified", "stop", "end", "first-step"])
def test_the_events_are_those_that_are_written(event: str) -> None:
    from trainguard.train import callback

    assert f'"{event}"' in inspect.getsource(callback) + inspect.getsource(recorder)
    line = next(line for line in PAGE.splitlines() if line.startswith("| `events.jsonl`"))
    assert event in line
