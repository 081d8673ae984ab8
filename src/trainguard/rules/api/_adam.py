"""Whether a run is trained with Adam, which refuses numbers that other optimizers take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.facts.script import ScriptFacts
from trainguard.rules.api._option_values import Read, combinations, first_if_all

# Words of a script that makes its own optimizer, which may mean something else by a learning rate of 1 (Prodigy).
_OWN_OPTIMIZER = {"optimizers", "create_optimizer", "optimizer_cls_and_kwargs", "prodigyopt", "dadaptation"}


def brings_optimizer(script: ScriptFacts) -> bool:
    """Whether the script may make the optimizer itself, so that the options of the configuration are not read."""
    return bool(_OWN_OPTIMIZER & script.mentions)


def uses_adam(read: Read) -> bool:
    """Whether the configuration certainly asks for AdamW, as all do by default."""
    return first_if_all(combinations(read, {"optim": "adamw_torch"}), is_adam) is not None


def is_adam(values: Mapping[str, Any]) -> bool:
    """Whether `optim` among these values is a kind of AdamW."""
    return isinstance(values["optim"], str) and values["optim"].removeprefix("paged_").startswith("adamw")
