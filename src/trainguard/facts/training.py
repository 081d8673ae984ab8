"""Whether a script trains, with what, and with which options."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from trainguard.facts.calls import Call
from trainguard.facts.certainty import certainly_runs
from trainguard.facts.resolver import Resolver
from trainguard.facts.structure import Block, Store
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Choice,
    Constant,
    Instance,
    Items,
    ParsedArguments,
    Value,
    choice,
    options,
)
from trainguard.findings import Location
from trainguard.libraries.training_apis import CONFIG_CLASSES, TOKENIZER_TRAINERS, TRAINER_CLASS, TRAINING_FUNCTIONS

_INFERENCE_METHODS = {"evaluate", "predict", "test", "validate"}
_START_METHODS = {"train", "fit"}
_TRAINING_FUNCTION_NAMES = {path.rpartition(".")[2] for path in TRAINING_FUNCTIONS}
_OPTIMIZERS = ("optim", "opt", "scaler", "engine", "adam", "sgd")


@dataclass(frozen=True, slots=True)
class Option:
    """What one configuration says of an option: ABSENT if nothing, UNKNOWN if it cannot be told."""

    value: Value
    where: Location


class Config:
    """One configuration of a training run: a call of a config class, or what a parser made of one."""

    def __init__(self, call: Call, value: Value, resolver: Resolver) -> None:
        self.call = call
        self._value = value
        self._resolver = resolver
        self._options: dict[str, Option] = {}

    @property
    def kind(self) -> Value:
        """The class that it is of: what is called, or the dataclass that a parser fills."""
        if isinstance(self._value, ParsedArguments) and self._value.dataclass is not None:
            return self._value.dataclass
        return self.call.callee

    @property
    def class_names(self) -> frozenset[str]:
        if isinstance(self._value, ParsedArguments) and self._value.dataclass is not None:
            return frozenset(self._resolver.names_of(self._value.dataclass))
        return self.call.names

    def option(self, name: str) -> Option:
        """The value of an option, with assignments such as `args.push_to_hub = True` applied."""
        if name not in self._options:
            self._options[name] = self._read(name)
        return self._options[name]

    def _read(self, name: str) -> Option:
        given = self._given(name)
        if self._resolver.attributes.is_set_dynamically(self._value) or self._has_setter_calls:
            given = choice([given, UNKNOWN])
        where = self.call.argument_location(name)
        stores = self._resolver.attributes.stores_on(self._value, name)
        for store in stores:
            value = self._resolver.evaluate(store.value, store.block) if store.value is not None else UNKNOWN
            given = value if self._is_certain(store) else choice([given, value])
            where = self._resolver.location(store.node)
        copies = [value for call in self._copies() if (value := call.argument(name)) is not ABSENT]
        return Option(choice([given, *copies]), where)

    def _is_certain(self, store: Store) -> bool:
        """Whether a store is on this configuration and no other, and runs whenever the configuration is made."""
        if isinstance(self._resolver.evaluate(store.base, store.block), Choice) or not _always_runs(store.block):
            return False
        return store.block.scope is self.call.block.scope or certainly_runs(store.block, self._resolver)

    def _copies(self) -> list[Call]:
        """The calls that make another configuration of this one: `dataclasses.replace(args, push_to_hub=True)`."""
        calls = self._resolver.calls_by_written_name.get("replace", [])
        return [call for call in calls if call.package in ("dataclasses", "copy") and self._is_this(call.positional(0))]

    @cached_property
    def _has_setter_calls(self) -> bool:
        """Whether `args.set_training(…)` or the like is called, each of which sets several options."""
        return any(
            self._is_this(call.receiver)
            for name, calls in self._resolver.calls_by_written_name.items()
            if name.startswith("set_")
            for call in calls
        )

    def _is_this(self, value: Value) -> bool:
        return any(isinstance(made, Instance | ParsedArguments) and made.call is self.call for made in options(value))

    def _given(self, name: str) -> Value:
        if isinstance(self._value, ParsedArguments):
            return self._resolver.parsers.value(self._value, name)
        value = self.call.argument(name)
        if value is ABSENT and name == "output_dir":
            value = self.call.positional(0)
        if value is ABSENT:
            value = self._resolver.class_default(self.call, name)
        return value


def _always_runs(block: Block) -> bool:
    """Whether a statement runs whenever its function (or the script) does."""
    return block.outermost.kind == "body"


class Training:
    """The training of a script: its trainers, loops, starts and configurations. Only live code counts."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def _live(self, *names: str) -> Iterator[Call]:
        for name in names:
            yield from (c for c in self._resolver.calls_by_written_name.get(name, []) if c.live)

    # -- what trains -----------------------------------------------------------

    @cached_property
    def trainers(self) -> tuple[Call, ...]:
        """Calls that make a trainer: of any Trainer class, one of the script included."""
        return tuple(c for c in self._resolver.calls if _makes_trainer(c) and c.live)

    @cached_property
    def starts(self) -> tuple[Call, ...]:
        """Calls that start a training: `trainer.train()`, `trainer.fit(model)`, a library's own function."""
        methods = [c for c in self._live(*_START_METHODS) if self._starts(c)]
        named = [c for c in self._resolver.calls if c.names & _TRAINING_FUNCTION_NAMES]
        functions = [c for c in named if c.path in TRAINING_FUNCTIONS and c.live]
        return tuple(sorted([*methods, *functions], key=lambda c: c.node.lineno))

    def _starts(self, call: Call) -> bool:
        if not isinstance(call.node.func, ast.Attribute):
            return False
        makers = call.receiver_calls
        if any(maker in self.trainers or _makes_trainer(maker) for maker in makers):
            return True
        receiver = call.receiver_text.lower().rpartition(".")[2]
        if "trainer" in receiver and not any(maker.names & TOKENIZER_TRAINERS for maker in makers):
            return True
        if call.written_name == "fit":
            return False
        if call.keywords.keys() & {"resume_from_checkpoint", "epochs", "train_dataset", "trial"}:
            return True
        return receiver in {"runner", "recipe", "learner"}

    @cached_property
    def loop(self) -> Call | None:
        """The `backward` call of a hand-written loop that also steps an optimizer."""
        backward = next(self._live("backward"), None)
        if backward is None:
            return None
        steps = [c for c in self._live("step") if _steps_optimizer(c)]
        return backward if steps else None

    @cached_property
    def trains(self) -> bool:
        """Whether the script trains, as far as can be told; a trainer that only evaluates does not."""
        if self.starts or self.loop is not None:
            return True
        if not self.trainers:
            return False
        used = {m for c in self._live(*_INFERENCE_METHODS) for m in c.receiver_calls}
        return any(trainer not in used for trainer in self.trainers)

    @cached_property
    def entry(self) -> Location | None:
        """Where the training starts: the `.train()` call, else the trainer, else the loop."""
        if not self.trains:
            return None
        first = next(iter([*self.starts, *self.trainers]), self.loop)
        return first.location if first is not None else None

    # -- its options -----------------------------------------------------------

    @cached_property
    def configs(self) -> tuple[Config, ...]:
        """The configurations of the script's runs."""
        resolver = self._resolver
        found = [Config(c, Instance(c), resolver) for c in resolver.calls if c.names & CONFIG_CLASSES and c.live]
        for call in resolver.calls:
            if call.written_name.startswith("parse_") and call.live:
                found.extend(Config(call, value, resolver) for value in _parsed_configs(resolver, call))
        return tuple(found)

    @cached_property
    def configured_elsewhere(self) -> bool:
        """Whether a trainer is given a configuration whose making cannot be seen."""
        return any(self._is_opaque(trainer) for trainer in self.trainers)

    def _is_opaque(self, trainer: Call) -> bool:
        given = trainer.argument("args")
        if given is ABSENT:
            return trainer.may_have_more or any(self._may_be_config(trainer.positional(i)) for i in range(1, 3))
        return any(self._may_be_config(option) for option in options(given))

    def _may_be_config(self, value: Value) -> bool:
        known = {config.call.node for config in self.configs}
        if isinstance(value, Instance):
            return value.call.node not in known and not _is_plain(value.call)
        if isinstance(value, ParsedArguments):
            return value.call.node not in known
        return value is not ABSENT and not isinstance(value, Constant | Items)

    def option(self, name: str) -> tuple[Option, ...]:
        """What each configuration says of an option; a trainer without one says ABSENT, at its own place."""
        found = [config.option(name) for config in self.configs]
        if self.configured_elsewhere:
            found += [Option(UNKNOWN, trainer.location) for trainer in self.trainers]
        if not found:
            found = [Option(ABSENT, trainer.location) for trainer in self.trainers]
        return tuple(found)


def _makes_trainer(call: Call) -> bool:
    names = {name for name in call.names if "Trainer" in name and TRAINER_CLASS.fullmatch(name)}
    return bool(names) and not names & TOKENIZER_TRAINERS and call.package not in ("tokenizers", "sentencepiece")


def _steps_optimizer(call: Call) -> bool:
    receiver = call.receiver_text.lower()
    return any(word in receiver for word in _OPTIMIZERS) or any("optim" in (m.path or "") for m in call.receiver_calls)


def _parsed_configs(resolver: Resolver, call: Call) -> Iterable[Value]:
    for option in options(resolver.evaluate(call.node, call.block)):
        for item in option.items if isinstance(option, Items) else (option,):
            kind = item.dataclass if isinstance(item, ParsedArguments) else None
            if kind is not None and resolver.names_of(kind) & CONFIG_CLASSES:
                yield item


def _is_plain(call: Call) -> bool:
    """A positional argument of a trainer that is no configuration: a model, a dataset."""
    return not call.written_name.lower().endswith(("args", "arguments", "config", "parse", "load"))
