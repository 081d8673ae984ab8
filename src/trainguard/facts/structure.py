"""The parts of a script: scopes, names bound in them, calls, stores, handlers, and the blocks they stand in."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ScopeKind: TypeAlias = Literal["module", "function", "class", "comprehension"]
BlockKind: TypeAlias = Literal[
    "body", "if", "else", "loop", "loop-else", "try", "try-else", "handler", "finally", "case", "with", "dead"
]
BindingKind: TypeAlias = Literal["assign", "unpack", "import", "def", "class", "parameter", "loop", "with", "other"]
EscapeKind: TypeAlias = Literal["alias", "attribute", "element", "argument", "return"]
Position: TypeAlias = tuple[int, int]


@dataclass(slots=True, eq=False)
class Block:
    """Statements that run together. `owner` is the statement that the block belongs to.

    `runs_through` says that they run to their end whenever the statements after their owner are reached.
    """

    kind: BlockKind
    parent: Block | None
    scope: Scope
    owner: ast.AST | None = None
    runs_through: bool = False

    def ancestors(self) -> Iterator[Block]:
        """This block and those around it, inner first, within the same scope."""
        block: Block | None = self
        while block is not None and block.scope is self.scope:
            yield block
            block = block.parent

    @property
    def outermost(self) -> Block:
        """This block, or the one around it where it always runs through: a `with`, a `finally`, …"""
        block = self
        while block.runs_through and block.parent is not None:
            block = block.parent
        return block


@dataclass(slots=True, eq=False)
class Binding:
    """One place where a name gets a value; `value` is the expression, `index` the place in an unpacking."""

    name: str
    kind: BindingKind
    node: ast.AST
    block: Block
    position: Position
    value: ast.expr | None = None
    index: int | None = None
    path: str | None = None


@dataclass(slots=True, eq=False)
class Scope:
    kind: ScopeKind
    node: ast.AST
    parent: Scope | None
    block: Block | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    outer_names: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    returns: list[tuple[ast.expr | None, Block]] = field(default_factory=list)
    is_generator: bool = False


@dataclass(slots=True, eq=False)
class Import:
    """One imported name. `module` is dotted; `name` what is taken from it, None for `import module`."""

    module: str
    name: str | None
    bound: str
    node: ast.Import | ast.ImportFrom
    block: Block
    level: int = 0


@dataclass(slots=True, eq=False)
class Store:
    """`base.attribute = value`, `base[key] = value`, or `setattr(base, "attribute", value)`.

    `key` is None where an item's key cannot be told; `value` None where the value cannot; `deleted` for `del`.
    """

    base: ast.expr
    key: str | None
    value: ast.expr | None
    block: Block
    position: Position
    node: ast.AST
    deleted: bool = False


@dataclass(slots=True, eq=False)
class Escape:
    """A place from which on something else may change what a name stands for.

    `target` is the name or attribute that it is assigned to; `call` the call that it is given to.
    """

    kind: EscapeKind
    block: Block
    position: Position
    target: str | None = None
    call: ast.Call | None = None
    keyword: str | None = None


@dataclass(slots=True, eq=False)
class RawCall:
    node: ast.Call
    block: Block


@dataclass(slots=True, eq=False)
class Handler:
    """One `except` clause with its `try`; `block` is the block that the whole statement stands in."""

    statement: ast.Try
    node: ast.ExceptHandler
    block: Block


@dataclass(slots=True, eq=False)
class Structure:
    """Everything that the pass found, each list in the order of the text."""

    module: Scope
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    calls: list[RawCall] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    attribute_stores: dict[str, list[Store]] = field(default_factory=lambda: defaultdict(list))
    item_stores: dict[str, list[Store]] = field(default_factory=lambda: defaultdict(list))
    other_stores: list[Store] = field(default_factory=list)
    augmented: list[Store] = field(default_factory=list)
    escapes: dict[str, list[Escape]] = field(default_factory=lambda: defaultdict(list))
    handlers: list[Handler] = field(default_factory=list)
    strings: list[ast.Constant] = field(default_factory=list)
    expressions: dict[ast.AST, Block] = field(default_factory=dict)
    attribute_reads: list[tuple[ast.Attribute, Block]] = field(default_factory=list)
    star_imports: list[Import] = field(default_factory=list)
    uses: Counter[str] = field(default_factory=Counter)


def position(node: ast.AST) -> Position:
    return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
