"""Masks syntax that is newer than this interpreter, so that `ast` can read the rest of a script.

The job's Python may be newer than the one that trainguard runs on. Columns and lines stay as they are.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

# tree-sitter counts in bytes; a text above this size is not worth masking.
_MAX_CHARACTERS = 400_000

# A cheap look first: what is newer has one of these forms.
_NEWER = re.compile(
    r"""[fFtT][rR]?['"]|[rR][fFtT]['"]|^[ \t]*(?:type\s+\w+|(?:async\s+)?(?:def|class)\s+\w+\s*\[|except\s+\w)""",
    re.MULTILINE,
)


@cache
def _parser() -> Parser:
    import tree_sitter_python
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_python.language()))


def mask_newer_syntax(text: str) -> str:
    """`text` with f-strings, type parameters and `type` statements replaced by plain older Python."""
    if len(text) > _MAX_CHARACTERS or not _NEWER.search(text):
        return text
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    stack = [_parser().parse(bytes(raw)).root_node]
    while stack:
        node = stack.pop()
        if node.type == "string" and _is_template(node):
            _mask_template(raw, node)
        elif node.type == "type_parameter":
            _blank(raw, node.start_byte, node.end_byte)
        elif node.type == "type_alias_statement":
            _blank(raw, node.start_byte, node.end_byte)
            raw[node.start_byte : node.start_byte + 4] = b"pass"
        else:
            stack.extend(node.children)
    masked = raw.decode("utf-8", "surrogatepass")
    # PEP 758 (3.14): `except A, B:` without parentheses.
    return re.sub(r"(?m)^([ \t]*except\s+[\w.]+)((?:\s*,\s*[\w.]+)+)(\s*:)", _first_exception, masked)


def _first_exception(match: re.Match[str]) -> str:
    return match[1] + " " * len(match[2]) + match[3]


def _is_template(node: Node) -> bool:
    start = node.children[0] if node.children else None
    prefix = (start.text or b"").lower() if start is not None else b""
    return b"f" in prefix.rstrip(b"\"'") or b"t" in prefix.rstrip(b"\"'")


def _mask_template(raw: bytearray, node: Node) -> None:
    """A plain string of the same length: letters stay, what is interpolated becomes a placeholder."""
    start = node.children[0]
    quote = (start.text or b"").lstrip(b"rRfFtTbBuU")
    holes = [child for child in node.children if child.type == "interpolation"]
    if not holes:
        return
    prefix = len(start.text or b"") - len(quote)
    raw[start.start_byte : start.start_byte + prefix] = b" " * prefix if prefix else b""
    for hole in holes:
        _blank(raw, hole.start_byte, hole.end_byte, b"_")
        if len(quote) == 1:
            _continue_lines(raw, hole.start_byte, hole.end_byte)


def _continue_lines(raw: bytearray, start: int, end: int) -> None:
    for index in range(start + 1, end):
        if raw[index] == 0x0A:
            raw[index - 1] = 0x5C


def _blank(raw: bytearray, start: int, end: int, fill: bytes = b" ") -> None:
    for index in range(start, end):
        if raw[index] != 0x0A:
            raw[index] = fill[0]
