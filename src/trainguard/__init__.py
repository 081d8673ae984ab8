"""Guardrails for LLM fine-tuning runs: check before you pay, watch while it trains, recover when it breaks.

The names below are the public API. They are loaded when first used: importing the package has no effects.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainguard.check import (
        check_checkpoint,
        check_config,
        check_data,
        check_model,
        check_script,
        check_training_script_save_pattern,
        run_preflight_checks,
        run_preflight_checks_batch,
    )
    from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
    from trainguard.findings import Finding
    from trainguard.signals.watching import watch_metrics
    from trainguard.train.callback import GuardCallback
    from trainguard.train.memory import release_gpu_memory
    from trainguard.train.ready import assert_ready

__version__ = "0.1.0"

__all__ = [
    "Finding",
    "GuardCallback",
    "__version__",
    "assert_ready",
    "check_checkpoint",
    "check_config",
    "check_data",
    "check_model",
    "check_script",
    "check_training_script_save_pattern",
    "latest_verified_checkpoint",
    "release_gpu_memory",
    "run_preflight_checks",
    "run_preflight_checks_batch",
    "watch_metrics",
]

_HOMES = {
    "Finding": "trainguard.findings",
    "GuardCallback": "trainguard.train.callback",
    "assert_ready": "trainguard.train.ready",
    "check_checkpoint": "trainguard.check",
    "check_config": "trainguard.check",
    "check_data": "trainguard.check",
    "check_model": "trainguard.check",
    "check_script": "trainguard.check",
    "check_training_script_save_pattern": "trainguard.check",
    "latest_verified_checkpoint": "trainguard.facts.checkpoint.latest",
    "release_gpu_memory": "trainguard.train.memory",
    "run_preflight_checks": "trainguard.check",
    "run_preflight_checks_batch": "trainguard.check",
    "watch_metrics": "trainguard.signals.watching",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
