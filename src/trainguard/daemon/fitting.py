"""Under which name this machine and configuration remember a micro-batch that fits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from trainguard.daemon.fits import fit_finding, fit_key, fitted
from trainguard.daemon.settings import Settings
from trainguard.facts.machine.nvidia import read_nvidia
from trainguard.findings import Finding
from trainguard.queue.store import Queue

_DEADLINE_SECONDS = 10.0


@cache
def gpu_name() -> str | None:
    """The GPU's name, None where there is none. Asked once, by a child with a deadline."""
    _, gpus = read_nvidia(deadline_seconds=_DEADLINE_SECONDS)
    return next((gpu.name for gpu in gpus or () if gpu.name), None)


def fit_key_of(settings: Settings) -> str | None:
    """None where nothing is known of the model, so that nothing is remembered of it either."""
    run = settings.run
    if run.base_model is None:
        return None
    return fit_key(model=run.base_model, method=run.method, max_length=run.max_length, gpu=gpu_name() or "cpu")


def known_fit(queue: Queue, settings: Settings) -> tuple[dict[str, Any], Finding | None]:
    """The changes with which the configuration fits, and JOB017 that says so; ({}, None) where nothing is known."""
    key = fit_key_of(settings)
    known = queue.fit(key) if key is not None else None
    if known is None:
        return {}, None
    run, largest = settings.run, known[0]
    finding = fit_finding(
        run.batch_size,
        run.gradient_accumulation,
        largest,
        max_length=run.max_length,
        method=run.method,
        gpu=gpu_name() or "this machine",
    )
    return dict(fitted(run.batch_size, run.gradient_accumulation, largest)), finding


def remember_fit(queue: Queue, settings: Settings, changes: Mapping[str, Any]) -> None:
    """After a file that was trained with another micro-batch than the configuration's."""
    size, accumulation = changes.get("batch_size"), changes.get("gradient_accumulation")
    key = fit_key_of(settings)
    if key is not None and isinstance(size, int) and isinstance(accumulation, int):
        queue.remember_fit(key, size, accumulation)
