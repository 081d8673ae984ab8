"""From what is given to settings: judges every value, settles which one counts, derives defaults, compares fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from trainguard.facts.config import trainer_arguments
from trainguard.facts.config.aliases import ALIASES
from trainguard.facts.config.fields import Field, fields
from trainguard.facts.config.given import Given, Statements
from trainguard.facts.config.judging import HIDDEN, Fault, judge, nearest, shown_node, shown_value, switch
from trainguard.facts.config.node import MAX_PROBLEMS
from trainguard.facts.config.records import ConfigProblem, Origin, ProblemKind, Setting
from trainguard.facts.config.schema import RunConfig

_RANK: Mapping[Origin, int] = {"flag": 0, "environment": 1, "file": 2, "default": 3}
# transformers 5.23, training_args.py `_validate_args`: these two look at the evaluation loss.
_NEED_EVALUATION = ("reduce_lr_on_plateau", "greedy")
# transformers 5.23, optimization.py: "One of min_lr or min_lr_rate should be set through the `lr_scheduler_kwargs`".
_NEED_MINIMUM = ("cosine_with_min_lr", "cosine_warmup_with_min_lr")
# Steps of these have about the size of the learning rate, whatever the gradient (Kingma and Ba, Adam, 2015, section
# 2.1; Chen et al., Lion, 2023), and weights of language models are about 0.02. Prodigy, SGD and Adafactor take 1.
_ADAM_LIKE = re.compile(r"(?:paged_)?(?:adamw|lion)(?:_|$)")


def assemble(statements: Statements) -> tuple[tuple[Setting, ...], list[ConfigProblem], RunConfig | None]:
    """Every field with its effective value, all problems, and the typed configuration where there is none."""
    problems = list(statements.problems)
    settings: dict[str, Setting] = {}
    for field in fields().values():
        settings[field.name] = _settled(field, statements.by_field.get(field.name, []), problems)
    _derive(settings)
    _compare(settings, problems)
    problems = [_hidden(problem) for problem in problems]
    problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    run = _typed(settings) if not problems else None
    if len(problems) > MAX_PROBLEMS:
        problems = [*problems[:MAX_PROBLEMS], _more(len(problems) - MAX_PROBLEMS)]
    return tuple(settings.values()), problems, run


def _settled(field: Field, given: list[Given], problems: list[ConfigProblem]) -> Setting:
    """The setting of one field, out of everything that is said of it."""
    judged: list[tuple[Given, Any]] = []
    valid = True
    for each in given:
        spoken, value, faults = _judged(field, each)
        if faults:
            valid = False
            problems += [_problem(field, each, fault) for fault in faults]
        elif spoken is not None:
            judged.append((spoken, value))
    strong = [pair for pair in judged if not pair[0].weak]
    best = min(strong or judged, key=lambda pair: _RANK[pair[0].origin], default=None)
    if best is None:
        default = Setting(name=field.name, value=field.default, origin="default", secret=field.note["secret"])
        if given and not valid:
            first = given[0]
            return replace(default, key=first.key, line=first.node.line, column=first.node.column, valid=False)
        return default
    chosen, value = best
    for other, other_value in strong:
        if other.origin == chosen.origin and other_value != value:
            valid = False
            problems.append(_disagreement(field, chosen, other))
    return Setting(
        name=field.name,
        value=value,
        origin=chosen.origin,
        key=chosen.key,
        source=chosen.source,
        line=chosen.node.line,
        column=chosen.node.column,
        secret=field.note["secret"],
        valid=valid,
    )


def _judged(field: Field, given: Given) -> tuple[Given | None, Any, list[Fault]]:
    """What is said of the field (None: nothing), its value, and what is wrong with it."""
    node = given.node
    if given.alias is not None and given.alias.flag is not None:
        if node.value is None:
            return None, None, []
        said = switch(node)
        if said is None:
            fault = Fault(node=node, expected="true or false", because=f"it is a switch for {field.name}")
            return None, None, [fault]
        spoken = given.alias.flag[said]
        return (replace(given, weak=spoken[1]), spoken[0], []) if spoken is not None else (None, None, [])
    number = node.value if isinstance(node.value, int | float) and not isinstance(node.value, bool) else None
    if field.name == "max_steps" and number == -1:
        return given, None, []  # transformers 5.23: "max_steps (`int`, *optional*, defaults to -1)"
    if given.key == "warmup_ratio" and number is not None and not 0 <= number < 1:
        because = "it is a share of the run; `warmup` takes a number of steps too"
        return given, None, [Fault(node=node, expected="a number of 0 or more and below 1", because=because)]
    value, faults = judge(field, node)
    return given, value, faults


def _problem(field: Field, given: Given, fault: Fault) -> ConfigProblem:
    kind: ProblemKind = "unknown-key" if fault.unknown else "out-of-range"
    name = f"{given.key}.{fault.key}" if fault.key is not None else given.key
    return ConfigProblem(
        kind=kind,
        field=field.name,
        key=name,
        got=HIDDEN if field.note["secret"] else shown_node(fault.node),
        expected=fault.expected,
        because=fault.because,
        line=fault.node.line if fault.node.line is not None else given.node.line,
        column=fault.node.column if fault.node.line is not None else given.node.column,
        origin=given.origin,
        source=given.source,
        suggestion=None if field.note["secret"] else fault.suggestion,
    )


def _disagreement(field: Field, chosen: Given, other: Given) -> ConfigProblem:
    place = f" at {chosen.node.line}:{chosen.node.column}" if chosen.node.line is not None else ""
    return ConfigProblem(
        kind="out-of-range",
        field=field.name,
        key=other.key,
        got=shown_node(other.node),
        expected=f"{shown_node(chosen.node)} or nothing",
        because=f"{chosen.key}{place} says the same thing with another value; keep one of the two",
        line=other.node.line,
        column=other.node.column,
        origin=other.origin,
        source=other.source,
    )


def _more(count: int) -> ConfigProblem:
    return ConfigProblem(
        kind="invalid",
        got=f"{count:,} more problems",
        expected="the fields of a run",
        because=f"only the first {MAX_PROBLEMS} are told; is this another kind of file?",
    )


def _derive(settings: dict[str, Setting]) -> None:
    """Defaults that follow from other fields."""

    def default(name: str, value: Any, why: str) -> None:
        if settings[name].origin == "default" and settings[name].valid:
            settings[name] = replace(settings[name], value=value, derived=why)

    adapter = next((each for name, each in settings.items() if name.startswith("lora.") and _is_given(each)), None)
    if adapter is not None:
        default("method", "lora", f"{adapter.key} is given")
    if settings["method"].value in ("lora", "qlora"):
        default("learning_rate", 2e-4, f"the method is {settings['method'].value}")
    if _is_given(settings["eval.steps"]) and settings["eval.steps"].value is not None:
        default("eval.strategy", "steps", f"{settings['eval.steps'].key} is given")
    elif _is_given(settings["eval.data"]) and settings["eval.data"].value is not None:
        default("eval.strategy", "epoch", f"{settings['eval.data'].key} is given")
    base_model = settings["base_model"]
    label = settings["model_name"]
    if base_model.value is None and base_model.valid and _is_given(label) and label.value and label.valid:
        # The origin's older configurations name the model so and not otherwise.
        settings["base_model"] = replace(label, name="base_model", derived="base_model is not given")
    elif base_model.value and label.value is None:
        name = re.split(r"[\\/]+", base_model.value.rstrip("\\/"))[-1]
        default("model_name", name, "the last part of base_model")


def _is_given(setting: Setting) -> bool:
    return setting.origin != "default"


def _compare(settings: Mapping[str, Setting], problems: list[ConfigProblem]) -> None:
    """Values that are legal each, and cannot go together."""

    def problem(
        name: str, expected: str, because: str, *, got: str | None = None, suggestion: str | None = None
    ) -> None:
        setting = settings[name]
        problems.append(
            ConfigProblem(
                kind="out-of-range",
                field=name,
                key=setting.key or name,
                got=got or shown_value(setting.value),
                expected=expected,
                because=because,
                line=setting.line,
                column=setting.column,
                origin=setting.origin,
                source=setting.source,
                suggestion=suggestion,
            )
        )

    if settings["base_model"].value is None and settings["base_model"].valid:
        expected = "a folder with a model, or an id of the hub such as org/name"
        problem("base_model", expected, fields()["base_model"].note["because"], got="nothing")
    rate, optimizer = settings["learning_rate"], settings["optimizer"].value
    if rate.valid and rate.value >= 1 and isinstance(optimizer, str) and _ADAM_LIKE.match(optimizer):
        because = f"each step of {optimizer} moves every weight by about so much, and weights are about 0.02"
        problem("learning_rate", "a number above 0 and below 1, such as 2e-5", because, got=_written(rate))
    scheduler = settings["scheduler"]
    if scheduler.valid and scheduler.value in _NEED_EVALUATION and settings["eval.strategy"].value == "no":
        problem("scheduler", "eval.strategy steps or epoch beside it", "it follows the evaluation, and there is none")
    arguments = settings["scheduler_arguments"]
    given = arguments.value if isinstance(arguments.value, dict) else {}
    if (
        scheduler.valid
        and arguments.valid
        and scheduler.value in _NEED_MINIMUM
        and not {"min_lr", "min_lr_rate"} & given.keys()
    ):
        because = "the schedule ends there, and the Trainer knows no other end"
        problem("scheduler", "scheduler_arguments with min_lr or min_lr_rate", because)
    _compare_trainer_arguments(settings["trainer_arguments"], problems)


def _written(setting: Setting) -> str:
    return shown_value(setting.value)


def _compare_trainer_arguments(setting: Setting, problems: list[ConfigProblem]) -> None:
    if not setting.valid or not setting.value:
        return
    known = trainer_arguments.names()
    for key in setting.value:
        path = f"trainer_arguments.{key}"
        alias = ALIASES.get(key)
        own = alias.name if alias is not None else key if key in fields() else None
        common: dict[str, Any] = {
            "field": "trainer_arguments",
            "key": path,
            "got": "an argument by this name",
            "line": setting.line,
            "column": setting.column,
            "origin": setting.origin,
            "source": setting.source,
        }
        if own is not None:
            because = f"{own} is a field of its own, and only one of the two can count"
            problems.append(ConfigProblem(kind="unknown-key", expected=own, because=because, **common))
        elif known and key not in known:
            because = "trl.SFTConfig takes no such argument"
            near = nearest(key, known) if len(problems) < MAX_PROBLEMS else None
            expected = "an argument of trl.SFTConfig"
            problems.append(
                ConfigProblem(kind="unknown-key", expected=expected, because=because, suggestion=near, **common)
            )


def _hidden(problem: ConfigProblem) -> ConfigProblem:
    """Values of fields that hold secrets are shown nowhere."""
    field = fields().get(problem.field or "")
    if field is None or not field.note["secret"]:
        return problem
    return replace(problem, got=HIDDEN, expected=field.expected, suggestion=None)


def _typed(settings: Mapping[str, Setting]) -> RunConfig:
    plain: dict[str, Any] = {}
    for name, setting in settings.items():
        block, _, last = name.rpartition(".")
        (plain.setdefault(block, {}) if block else plain)[last] = setting.value
    return msgspec.convert(plain, RunConfig)
