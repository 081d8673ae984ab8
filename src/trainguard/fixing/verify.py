"""Proves that an edited text differs from the one before in nothing but what was meant."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Sequence
from itertools import pairwise

from trainguard.fixing.changes import CannotFixError, Region
from trainguard.fixing.tree import refuse_unreadable

# Where lines end is not compared: taking lines out moves such tokens. Blocks (INDENT, DEDENT) are.
_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
_BLOCKS = {tokenize.INDENT, tokenize.DEDENT}
_Token = tuple[int, str]


def verify(before: str, after: str, regions: Sequence[Region]) -> None:
    """Raises CannotFixError unless each token outside of the regions is there as it was, and `after` is Python."""
    refuse_unreadable(after)
    if _parses(before) and not _parses(after):
        raise CannotFixError("the script would be no valid Python afterwards")
    expected: list[_Token] = []
    pending = list(regions)
    for start, token in _tokens(before):
        while pending and pending[0].end <= start:
            expected += _new_tokens(pending.pop(0))
        if not pending or start < pending[0].start:
            expected.append(token)
    for region in pending:
        expected += _new_tokens(region)
    if expected != [token for _, token in _tokens(after)]:
        raise CannotFixError("the edit would change more than it is meant to")


def _new_tokens(region: Region) -> list[_Token]:
    """What a region brings; new lines stand in a block that is there."""
    return [token for _, token in _tokens(region.new) if token[0] not in _BLOCKS]


def _tokens(text: str) -> list[tuple[int, _Token]]:
    """The tokens with their offsets; layout left out, the text of an indentation too."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in _BLOCKS:
                found.append((starts[token.start[0] - 1] + token.start[1], (token.type, "")))
            elif token.type not in _LAYOUT:
                found.append((starts[token.start[0] - 1] + token.start[1], (token.type, token.string)))
    except (tokenize.TokenError, SyntaxError):
        raise CannotFixError("the script's tokens cannot be compared") from None
    if any(one > other for (one, _), (other, _) in pairwise(found)):
        raise CannotFixError("the script's tokens cannot be compared")
    return found


def _parses(text: str) -> bool:
    """Whether this interpreter reads the text; a script for a newer one it may not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
