"""Which statements run for certain when a script is run, as far as reading can tell.

`Call.live` says that a statement may run; a rule about something that will fail asks here whether it does.
"""

from __future__ import annotations

import ast

from trainguard.facts.calls import Call
from trainguard.facts.resolver import Resolver
from trainguard.facts.structure import Block, Scope
from trainguard.facts.values import ABSENT, truth

# Words of the tests that single out one process of several: on one process they hold.
_MAIN_PROCESS = ("main_process", "rank", "process_zero", "process_index")
# Calls that run the functions they are given; others may keep them for later (`signal.signal`, `set_defaults`).
_RUNS_ARGUMENTS = {"map", "filter", "Thread", "Process", "notebook_launcher", "spawn", "submit", "run", "partial"}
# How many calls deep a function is followed to the script's own statements.
_MAX_CALLS = 12


def certainly_runs(block: Block, resolver: Resolver) -> bool:
    """Whether the statements of `block` are reached on every run that ends well.

    False for branches whose condition cannot be told, handlers, and functions that nothing certain calls.
    """
    return _runs(block, resolver, frozenset())


def guarding_handlers(block: Block) -> list[ast.ExceptHandler]:
    """The `except` clauses that catch what is raised in `block`, within the same function."""
    return [
        handler
        for around in block.ancestors()
        if around.kind == "try" and isinstance(around.owner, ast.Try | ast.TryStar)
        for handler in around.owner.handlers
    ]


def _runs(block: Block, resolver: Resolver, seen: frozenset[Scope]) -> bool:
    if not resolver.is_live(block) or not all(_entered(around, resolver) for around in block.ancestors()):
        return False
    scope = block.scope
    if scope.kind == "module":
        return True
    if scope in seen or len(seen) > _MAX_CALLS:
        return False
    seen = seen | {scope}
    outer = scope.block.parent if scope.block is not None else None
    if scope.kind in ("class", "comprehension") or isinstance(scope.node, ast.Lambda):
        return outer is not None and _runs(outer, resolver, seen)
    return _is_called(scope, resolver, seen)


def _is_called(scope: Scope, resolver: Resolver, seen: frozenset[Scope]) -> bool:
    name = getattr(scope.node, "name", "")
    parent = scope.parent.node if scope.parent is not None else None
    if isinstance(parent, ast.ClassDef) and name in ("__init__", "__post_init__"):
        name = parent.name
    if any(_runs(call.block, resolver, seen) for call in resolver.calls_by_written_name.get(name, ())):
        return True
    return any(_hands_over(call, name) and _runs(call.block, resolver, seen) for call in resolver.calls)


def _hands_over(call: Call, name: str) -> bool:
    """Whether a call runs the function `name`, which it is given: a trainer its metric, `map` its function."""
    if call.written_name not in _RUNS_ARGUMENTS and not call.written_name.endswith("Trainer"):
        return False
    for argument in (*call.node.args, *call.node.keywords):
        keyword = argument.arg if isinstance(argument, ast.keyword) else None
        value = argument.value if isinstance(argument, ast.keyword) else argument
        parts = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        if any(isinstance(part, ast.Name) and part.id == name for part in parts):
            return keyword != "compute_metrics" or call.argument("eval_dataset") is not ABSENT
    return False


def _entered(block: Block, resolver: Resolver) -> bool:
    if block.kind in ("handler", "case", "dead"):
        return False
    if block.kind not in ("if", "else") or not isinstance(block.owner, ast.If) or block.parent is None:
        return True
    verdict = truth(resolver.evaluate(block.owner.test, block.parent))
    if verdict is None:
        return block.kind == "if" and _is_main_process(block.owner.test)
    return verdict is (block.kind == "if")


def _is_main_process(test: ast.expr) -> bool:
    words = " ".join(
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(test)
        if isinstance(node, ast.Attribute | ast.Name)
    )
    return not isinstance(test, ast.BoolOp) and any(word in words for word in _MAIN_PROCESS)
