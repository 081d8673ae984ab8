"""Environment variables: which a job has, which a script sets for itself, and which a value is read from."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from trainguard.facts.job import JobFacts
from trainguard.facts.resolver import Resolver
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Block, Scope
from trainguard.facts.values import Instance, Symbol, Table, options, text

_READERS = ("os.getenv", "os.environ.get")
# Libraries that fill the environment from a file.
_LOADERS = {"load_dotenv", "dotenv_values", "read_dotenv"}


def job_variables(job: JobFacts) -> frozenset[str]:
    """The names of the variables that the job sets: `env`, `secrets`, and what its command exports."""
    exported = job.command.env if job.command is not None else {}
    return job.secrets | frozenset(job.env) | frozenset(exported)


def script_variables(script: ScriptFacts) -> frozenset[str] | None:
    """The names of the variables that the script sets while it runs; None where that cannot be told."""
    if script.mentions & _LOADERS:
        return None
    found: set[str] = set()
    for name, stores in script.structure.item_stores.items():
        if any(_is_environment(script.resolver, store.base, store.block) for store in stores):
            found.add(name)
    for call in script.calls:
        if call.written_name in ("setdefault", "putenv", "setenv") and call.live:
            given = text(call.positional(0))
            found |= {given} if given else set()
        elif call.path == "os.environ.update" and call.live:
            found |= call.keywords.keys()
            for option in options(call.positional(0)):
                found |= option.entries.keys() if isinstance(option, Table) else set()
    for command in script.commands:
        found |= command.env.keys()
    return frozenset(found)


def variables_read(node: ast.expr, block: Block, resolver: Resolver) -> frozenset[str] | None:
    """The variables that an expression is read from, any of which will do; None where it is something else too."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return _together(variables_read(part, block, resolver) for part in node.values)
    if isinstance(node, ast.Name):
        found = _only_value(node.id, block.scope)
        return variables_read(found[0], found[1], resolver) if found is not None else None
    if isinstance(node, ast.Subscript) and _is_environment(resolver, node.value, block):
        name = text(resolver.evaluate(node.slice, block))
        return frozenset({name}) if name else None
    if isinstance(node, ast.Call):
        return _read_by_call(node, block, resolver)
    return None


def _read_by_call(node: ast.Call, block: Block, resolver: Resolver) -> frozenset[str] | None:
    function = resolver.evaluate(node.func, block)
    if not isinstance(function, Symbol) or function.path not in _READERS or not node.args:
        return None
    default = node.args[1] if len(node.args) > 1 else None
    if default is not None and not (isinstance(default, ast.Constant) and not default.value):
        return None
    name = text(resolver.evaluate(node.args[0], block))
    return frozenset({name}) if name else None


def _together(parts: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    names: set[str] = set()
    for part in parts:
        if part is None:
            return None
        names |= part
    return frozenset(names)


def _only_value(name: str, scope: Scope | None) -> tuple[ast.expr, Block] | None:
    """The expression that a name is bound to, if it is bound once and by a plain assignment."""
    while scope is not None:
        if bindings := scope.bindings.get(name):
            only = bindings[0]
            single = len(bindings) == 1 and only.kind == "assign" and only.value is not None
            return (only.value, only.block) if single and only.value is not None else None
        scope = scope.parent
    return None


def _is_environment(resolver: Resolver, node: ast.expr, block: Block) -> bool:
    value = resolver.evaluate(node, block)
    if isinstance(value, Instance):
        return value.call.path == "os.environ.copy"
    return isinstance(value, Symbol) and value.path == "os.environ"
