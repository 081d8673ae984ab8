"""A text as LibCST's concrete syntax tree, with the place of each node in it."""

from __future__ import annotations

import io
import threading
import tokenize
from collections.abc import Callable
from typing import TypeVar

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from trainguard.fixing.changes import CannotFixError

_T = TypeVar("_T")
_Node = TypeVar("_Node", bound=cst.CSTNode)

# LibCST 1.9 parses by recursion in native code: 3000 brackets within each other end the process on a stack of 8 MiB,
# and a chain of 3000 operators takes minutes. So the text is measured first, and read on a larger stack.
_MAX_CHARACTERS = 400_000
_MAX_BRACKETS = 90
_MAX_CHAIN = 400
_STACK_BYTES = 64 * 2**20
_LINKS = frozenset("+ - * / // % @ ** . ~ & | ^ << >> < > <= >= == != not lambda if else and or in is await".split())


class Tree:
    """The nodes of a text, by type and in order, with the offsets at which they start and end.

    Raises CannotFixError where LibCST cannot read the text, or would not write it back as it is.
    """

    def __init__(self, text: str) -> None:
        _measure(text)
        self.text = text
        self.nodes: list[cst.CSTNode] = []
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._ranges = _on_large_stack(self._read)

    def _read(self) -> dict[cst.CSTNode, CodeRange]:
        module = _parsed(self.text)
        collector = _Collector()
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        ranges = dict(wrapper.resolve(PositionProvider))
        module.visit(collector)
        self.nodes, self.parents = collector.nodes, collector.parents
        return {node: found for node, found in ranges.items() if isinstance(found, CodeRange)}

    def of_type(self, kind: type[_Node]) -> list[_Node]:
        return [node for node in self.nodes if isinstance(node, kind)]

    def offset(self, line: int, column: int) -> int:
        """The offset of a place. Line and column count from 1. Past the end of the text it is -1."""
        if not 0 < line < len(self._starts):
            return -1
        return self._starts[line - 1] + column - 1

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Where a node starts and ends, parentheses around it left out (as `ast` does)."""
        found = self._ranges[node]
        return (
            self._starts[found.start.line - 1] + found.start.column,
            self._starts[found.end.line - 1] + found.end.column,
        )

    def written(self, node: cst.CSTNode) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def comma_end(self, comma: object) -> int | None:
        """The offset after a comma, None where there is none."""
        if not isinstance(comma, cst.Comma):
            return None
        space = cst.Module(body=[]).code_for_node(comma.whitespace_before)
        return self.span(comma)[0] + len(space) + 1


class _Collector(cst.CSTVisitor):
    """All nodes in order, each with the one around it."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[cst.CSTNode] = []
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._path: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._path:
            self.parents[node] = self._path[-1]
        self.nodes.append(node)
        self._path.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:  # noqa: ARG002 - LibCST's signature
        self._path.pop()


def refuse_unreadable(text: str) -> None:
    """Raises CannotFixError for a text that LibCST cannot read, as `Tree` does."""
    _measure(text)
    _on_large_stack(lambda: _parsed(text))


def _parsed(text: str) -> cst.Module:
    try:
        module = cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise CannotFixError(
            f"line {error.raw_line} is no Python that LibCST {_version()} reads: the script is broken, or newer"
        ) from None
    if module.code != text:
        raise CannotFixError("the script would not stay as it is around the edit")
    return module


def _measure(text: str) -> None:
    """Raises CannotFixError for a text that LibCST should not be given."""
    if len(text) > _MAX_CHARACTERS:
        raise CannotFixError(f"the script has {len(text):,} characters, too many to be edited")
    depth = chain = 0
    before = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.OP and token.string in "([{":
                depth += 1
            elif token.type == tokenize.OP and token.string in ")]}":
                depth -= 1
            if token.string in _LINKS or (token.string in ("(", "[") and before in (")", "]")):
                chain += 1
            elif token.string in (",", ";") or token.type == tokenize.NEWLINE:
                chain = 0
            before = token.string
            if depth > _MAX_BRACKETS or chain > _MAX_CHAIN:
                raise CannotFixError(f"line {token.start[0]} is nested too deeply to be edited")
    except (tokenize.TokenError, SyntaxError) as error:
        reason = error.args[0] if error.args else "unknown"
        raise CannotFixError(f"the script cannot be read as Python: {reason}") from None


def _on_large_stack(work: Callable[[], _T]) -> _T:
    """Runs `work` in a thread whose stack holds what native recursion needs."""
    done: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    before = threading.stack_size(_STACK_BYTES)
    try:
        thread = threading.Thread(target=run, name="trainguard-libcst")
        thread.start()
    except RuntimeError:
        raise CannotFixError("there is too little memory to edit it") from None
    finally:
        threading.stack_size(before)
    thread.join()
    if not failed:
        return done[0]
    if isinstance(failed[0], RecursionError | MemoryError):
        raise CannotFixError("the script is nested too deeply to be edited")
    raise failed[0]


def _version() -> str:
    from importlib.metadata import version

    return version("libcst")
