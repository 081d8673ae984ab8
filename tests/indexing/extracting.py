"""Small libraries, written in a test and read as a wheel's source is."""

from __future__ import annotations

from textwrap import dedent

from trainguard.indexing.link import read_interface
from trainguard.libraries.api.records import Class, Interface, Module, Release


def read(modules, library="lib", version="1.0.0", cache=None):
    sources = [
        (name, f"{name}." in "".join(f"{other}|" for other in modules) or name == library, dedent(text))
        for name, text in modules.items()
    ]
    return read_interface(library, sources, Release(version=version), cache=cache)


def one(text, path, version="1.0.0"):
    """A definition of a library of one module."""
    return read({"lib": "", "lib.m": text}, version=version).definitions[f"lib.m.{path}"]


def names(interface: Interface, module: str):
    definition = interface.definitions[module]
    assert isinstance(definition, Module)
    return definition.names


def notices(definition):
    return {
        notice.name: (notice.new, notice.same, notice.removal, notice.accepted) for notice in definition.deprecations
    }


def choices(definition):
    parameters = definition.fields if isinstance(definition, Class) else definition.parameters
    return {parameter.name: parameter.choices for parameter in parameters if parameter.choices is not None}
