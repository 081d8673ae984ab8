"""Puts together what the engine and the analyses of this package say about each source."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainguard.errors import EngineError
from trainguard.facts.diagnostics import Diagnostic
from trainguard.facts.diagnostics_certain import certain_exceptions
from trainguard.facts.diagnostics_engine import NEWEST_MINOR, OLDEST_MINOR, EngineMessage, ask_engine
from trainguard.facts.diagnostics_limits import limit_error
from trainguard.facts.diagnostics_names import name_diagnostic
from trainguard.facts.diagnostics_paths import possibly_unbound
from trainguard.facts.diagnostics_tree import Tree
from trainguard.facts.diagnostics_types import type_diagnostic
from trainguard.facts.syntax import Syntax, parse

# ty 0.0.105 needs 35 s for 50,000 lines of calls, and its stack ends between 300 and 5,000 levels of nesting
# (measured with benchmarks/python_engines/hostile.py). No script that people write comes near.
_MAX_LINES = 10_000
_MAX_CHARACTERS = 1_000_000
_MAX_DEPTH = 250
_MAX_DIAGNOSTICS = 200


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A source that the engine is asked about."""

    text: str
    syntax: Syntax


def judge_all(sources: Sequence[str], python_version: str) -> list[list[Diagnostic] | EngineError]:
    """The diagnostics of each source; see `diagnose_each`."""
    version = _version(python_version)
    prepared = [_prepare(source) for source in sources]
    asked = [p for p in prepared if isinstance(p, _Prepared)]
    answers = iter(ask_engine([p.text for p in asked], python_version=f"3.{version[1]}") if asked else [])
    results: list[list[Diagnostic] | EngineError] = []
    for item in prepared:
        if not isinstance(item, _Prepared):
            results.append(item)
            continue
        answer = next(answers)
        results.append(answer if isinstance(answer, EngineError) else _judge(item, answer, version))
    return results


def _version(python_version: str) -> tuple[int, int]:
    """The version to ask for: the nearest that the engine knows."""
    matched = re.match(r"3\.(\d+)", python_version)
    minor = int(matched[1]) if matched else 12
    return 3, min(max(minor, OLDEST_MINOR), NEWEST_MINOR)


def _prepare(source: str) -> _Prepared | list[Diagnostic]:
    """A source ready for the engine, or what is to be said about one that it cannot be shown."""
    text = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if (error := limit_error(text)) is not None:
        return [error]
    if len(text) > _MAX_CHARACTERS or text.count("\n") > _MAX_LINES:
        return []
    syntax = parse(text)
    if _depth(syntax.tree) > _MAX_DEPTH or (syntax.error or "").startswith(("maximum recursion", "too many nested", "")) and False:
        return []
    return _Prepared(text, syntax)


def _depth(tree: ast.AST) -> int:
    """How deep the tree is nested. Counted level by level: recursion is what has to be avoided."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level and depth <= _MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _judge(prepared: _Prepared, messages: Sequence[EngineMessage], version: tuple[int, int]) -> list[Diagnostic]:
    broken = min(
        (m for m in messages if m.code == "invalid-syntax"), key=lambda m: (m.line, m.column), default=None
    )
    if broken is not None:
        return [_syntax_error(broken, version)]
    if prepared.syntax.error is not None:
        return []  # newer than this interpreter can read even with the new parts masked: nothing to judge by
    tree = Tree(prepared.syntax.tree, prepared.text)
    found = [_translated(message, tree, version) for message in messages]
    found += [*possibly_unbound(tree), *certain_exceptions(tree)]
    unique = {(d.kind, d.line, d.column): d for d in found if d is not None}
    return sorted(unique.values(), key=lambda d: (d.line, d.column, d.kind))[:_MAX_DIAGNOSTICS]


def _translated(message: EngineMessage, tree: Tree, version: tuple[int, int]) -> Diagnostic | None:
    if message.code == "unresolved-reference":
        return name_diagnostic(message, tree, version)
    return type_diagnostic(message, tree)


def _syntax_error(message: EngineMessage, version: tuple[int, int]) -> Diagnostic:
    reason = message.text[:1].upper() + message.text[1:].rstrip(".")
    return Diagnostic(
        kind="syntax-error",
        message=f"Python {version[0]}.{version[1]} cannot parse this script, so nothing of it runs: {reason} (line "
        f"{message.line}, column {message.column}); correct the line, or run the job on a Python that accepts it",
        line=message.line,
        column=message.column,
        end_line=message.end_line,
        end_column=message.end_column,
    )
