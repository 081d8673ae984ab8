"""Reads the cases: scripts with one mistake each, what they are with it corrected, and scripts that are right.

A file holds the cases for one set of releases. In a script, `# WRONG -> text` marks the line of the mistake and says
what the line would be if it were right (`# WRONG ->` alone: it would not be there); `# THEN -> text` marks a line that
must change with it, and `# ALSO` another line on which the mistake may be reported, such as the call that gets a
dict. A mark without an arrow says that no corrected script is kept. The marks are taken out before any checker or
interpreter sees the text.
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
_MARK = re.compile(r"\s*# (WRONG|THEN|ALSO)(?: ->(?P<right>.*))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script without marks. `lines` are those on which a checker may report the mistake: all lines of the simple
    statement, or of the head of the compound one, that the mistake is in; empty where the script is right.
    `later`: the mistake raises somewhere else, when what it made is used."""

    name: str
    text: str
    kind: str = ""
    lines: frozenset[int] = frozenset()
    later: bool = False

    @property
    def wrong(self) -> bool:
        return bool(self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """The scripts for one set of releases. `requirements` are what a job declares, `beside` what is installed with it
    so that an environment of today can hold them."""

    name: str
    requirements: tuple[str, ...]
    beside: tuple[str, ...]
    scripts: tuple[Script, ...]


def read_all(folder: Path = FOLDER) -> list[Set]:
    """All sets, in the order of their releases."""
    sets = [read(path) for path in folder.glob("trl-*.toml")]
    return sorted(sets, key=lambda each: [int(part) for part in each.name.removeprefix("trl-").split(".")])


def read(path: Path) -> Set:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    scripts: list[Script] = []
    for case in table["case"]:
        scripts += of_case(case)
    scripts += [Script(name=clean["id"], text=clean["script"].lstrip("\n")) for clean in table.get("clean", [])]
    names = [script.name for script in scripts]
    if len(names) != len(set(names)):
        raise ValueError(f"{path.name}: an id is there twice")
    return Set(
        name=path.stem,
        requirements=tuple(table["requirements"]),
        beside=tuple(table.get("beside", ())),
        scripts=tuple(scripts),
    )


def of_case(case: dict[str, Any]) -> list[Script]:
    """The script with its mistake, and the same without it, where the case says what would be right."""
    wrong: list[str] = []
    right: list[str] = []
    marked = 0
    also: list[int] = []
    told = True
    for line in case["script"].lstrip("\n").splitlines():
        mark = _MARK.search(line)
        if mark is None:
            wrong.append(line)
            right.append(line)
            continue
        code = line[: mark.start()]
        wrong.append(code)
        if mark[1] == "ALSO":
            also.append(len(wrong))
            right.append(code)
            continue
        if mark[1] == "WRONG":
            if marked:
                raise ValueError(f"{case['id']}: two lines are marked as wrong")
            marked = len(wrong)
        correction = mark["right"]
        told = told and correction is not None
        if correction and correction.strip():
            right.append(code[: len(code) - len(code.lstrip())] + correction.strip())
    if not marked:
        raise ValueError(f"{case['id']}: no line is marked as wrong")
    text = "\n".join(wrong) + "\n"
    lines = frozenset().union(*(statement_lines(text, line) for line in (marked, *also)))
    first = Script(
        name=case["id"], text=text, kind=case["kind"], lines=lines, later=bool(case.get("raised_later", False))
    )
    return [first, Script(name=f"{case['id']}-right", text="\n".join(right) + "\n")] if told else [first]


def statement_lines(text: str, line: int) -> frozenset[int]:
    """The lines of the innermost statement around a line; of a statement with a body, those before the body."""
    best: frozenset[int] = frozenset({line})
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        lines = frozenset(range(first, max(last, node.lineno) + 1))
        if line in lines and (len(best) == 1 or len(lines) < len(best)):
            best = lines
    return best
