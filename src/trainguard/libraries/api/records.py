"""What one release of a library defines: modules, classes, functions and values, as plain records.

A record says what stands in the source, unresolved: a class names its bases, it does not copy their members, since
a base may belong to another library of which the job installs another release. `signatures` joins them.
Paths are dotted and absolute (`transformers.training_args.TrainingArguments`); a record's path is where the thing is
defined, and a module says where its imported names come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# The kinds of `inspect.Parameter`, in its order.
POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD, VAR_POSITIONAL, KEYWORD_ONLY, VAR_KEYWORD = range(5)
NOT_TAKEN = 5  # a field with `init=False`: its constructor does not take what one of a base does

Literals: TypeAlias = tuple[str | int | float | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a callable, or a field of a dataclass that its constructor takes.

    `default` is the source of the default's expression (`'adamw_torch'`, `None`, `field(default_factory=list)` as
    `list()`), None where the parameter is required. `annotation` is its source. `choices` are the literals that it
    accepts where the release says so (Literal, an enum, a check that raises), None otherwise.
    """

    name: str
    kind: int = POSITIONAL_OR_KEYWORD
    default: str | None = None
    annotation: str | None = None
    choices: Literals | None = None


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A notice of the release itself that an argument (or, with `name` empty, the whole thing) is going away.

    `new` is the spelling that replaces it, empty where none is named. `same` tells whether the value is taken over
    as it is, so that the keyword can be renamed and nothing else. `removal` is the release that the notice names,
    empty where nothing has been scheduled. `accepted` tells whether the old spelling still works.
    """

    name: str
    new: str = ""
    same: bool = False
    removal: str = ""
    accepted: bool = True
    message: str = ""


FunctionKind: TypeAlias = Literal["function", "method", "classmethod", "staticmethod", "property"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method. `parameters` include `self` or `cls` of a method.

    Of a function with `**kwargs` (its own, or a decorator's): `taken` are the keywords that are taken out of them by
    name (`kwargs.pop("token", None)`), `forwards` the callables that get the rest, by path: absolute, `super.NAME` for
    the parent's method, `self.NAME` / `cls.NAME` for one of its own class (`cls.` alone: its constructor), or `?` for
    anything that cannot be told (handed on as a dict, stored, compared). `refuses_rest`: what was not taken raises.
    `dynamic`: the signature is not what the text says (an unknown decorator), so nothing can be told of it.
    """

    parameters: tuple[Parameter, ...] = ()
    kind: FunctionKind = "function"
    taken: tuple[str, ...] = ()
    forwards: tuple[str, ...] = ()
    refuses_rest: bool = False
    dynamic: bool = False
    deprecations: tuple[Deprecation, ...] = ()


ClassKind: TypeAlias = Literal["class", "dataclass", "enum", "namedtuple", "typeddict", "opaque"]


@dataclass(frozen=True, slots=True)
class Class:
    """A class. `bases` are absolute paths, `?` where one cannot be told.

    `fields` are the own fields of a dataclass or named tuple, in order; fields of bases are not repeated. `members` are
    the names that its body and its methods' `self.…` define: methods, attributes. `values` are an enum's own values by
    member name. `deprecations` are those of its `__post_init__`. `has_init` tells
    whether the body writes `__init__` (recorded as the function `PATH.__init__`), `has_new` likewise. `choices` of
    fields that `__post_init__` checks are in the fields. `getattr` tells that it makes up attributes, or has some that
    are not recorded.
    """

    bases: tuple[str, ...] = ()
    kind: ClassKind = "class"
    fields: tuple[Parameter, ...] = ()
    members: tuple[str, ...] = ()
    values: tuple[tuple[str, str | int | float | bool | None], ...] = ()
    kw_only: bool = False
    has_init: bool = False
    has_new: bool = False
    getattr: bool = False
    deprecations: tuple[Deprecation, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    """A module or package. `names` maps every name at its top level, lazy tables included, to the path that it is
    imported from; an empty path means that the module defines it. `getattr`: it makes up names. `partial`: it may
    have imported other names, which are not recorded; those that it defines are."""

    names: Mapping[str, str] = field(default_factory=dict)
    getattr: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A value at the top level of a module or class, as source where it is short."""

    source: str = ""


Definition: TypeAlias = Module | Class | Function | Constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of a library. `date` is the day of its upload (`2026-11-13`), `requires` its Requires-Dist (of
    its extras only what is for another training library), `python` its Requires-Python. A yanked release is taken by no
    installer unless it is pinned."""

    version: str
    date: str = ""
    python: str = ""
    requires: tuple[str, ...] = ()
    yanked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """All that one release defines, by path."""

    package: str
    release: Release
    definitions: Mapping[str, Definition]
