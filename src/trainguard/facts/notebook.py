"""Jupyter notebooks: code cells as one Python text, with shell lines and magics told apart.

Format: nbformat 4 (`cells`) and 3 (`worksheets`), https://nbformat.readthedocs.io/en/latest/format_description.html.
Magics: https://ipython.readthedocs.io/en/stable/interactive/magics.html.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

# Cell magics whose body is not Python of this notebook.
_FOREIGN_CELLS = {"html", "javascript", "js", "latex", "markdown", "svg", "perl", "ruby", "R", "sql", "script"}
_SHELL_CELLS = {"bash", "sh", "shell", "cmd", "!", "system", "sx"}
_LINE = re.compile(r"^(?P<indent>\s*)(?P<assign>[\w.,][\w.,\s]*=\s*)?(?P<mark>!!?|%%?)(?P<rest>(?![=])\S.*)$")
_HELP = re.compile(r"^\s*\??\??[\w.]+\?\??\s*$|^\s*\?\??[\w.]+\s*$")


class NotebookError(ValueError):
    """The text is not a notebook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """`text` has one line for each line of the code cells; `shell_lines` are (line from 1, command)."""

    text: str
    cell_starts: tuple[int, ...]
    cell_numbers: tuple[int, ...]
    shell_lines: tuple[tuple[int, str], ...]


def read_notebook(raw: str) -> Notebook:
    """Reads the JSON text of a notebook. Raises NotebookError with the reason."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"not a notebook: {error}") from error
    lines: list[str] = []
    starts: list[int] = []
    numbers: list[int] = []
    shell: list[tuple[int, str]] = []
    for number, code in _code_cells(document):
        starts.append(len(lines))
        numbers.append(number)
        lines.extend(_python_lines(code.split("\n"), len(lines), shell))
    return Notebook(
        text="\n".join(lines) + "\n",
        cell_starts=tuple(starts) or (0,),
        cell_numbers=tuple(numbers) or (1,),
        shell_lines=tuple(shell),
    )


def _code_cells(document: Any) -> list[tuple[int, str]]:
    if not isinstance(document, dict):
        raise NotebookError("not a notebook: the JSON is not an object")
    cells = document.get("cells")
    if cells is None and isinstance(document.get("worksheets"), list):
        cells = [c for sheet in document["worksheets"] if isinstance(sheet, dict) for c in sheet.get("cells") or []]
    if not isinstance(cells, list):
        raise NotebookError("not a notebook: it has no list of cells")
    found = []
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        code = cell.get("source", cell.get("input", ""))
        if isinstance(code, list):
            code = "".join(part for part in code if isinstance(part, str))
        if isinstance(code, str):
            found.append((number, code.replace("\r\n", "\n").replace("\r", "\n")))
    return found


def _python_lines(lines: list[str], offset: int, shell: list[tuple[int, str]]) -> list[str]:
    """The lines of a cell with what is not Python replaced by comments or `None`, one for one."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].startswith("%%"):
        return _magic_cell(lines, first, offset, shell)
    out: list[str] = []
    continued = ""
    in_strings = _lines_in_strings(lines)
    for index, line in enumerate(lines):
        if continued:
            shell[-1] = (shell[-1][0], shell[-1][1].rstrip("\\") + " " + line.strip())
            continued = "\\" if line.endswith("\\") else ""
            out.append("#" + line)
            continue
        match = _LINE.match(line)
        if match and index not in in_strings:
            rest = match["rest"]
            if match["mark"].startswith("!") or rest.startswith(("pip ", "conda ", "uv ", "env ", "sx ", "system ")):
                command = rest if match["mark"].startswith("!") else _as_command(rest)
                shell.append((offset + index + 1, command))
                continued = "\\" if line.endswith("\\") else ""
            out.append(match["indent"] + _statement(match["assign"], match["mark"], rest))
        elif _HELP.match(line) and "?" in line:
            out.append("pass  # " + line)
        else:
            out.append(line)
    return out


def _statement(assign: str | None, mark: str, rest: str) -> str:
    """Python in the place of a magic or shell line."""
    if not assign and mark == "%" and re.match(r"time\s+[^-\s]", rest):
        return "pass;" + rest.removeprefix("time")  # `%time x = f()` binds x: as long, so that columns stay
    statement = f"{assign}None" if assign else "pass"
    return f"{statement.strip()}  #{mark}{rest}"


def _as_command(rest: str) -> str:
    """`%env NAME=value` sets a variable; `%pip …` and the like are the command itself."""
    return f"export {rest[4:].strip()}" if rest.startswith("env ") else rest.removeprefix("system ").removeprefix("sx ")


def _magic_cell(lines: list[str], first: int, offset: int, shell: list[tuple[int, str]]) -> list[str]:
    name = lines[first][2:].split(maxsplit=1)[0] if lines[first][2:].strip() else ""
    body = lines[first + 1 :]
    if name in _SHELL_CELLS:
        shell.append((offset + first + 2, "\n".join(body)))
    if name in _SHELL_CELLS or name in _FOREIGN_CELLS or name == "writefile":
        return ["# " + line for line in lines]
    head = ["# " + line for line in lines[: first + 1]]  # %%time, %%capture, …: the body is Python
    return head + _python_lines(body, offset + first + 1, shell)


# A string (its content does not matter), or a comment, which may hold quotes that open nothing.
_STRING_OR_COMMENT = re.compile(
    r"""(?P<triple>\"{3}|'{3})|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*""",
)


def _lines_in_strings(lines: list[str]) -> set[int]:
    """The lines, from 0, that begin inside a triple-quoted string of the cell."""
    text = "\n".join(lines)
    found: set[int] = set()
    place = line = 0
    while (opening := _STRING_OR_COMMENT.search(text, place)) is not None:
        end = opening.end()
        if (quotes := opening["triple"]) is not None:
            closing = re.compile(r"(?:\\.|[^\\])*?" + quotes, re.DOTALL).match(text, end)
            end = closing.end() if closing is not None else len(text)
        first = line + text.count("\n", place, opening.start())
        line = first + text.count("\n", opening.start(), end)
        if quotes is not None:
            found.update(range(first + 1, line + 1))
        place = end
    return found
