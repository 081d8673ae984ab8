"""Which bindings of a name a use may see: the last that certainly ran, and those that may have run since.

Told by the text of the scope that binds the name. A function runs later than it is written, so that a use
in one may also see what is bound below it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from trainguard.facts.structure import Binding, Block, Position, Scope, position


@dataclass(frozen=True, slots=True)
class Use:
    """A place that a name of `scope` is used from, as a place in that scope.

    `at` is None for the end of the scope; `later` says that the use may also run at any time after `at`.
    """

    scope: Scope
    block: Block
    at: Position | None
    later: bool = False

    @property
    def loops(self) -> list[Block]:
        return [block for block in self.block.ancestors() if block.kind == "loop"]

    def follows(self, place: Position) -> bool:
        return self.at is None or place < self.at

    def may_see(self, block: Block, place: Position) -> bool:
        """Whether what happens at a place of the same scope may have happened before the use."""
        return self.follows(place) or self.later or any(loop in block.ancestors() for loop in self.loops)

    def certainly_after(self, block: Block) -> bool:
        """Whether a use that follows a statement of `block` in the text runs after it, whatever happens."""
        around = list(self.block.ancestors())
        rescued = {a.owner for a in around if a.kind in ("handler", "finally")}
        while block not in around:
            if not block.runs_through or block.parent is None or _is_rescued(block.owner, rescued):
                return False
            block = block.parent
        return True


def _is_rescued(owner: ast.AST | None, rescued: Collection[ast.AST | None]) -> bool:
    """Whether the use stands where an exception from the `try` statement `owner` leads."""
    return isinstance(owner, ast.Try | ast.TryStar) and (
        owner in rescued or any(handler in rescued for handler in owner.handlers)
    )


def use_in(scope: Scope, block: Block, at: Position) -> Use:
    """The use at `at` in `block`, seen from `scope`, which is that of `block` or one around it."""
    later = False
    while block.scope is not scope and block.scope.block is not None and block.scope.block.parent is not None:
        if block.scope.kind == "function":
            later, at = True, position(block.scope.node)
        block = block.scope.block.parent
    return Use(scope, block, at, later)


def at_end(scope: Scope) -> Use:
    """A use after all statements of a scope, such as of an attribute of a class."""
    assert scope.block is not None
    return Use(scope, scope.block, None)


def reaching(bindings: Sequence[Binding], use: Use, is_live: Callable[[Block], bool]) -> list[Binding]:
    """The bindings, of those of one name in one scope, that the use may see; all if it seems to see none."""
    if len(bindings) == 1:
        return list(bindings)
    live = [b for b in bindings if b.kind == "parameter" or is_live(b.block)] or list(bindings)
    own = [b for b in live if b.block.scope is use.scope]
    before = [b for b in own if use.follows(b.position)]
    last = next((b for b in reversed(before) if use.certainly_after(b.block)), None)
    found = before[before.index(last) :] if last is not None else before
    around_last = set(last.block.ancestors()) if last is not None else set()
    again = [loop for loop in use.loops if loop not in around_last]
    found = [b for b in found if not _excluded(b.block, use.block, again)]
    for binding in own:
        may_follow = use.later or any(loop in binding.block.ancestors() for loop in again)
        if may_follow and not use.follows(binding.position):
            found.append(binding)
    found += [b for b in live if b.block.scope is not use.scope]  # `global x` in a function: at any time
    return found or live


def _excluded(binding: Block, use: Block, again: Sequence[Block]) -> bool:
    """Whether a binding stands in the other branch of an `if` than the use, and no loop leads from one to the other."""
    branches = {a.owner: a for a in binding.ancestors() if a.kind in ("if", "else")}
    for around in use.ancestors():
        other = branches.get(around.owner) if around.kind in ("if", "else") else None
        if other is not None and other.kind != around.kind:
            return not any(loop in other.ancestors() for loop in again)
    return False
