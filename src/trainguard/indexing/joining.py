"""Functions and classes of a release from their raw records, with every reference resolved."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from packaging.version import InvalidVersion, Version

from trainguard.indexing.kept import Kept
from trainguard.indexing.raw import RawAtom, RawClass, RawDeprecation, RawFunction, RawParameter
from trainguard.indexing.scope import Scope
from trainguard.libraries.api.records import (
    KEYWORD_ONLY,
    NOT_TAKEN,
    POSITIONAL_OR_KEYWORD,
    VAR_KEYWORD,
    Class,
    ClassKind,
    Constant,
    Definition,
    Deprecation,
    Function,
    FunctionKind,
    Literals,
    Parameter,
    Release,
)

# Decorators of other libraries under which a function shows and takes what its text says, by the last part of their
# names; those of the library itself are judged by reading them.
_KEEPING = frozenset(
    "abstractmethod contextmanager asynccontextmanager wraps lru_cache cache final override overload no_type_check "
    "deprecated experimental dataclass_transform total_ordering deprecate_kwarg _deprecate_arguments "
    "_deprecate_positional_args _deprecate_method add_start_docstrings add_end_docstrings "
    "add_start_docstrings_to_model_forward add_code_sample_docstrings replace_return_docstrings auto_docstring "
    "can_return_tuple validate_hf_hub_args no_grad inference_mode enable_grad command callback group_callback "
    "get post options middleware exception_handler profiling_decorator on_main_process validate_call field_validator "
    "model_validator root_validator validator wait_for_everyone is_documented_by".split()
)
_KEEPING_HEADS = ("torch.", "functools.", "typing.", "abc.", "contextlib.", "typing_extensions.")
_CHANGING = {"functools.singledispatch", *(f"torch.{name}" for name in ("jit.script", "library.custom_op"))}
# transformers/utils/generic.py (since 4.46): other keywords are dropped with a warning instead of refused.
_DROPPING = "filter_out_non_signature_kwargs"
_SMOOTHING = "huggingface_hub.utils._validators.smoothly_deprecate_use_auth_token"
_ENUMS = {f"enum.{name}" for name in ("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag")}


class Joiner:
    """Makes definitions for one release."""

    def __init__(self, scope: Scope, release: Release) -> None:
        self._scope = scope
        self._release = release
        self._kept = Kept(scope)
        self._linear: dict[str, list[str]] = {}

    def function(self, module: str, path: str, raw: RawFunction) -> Function:
        """A function by its path in a module (`Class.method` too)."""
        if not self._kept.function(module, path):
            return Function(dynamic=True)
        kind = cast(FunctionKind, raw.get("kind", "function"))
        if kind == "property":
            return Function(kind=kind)
        if "wraps" in raw:
            return self._wrapping(module, raw, kind)
        keeps, pops, deprecations = self._decorated(module, raw)
        taken = [*raw.get("taken", []), *(name for name in pops if name not in raw.get("taken", []))]
        names = {one["name"] for one in raw["parameters"]}
        return Function(
            parameters=tuple(self._parameter(module, one) for one in raw["parameters"]),
            kind=kind,
            taken=tuple(name for name in taken if name not in names),
            forwards=tuple(dict.fromkeys(self._forward(module, one) for one in raw.get("forwards", []))),
            refuses_rest=raw.get("refuses_rest", False),
            dynamic=raw.get("dynamic", False) or not keeps,
            deprecations=tuple(self._deprecation(one) for one in [*raw.get("deprecations", []), *deprecations]),
        )

    def _wrapping(self, module: str, raw: RawFunction, kind: FunctionKind) -> Function:
        """A function under `@wraps(OTHER)`, which shows the signature of the other one."""
        path = self._scope.reference(module, raw["wraps"]) if raw["wraps"] != "?" else None
        found = None if path is None else self._raw_function(path)
        if found is None or "wraps" in found[1]:
            return Function(kind=kind, dynamic=True)
        other = self.function(found[0], "", found[1])
        return replace(other, kind=kind)

    def bound(self, module: str, reference: str) -> Function | None:
        """A method of an object of the module's top level, as it is called on the object."""
        instance, _, method = reference.partition(".")
        made = self._scope.modules[module].get("instances", {}).get(instance)
        path = self._scope.reference(module, made) if made is not None else None
        for ancestor in self._ancestors(path) if path is not None else ():
            found = self._raw_function(f"{ancestor}.{method}")
            if found is not None and found[1].get("kind") == "method":
                function = self.function(found[0], f"{ancestor}.{method}", found[1])
                return replace(function, kind="function", parameters=function.parameters[1:])
        return None

    def _raw_function(self, path: str) -> tuple[str, RawFunction] | None:
        """The module and raw record of a function or method of this library."""
        module = path
        while "." in module:
            module = module.rpartition(".")[0]
            record = self._scope.modules.get(module)
            if record is not None:
                raw = record["functions"].get(path[len(module) + 1 :])
                return None if raw is None else (module, raw)
        return None

    def methods(self, module: str, path: str) -> Iterator[tuple[str, Definition]]:
        """The methods of a class, and its short values, by path."""
        record = self._scope.modules[module]
        raw = record["classes"][path]
        prefix = f"{path}."
        if not self._kept.class_(module, path):
            return
        for name, function in record["functions"].items():
            method = name[len(prefix) :]
            if name.startswith(prefix) and "." not in method and self._kept.method(module, method):
                yield f"{module}.{name}", self.function(module, name, function)
        for name, target in raw.get("imports", {}).items():
            imported = self._scope.absolute(module, target)
            found = self._raw_function(self._scope.canonical(imported) or imported)
            if found is not None:
                yield f"{module}.{path}.{name}", replace(self.function(found[0], name, found[1]), kind="method")
        if self._kept.constants(module) and not self._is_enum(f"{module}.{path}"):
            for name, known, value in raw.get("assigned", []):
                if known and f"{path}.{name}" not in record["functions"]:
                    yield f"{module}.{path}.{name}", Constant(repr(value))

    def class_(self, module: str, path: str, raw: RawClass) -> Class:
        """A class by its path in a module."""
        bases = tuple(self._base(module, base) for base in raw.get("bases", []))
        if not self._kept.class_(module, path) or raw.get("metaclass") == "?":
            return Class(bases=bases, kind="opaque")
        kind, keyword_only = self._kind(module, path)
        fields: tuple[Parameter, ...] = ()
        if kind in {"dataclass", "namedtuple", "typeddict"}:
            default_kind = KEYWORD_ONLY if keyword_only else POSITIONAL_OR_KEYWORD
            fields = tuple(self._field(module, one, default_kind) for one in raw.get("fields", []))
        values = (
            tuple((name, value) for name, known, value in raw.get("assigned", []) if known) if kind == "enum" else ()
        )
        return Class(
            bases=bases,
            kind=kind,
            fields=fields,
            members=self._members(raw),
            values=values,
            kw_only=keyword_only,
            has_init=raw.get("has_init", False),
            has_new=raw.get("has_new", False),
            getattr=raw.get("getattr", False),
            deprecations=tuple(self._deprecation(one) for one in raw.get("deprecations", [])),
        )

    def _field(self, module: str, raw: RawParameter, kind: int) -> Parameter:
        return self._parameter(module, raw, kind) if raw.get("init", True) else Parameter(raw["name"], NOT_TAKEN)

    @staticmethod
    def _members(raw: RawClass) -> tuple[str, ...]:
        members = raw.get("members", [])
        # huggingface_hub/dataclasses.py, `strict`: gives the class a `validate`.
        if any(one.rpartition(".")[2] == "strict" for one in raw.get("decorators", [])):
            members = sorted({*members, "validate"})
        return tuple(members)

    def _base(self, module: str, reference: str) -> str:
        return "?" if reference == "?" else self._scope.reference(module, reference) or "?"

    def _raw(self, path: str) -> tuple[str, RawClass] | None:
        """The module and raw record of a class of this library."""
        module = path
        while "." in module:
            module = module.rpartition(".")[0]
            record = self._scope.modules.get(module)
            if record is not None:
                raw = record["classes"].get(path[len(module) + 1 :])
                return None if raw is None else (module, raw)
        return None

    def _ancestors(self, path: str) -> list[str]:
        """A class and all that it derives from, as far as this library says."""
        if path not in self._linear:
            self._linear[path] = [path]
            found = self._raw(path)
            if found is not None:
                chain = [path]
                for base in found[1].get("bases", []):
                    chain.extend(self._ancestors(self._base(found[0], base)))
                self._linear[path] = list(dict.fromkeys(chain))
        return self._linear[path]

    def _is_enum(self, path: str) -> bool:
        return not _ENUMS.isdisjoint(self._ancestors(path))

    def _kind(self, module: str, path: str) -> tuple[ClassKind, bool]:
        raw = self._scope.modules[module]["classes"][path]
        full = f"{module}.{path}"
        ancestors = self._ancestors(full)
        direct = {self._base(module, base).rpartition(".")[2] for base in raw.get("bases", [])}
        if self._is_enum(full):
            return "enum", False
        if direct & {"NamedTuple", "namedtuple"}:
            return "namedtuple", False
        if any(base.rpartition(".")[2] == "TypedDict" for base in ancestors):
            return "typeddict", False
        options = raw.get("dataclass")
        for decorator in raw.get("decorators", []):
            made = self._decorator(module, decorator)
            if options is None and made is not None:
                options = made.get("makes")
        for base in ancestors[1:]:
            found = self._raw(base)
            if found is not None and (given := found[1].get("subclasses")) is not None:
                options = given
        if options is not None and options.get("init", True):
            return "dataclass", options.get("kw_only", False)
        return "class", False

    def _decorator(self, module: str, reference: str) -> RawFunction | None:
        """The raw record of a decorator that this library defines."""
        path = self._scope.reference(module, reference) if reference != "?" else None
        found = None if path is None else self._raw_function(path)
        return None if found is None else found[1]

    def _decorated(self, module: str, raw: RawFunction) -> tuple[bool, list[str], list[RawDeprecation]]:
        """Whether a function's decorators keep its signature, the keywords that they take, and their notices."""
        keeps, pops, notices = True, list[str](), list[RawDeprecation]()
        names = {one["name"] for one in raw["parameters"]}
        for reference in raw.get("decorators", []):
            last = reference.rpartition(".")[2]
            path = self._scope.reference(module, reference) if reference != "?" else None
            made = self._decorator(module, reference)
            if last in {_DROPPING, "?"}:
                keeps = False
            elif made is not None:
                # A context manager decorates too, by way of `contextlib.ContextDecorator`.
                manager = any(one.endswith("contextmanager") for one in made.get("decorators", []))
                keeps = keeps and (made.get("keeps") is True or manager or last in _KEEPING)
                pops.extend(made.get("pops", []))
            else:
                known = path is not None and path.startswith(_KEEPING_HEADS) and path not in _CHANGING
                keeps = keeps and (known or last in _KEEPING)
            # huggingface_hub/utils/_validators.py, until 1.0: the old name is taken and handed on as `token`.
            smooths = last == "validate_hf_hub_args" and self._scope.canonical(_SMOOTHING) is not None
            if smooths and "token" in names and "use_auth_token" not in names:
                notices.append({"name": "use_auth_token", "new": "token", "same": True})
        return keeps, pops, notices

    def _forward(self, module: str, raw: str) -> str:
        if raw.startswith("@"):
            path = self._scope.reference(module, raw[1:])
        elif raw.startswith("!"):
            target, _, rest = raw[1:].partition("|")
            path = self._scope.absolute(module, target) + (f".{rest}" if rest else "")
            if self._scope.is_own(path):
                path = self._scope.canonical(path) or path
        else:
            return raw
        return "?" if path is None or path.startswith("builtins.") else path

    def _parameter(self, module: str, raw: RawParameter, kind: int = POSITIONAL_OR_KEYWORD) -> Parameter:
        default = raw.get("default")
        return Parameter(
            name=raw["name"],
            kind=raw.get("kind", kind),
            default=default,
            annotation=raw.get("annotation") if raw.get("kind") != VAR_KEYWORD else None,
            choices=self._choices(module, raw.get("choices"), default),
        )

    def _choices(self, module: str, atoms: list[RawAtom] | None, default: str | None) -> Literals | None:
        if not atoms:
            return None
        values: list[str | int | float | bool | None] = []
        for atom in atoms:
            if "enum" in atom:
                inner = self._enum_values(self._scope.reference(module, atom["enum"]))
                if inner is None:
                    return None
                values.extend(inner)
            else:
                values.append(atom["value"])
        values.extend(_default_value(default))
        distinct = {(type(value), value): value for value in values}
        return tuple(distinct.values())

    def _enum_values(self, path: str | None) -> list[str | int | float | bool | None] | None:
        """All values of an enum of this library, None where it may accept others."""
        found = None if path is None or not self._is_enum(path) else self._raw(path)
        if found is None or path is None:
            return None
        for ancestor in self._ancestors(path):
            above = self._raw(ancestor)
            if above is not None and above[1].get("missing_values"):
                return None
        assigned = [one for one in found[1].get("assigned", []) if not one[0].startswith("_")]
        return [value for _, _, value in assigned] if assigned and all(known for _, known, _ in assigned) else None

    def _deprecation(self, raw: RawDeprecation) -> Deprecation:
        accepted = raw.get("accepted", True)
        removal = raw.get("removal", "")
        if raw.get("raises") and self._scope.package == "transformers" and removal:
            accepted = accepted and not _is_reached(self._release.version, removal)
        return Deprecation(
            name=raw["name"],
            new=raw.get("new", ""),
            same=raw.get("same", False),
            removal=removal,
            accepted=accepted,
            message=raw.get("message", ""),
        )


def _default_value(default: str | None) -> list[str | int | float | bool | None]:
    """A default that is a short literal; it is accepted whatever a check says."""
    if default is None:
        return []
    try:
        value = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return []
    return [value] if value is None or isinstance(value, str | int | float | bool) else []


def _is_reached(version: str, removal: str) -> bool:
    try:
        return Version(version) >= Version(removal)
    except InvalidVersion:
        return False
