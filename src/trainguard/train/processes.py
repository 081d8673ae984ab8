"""Several processes of one run, as `accelerate launch` and torchrun start them: one speaks, and decides for all."""

from __future__ import annotations

import os
from typing import Any

from trainguard.errors import TrainguardError


def rank() -> int:
    """The number of this process, 0 where there is one."""
    return _number("RANK", 0)


def count() -> int:
    """WORLD_SIZE: how many processes train together."""
    return max(_number("WORLD_SIZE", 1), 1)


def agreed(value: Any) -> Any:
    """The value of the first process, in all of them. A no-op where there is one process.

    The others wait for the first, which checks data meanwhile, so that the usual deadlines of 10 and 30 minutes are
    too short.
    """
    if count() == 1:
        return value
    from datetime import timedelta

    import torch
    from accelerate import PartialState  # type: ignore[import-untyped]
    from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]

    # Without a GPU the state has to be told so, or it takes this process for the only one (accelerate 1.15, state.py).
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=6))
    if state.num_processes != count():
        raise TrainguardError(f"WORLD_SIZE is {count()}, and accelerate finds {state.num_processes} processes")
    (answer,) = broadcast_object_list([value])
    return answer


def _number(name: str, otherwise: int) -> int:
    try:
        return int(os.environ.get(name, ""))
    except ValueError:
        return otherwise
