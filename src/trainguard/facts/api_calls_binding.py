"""Which callable of a library a call of a script reaches: by name, as a method, through the script's own classes."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from trainguard.facts.calls import Call
from trainguard.facts.resolver import Resolver
from trainguard.facts.structure import Block, Scope
from trainguard.facts.values import (
    ABSENT,
    Class,
    Instance,
    Member,
    ParsedArguments,
    Partial,
    Symbol,
    Value,
    options,
    text,
    truth,
)
from trainguard.libraries.api.query import Found
from trainguard.libraries.api.records import Class as LibraryClass
from trainguard.libraries.api.records import Function as LibraryFunction
from trainguard.libraries.api.signatures import Signature, Signatures

# Class methods that give back an instance of the very class that they are called on (datasets 5.1, arrow_dataset.py).
_MAKERS = {
    "datasets.arrow_dataset.Dataset": {
        *("from_dict", "from_list", "from_pandas", "from_generator", "from_json", "from_csv", "from_parquet"),
    },
}
# Methods of an object that give back one of the same class (datasets 5.1, arrow_dataset.py).
_CHAINS = {
    "datasets.arrow_dataset.Dataset": {
        *("map", "filter", "shuffle", "select", "sort", "rename_column", "rename_columns", "remove_columns"),
        *("select_columns", "add_column", "cast", "cast_column", "with_format", "flatten", "shard", "take", "skip"),
    },
}
# What a model class of transformers has, though of those below `transformers.models` few members are recorded.
_MODEL = "transformers.modeling_utils.PreTrainedModel"
MODEL_FROM_PRETRAINED = f"{_MODEL}.from_pretrained"
_PLAIN_BASES = {"object", "ABC", "Generic", "Protocol"}
_MAX_LINE = 10  # classes of the script, one derived from another


@dataclass(frozen=True, slots=True)
class Target:
    """What a call reaches: the path by which, its signature, and the fields that classes of the script add.

    `inherited` tells that the call is of a class of the script, which takes over the constructor.
    """

    path: str
    signature: Signature
    own_fields: frozenset[str] = frozenset()
    inherited: bool = False

    @property
    def name(self) -> str:
        """How a message names it: `SFTConfig`, `Trainer.train`."""
        owner, _, last = self.path.rpartition(".")
        above = owner.rpartition(".")[2]
        return f"{above}.{last}" if above[:1].isupper() else last

    def accepts(self, name: str) -> bool:
        return name in self.own_fields or self.signature.accepts(name)


class Binder:
    """Binds the calls of one script to definitions."""

    def __init__(self, resolver: Resolver, signatures: Signatures) -> None:
        self._resolver = resolver
        self._signatures = signatures
        self._interfaces = signatures.interfaces

    def targets(self, call: Call) -> tuple[Target, ...]:
        """All that a call may reach; none if any of it cannot be told."""
        return self.of_value(call.callee, call.block)

    def of_value(self, callee: Value, block: Block) -> tuple[Target, ...]:
        """What is reached where `callee` is called."""
        found = []
        for option in options(callee):
            target = self._target(option, block)
            if target is None:
                return ()
            found.append(target)
        return tuple(found)

    def _target(self, callee: Value, block: Block) -> Target | None:
        if isinstance(callee, Symbol):
            return self.of_path(callee.path)
        if isinstance(callee, Class):
            return self.constructor(callee)
        if isinstance(callee, Partial):
            inner = self.of_value(callee.target, block)
            return inner[0] if len(inner) == 1 else None
        if isinstance(callee, Member):
            return self._of_member(callee, block)
        return None

    # -- functions and classes of libraries ------------------------------------------

    def known(self, path: str) -> str:
        """A path with the library that a star import takes a bare name from in front."""
        if "." in path:
            return path
        stars = self._resolver.structure.star_imports
        modules = [star.module for star in stars]
        if not modules or any(self._interfaces.version(module.partition(".")[0]) is None for module in modules):
            return path
        found = [f"{m}.{path}" for m in modules if isinstance(self._interfaces.find(f"{m}.{path}"), Found)]
        return found[0] if len(found) == 1 else path

    def of_path(self, path: str) -> Target | None:
        path = self.known(path)
        if self._interfaces.version(path.partition(".")[0]) is None:
            return None
        found = self._interfaces.find(path)
        if found is None and path.endswith(".from_pretrained"):
            return self._of_model(path)
        if not isinstance(found, Found):
            return None
        if isinstance(found.definition, LibraryFunction) and found.definition.kind in ("method", "property"):
            return None  # called on the class: `self` is given by hand
        signature = self._signatures.of(path)
        return Target(path, signature) if signature is not None else None

    def _of_model(self, path: str) -> Target | None:
        owner = path.removesuffix(".from_pretrained")
        line, _ = self._interfaces.known_line(owner)
        # `AutoModel = auto_class_update(AutoModel)`: what becomes of such a class is not told by its text.
        is_auto = owner.startswith("transformers.AutoModel") and isinstance(self._interfaces.find(owner), Found | None)
        is_model = is_auto or any(found.path == _MODEL for found in line)
        signature = self._signatures.of(MODEL_FROM_PRETRAINED) if is_model else None
        return Target(path, signature) if signature is not None else None

    # -- methods -----------------------------------------------------------------------

    def _of_member(self, member: Member, block: Block) -> Target | None:
        owner = member.owner
        if isinstance(owner, Symbol) and owner.path == "self":
            path = self._base_of_method(self._class_around(block), member.name, above=False)
        elif isinstance(owner, Instance) and _is_super(owner.call):
            path = self._base_of_method(self._class_around(block), member.name, above=True)
            if path is not None and member.name == "__init__":
                return self._super_constructor(path)
        else:
            local = self._local_class_of(owner)
            path = self._inherited(local, member.name) if local is not None else self.class_of(owner)
        return self._method(path, member.name) if path is not None else None

    def _method(self, owner: str, name: str) -> Target | None:
        found = self._interfaces.member(owner, name)
        if not isinstance(found, Found) or not isinstance(found.definition, LibraryFunction):
            return None
        if found.definition.kind == "property":
            return None
        path = f"{owner}.{name}"
        signature = self._signatures.of(path)
        return Target(path, signature) if signature is not None else None

    def _super_constructor(self, base: str) -> Target | None:
        signature = self._signatures.of(base)
        return Target(base, signature) if signature is not None else None

    def class_of(self, value: Value) -> str | None:
        """The library's class that a value is an instance of."""
        if isinstance(value, ParsedArguments) and isinstance(value.dataclass, Symbol):
            return self._made_by(value.dataclass.path)
        if not isinstance(value, Instance):
            return None
        callee = value.call.callee
        if isinstance(callee, Symbol):
            if callee.path == "datasets.load_dataset":
                return self._loaded(value.call)
            return self._made_by(callee.path)
        if isinstance(callee, Member) and isinstance(callee.owner, Instance):
            owner = self.class_of(callee.owner)
            return owner if callee.name in _CHAINS.get(self._canonical(owner), ()) else None
        return None

    def _loaded(self, call: Call) -> str | None:
        """What `load_dataset` gives back (datasets 5.2, load.py): one dataset for a split, a dict of them for none."""
        if call.may_have_more or truth(call.argument("streaming")) is not False:
            return None
        split = call.argument("split", 5)
        if split is ABSENT:
            return self._made_by("datasets.DatasetDict")
        return self._made_by("datasets.Dataset") if text(split) is not None else None

    def _made_by(self, path: str) -> str | None:
        path = self.known(path)
        if self._interfaces.version(path.partition(".")[0]) is None:
            return None
        found = self._interfaces.find(path)
        if isinstance(found, Found) and isinstance(found.definition, LibraryClass):
            line, complete = self._interfaces.known_line(path)
            made_otherwise = any(isinstance(f.definition, LibraryClass) and f.definition.has_new for f in line)
            return path if complete and not made_otherwise else None
        owner, _, name = path.rpartition(".")
        return owner if name in _MAKERS.get(self._canonical(owner), ()) else None

    def _canonical(self, path: str | None) -> str:
        found = self._interfaces.find(path) if path is not None else None
        return found.path if isinstance(found, Found) else ""

    # -- classes of the script -----------------------------------------------------------

    def constructor(self, owner: Class) -> Target | None:
        """What a call of a class of the script reaches; None if the class has its own constructor."""
        own: set[str] = set()
        is_dataclass = False
        for member in self._line(owner):
            if isinstance(member, Symbol):
                found = self._interfaces.find(member.path)
                if not isinstance(found, Found) or not isinstance(found.definition, LibraryClass):
                    return None
                if is_dataclass and found.definition.kind != "dataclass":
                    return None
                signature = self._signatures.of(member.path)
                return Target(member.path, signature, frozenset(own), inherited=True) if signature is not None else None
            if {"__init__", "__new__"} & member.scope.bindings.keys():
                return None
            is_dataclass |= bool(member.node.decorator_list)
            own |= _annotated(member.node)
        return None

    def fields(self, owner: Class) -> tuple[set[str], list[Target]] | None:
        """The own fields of a dataclass of the script, and the library's class under it; None if that is not known."""
        own: set[str] = set()
        for member in self._line(owner):
            if isinstance(member, Symbol):
                found = self.of_path(member.path)
                return None if found is None or found.signature.is_open else (own, [found])
            own |= _annotated(member.node)
            if not [base for base in self._resolver.bases(member) if getattr(base, "name", "") not in _PLAIN_BASES]:
                return own, []
        return None

    def known_base(self, owner: Class) -> str | None:
        """The path of the library's class that a class of the script derives from, through others of the script."""
        last = list(self._line(owner))[-1]
        return last.path if isinstance(last, Symbol) else None

    def _local_class_of(self, value: Value) -> Class | None:
        """The class of the script that a value is an instance of."""
        callee = value.call.callee if isinstance(value, Instance) else None
        return callee if isinstance(callee, Class) else None

    def _inherited(self, owner: Class, name: str) -> str | None:
        """The library's class whose method an instance of a class of the script has."""
        for member in self._line(owner):
            if isinstance(member, Symbol):
                return member.path
            if name in member.scope.bindings:
                return None
        return None

    def _base_of_method(self, owner: Class | None, name: str, *, above: bool) -> str | None:
        """The library's class whose method `self.name` or `super().name` reaches."""
        if owner is None or (not above and self._is_overridden_below(owner, name)):
            return None
        for place, member in enumerate(self._line(owner)):
            if isinstance(member, Symbol):
                return member.path
            if name in member.scope.bindings and not (above and place == 0):
                return None
        return None

    def _is_overridden_below(self, owner: Class, name: str) -> bool:
        scopes = self._resolver.structure.scopes
        others = (scope for node, scope in scopes.items() if isinstance(node, ast.ClassDef) and node is not owner.node)
        return any(name in scope.bindings for scope in others)

    def _line(self, owner: Class) -> Iterable[Class | Symbol]:
        """A class of the script and what it derives from; it ends where the order of bases would matter."""
        member: Class | Symbol = owner
        for _ in range(_MAX_LINE):
            yield member
            if isinstance(member, Symbol):
                return
            known = {"dataclass", "dataclasses.dataclass"}
            if member.node.keywords or any(_written(d) not in known for d in member.node.decorator_list):
                return
            bases = [b for b in self._resolver.bases(member) if getattr(b, "name", "") not in _PLAIN_BASES]
            if len(bases) != 1 or not isinstance(bases[0], Class | Symbol):
                return
            member = bases[0]

    def _class_around(self, block: Block) -> Class | None:
        """The class in whose method a block stands."""
        scope: Scope | None = block.scope
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        if scope is None or not isinstance(scope.node, ast.ClassDef):
            return None
        return Class(scope.node, scope)


def _is_super(call: Call) -> bool:
    return isinstance(call.node.func, ast.Name) and call.node.func.id == "super"


def _written(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def _annotated(node: ast.ClassDef) -> set[str]:
    """The names that a class body annotates or assigns: the fields of a dataclass, new defaults of its base's."""
    found = {s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            found |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return found
