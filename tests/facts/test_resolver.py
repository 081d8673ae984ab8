"""What the facts know. That they are never wrong is told by test_soundness."""

from __future__ import annotations

import pytest
from tests.facts.reading import calls_of, shown

from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Choice,
    Constant,
    Items,
    Symbol,
    Table,
    Text,
    constant,
    from_python,
    options,
)

ONE = Constant(1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\nshow(x)", 1),
        ("x = 1\nx = x + 1\nshow(x)", 2),
        ("x, y = 1, 2\nx, y = y, x\nshow(x)", 2),
        ("if a:\n    x = 1\nelse:\n    x = 1\nshow(x)", 1),
        ("try:\n    x = 1\nexcept E:\n    raise\nshow(x)", 1),
        ("x = 0\nwith open('a') as f:\n    x = 1\nshow(x)", 1),
        ("for i in a:\n    x = 1\n    show(x)\n    x = 2", 1),
        ("def f():\n    x = 1\n    show(x)\nif __name__ == '__main__':\n    f()", 1),
        ("M = 1\ndef f():\n    show(M)\nf()", 1),
        ("if __name__ == '__main__':\n    x = 1\n    show(x)", 1),
        ("def f(a, b=2):\n    return a + b\nshow(f(1))", 3),
        ("def f(*, lr):\n    show(lr)\nf(lr=1)", 1),
        ("f = lambda: 1\nshow(f())", 1),
        ("from functools import partial as p\ndef f(a, b):\n    return b\nshow(f(1, b=2))", 2),
        ("d = dict(a=1)\nd['b'] = 2\nd.update(c=3)\nshow(d)", {"a": 1, "b": 2, "c": 3}),
        ("d = {'a': 1}\nshow({**d, 'b': 2} | {'c': 3})", {"a": 1, "b": 2, "c": 3}),
        ("d = {'a': 1, 'b': 2}\ndel d['a']\nshow(d.get('a', 5))", 5),
        ("d = {'a': {'b': 1}}\nshow(d['a']['b'])", 1),
        ("l = ['a']\nl.append('b')\nl += ['c']\nshow(l)", ["a", "b", "c"]),
        ("d = {'a': 1}\nprint(d); json.dumps(d); init(config=d)\nshow(d)", {"a": 1}),
        ("def c():\n    d = {'a': 1}\n    d['b'] = 2\n    return d\nshow(c()['b'])", 2),
        ("import yaml\nc = yaml.safe_load('''\na: {b: [1, x]}\n''')\nshow(c['a']['b'])", [1, "x"]),
        ("import json\nshow(json.loads('{\"a\": null}')['a'])", None),
        ("import tomllib\nshow(tomllib.loads('[a]\\nb = 1')['a']['b'])", 1),
        ("from omegaconf import OmegaConf as O\nshow(O.create({'a': {'b': 1}}).a.b)", 1),
        ("from types import SimpleNamespace as N\nn = N(a=1, b=N(c=2))\nn.a = 3\nshow([n.a, n.b.c])", [3, 2]),
        ("x = 'Qwen'\nshow(f'{x}-{1}' + '/a'.upper())", "Qwen-1/A"),
        ("import os\nshow(os.path.join('a/', 'b', 'c'))", "a/b/c"),
        ("from pathlib import Path\nshow(Path('a') / '/b' / 'c')", "/b/c"),
        ("show(sorted(['b', 'a']))", ["a", "b"]),
        ("import torch\nshow(getattr(C, 'x'))\nclass C:\n    x = 1", 1),
        ("x = None\nshow(x or 1)", 1),
        ("x = 5 if True else unknown()\nshow(x)", 5),
        ("if (y := 3) > 2:\n    show(y)", 3),
        ("async def f():\n    return 1\nasync def main():\n    show(await f())\nrun(main())", 1),
    ],
)
def test_known_values(source: str, expected: object) -> None:
    assert shown(source + "\n") == [from_python(expected)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class C:\n    lr = 1\nshow(C.lr)", 1),
        ("class A:\n    lr = 1\nclass B(A): pass\nshow(B().lr)", 1),
        ("class C:\n    def __init__(self, lr=1):\n        self.lr = lr\nc = C(2)\nd = C()\nshow(c.lr)", 2),
        ("class C:\n    def __init__(self, lr=1):\n        self.lr = lr\nc = C(2)\nd = C()\nshow(d.lr)", 1),
        ("class C:\n    lr = 1\n    def f(self):\n        show(self.lr)\nC().f()", 1),
        ("class C:\n    @property\n    def lr(self):\n        return 1\nshow(C().lr)", 1),
        ("from dataclasses import dataclass\n@dataclass\nclass C:\n    lr: float = 1\nshow(C().lr)", 1),
        ("from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int\n    lr: float = 1\nshow(C(2, 3).lr)", 3),
        (
            "from dataclasses import dataclass as d, field\n@d\nclass C:\n    m: list = field(default_factory=list)\n"
            "show(C().m)",
            [],
        ),
        ("from trl import SFTConfig as S\na = S(lr=1)\na.lr = 2\nshow(a.lr)", 2),
        ("from trl import SFTConfig as S\na = S(lr=1)\nshow(a.lr)\na.lr = 2", 1),
        ("from dataclasses import dataclass, asdict\n@dataclass\nclass C:\n    a: int = 1\nshow(asdict(C())['a'])", 1),
    ],
)
def test_known_attributes(source: str, expected: object) -> None:
    assert shown(source + "\n") == [from_python(expected)]


def test_imports_and_aliases() -> None:
    source = "import transformers as tf\nfrom trl import SFTTrainer as T\nimport a.b\n"
    source += "show(tf.Trainer, T, a.b.c, print, nobody)\n"
    (call,) = calls_of(source)
    paths = [value.path for i in range(5) if isinstance(value := call.positional(i), Symbol)]
    assert paths == ["transformers.Trainer", "trl.SFTTrainer", "a.b.c", "builtins.print", "nobody"]


def test_what_is_spread_into_a_call() -> None:
    source = """
base = dict(output_dir="x", lr=1)
if quick: base["lr"] = 2
show(**base, epochs=3)
show(**unknown())
show(*["a", "b"])
show()
"""
    spread, unknown, positional, nothing = calls_of(source)
    assert spread.argument("output_dir") == Constant("x")
    assert spread.argument("lr") == Choice((ONE, Constant(2)))
    assert spread.argument("other") is ABSENT
    assert unknown.argument("lr") is UNKNOWN
    assert unknown.may_have_more
    assert positional.argument("second", 1) == Constant("b")
    assert nothing.argument("lr") is ABSENT


def test_a_partial_gives_its_arguments_first() -> None:
    source = "from functools import partial\nfrom trl import SFTTrainer\n"
    source += "make = partial(SFTTrainer, 'm', args=1)\nmake(args=2)\n"
    (call,) = calls_of(source, "make")
    assert (call.path, call.name) == ("trl.SFTTrainer", "SFTTrainer")
    assert (call.positional(0), call.argument("args")) == (Constant("m"), Constant(2))


def test_a_text_with_holes_keeps_its_parts() -> None:
    assert shown("show(f'a{b()}c')\n") == [Text(("a", None, "c"))]
    assert shown("show('a' + b())\n") == [Text(("a", None))]


@pytest.mark.parametrize(
    "source",
    [
        "d = {'x': 1}\nlibrary.fill(d)\nshow(d['x'])",
        "d = {'x': 1}\nd[key()] = 2\nshow(d['x'])",
        "def f(d):\n    d['x'] = 2\nd = {'x': 1}\nf(d)\nshow(d['x'])",
        "x = 1\nexec(open('configurator.py').read())\nshow(x)",
        "x = 1\nglobals().update(overrides())\nshow(x)",
        "c = Config(x=1)\nfor k, v in o.items():\n    setattr(c, k, v)\nshow(c.x)",
        "c = Config(x=1)\nc.__dict__.update(o)\nshow(c.x)",
        "def deco(f): return other\n@deco\ndef f(): return 1\nshow(f())",
        "def f(): yield 1\nshow(f())",
        "class E(Enum):\n    A = 1\nshow(E.A == 1)",
    ],
)
def test_what_cannot_be_told_is_unknown(source: str) -> None:
    assert UNKNOWN in options(shown(source + "\n")[0])


def test_deep_recursion_ends() -> None:
    source = "".join(f"def f{i}(): return f{i + 1}()\n" for i in range(500)) + "show(f0())\n"
    assert constant(shown(source)[0]) is UNKNOWN
    assert shown("def f(n):\n    return f(n - 1) if n else 0\nshow(f(3))\n")
    assert shown("a = b\nb = a\nshow(a)\n")


def test_a_loop_over_known_items_takes_each() -> None:
    assert shown("for x in ['a', 'b']:\n    show(x)\n") == [Choice((Constant("a"), Constant("b")))]
    assert shown("l = [1]\nfor x in l:\n    show(x)\n    l.append(unknown())\n") == [UNKNOWN]


def test_incomplete_lists_and_dicts_say_so() -> None:
    assert shown("show([1, *rest()])\n") == [Items((ONE,), complete=False)]
    assert shown("show({'a': 1, **rest()})\n") == [Table({"a": ONE}, complete=False)]
    assert shown("show({1: 2})\n") == [Table({}, complete=False)]
