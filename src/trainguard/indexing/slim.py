"""What the index leaves out, so that it stays small: details of model code that no training script names.

transformers has some 600 folders of models. Of these the index keeps every name that a module defines, with what
its constructors and methods take; it leaves out which names a module has imported, what types are written, and which
attributes an object gets. Each record that was cut says so, so that nothing is called missing for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from trainguard.libraries.api.records import Class, Definition, Function, Interface, Module, Parameter

_MODELS = "transformers.models."


def slim(interface: Interface) -> Interface:
    """The interface without what the index leaves out; what is kept is the same object."""
    return replace(interface, definitions=dict(_slimmed(interface.definitions)))


def _slimmed(definitions: Mapping[str, Definition]) -> Iterator[tuple[str, Definition]]:
    for path, definition in definitions.items():
        if not path.startswith(_MODELS):
            yield path, definition
        elif isinstance(definition, Module):
            yield path, _without_imports(path, definition)
        elif isinstance(definition, Class):
            # `getattr` stands for attributes that nothing is recorded of.
            yield path, replace(definition, members=(), getattr=True, fields=_untyped(definition.fields))
        elif isinstance(definition, Function):
            yield path, replace(definition, parameters=_untyped(definition.parameters))
        else:
            yield path, definition


def _without_imports(path: str, module: Module) -> Module:
    """A module with what it defines, and what it has from below itself (the lazy table of a package)."""
    kept = {name: target for name, target in module.names.items() if not target or target.startswith(f"{path}.")}
    return module if len(kept) == len(module.names) else replace(module, names=kept, partial=True)


def _untyped(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    if all(parameter.annotation is None for parameter in parameters):
        return parameters
    return tuple(replace(parameter, annotation=None) for parameter in parameters)
