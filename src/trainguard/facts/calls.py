"""A call of the script: who is called, with which arguments, where, and whether it can run at all."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainguard.facts.structure import Block
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Class,
    Function,
    Instance,
    Items,
    Member,
    Partial,
    Symbol,
    Table,
    Value,
    choice,
    options,
)
from trainguard.findings import Location

if TYPE_CHECKING:
    from trainguard.facts.resolver import Resolver


@dataclass(slots=True)
class _Arguments:
    positional: list[Value] = field(default_factory=list)
    keywords: dict[str, Value] = field(default_factory=dict)
    nodes: dict[str, ast.AST] = field(default_factory=dict)
    more_positional: bool = False
    more_keywords: bool = False


class Call:
    """One call. Arguments are resolved when asked for; "cannot tell" is UNKNOWN, "not given" ABSENT.

    `written_name` is the last name of the callee as it stands in the text: `from_pretrained` of
    `A.from_pretrained()`.
    """

    __slots__ = ("_arguments", "_callee", "_names", "block", "node", "resolver", "written_name")

    def __init__(self, node: ast.Call, block: Block, resolver: Resolver) -> None:
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))  # of an Attribute, of a Name
        self.written_name: str = name if isinstance(name, str) else ""
        self.node = node
        self.block = block
        self.resolver = resolver
        self._callee: Value | None = None
        self._arguments: _Arguments | None = None
        self._names: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"<call of {self.name} at line {self.line}>"

    # -- who -----------------------------------------------------------------

    @property
    def callee(self) -> Value:
        """What is called: a Symbol, a Function or Class of the script, a Member of a value, a Partial."""
        if self._callee is None:
            self._callee = self.resolver.evaluate(self.node.func, self.block)
        return self._callee

    @property
    def path(self) -> str | None:
        """The dotted path of an imported callee, aliases undone: `trl.SFTTrainer`; None for others."""
        callee = self.callee
        while isinstance(callee, Partial):
            callee = callee.target
        return callee.path if isinstance(callee, Symbol) else None

    @property
    def package(self) -> str | None:
        """The top-level package of an imported callee."""
        path = self.path
        return path.partition(".")[0] if path and "." in path else None

    @property
    def name(self) -> str:
        """The last name of the callee with aliases and partials undone."""
        for called in options(self.callee):
            option = called
            while isinstance(option, Partial):
                option = option.target
            if isinstance(option, Symbol | Member):
                return option.name
            if isinstance(option, Class | Function) and not isinstance(option.node, ast.Lambda):
                return option.node.name
        return self.written_name

    @property
    def names(self) -> frozenset[str]:
        """The last names of all that the callee may be; for a class of the script its ancestors too."""
        if self._names is None:
            self._names = frozenset({self.written_name})
            function = self.node.func
            if not (isinstance(function, ast.Attribute) and self.resolver.means_itself(function.attr)):
                self._names |= self.resolver.names_of(self.callee)
        return self._names

    @property
    def receiver(self) -> Value:
        """The object whose method is called; ABSENT for a plain function."""
        if isinstance(self.node.func, ast.Attribute):
            return self.resolver.evaluate(self.node.func.value, self.block)
        callee = self.callee
        return callee.owner if isinstance(callee, Member) else ABSENT

    @property
    def receiver_text(self) -> str:
        """The receiver as it stands in the text (`self.trainer`), empty for a plain function."""
        if not isinstance(self.node.func, ast.Attribute):
            return ""
        parts: list[str] = []
        node: ast.expr = self.node.func.value
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            parts.append(node.id)
        return ".".join(reversed(parts))

    @property
    def receiver_calls(self) -> tuple[Call, ...]:
        """The calls that may have made the receiver: for `trainer.train()` that of the Trainer's class."""
        return tuple(option.call for option in options(self.receiver) if isinstance(option, Instance))

    # -- with what -----------------------------------------------------------

    def argument(self, name: str, position: int | None = None) -> Value:
        """The value of an argument by keyword or position; ABSENT if not given, UNKNOWN if it may be."""
        given = self._given()
        if name in given.keywords:
            return given.keywords[name]
        if position is not None and position < len(given.positional):
            return given.positional[position]
        if given.more_keywords or (position is not None and given.more_positional):
            return UNKNOWN
        return ABSENT

    def positional(self, position: int) -> Value:
        """The value at a position; ABSENT if there are fewer."""
        given = self._given()
        if position < len(given.positional):
            return given.positional[position]
        return UNKNOWN if given.more_positional else ABSENT

    @property
    def positional_count(self) -> int:
        return len(self._given().positional)

    @property
    def keywords(self) -> dict[str, Value]:
        """All keyword arguments that are known, `**` literals spread."""
        return self._given().keywords

    @property
    def may_have_more(self) -> bool:
        """Whether there are arguments that cannot be told (`*args`, `**kwargs`)."""
        given = self._given()
        return given.more_keywords or given.more_positional

    def argument_location(self, name: str, position: int | None = None) -> Location:
        """Where an argument's value stands; the call itself where that cannot be told."""
        node = self._given().nodes.get(name)
        if node is None and position is not None and position < len(self.node.args):
            node = self.node.args[position]
        return self.resolver.location(node if node is not None else self.node.func)

    def _given(self) -> _Arguments:
        if self._arguments is None:
            self._arguments = _Arguments()  # asked again while being read: nothing known
            self._arguments = self._read()
        return self._arguments

    def _read(self) -> _Arguments:
        given = _Arguments()
        callee = self.callee
        if isinstance(callee, Partial):
            self._merge(given, callee.call)
        evaluate = self.resolver.evaluate
        for node in self.node.args:
            if isinstance(node, ast.Starred):
                spread = evaluate(node.value, self.block)
                if isinstance(spread, Items) and spread.complete:
                    given.positional.extend(spread.items)
                else:
                    given.more_positional = True
            else:
                given.positional.append(evaluate(node, self.block))
        for keyword in self.node.keywords:
            value = evaluate(keyword.value, self.block)
            if keyword.arg is not None:
                given.keywords[keyword.arg] = value
                given.nodes[keyword.arg] = keyword.value
            else:
                self._spread(given, value, keyword.value)
        return given

    def _merge(self, given: _Arguments, partial: Call) -> None:
        inner = partial._given()
        given.positional.extend(inner.positional[1:])
        given.keywords.update(inner.keywords)
        given.nodes.update(inner.nodes)
        given.more_keywords = inner.more_keywords
        given.more_positional = inner.more_positional

    def _spread(self, given: _Arguments, value: Value, node: ast.expr) -> None:
        tables = list(options(value))
        if not all(isinstance(table, Table) for table in tables):
            given.more_keywords = True
        known = [table for table in tables if isinstance(table, Table)]
        given.more_keywords |= any(not table.complete for table in known)
        for key in dict.fromkeys(key for table in known for key in table.entries):
            given.keywords[key] = choice([table.entries.get(key, ABSENT) for table in known])
            given.nodes[key] = self.resolver.entry_node(node, key, self.block) or node

    # -- where ---------------------------------------------------------------

    @property
    def line(self) -> int:
        return self.node.lineno

    @property
    def location(self) -> Location:
        """Where the callee stands, without its arguments."""
        return self.resolver.location(self.node.func)

    @property
    def live(self) -> bool:
        """False where it is certain that the call never runs: dead code, a false condition, nobody calls it."""
        return self.resolver.is_live(self.block)
