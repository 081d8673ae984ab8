"""Which attention implementation a script asks for, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Block
from trainguard.facts.values import ABSENT, UNKNOWN, Constant, Partial, Table, Value, choice, options
from trainguard.findings import Location

_ARGUMENTS = ("attn_implementation", "_attn_implementation")
_NESTED = ("model_init_kwargs", "model_kwargs")
_OLD_ARGUMENT = "use_flash_attention_2"  # transformers before 5


@dataclass(frozen=True, slots=True)
class AttentionRequest:
    """One place that sets the implementation; the old `use_flash_attention_2=True` reads as the new name."""

    value: Value
    where: Location
    block: Block


def attention_requests(script: ScriptFacts) -> Iterator[AttentionRequest]:
    """All live places: arguments of calls, nested dicts of model options, and assignments to a configuration."""
    if not script.mentions & {*_ARGUMENTS, _OLD_ARGUMENT}:
        return
    partials = "partial" in script.mentions
    for call in script.calls:
        if (call.node.keywords or partials) and call.live and call.written_name not in ("dict", "partial", "update"):
            for name, value in _given(call):
                yield AttentionRequest(value, call.argument_location(name), call.block)
    for name in _ARGUMENTS:
        for store in script.structure.attribute_stores.get(name, []):
            if script.resolver.is_live(store.block):
                value = script.resolver.evaluate(store.value, store.block) if store.value is not None else UNKNOWN
                yield AttentionRequest(value, script.resolver.location(store.node), store.block)


def _given(call: Call) -> Iterator[tuple[str, Value]]:
    written = {keyword.arg for keyword in call.node.keywords}
    if not written & {*_ARGUMENTS, *_NESTED, _OLD_ARGUMENT, None} and not isinstance(call.callee, Partial):
        return
    for name in _ARGUMENTS:
        if name in call.keywords:
            yield name, call.keywords[name]
    if _OLD_ARGUMENT in call.keywords:
        yield _OLD_ARGUMENT, choice([_from_flag(option) for option in options(call.keywords[_OLD_ARGUMENT])])
    for name in _NESTED:
        nested = [_entry(option) for option in options(call.keywords.get(name, ABSENT))]
        if any(value is not ABSENT for value in nested):
            yield name, choice(nested)


def _from_flag(value: Value) -> Value:
    if isinstance(value, Constant):
        return Constant("flash_attention_2") if value.value is True else ABSENT
    return value


def _entry(value: Value) -> Value:
    if isinstance(value, Table):
        return value.entries.get("attn_implementation", ABSENT if value.complete else UNKNOWN)
    return ABSENT if value is ABSENT or isinstance(value, Constant) else UNKNOWN
