from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.facts.reading import written_names

from trainguard.check import check_script
from trainguard.facts.newer_syntax import mask_newer_syntax
from trainguard.facts.script import read_script
from trainguard.facts.values import Value


@pytest.mark.parametrize(
    "source",
    [
        'd = {"a": 1}\nx = f"{d["a"]}"\nfoo(x)',
        'x = f"{chr(10).join(["\\n"])}"\nfoo(x)',
        'x = f"{\n    1  # why\n}"\nfoo(x)',
        'x = f"{f"{f"{1}"}"}"\nfoo(x)',
        "type A = int\ntype B[T] = list[T]\nfoo()",
        "def f[T](x: T) -> T:\n    return x\nfoo()",
        "class C[T: int, *Ts, **P]:\n    pass\nfoo()",
        "def f[T = int](x):\n    return x\nfoo()",
        "try:\n    pass\nexcept A, B:\n    foo()",
        'x = t"a{1}"\nfoo(x)',
        'x = t"""a{1}\n{"z"}"""\nfoo(x)',
    ],
)
def test_python_that_may_be_newer_than_this_one(source: str) -> None:
    script = read_script(source + "\n")
    assert script.syntax.error is None
    assert script.syntax.unread == ""
    assert "foo" in written_names(script)
    call = next(call for call in script.calls if call.written_name == "foo")
    assert source.split("\n")[call.line - 1][call.node.col_offset :].startswith("foo")


def test_masking_keeps_every_line_and_column() -> None:
    text = 'x = f"ä{a["b"]}ö"; y = 1\ntype X = int; z = 2\ndef f[T](a): pass\n'
    masked = mask_newer_syntax(text)
    assert [len(line.encode()) for line in masked.split("\n")] == [len(line.encode()) for line in text.split("\n")]
    assert masked.split("\n")[0].endswith("y = 1")


@pytest.mark.parametrize(
    ("source", "read", "unread"),
    [
        ('foo()\nprint "x"\nbar()', {"foo", "bar"}, 'print "x"'),
        ("def f():\n    x = (1,\nfoo()\nbar()", {"foo", "bar"}, "x = (1"),
        ('foo()\nx = """abc\nbar()', {"foo"}, "abc"),
        ("<<<<<<< HEAD\nfoo()\n=======\nbar()\n>>>>>>> other\nbaz()", {"foo", "bar", "baz"}, "======="),
        ("def f():\n    a()\n      b()\n    c()\nfoo()", {"foo"}, "b()"),
        ("x = 'a\0b'\nfoo()", {"foo"}, "\0"),
        ("x = '\ud800'\nfoo()", {"foo"}, "\ud800"),
        ("foo(\n  a=1,,\n  b=2,\n)\nbar()", {"bar"}, "a=1"),
    ],
)
def test_what_can_be_read_beside_an_error_is_read(source: str, read: set[str], unread: str) -> None:
    script = read_script(source + "\n")
    assert script.syntax.error is not None
    assert read <= written_names(script)
    assert script.may_contain(unread)


def test_lines_stay_where_they_are_beside_an_error() -> None:
    script = read_script('a()\nprint "x"\n\nb()\nif c:\n    d(\n\ne()\n')
    assert {call.written_name: call.line for call in script.calls if call.written_name in "abe"} == {
        "a": 1,
        "b": 4,
        "e": 8,
    }


def test_a_form_feed_sets_the_indentation_back() -> None:
    script = read_script("foo()\n\fbar()\n  \fbaz()\n")
    assert script.syntax.error is None
    assert [call.line for call in script.calls] == [1, 2, 3]


DEEP = 5_000


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "(" * DEEP + "1" + ")" * DEEP,
        "x = " + "[" * DEEP + "]" * DEEP,
        "x = " + "{1:" * DEEP + "1" + "}" * DEEP,
        "x = " + "-" * DEEP + "1",
        "x = " + "not " * DEEP + "1",
        "x = " + "1 + " * DEEP * 4 + "1",
        "x = a" + ".b" * DEEP,
        "x = a" + "()" * DEEP,
        "x = " + "lambda: " * DEEP + "1",
        "if a: pass\n" + "elif b: pass\n" * DEEP,
        "".join(" " * i + "if a:\n" for i in range(DEEP // 5)) + " " * (DEEP // 5) + "pass",
    ],
    ids=["parentheses", "lists", "dicts", "minus", "not", "plus", "attributes", "calls", "lambda", "elif", "if"],
)
def test_deep_nesting_gives_a_finding_and_the_rest_is_read(source: str) -> None:
    started = time.perf_counter()
    text = source + "\nfoo()\n"
    assert "foo" in written_names(read_script(text)) or sys.version_info >= (3, 12)
    assert check_script(text), "a script that cannot be read in full is never clean in silence"
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n" * 50_000 + "foo()\n",
        "x = foo(1, a=[2])\n" * 50_000,
        "x = '" + "a" * 5_000_000 + "'\nfoo()\n",
        "x = [" + "1," * 2_500_000 + "]\nfoo()\n",
        "# " + "a" * 5_000_000 + "\nfoo()\n",
        "#\n" * 2_500_000 + "foo()\n",
        "d = {}\n" + "d['a'] = foo(d)\n" * 5_000,
        "x0 = 1\n" + "".join(f"x{i} = x{i - 1} + 1\n" for i in range(1, 5_000)) + "foo(x4999)\n",
    ],
    ids=["lines", "calls", "string", "list", "comment", "comments", "one dict", "a chain of names"],
)
def test_huge_scripts_are_read_in_seconds(source: str) -> None:
    started = time.perf_counter()
    script = read_script(source)
    assert script.training.trains is False
    assert all(isinstance(call.positional(0), Value) for call in script.calls[-3:])
    assert time.perf_counter() - started < 20


@given(st.text(st.sampled_from("abc=()[]{}'\"\\:,.\n \t#f@%\u0000\u20ac\ud800"), max_size=60))
def test_any_text_is_read(text: str) -> None:
    script = read_script(text)
    assert script.training.trains in (False, True)
    assert all(isinstance(call.positional(0), Value) for call in script.calls)
