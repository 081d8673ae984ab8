"""What a script uses of the libraries whose interfaces are known: names, calls and overridden methods.

Facts only: which definition a call reaches, what it is given, whether the script has guarded it. What of it is wrong
is for the rules to say.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from trainguard.facts.api_calls_binding import Binder, Target
from trainguard.facts.api_calls_guards import Failure, Guards
from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import ABSENT, UNKNOWN, Class, Instance, ParsedArguments, Partial, Symbol, Value, options
from trainguard.findings import Location
from trainguard.libraries.api.signatures import Signatures

# Packages that replace the classes of others when they are imported, so that these take other arguments: unsloth
# 2026.11, unsloth/trainer.py and unsloth/models/rl.py (its SFTTrainer takes `tokenizer` and `max_seq_length`).
_REPLACING = ("unsloth", "unsloth_zoo")
_REPLACED = {"trl", "transformers"}


@dataclass(frozen=True, slots=True)
class NameUse:
    """A name of a library that the script imports or reads: `path` as it is reached."""

    path: str
    node: ast.AST
    where: Location
    kind: Failure


@dataclass(frozen=True, slots=True)
class Given:
    """An argument that a call certainly gives by name. `keyword` is the node where it was written as such."""

    name: str
    value: Value
    where: Location
    keyword: ast.keyword | None = None


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call that reaches one of `targets`. `skipped` positions belong to a wrapper: `partial(f, …)`; such a call
    need not be whole (`is_whole`)."""

    call: Call
    targets: tuple[Target, ...]
    skipped: int = 0
    is_whole: bool = True

    @property
    def name(self) -> str:
        return self.targets[0].name


@dataclass(frozen=True, slots=True)
class Override:
    """A method of the script's class `owner` that stands for one of the library's class `base`."""

    owner: str
    base: str
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef


class ApiCalls:
    """The uses of one script, at the versions of `signatures`."""

    def __init__(self, script: ScriptFacts, signatures: Signatures) -> None:
        self.script = script
        self.signatures = signatures
        self.interfaces = signatures.interfaces
        self._resolver = script.resolver
        self.binder = Binder(self._resolver, signatures)
        self._given: dict[Call, tuple[Given, ...]] = {}

    @cached_property
    def concerns(self) -> bool:
        """Whether the script names a library that is known at all."""
        return any(library in self.script.mentions for library in self.interfaces.versions)

    @cached_property
    def _guards(self) -> Guards:
        return Guards(self.script, self.interfaces.versions)

    def guarded(self, node: ast.AST, failure: Failure) -> bool:
        """Whether the script has taken care of such a failure at `node`, or never comes there."""
        return self._guards.guarded(node, failure)

    # -- names ---------------------------------------------------------------------

    @cached_property
    def names(self) -> tuple[NameUse, ...]:
        """The names that are imported, and the attributes that are read; those of dead code left out."""
        return (*self._imports(), *self._attributes()) if self.concerns else ()

    def _imports(self) -> Iterator[NameUse]:
        for found in self._resolver.structure.imports:
            if found.level or not self._knows(found.module) or not self._resolver.is_live(found.block):
                continue
            path = found.module if found.name in (None, "*") else f"{found.module}.{found.name}"
            alias = next((a for a in found.node.names if a.name == (found.name or found.module)), None)
            where = self._resolver.location(alias or found.node)
            yield NameUse(path, found.node, where, "import")

    def _attributes(self) -> Iterator[NameUse]:
        for node, block in self._resolver.structure.attribute_reads:
            if node.attr.startswith("__") or not isinstance(_root(node), ast.Name):
                continue
            owner = self._resolver.evaluate(node.value, block)
            path = self._path_of(owner)
            if path is None or not self._resolver.is_live(block) or self._is_stored(node.attr):
                continue
            yield NameUse(f"{path}.{node.attr}", node, self._resolver.location(node), "attribute")

    def _path_of(self, owner: Value) -> str | None:
        if isinstance(owner, Symbol):
            path = self.binder.known(owner.path)
            return path if self._knows(path) else None
        return self.binder.class_of(owner) if isinstance(owner, Instance | ParsedArguments) else None

    def _knows(self, path: str) -> bool:
        return path.partition(".")[0] in self.interfaces.versions

    def _is_stored(self, attribute: str) -> bool:
        """Whether the script itself sets an attribute of this name on anything."""
        return attribute in self._resolver.structure.attribute_stores

    # -- calls ---------------------------------------------------------------------

    @cached_property
    def calls(self) -> tuple[BoundCall, ...]:
        """The calls that reach a known callable; those of dead code left out."""
        if not self.concerns:
            return ()
        found = (self._bound(call) for call in self._resolver.calls)
        return tuple(bound for bound in found if bound is not None and bound.call.live and not self._replaced(bound))

    def _bound(self, call: Call) -> BoundCall | None:
        callee = call.callee
        if isinstance(callee, Symbol):
            if callee.path == "functools.partial":
                targets = self.binder.of_value(call.positional(0), call.block)
                return BoundCall(call, targets, 1, is_whole=False) if targets else None
            if callee.path == "dataclasses.replace":
                return self._changed_copy(call)
        targets = self.binder.targets(call)
        return BoundCall(call, targets) if targets else None

    def _changed_copy(self, call: Call) -> BoundCall | None:
        made = call.positional(0)
        if not isinstance(made, Instance):
            return None
        targets = self.binder.of_value(made.call.callee, call.block)
        return BoundCall(call, targets, 1, is_whole=False) if targets and self.binder.class_of(made) else None

    def _replaced(self, bound: BoundCall) -> bool:
        """Whether something in the script puts another callable in the place of the library's."""
        if self._has_replacing and any(target.path.partition(".")[0] in _REPLACED for target in bound.targets):
            return True
        return any(self._is_patched(target) for target in bound.targets)

    @cached_property
    def _has_replacing(self) -> bool:
        return any(found.module.partition(".")[0] in _REPLACING for found in self.script.imports)

    def _is_patched(self, target: Target) -> bool:
        stores = self._resolver.structure.attribute_stores
        names = {target.path.rpartition(".")[2], "__init__"} & stores.keys()
        for name in names:
            for store in stores[name]:
                base = self._resolver.evaluate(store.base, store.block)
                if base is UNKNOWN or (isinstance(base, Symbol) and base.path != "self"):
                    return True
        return False

    # -- arguments -------------------------------------------------------------------

    def given(self, bound: BoundCall) -> tuple[Given, ...]:
        """The arguments that a call certainly gives by name, `**` spread."""
        if bound.call not in self._given:
            self._given[bound.call] = tuple(self._read_given(bound.call))
        return self._given[bound.call]

    def _read_given(self, call: Call) -> Iterator[Given]:
        for name, value in call.keywords.items():
            keyword = self._keyword(call, name)
            doubtful = ABSENT in options(value) or (UNKNOWN in options(value) and call.may_have_more)
            if keyword is None and doubtful:
                continue
            where = self._resolver.location(keyword) if keyword is not None else call.argument_location(name)
            yield Given(name, value, where, keyword)

    def _keyword(self, call: Call, name: str) -> ast.keyword | None:
        found = next((k for k in call.node.keywords if k.arg == name), None)
        if found is None and isinstance(call.callee, Partial):
            return self._keyword(call.callee.call, name)
        return found

    # -- overrides -------------------------------------------------------------------

    @cached_property
    def overrides(self) -> tuple[Override, ...]:
        """The methods of the script's classes that derive from a known class."""
        return tuple(self._overrides()) if self.concerns else ()

    def _overrides(self) -> Iterator[Override]:
        for node, scope in self._resolver.structure.scopes.items():
            if not isinstance(node, ast.ClassDef) or not node.bases or scope not in self._resolver.live_scopes:
                continue
            base = self.binder.known_base(Class(node, scope))
            if base is None or not self._knows(base):
                continue
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield Override(node.name, base, method.name, method)

    def location(self, node: ast.AST) -> Location:
        return self._resolver.location(node)


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


__all__ = ["ApiCalls", "BoundCall", "Given", "NameUse", "Override"]
