from __future__ import annotations

import ast

import pytest

from trainguard.facts.leaving import breaks, falls_off, leaves
from trainguard.facts.script import read_script
from trainguard.facts.structure import Structure
from trainguard.facts.walk import read_structure


def structure(source: str) -> Structure:
    return read_structure(ast.parse(source))


def test_each_call_is_found_once_in_the_order_of_the_text() -> None:
    source = "a().b[c()].d = e(f())\nx[g()] += h()\ndel i()[0]\nwith j() as k().l: pass\n"
    names = [ast.unparse(raw.node.func) for raw in structure(source).calls]
    assert sorted(names) == sorted(["a", "c", "e", "f", "g", "h", "i", "j", "k"])
    source = "a(b())\nc()\ndef f(): d()\ne()\n"
    assert [raw.node.func.id for raw in structure(source).calls] == ["a", "b", "c", "d", "e"]  # type: ignore[attr-defined]


def test_imports_with_their_aliases_and_levels() -> None:
    found = structure("import a.b\nimport c as d\nfrom e import f as g\nfrom . import h\nfrom ..i import *\n").imports
    assert [(i.module, i.name, i.bound, i.level) for i in found] == [
        ("a.b", None, "a", 0),
        ("c", None, "d", 0),
        ("e", "f", "g", 0),
        (".", "h", "h", 1),
        ("..i", "*", "*", 2),
    ]


def test_a_nonlocal_name_is_bound_in_the_function_around() -> None:
    source = "x = 0\ndef outer():\n    def inner():\n        nonlocal x\n        x = 2\n    x = 1\n    inner()\n"
    found = structure(source)
    outer = next(s for n, s in found.scopes.items() if getattr(n, "name", "") == "outer")
    assert [b.position[0] for b in outer.bindings["x"]] == [5, 6]
    assert len(found.module.bindings["x"]) == 1


def test_stores_by_attribute_item_and_setattr() -> None:
    found = structure("a.b = 1\nsetattr(a, 'c', 2)\nd['e'] = 3\nd[k] = 4\ndel d['e']\na.b += 1\nl += [1]\n")
    assert [(s.key, s.value is None) for s in found.attribute_stores["b"]] == [("b", False), ("b", True)]
    assert len(found.attribute_stores["c"]) == 1
    assert [s.deleted for s in found.item_stores["e"]] == [False, True]
    assert len(found.other_stores) == 1
    assert len(found.augmented) == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("return", True),
        ("sys.exit(1)", True),
        ("log()", False),
        ("if a: return\nelse: raise X", True),
        ("if a: return", False),
        ("try: return\nexcept X: raise", True),
        ("try: return\nexcept X: log()", False),
        ("try: a()\nfinally: return", True),
        ("with a: return", True),
        ("with a: raise X", False),  # it may be swallowed
        ("with suppress(X): return", False),  # it may never be reached
        ("while True: a()", True),
        ("while True:\n    if b: break", False),
        ("while True:\n    for x in y: break", True),
        ("match a:\n    case 1: return\n    case _: raise X", True),
        ("match a:\n    case 1: return", False),
    ],
)
def test_what_nothing_can_follow(statement: str, expected: bool) -> None:
    body = "\n".join("        " + line for line in statement.split("\n"))
    function = ast.parse(f"def f():\n    for _ in x:\n{body}\n").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert isinstance(function.body[0], ast.For)
    assert leaves(function.body[0].body[0]) is expected


def test_a_function_that_may_end_without_a_return() -> None:
    def falls(source: str) -> bool:
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef)
        return falls_off(function)

    assert falls("def f():\n  if a: return 1\n")
    assert not falls("def f():\n  if a: return 1\n  return 2\n")


def test_a_break_of_an_inner_loop_is_not_the_outer_ones() -> None:
    loop = ast.parse("for a in b:\n  for c in d: break\n").body[0]
    assert isinstance(loop, ast.For)
    assert not breaks(loop)
    other = ast.parse("for a in b:\n  for c in d: pass\n  else: break\n").body[0]
    assert isinstance(other, ast.For)
    assert breaks(other)


def test_columns_count_characters_not_bytes() -> None:
    call = read_script('x = "äöü"; show(1)\n').calls[0]
    assert (call.location.column, call.location.end_column) == (12, 16)
