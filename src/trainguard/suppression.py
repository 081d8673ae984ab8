"""Findings that the script's own comments switch off: `# trainguard: ignore[JOB002] reason`.

At the end of a line the comment speaks for the statement on that line; on a line of its own for the next
line of code; and above all code for the whole file, findings without a line included.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from trainguard.facts.script import ScriptFacts
from trainguard.findings import Finding, Location

_COMMENT = re.compile(r"#.*?\btrainguard:\s*ignore\s*\[(?P<codes>[^\]\n]*)\]", re.IGNORECASE)
WHOLE_FILE = 0
_MAX_PROBLEMS = 20  # more would only hide the findings


@dataclass(frozen=True, slots=True)
class Suppressions:
    """Codes by line from 1; line 0 stands for the whole file. `problems` are comments that name no rule."""

    codes: dict[int, frozenset[str]]
    problems: tuple[str, ...] = ()

    def covers(self, finding: Finding, line: int | None) -> bool:
        code = finding.code or ""
        lines = {WHOLE_FILE} | ({line} if line is not None else set())
        return any(code in self.codes.get(at, frozenset()) for at in lines)


def read_suppressions(script: ScriptFacts, known: Collection[str]) -> Suppressions:
    """The suppressions of a script. Codes that are not `known` are refused with what may be meant."""
    if "trainguard:" not in script.text:
        return Suppressions({})
    lines = script.text.split("\n")
    following = _following_code(lines)
    found: dict[int, frozenset[str]] = {}
    problems: list[str] = []
    first_code = _first_code_line(lines)
    for line, comment in _comments(script.text):
        match = _COMMENT.search(comment)
        if match is None:
            continue
        codes = [code.strip().upper() for code in match["codes"].split(",") if code.strip()]
        if len(problems) < _MAX_PROBLEMS:
            problems += [_unknown(script.location(line), code, known) for code in codes if code not in known]
        at = _target(lines, line, first_code, following)
        found[at] = found.get(at, frozenset()) | {code for code in codes if code in known}
    return Suppressions(_spread(script, found), tuple(problems))


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Comments with their lines. Where Python's tokenizer gives up, lines that look like it must do."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, RecursionError):
        yield from ((n, line) for n, line in enumerate(text.split("\n"), start=1) if "trainguard:" in line)
        return
    yield from ((t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT)


def _first_code_line(lines: list[str]) -> int:
    return next((n for n, line in enumerate(lines, start=1) if line.strip() and not line.lstrip().startswith("#")), 1)


def _target(lines: list[str], line: int, first_code: int, following: list[int]) -> int:
    if not lines[line - 1].lstrip().startswith("#"):
        return line
    if line < first_code:
        return WHOLE_FILE
    return following[line] or line


def _following_code(lines: list[str]) -> list[int]:
    """For each line from 1 the next line of code below it, 0 where there is none."""
    found = [0] * (len(lines) + 1)
    for line in range(len(lines) - 1, 0, -1):
        found[line] = line + 1 if _is_code(lines[line]) else found[line + 1]
    return found


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _spread(script: ScriptFacts, found: dict[int, frozenset[str]]) -> dict[int, frozenset[str]]:
    """Lets a comment speak for every line of the innermost statement that its line belongs to."""
    spread = dict(found)
    for line, codes in found.items():
        for at in script.statement_lines(line) if line != WHOLE_FILE else ():
            spread[at] = spread.get(at, frozenset()) | codes
    return spread


def _unknown(where: Location, code: str, known: Collection[str]) -> str:
    close = get_close_matches(code, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; `trainguard rules` lists the codes"
    return f"{where}: `ignore[{code}]` names no rule{hint}"
