"""Which pretrained model a script trains, by the name under which it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.values import ABSENT, Constant, Instance, Value, choice, is_none, options, texts

if TYPE_CHECKING:
    from trainguard.facts.script import ScriptFacts

_NAME_ARGUMENTS = ("pretrained_model_name_or_path", "model_name_or_path", "model_name", "model_id", "model_id_or_path")
# Constructors that load what their first argument names (sentence-transformers 5).
_LOADING_CLASSES = {"SentenceTransformer", "CrossEncoder", "SparseEncoder", "ColBERT"}
# Functions that give back the model they are given, changed.
_WRAPPERS = {
    "get_peft_model",
    "prepare_model_for_kbit_training",
    "prepare_model",
    "compile",
    "to_bettertransformer",
    "prepare",
}


def trained_models(script: ScriptFacts) -> frozenset[str]:
    """The names of all models that the script may train; empty where they are not all known."""
    training = script.training
    found: set[str] = set()
    sources = [trainer.argument("model", 0) for trainer in training.trainers]
    if not sources and training.loop is not None:
        sources = [c.receiver for c in script.calls_named("parameters", "named_parameters")]
    for source in sources:
        names = _names(source, depth=0)
        if names is None:
            return _all_loaded(script) if training.trainers else frozenset()
        found |= names
    return frozenset(found)


def model_load_name(call: Call) -> Value:
    """The name or path that a `from_pretrained` call, or one like it, is given."""
    for name in _NAME_ARGUMENTS:
        if (value := call.argument(name)) is not ABSENT and name in call.keywords:
            return value
    return call.positional(0)


def _names(value: Value, depth: int) -> frozenset[str] | None:
    found: set[str] = set()
    for option in options(value):
        if isinstance(option, Constant) and isinstance(option.value, str):
            found.add(option.value)
        elif isinstance(option, Instance) and depth < 5:
            names = _loaded_by(option.call, depth)
            if names is None:
                return None
            found |= names
        elif not is_none(option):
            return None
    return frozenset(found) or None


def _loaded_by(call: Call, depth: int) -> frozenset[str] | None:
    if call.written_name == "from_pretrained" or call.name in _LOADING_CLASSES:
        return texts(model_load_name(call)) or None
    if call.written_name in _WRAPPERS:
        return _names(choice([call.argument("model", 0)]), depth + 1)
    return None


def _all_loaded(script: ScriptFacts) -> frozenset[str]:
    """The names of all models that the script loads, where they are all known."""
    found: set[str] = set()
    for call in script.persistence.model_loads:
        names = texts(model_load_name(call))
        if not names:
            return frozenset()
        found |= names
    return frozenset(found)
