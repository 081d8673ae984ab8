"""Puts together what the engine and the analyses of this package say about each source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from trainguard.errors import EngineError
from trainguard.facts.collector import collector_paused
from trainguard.facts.diagnostics import Diagnostic
from trainguard.facts.diagnostics_certain import certain_exceptions
from trainguard.facts.diagnostics_engine import NEWEST_MINOR, OLDEST_MINOR, EngineMessage, ask_engine
from trainguard.facts.diagnostics_limits import limit_error
from trainguard.facts.diagnostics_names import name_diagnostic
from trainguard.facts.diagnostics_paths import possibly_unbound
from trainguard.facts.diagnostics_results import misused_results
from trainguard.facts.diagnostics_tree import Tree
from trainguard.facts.diagnostics_types import type_diagnostic
from trainguard.facts.syntax import parse

if TYPE_CHECKING:
    from concurrent.futures import Future

# ty 0.0.105 needs 35 s for 50,000 lines of calls, and its stack ends between 300 and 5,000 levels of nesting
# (docs/decisions/0001-python-engine.md). No script that people write comes near.
_MAX_LINES = 10_000
_MAX_CHARACTERS = 1_000_000
_MAX_DEPTH = 250
# Signs of which every few tokens have one: `x=1;` 100,000 times costs 10 s, and the densest module of transformers
# and datasets has 14,000.
_SIGNS = ";,=({[."
_MAX_SIGNS = 60_000
_MAX_MESSAGES = 1_000


# Trees take 200 times the memory of their text (measured), and two batches are in memory at a time.
_BATCH_SCRIPTS = 64
_BATCH_CHARACTERS = 400_000


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A source that the engine is asked about.

    `tree` is None where this interpreter cannot read it, and `error` then what it says of it.
    """

    text: str
    tree: Tree | None
    error: Diagnostic | None = None


_Result: TypeAlias = list[Diagnostic] | EngineError
_Answers: TypeAlias = Sequence[tuple[EngineMessage, ...] | EngineError]


def judge_all(sources: Sequence[str], python_version: str) -> list[_Result]:
    """The diagnostics of each source; see `diagnose_each`."""
    version = _version(python_version)
    with collector_paused():  # trees hold no cycles
        return _judge_batches(sources, version)


def _judge_batches(sources: Sequence[str], version: tuple[int, int]) -> list[_Result]:
    results: list[_Result] = []
    if len(sources) == 1:
        batch = [_prepare(sources[0])]
        return _judged(batch, _ask(batch, version), version)
    from concurrent.futures import ThreadPoolExecutor  # costs 15 ms, which a single script need not pay

    # The engine works on one batch in its own process while this one parses the next.
    with ThreadPoolExecutor(max_workers=1) as executor:
        waiting: tuple[list[_Prepared | list[Diagnostic]], Future[_Answers]] | None = None
        for texts in _batches(sources):
            batch = [_prepare(text) for text in texts]
            asked = executor.submit(_ask, batch, version)
            if waiting is not None:
                results += _judged(waiting[0], waiting[1].result(), version)
            waiting = batch, asked
        if waiting is not None:
            results += _judged(waiting[0], waiting[1].result(), version)
    return results


def _batches(sources: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for source in sources:
        if batch and (len(batch) == _BATCH_SCRIPTS or characters + len(source) > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(source)
        characters += len(source)
    if batch:
        yield batch


def _ask(batch: Sequence[_Prepared | list[Diagnostic]], version: tuple[int, int]) -> _Answers:
    texts = [item.text for item in batch if isinstance(item, _Prepared)]
    return ask_engine(texts, python_version=f"{version[0]}.{version[1]}") if texts else []


def _judged(
    batch: Sequence[_Prepared | list[Diagnostic]], answers: _Answers, version: tuple[int, int]
) -> list[_Result]:
    remaining = iter(answers)
    results: list[_Result] = []
    for item in batch:
        if not isinstance(item, _Prepared):
            results.append(item)
            continue
        answer = next(remaining)
        if not isinstance(answer, EngineError):
            results.append(_judge(item, answer, version))
        else:
            results.append([item.error] if item.error is not None else answer)
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
    if sum(map(text.count, _SIGNS)) > _MAX_SIGNS:
        return []
    # Also in f-strings that this interpreter cannot read, and whose depth no tree shows.
    if _bracket_depth(text) > _MAX_DEPTH:
        return []
    syntax = parse(text)
    # The words of RecursionError and MemoryError (which has none), with which `ast` refuses deep nesting.
    too_deep = syntax.error is not None and (not syntax.error or syntax.error.startswith("maximum recursion"))
    tree = Tree(syntax.tree, text)
    if too_deep or tree.depth > _MAX_DEPTH:
        return []
    # What cannot be read even with its newer parts masked is broken, or newer still: only the engine can tell.
    return _Prepared(text, tree) if syntax.error is None else _Prepared(text, None, _own_syntax_error(syntax.error))


def _bracket_depth(text: str) -> int:
    """How deep brackets are nested at most, those of strings and comments counted too."""
    depth = deepest = 0
    for bracket in re.findall(r"[([{)\]}]", text):
        depth = depth + 1 if bracket in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _own_syntax_error(error: str) -> Diagnostic | None:
    """This interpreter's opinion, for a text that the engine does not survive."""
    matched = re.fullmatch(r"(.*) \(<unknown>, line (\d+)\)", error)
    if matched is None:
        return None
    line = int(matched[2])
    return Diagnostic(
        kind="syntax-error",
        message=f"Python cannot parse this script, so nothing of it runs: {matched[1]} (line {line}); correct the line",
        line=line,
        column=1,
    )


def _judge(prepared: _Prepared, messages: Sequence[EngineMessage], version: tuple[int, int]) -> list[Diagnostic]:
    broken = min((m for m in messages if m.code == "invalid-syntax"), key=lambda m: (m.line, m.column), default=None)
    if broken is not None:
        return [_syntax_error(broken, version)]
    if (tree := prepared.tree) is None:
        return []
    found = [_translated(message, tree, version) for message in messages[:_MAX_MESSAGES]]
    found += [*possibly_unbound(tree), *certain_exceptions(tree), *misused_results(tree)]
    unique: dict[tuple[object, ...], Diagnostic] = {}
    for diagnostic in sorted((d for d in found if d is not None), key=lambda d: (d.line, d.column, d.kind)):
        # Of an undefined name the first read says all.
        once = diagnostic.kind == "undefined-name"
        unique.setdefault(
            (diagnostic.kind, diagnostic.subject) if once else (diagnostic.kind, diagnostic.line, diagnostic.column),
            diagnostic,
        )
    return list(unique.values())


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
