from __future__ import annotations

import pytest

from trainguard.facts.script import read_script
from trainguard.suppression import Suppressions, read_suppressions

KNOWN = ("JOB001", "JOB002", "PY001")


def read(source: str) -> Suppressions:
    return read_suppressions(read_script(source + "\n"), KNOWN)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x = 1  # trainguard: ignore[JOB002] reason", {1}),
        ("x = 1  # noqa: E501  # trainguard:ignore [job002]", {1}),
        ("import a\n# trainguard: ignore[JOB002]\nx = f(\n    1,\n)", {3, 4, 5}),
        ("import a\n# trainguard: ignore[JOB002]\n\n# more\nx = 1", {5}),
        ("# trainguard: ignore[JOB002] the whole file\nimport a", {0}),
        ("f(\n    a=1,  # trainguard: ignore[JOB002]\n    b=2,\n)", {1, 2, 3, 4}),
        ("if a:  # trainguard: ignore[JOB002]\n    b()", {1}),
        ("def f(a,\n      b):  # trainguard: ignore[JOB002]\n    c()", {1, 2}),
        ('x = "# trainguard: ignore[JOB002]"', set()),
        ('x = """\n# trainguard: ignore[JOB002]\n"""', set()),
        ("x = 1  # trainguard: ignore", set()),
        ("x = (1  # trainguard: ignore[JOB002]", {1}),
    ],
)
def test_where_a_comment_speaks(source: str, lines: set[int]) -> None:
    found = read(source)
    assert {line for line, codes in found.codes.items() if "JOB002" in codes} == lines
    assert found.problems == ()


def test_several_codes_in_one_comment() -> None:
    assert read("x = 1  # trainguard: ignore[JOB001, PY001]").codes == {1: {"JOB001", "PY001"}}


@pytest.mark.parametrize(("code", "hint"), [("JOB022", "JOB002"), ("JOB", "did you mean"), ("E501", "lists the codes")])
def test_unknown_codes_are_refused_with_what_may_be_meant(code: str, hint: str) -> None:
    (problem,) = read(f"x = 1  # trainguard: ignore[{code}]").problems
    assert f"ignore[{code}]" in problem
    assert hint in problem
    assert ":1:" in problem
