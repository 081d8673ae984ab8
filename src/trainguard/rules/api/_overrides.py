"""What the libraries' own code passes to methods that scripts override, and since when.

Read off the `self.METHOD(…)` calls of `transformers/trainer.py` in every release from 4.36.0 to 5.23.0. Only calls that
every training makes; those of one backend (`create_optimizer(model)` under FSDP) are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.version import Version

from trainguard.facts.api_calls import ApiCalls, Override
from trainguard.libraries.api.query import Found

_TRAINER = "transformers.trainer.Trainer"


@dataclass(frozen=True, slots=True)
class Passed:
    """An argument that the library passes to a method `since` a release; `position` None where by its name."""

    argument: str
    since: str
    position: int | None = None


# Method: arguments. A position counts from 0 after `self`.
_PASSED: Mapping[str, tuple[Passed, ...]] = {
    "compute_loss": (Passed("num_items_in_batch", "4.46.0"),),
    "training_step": (Passed("num_items_in_batch", "4.46.0", 2),),
    "log": (Passed("start_time", "4.47.0", 1),),
    "get_batch_samples": (Passed("device", "4.50.0", 2),),
    "_get_train_sampler": (Passed("train_dataset", "4.52.0", 0),),
    "_maybe_log_save_evaluate": (Passed("start_time", "4.47.0", 6), Passed("learning_rate", "4.51.0", 7)),
}


@dataclass(frozen=True, slots=True)
class Lacking:
    """An override that cannot take what the library passes."""

    override: Override
    passed: Passed


def lacking(calls: ApiCalls) -> Iterator[Lacking]:
    """The overrides of trainer methods that the job's release of transformers calls with more than they take."""
    version = calls.interfaces.version("transformers")
    if version is None:
        return
    for override in calls.overrides:
        passed = _PASSED.get(override.name)
        if passed is None or not _is_trainer(calls, override.base):
            continue
        for argument in passed:
            called = Version(version) >= Version(argument.since) and _base_takes(calls, override, argument)
            if called and not _takes(override.node, argument):
                yield Lacking(override, argument)


def _is_trainer(calls: ApiCalls, path: str) -> bool:
    return any(found.path == _TRAINER for found in calls.interfaces.known_line(path)[0])


def _base_takes(calls: ApiCalls, override: Override, passed: Passed) -> bool:
    """Whether the method that is overridden takes the argument in this release, which says that it is passed."""
    found = calls.interfaces.member(_TRAINER, override.name)
    if not isinstance(found, Found):
        return False
    signature = calls.signatures.of(f"{_TRAINER}.{override.name}")
    return signature is not None and signature.names(passed.argument)


def _takes(node: ast.FunctionDef | ast.AsyncFunctionDef, passed: Passed) -> bool:
    arguments = node.args
    if node.decorator_list:
        return True
    if passed.position is None:
        names = {a.arg for a in [*arguments.args, *arguments.kwonlyargs]}
        return passed.argument in names or arguments.kwarg is not None
    return arguments.vararg is not None or len([*arguments.posonlyargs, *arguments.args]) - 1 > passed.position
