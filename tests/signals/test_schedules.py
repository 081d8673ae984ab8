"""The declared schedules give what transformers gives, step by step."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from trainguard.signals._schedules import KNOWN, UNTOLD, declared_schedule, planned_steps
from trainguard.signals.samples import Run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PLANNED, PEAK = 40, 3e-4
OPTIONS: dict[str, dict[str, Any]] = {
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"lr_end": 1e-5},
    "cosine_with_min_lr": {"min_lr": 3e-5},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 10},
}


def real(kind: str, warmup: int) -> list[float]:
    """The rates that the Trainer uses for the updates 1, 2, ..."""
    from transformers.optimization import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_scheduler(kind, optimizer, warmup, PLANNED, scheduler_specific_kwargs=OPTIONS.get(kind))
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a step beyond the last of some schedules
        for _ in range(PLANNED):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
    return rates


def declared(kind: str, warmup: float, **more: Any) -> Run:
    plan = {"lr_scheduler_type": kind, "learning_rate": PEAK, "max_steps": PLANNED, "warmup_steps": warmup}
    return Run(declared=plan | OPTIONS.get(kind, {}) | more)


@pytest.mark.parametrize("kind", sorted(KNOWN))
@pytest.mark.parametrize("warmup", [0, 7])
def test_as_transformers(kind: str, warmup: int) -> None:
    schedule = declared_schedule(declared(kind, warmup))
    assert schedule is not None
    own = schedule.warmup_steps(PLANNED)
    assert own == (0 if kind == "constant" else warmup)
    for update, rate in enumerate(real(kind, warmup)):
        factors = schedule.factors(update, planned=PLANNED, warmup=own or 0, peak=PEAK)
        assert factors is not None
        low, high = factors
        if kind == "cosine_warmup_with_min_lr":  # one update ahead of the others
            later = schedule.factors(update + 1, planned=PLANNED, warmup=own or 0, peak=PEAK)
            assert later is not None
            low = min(low, later[0])
        elif kind != "warmup_stable_decay":  # the shape of whose decay need not be declared
            assert low == pytest.approx(high)
        assert low * PEAK - 1e-12 <= rate <= high * PEAK + 1e-12
        band = schedule.band(update + 1, planned=PLANNED, warmup=(own or 0, own or 0), peak=PEAK, slack=0)
        assert band is not None
        assert band[0] - 1e-12 <= rate <= band[1] + 1e-12


def test_band_holds_a_restart_between_its_places() -> None:
    schedule = declared_schedule(declared("cosine_with_restarts", 0))
    assert schedule is not None
    band = schedule.band(21, planned=40, warmup=(0, 0), peak=1.0, slack=10)
    assert band is not None
    assert band[1] == pytest.approx(1.0, abs=0.02)
    assert band[0] < 0.05


def test_warmup_as_a_share() -> None:
    for plan in ({"warmup_steps": 0.1}, {"warmup_steps": 0, "warmup_ratio": 0.1}):
        schedule = declared_schedule(Run(declared={"lr_scheduler_type": "linear", "learning_rate": 1e-4} | plan))
        assert schedule is not None
        assert schedule.warmup_steps(95) == 10  # rounded up, as TrainingArguments.get_warmup_steps does
        assert schedule.warmup_steps(None) is None


def test_untold() -> None:
    for kind in (*UNTOLD, "none of them", None):
        assert declared_schedule(Run(declared={"lr_scheduler_type": kind})) is None
    schedule = declared_schedule(Run(declared={"lr_scheduler_type": "linear"}))
    assert schedule is not None
    assert schedule.warmup is None
    assert schedule.factors(3, planned=None, warmup=0, peak=1.0) is None


def test_planned_steps() -> None:
    assert planned_steps(Run(declared={"max_steps": 70, "num_train_epochs": 3})) == 70
    assert planned_steps(Run(declared={"max_steps": -1, "num_train_epochs": 3}), step=50, epoch=0.5) == 300
    assert planned_steps(Run(declared={"num_train_epochs": 3}), step=50, epoch=0.0) is None
    assert planned_steps(Run()) is None
