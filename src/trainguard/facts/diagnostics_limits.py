"""Texts that every Python refuses before it looks at their grammar: NUL bytes, lone surrogates, too deep nesting."""

from __future__ import annotations

import re

from trainguard.facts.diagnostics import Diagnostic

# CPython, Parser/tokenizer (3.8 to 3.14): MAXLEVEL for brackets, MAXINDENT for indentation.
_MAX_BRACKETS = 200
_MAX_INDENTS = 100

_NUL_OR_SURROGATE = re.compile("[\0\ud800-\udfff]")
# Strings and comments are skipped, an unfinished string to the end of its line (or of the text, with three quotes).
_TOKEN = re.compile(
    r"""\#[^\n]*
      |(?P<triple>\"\"\"|''')(?:\\.|(?!(?P=triple))[\s\S])*+(?:(?P=triple)|\Z)
      |"(?:\\[\s\S]|[^"\\\n])*+"?
      |'(?:\\[\s\S]|[^'\\\n])*+'?
      |(?P<open>[(\[{])
      |(?P<close>[)\]}])
      |(?P<indent>\n[ \t]*(?=[^\s\#]))
    """,
    re.VERBOSE,
)


def limit_error(text: str) -> Diagnostic | None:
    """The first place where `text` is beyond what Python reads, None where there is none."""
    if (bad := _NUL_OR_SURROGATE.search(text)) is not None:
        what = "a NUL byte" if bad[0] == "\0" else "a lone surrogate, which no encoding of a script can hold"
        return _error(text, bad.start(), f"it contains {what}", "remove it")
    brackets = sum(text.count(bracket) for bracket in "([{")
    if brackets <= _MAX_BRACKETS and text.count("\n ") + text.count("\n\t") <= _MAX_INDENTS:
        return None
    return _too_deep(text)


def _too_deep(text: str) -> Diagnostic | None:
    depth = 0
    indents = [0]
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "open":
            depth += 1
            if depth > _MAX_BRACKETS:
                why = f"more than {_MAX_BRACKETS} nested brackets"
                return _error(text, token.start(), why, "build the value in steps")
        elif token.lastgroup == "close":
            depth = max(depth - 1, 0)
        elif token.lastgroup == "indent" and depth == 0:
            width = len(token[0].expandtabs(8)) - 1
            while indents[-1] > width:
                indents.pop()
            if width > indents[-1]:
                indents.append(width)
            if len(indents) > _MAX_INDENTS:
                why = f"{_MAX_INDENTS} or more levels of indentation"
                return _error(text, token.end(), why, "move the inner blocks into functions")
    return None


def _error(text: str, offset: int, why: str, remedy: str) -> Diagnostic:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return Diagnostic(
        kind="syntax-error",
        message=f"No Python can parse this script, so nothing of it runs: {why} (line {line}, column {column}); "
        f"{remedy}",
        line=line,
        column=column,
        end_line=line,
        end_column=column + 1,
    )
