"""What one module's text says by itself: plain dicts and lists, so that a record can be kept as JSON by the hash of
the text. Nothing is resolved: a name that the module takes from elsewhere is written as the module writes it.

An *import target* is `MODULE:NAME` (`:` alone where the module itself is meant: `..utils:logging`, `numpy:`), with the
leading dots of a relative import. A *reference* is a dotted name in the module's own scope (`nn.Module`); one that a
function imports for itself is written `!TARGET` or `!TARGET|REST`.
"""

from __future__ import annotations

from typing import TypeAlias, TypedDict

# Counted into the key of the cache: raise it with every change of what is read.
READER = 8

Value: TypeAlias = str | int | float | bool | None


class RawAtom(TypedDict, total=False):
    """A literal (`value`), or all values of an enum (`enum`, a reference)."""

    value: Value
    enum: str


class RawDeprecation(TypedDict, total=False):
    """See `records.Deprecation`. `raises`: from the release `removal` on, the old spelling raises."""

    name: str
    new: str
    same: bool
    removal: str
    accepted: bool
    message: str
    raises: bool


class RawParameter(TypedDict, total=False):
    """A parameter or a field. `init` false: a field that the constructor does not take."""

    name: str
    kind: int
    default: str | None
    annotation: str | None
    choices: list[RawAtom] | None
    init: bool


class RawFunction(TypedDict, total=False):
    """See `records.Function`. `decorators` are references; `keeps`: as a decorator, it keeps the signature of what it
    decorates; `pops`: keywords that its wrapper takes out before it calls what it decorates; `makes`: the options with
    which it makes a dataclass of the class that it decorates; `wraps`: the function whose signature it shows."""

    parameters: list[RawParameter]
    kind: str
    taken: list[str]
    forwards: list[str]
    refuses_rest: bool
    decorators: list[str]
    dynamic: bool
    deprecations: list[RawDeprecation]
    keeps: bool
    pops: list[str]
    makes: dict[str, bool]
    wraps: str


class RawClass(TypedDict, total=False):
    """See `records.Class`. `subclasses`: the options with which it makes every subclass a dataclass. `metaclass` `?`:
    nothing of the class but its name has been read."""

    bases: list[str]
    metaclass: str
    decorators: list[str]
    dataclass: dict[str, bool] | None
    subclasses: dict[str, bool] | None
    fields: list[RawParameter]
    # name, whether the value is a literal, the value
    assigned: list[tuple[str, bool, Value]]
    members: list[str]
    imports: dict[str, str]  # names that the body imports, with their import targets
    getattr: bool
    has_init: bool
    has_new: bool
    deprecations: list[RawDeprecation]
    missing_values: bool


class RawModule(TypedDict, total=False):
    """One module. `names`: its top-level names, '' where it defines them, else an import target, `=REFERENCE` for a
    second name of something in its own scope. `lazy`: names that it serves on demand, with their import targets.
    `structure`: the package serves the `__all__` of everything below it (its value: the folder below the package).
    `exported`: what such a package takes from this module. `instances`: names of what a call makes (`api = HfApi()`),
    to what is called. `suffixes`, `keys`, `aliases`: see `legacy`."""

    names: dict[str, str]
    stars: list[str]
    all: list[str] | None
    lazy: dict[str, str]
    structure: list[str]
    exported: list[str]
    getattr: bool
    functions: dict[str, RawFunction]
    classes: dict[str, RawClass]
    constants: dict[str, str]
    instances: dict[str, str]
    suffixes: list[str]
    keys: dict[str, list[str]]
    aliases: dict[str, str]


ModuleRecord: TypeAlias = RawModule
