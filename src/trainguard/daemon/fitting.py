"""Under which name this machine and configuration remember a micro-batch that fits."""

from __future__ import annotations

from functools import cache

from trainguard.daemon.fits import fit_key
from trainguard.daemon.settings import Settings
from trainguard.facts.machine.nvidia import read_nvidia

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
