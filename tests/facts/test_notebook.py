from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.facts.reading import written_names

from trainguard.check import check_paths
from trainguard.facts.notebook import NotebookError, read_notebook
from trainguard.facts.script import ScriptFacts
from trainguard.facts.source import notebook_source


def raw(*cells: str) -> str:
    document = [{"cell_type": "markdown", "source": "# text"}]
    document += [{"cell_type": "code", "source": cell} for cell in cells]
    return json.dumps({"cells": document, "nbformat": 4})


@pytest.mark.parametrize(
    ("cell", "text", "shell"),
    [
        ("!pip install trl\nfoo()", "pass", ["pip install trl"]),
        ("x = !ls -l\nfoo()", "x = None", ["ls -l"]),
        ("a, b = %timeit -o f()\nfoo()", "a, b = None", []),
        ("%pip install -q \\\n  trl peft\nfoo()", "pass", ["pip install -q  trl peft"]),
        ("if a:\n    !pip install x\nfoo()", "    pass", ["pip install x"]),
        ("%%bash\npip install x\nfoo()", "# %%bash", ["pip install x\nfoo()"]),
        ("%%capture out\n!pip install x\nfoo()", "pass", ["pip install x"]),
        ("%env A=b\nfoo()", "pass", ["export A=b"]),
        ("%time x = f()\nfoo(x)", "pass; x = f()", []),
        ("foo?\n?foo\nfoo??\nfoo()", "pass", []),
        ('s = """\n!no\n%no\n"""\nfoo(s)', "!no", []),
        ('# it\'s """ here\n!pip install x\nfoo()', "pass", ["pip install x"]),
        ("x = (10\n% 3)\nfoo(x)", "% 3)", []),
        ("x = a %b\nfoo()", "x = a %b", []),
        ("%%html\n<b>\n", "# <b>", []),
    ],
)
def test_cells(cell: str, text: str, shell: list[str]) -> None:
    found = read_notebook(raw(cell))
    assert any(line.startswith(text) for line in found.text.split("\n")), found.text
    assert [command for _, command in found.shell_lines] == shell
    assert len(found.text.rstrip("\n").split("\n")) >= len(cell.rstrip("\n").split("\n"))
    script = ScriptFacts(notebook_source(raw(cell)))
    assert script.syntax.error is None
    if not cell.startswith(("%%bash", "%%html")):
        assert "foo" in written_names(script)


def test_findings_are_placed_by_cell_and_line(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text(raw("x = 1\n", "!pip install a\ny = 2\nprint(zz)\n", "%time z = 1\nprint(z)\n"))
    (report,) = check_paths([path])
    (finding,) = report.findings
    assert finding.where is not None
    assert (finding.where.cell, finding.where.line, finding.where.column) == (3, 3, 7)
    assert report.sources[str(path), 3].split("\n")[2] == "print(zz)"


def test_a_cell_may_await(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text(raw("x = await f()\nasync with x:\n    pass\n"))
    (report,) = check_paths([path])
    assert [finding for finding in report.findings if finding.code == "PY001"] == []


def test_a_comment_in_a_cell_switches_off_a_finding_of_that_cell(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text(raw("print(zz)", "x = 1\nprint(zz)  # trainguard: ignore[PY002] given\n"))
    (report,) = check_paths([path])
    assert [finding.where.cell for finding in report.findings if finding.where] == [2]


def test_an_old_notebook() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["a()\n", "b()"]}]}], "nbformat": 3}
    assert read_notebook(json.dumps(old)).text == "a()\nb()\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 5}', "x = 1", "[" * 100_000, '{"cells": {}}'])
def test_what_is_no_notebook(text: str) -> None:
    with pytest.raises(NotebookError, match="not a notebook"):
        read_notebook(text)


def test_cells_that_are_odd_are_passed_over() -> None:
    cells = [
        5,
        {},
        {"cell_type": "code"},
        {"cell_type": "code", "source": 5},
        {"cell_type": "code", "source": [1, "a()"]},
    ]
    assert read_notebook(json.dumps({"cells": cells})).text.strip() == "a()"


def test_many_magics_are_read_in_no_time() -> None:
    found = read_notebook(raw('x = "a"  # b\n!ls\n' * 20_000))
    assert len(found.shell_lines) == 20_000
