"""The Python diagnostics, against the real engine."""

# ruff: noqa: E501 - a script on one line is easier to compare with its neighbours than one cut in pieces

from __future__ import annotations

import builtins
import io
import os
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainguard.errors import EngineError
from trainguard.facts import diagnostics_engine
from trainguard.facts.diagnostics import Diagnostic, diagnose, diagnose_each


def kinds(source: str, python_version: str = "3.12") -> list[tuple[str, int]]:
    return [(d.kind, d.line) for d in diagnose([dedent(source).lstrip("\n")], python_version=python_version)[0]]


def only(source: str) -> Diagnostic:
    (diagnostic,) = diagnose([dedent(source).lstrip("\n")])[0]
    return diagnostic


FAULTY = {
    "match over the environment": (
        "import os\nm = os.environ.get('M', 'a')\nmatch m:\n    case 'a':\n        x = 1\n    case 'b':\n        x = 2\nprint(x)\n",
        "possibly-unbound", 8),
    "result of sort": ("xs = [3, 1]\nys = xs.sort()\nprint(ys[0])\n", "type-mismatch", 3),
    "key of inner dict": ("C = {'a': {'b': 1}}\nprint(C['a']['c'])\n", "certain-exception", 2),
    "used 300 lines above": (
        "def main():\n    print(total)\n" + "    print(1)\n" * 300 + "    total = 1\n", "used-before-assignment", 2),
    "augmented": ("count = 0\ndef step():\n    count += 1\n", "used-before-assignment", 3),
    "module": ("print(later)\nlater = 1\n", "used-before-assignment", 1),
    "class body": ("class A:\n    x = y\n    y = 1\n", "used-before-assignment", 2),
    "deleted": ("x = 1\ndel x\nprint(x)\n", "used-before-assignment", 3),
    "handler name": (
        "def f():\n    try:\n        open('a')\n    except OSError as e:\n        pass\n    return e\n",
        "used-before-assignment", 6),
    "typo": ("dataset = 1\nprint(datset)\n", "undefined-name", 2),
    "in f-string": ("print(f'{nothing:>{width}}')\nwidth = 3\n", "undefined-name", 1),
    "comprehension leak": ("xs = [k for k in range(3)]\nprint(k)\n", "undefined-name", 2),
    "decorator": ("@wraps\ndef f():\n    pass\n", "undefined-name", 1),
    "class attribute from method": (
        "class A:\n    size = 1\n    def f(self):\n        return size\n", "undefined-name", 4),
    "evaluated annotation": ("def f(a: Tensor) -> None:\n    pass\n", "undefined-name", 1),
    "nested read in module try": (
        "import sys\ntry:\n    a = 1\n    b = 2\n    run(a, b)\nexcept Exception:\n    sys.exit(1)\n",
        "undefined-name", 5),
    "if": ("import sys\nif len(sys.argv) > 1:\n    p = 1\nprint(p)\n", "possibly-unbound", 4),
    "if, read in a loop below": (
        "import sys\nif len(sys.argv) > 1:\n    p = 1\nfor i in (1, 2):\n    print(p)\n", "possibly-unbound", 5),
    "else that goes on": (
        "def f(flag):\n    if flag:\n        v = 1\n    else:\n        print('off')\n    return v\n",
        "possibly-unbound", 6),
    "handler that goes on": (
        "def f():\n    try:\n        v = open('a')\n    except OSError:\n        print('no')\n    return v\n",
        "possibly-unbound", 6),
    "argparse chain without choices": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--mode')\na = p.parse_args()\n"
        "if a.mode == 'x':\n    v = 1\nelif a.mode == 'y':\n    v = 2\nprint(v)\n", "possibly-unbound", 9),
    "None compared": ("limit = None\nif limit > 0:\n    pass\n", "type-mismatch", 2),
    "None compared in function": ("def f():\n    n = None\n    return n >= 1\n", "type-mismatch", 3),
    "text and number": ("print('loss: ' + 0.5)\n", "type-mismatch", 1),
    "environment is text": ("import os\nprint(os.environ['RANK'] + 1)\n", "type-mismatch", 2),
    "None added to": ("best = None\nbest += 1\n", "type-mismatch", 2),
    "number called": ("epochs = 3\nepochs()\n", "type-mismatch", 2),
    "number iterated": ("for i in 10:\n    pass\n", "type-mismatch", 1),
    "len of None": ("rows = None\nprint(len(rows))\n", "type-mismatch", 2),
    "missing own argument": ("def f(a, b):\n    return a\nf(1)\n", "type-mismatch", 3),
    "unknown own argument": ("def f(a):\n    return a\nf(a=1, c=2)\n", "type-mismatch", 3),
    "None attribute": ("model = None\nmodel.train()\n", "certain-exception", 2),
    "division": ("total = 10\nprint(total / 0)\n", "certain-exception", 2),
    "modulo by variable": ("every = 0\nprint(100 % every)\n", "certain-exception", 2),
    "dict key": ("c = {'a': 1}\nprint(c['b'])\n", "certain-exception", 2),
    "dict key in function": ("C = {'a': 1}\ndef f():\n    return C['b']\n", "certain-exception", 3),
    "dict key by constant": ("key = 'b'\nc = {'a': 1}\nprint(c[key])\n", "certain-exception", 3),
    "list index": ("xs = [1, 2]\nprint(xs[2])\n", "certain-exception", 2),
    "negative list index": ("xs = [1, 2]\nprint(xs[-3])\n", "certain-exception", 2),
    "tuple index": ("print((1, 2)[5])\n", "certain-exception", 1),
    "unpacking": ("a, b = (1, 2, 3)\n", "certain-exception", 1),
    "recursion": ("def f(n):\n    print(n)\n    return f(n - 1)\n", "certain-exception", 3),
    "method recursion": (
        "class A:\n    def train(self, x):\n        return self.train(x)\n", "certain-exception", 3),
    "property recursion": (
        "class A:\n    @property\n    def model(self):\n        return self.model\n", "certain-exception", 4),
    "device, no else": (
        "import torch\ndef main(model):\n    if torch.cuda.is_available():\n        device = torch.device('cuda')\n"
        "    return model.to(device)\n", "possibly-unbound", 5),
    "devices, no else": (
        "import torch\nif torch.cuda.is_available():\n    device = 'cuda'\nelif torch.backends.mps.is_available():\n"
        "    device = 'mps'\nprint(device)\n", "possibly-unbound", 6),
    "device, else that goes on": (
        "import torch\nif torch.cuda.is_available():\n    device = 'cuda'\nelse:\n    print('slow')\nprint(device)\n",
        "possibly-unbound", 6),
    "search that may find nothing": (
        "import x\ndata = x.load()\nfor split in ('test', 'validation'):\n    if split in data:\n"
        "        eval_data = data[split]\n        break\nprint(eval_data)\n", "possibly-unbound", 7),
    "search for a file": (
        "import os\ndef f():\n    for path in ['a.yaml', 'b.yaml']:\n        if os.path.exists(path):\n"
        "            config = open(path)\n            break\n        print('not', path)\n    return config\n",
        "possibly-unbound", 8),
    "forgotten return, item": (
        "def build(d):\n    o = {'output_dir': d}\noptions = build('a')\nprint(options['output_dir'])\n",
        "type-mismatch", 4),
    "forgotten return, annotated": (
        "def build(d) -> dict:\n    o = {'output_dir': d}\ndef main():\n    options = build('a')\n"
        "    print(options['output_dir'])\n", "type-mismatch", 5),
    "forgotten return, attribute": ("def build(d):\n    o = [d]\nprint(build('a').size)\n", "type-mismatch", 3),
    "forgotten return, call": ("def build(d):\n    o = [d]\nrun = build('a')\nrun(1)\n", "type-mismatch", 4),
    "forgotten return, loop": ("def build(d):\n    o = [d]\nfor x in build('a'):\n    pass\n", "type-mismatch", 3),
    "forgotten return, unpacking": ("def load(d):\n    a, b = d, d\nmodel, tok = load('a')\n", "type-mismatch", 3),
    "forgotten return, early return": (
        "def build(d):\n    if not d:\n        return\n    o = {'a': d}\nprint(build('a')['a'])\n", "type-mismatch", 5),
    "forgotten return, refusing": (
        "def build(d):\n    if not d:\n        raise ValueError(d)\n    o = {'a': d}\nprint(build('a')['a'])\n",
        "type-mismatch", 5),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
def test_faults_are_found(name: str) -> None:
    source, kind, line = FAULTY[name]
    assert (kind, line) in kinds(source)


CLEAN = {
    "match with a last case": "def f(m):\n    match m:\n        case 'a':\n            x = 1\n        case _:\n            x = 2\n    return x\n",
    "match on a parameter": "def f(m):\n    match m:\n        case 'a':\n            x = 1\n        case 'b':\n            x = 2\n    return x\n",
    "inner dict changed": "C = {'a': {'b': 1}}\nC['a']['c'] = 2\nprint(C['a']['c'])\n",
    "inner dict updated": "C = {'a': {'b': 1}}\nC['a'].update(c=2)\nprint(C['a']['c'])\n",
    "inner dict by another name": "C = {'a': {'b': 1}}\nd = C['a']\nd['c'] = 2\nprint(C['a']['c'])\n",
    "inner dict by unknown key": "import sys\nC = {'a': {'b': 1}}\nC[sys.argv[1]]['c'] = 2\nprint(C['a']['c'])\n",
    "inner dicts in a loop": "C = {'a': {'b': 1}}\nfor d in C.values():\n    d['c'] = 2\nprint(C['a']['c'])\n",
    "star import": "from helpers import *\nprint(anything)\n",
    "global set by a call": "def setup():\n    global model\n    model = 1\nsetup()\nprint(model)\n",
    "global None set by a call": "m = None\ndef setup():\n    global m\n    m = 5\nsetup()\nprint(m > 1)\nm.bit_length()\n",
    "nonlocal": "def f():\n    n = None\n    def g():\n        nonlocal n\n        n = 1\n    g()\n    return n > 0\n",
    "module attributes": "print(__file__, __name__, __doc__, __spec__)\n",
    "notebook names": "get_ipython()\ndisplay(1)\n",
    "exec": "exec('a = 1')\nprint(a)\n",
    "globals": "globals()['a'] = 1\nprint(a)\n",
    "name probe": "try:\n    unicode\nexcept NameError:\n    unicode = str\n",
    "python 2 branch": "import sys\nif sys.version_info[0] < 3:\n    text = unicode\nelse:\n    text = str\n",
    "string annotation": "def f(a: 'list[int]') -> 'int':\n    return a[0]\n",
    "future annotations": "from __future__ import annotations\ndef f(a: Tensor) -> Model:\n    return a\n",
    "local annotation": "def f():\n    x: Tensor = 1\n    return x\n",
    "type checking import": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor\n"
        "def f(a: 'Tensor'):\n    return a\n"),
    "function before definition": "def f():\n    return g()\ndef g():\n    return 1\nf()\n",
    "loop carried": "for i in range(3):\n    if i:\n        print(last)\n    last = i\n",
    "class scope": "class A:\n    sizes = [1, 2]\n    total = sum(s for s in sizes)\n",
    "walrus": "if (n := 10) > 5:\n    pass\nprint(n)\n",
    "match capture": "import sys\nmatch sys.argv:\n    case [a, *rest]:\n        print(a, rest)\n",
    "walrus in comprehension": "if any((hit := x) > 1 for x in (1, 2)):\n    print(hit)\n",
    "dunder class": "class A:\n    def f(self):\n        return __class__\n",
    "noqa": "print(injected)  # noqa: F821\n",
    "same condition": "def f(c):\n    if c:\n        x = 1\n    if c:\n        return x\n",
    "same condition inside and": "def f(c, d):\n    if c:\n        x = 1\n    if c and d:\n        return x\n",
    "conditional expression": "def f(c):\n    if c:\n        x = 1\n    return x if c else None\n",
    "early return": "def f(c):\n    if not c:\n        return None\n    if c:\n        x = 1\n    return x\n",
    "return in between": "def f(c):\n    if c:\n        x = 1\n    if not c:\n        return None\n    return x\n",
    "assertion": "def f(c):\n    assert c\n    if c:\n        x = 1\n    return x\n",
    "opposite conditions": "def f(c):\n    if c:\n        x = 1\n    if not c:\n        x = 2\n    return x\n",
    "handler exits": "import sys\ntry:\n    x = open('a')\nexcept OSError:\n    sys.exit(1)\nprint(x)\n",
    "handler raises": "def f():\n    try:\n        x = open('a')\n    except OSError as e:\n        raise SystemExit from e\n    return x\n",
    "handler may exit": "def f(p):\n    try:\n        x = open('a')\n    except OSError:\n        p.error('no')\n    return x\n",
    "handler continues": "for p in 'ab':\n    try:\n        x = open(p)\n    except OSError:\n        continue\n    print(x)\n",
    "while true": "while True:\n    x = 1\n    break\nprint(x)\n",
    "retry loop": "while True:\n    try:\n        x = open('a')\n        break\n    except OSError:\n        pass\nprint(x)\n",
    "for loop": "for i in range(3):\n    loss = i\nprint(loss, i)\n",
    "with": "with open('a') as f:\n    data = f.read()\nprint(data)\n",
    "main guard": "if __name__ == '__main__':\n    x = 1\n    print(x)\n",
    "script constant": "USE = True\nif USE:\n    x = 1\nprint(x)\n",
    "exhaustive choices": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--m', choices=['x', 'y'])\na = p.parse_args()\n"
        "if a.m == 'x':\n    v = 1\nelif a.m == 'y':\n    v = 2\nprint(v)\n"),
    "chain on a parameter": "def f(k):\n    if k == 'a':\n        v = 1\n    elif k == 'b':\n        v = 2\n    return v\n",
    "flag variable": (
        "def f(c):\n    ok = False\n    if c:\n        x = 1\n        ok = True\n    if ok:\n        return x\n"),
    "deleted in a branch": "def f(c):\n    x = 1\n    if c:\n        del x\n        return 0\n    return x\n",
    "optional import": "try:\n    import wandb\nexcept ImportError:\n    print('no wandb')\nwandb.init()\n",
    "counting from zero": "n = 0\nfor x in (1, 2):\n    n += x\nprint(10 / n)\n",
    "best so far": "best = None\nfor x in (1, 2):\n    if best is None or x > best:\n        best = x\n",
    "optional parameter": "def f(limit=None):\n    return limit > 0 if limit else False\n",
    "wrong annotation": "def f(limit: str):\n    return limit + 1\nf(2)\n",
    "attribute set by a call": (
        "class A:\n    def __init__(self):\n        self.m = None\n        self.load()\n        self.m.train()\n"
        "    def load(self):\n        self.m = object()\n"),
    "attribute of attribute": "class A:\n    pass\na = A()\na.x = None\nfill(a)\na.x.run()\n".replace("fill", "print"),
    "unknown library": "import torch\nx = torch.zeros(3) / 0\nprint(x.nothing, x > 'a', len(5 * x))\n",
    "tensor by zero": "import numpy as np\nprint(np.ones(3) / 0)\n",
    "caught division": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass\n",
    "wanted exception": "import pytest\nwith pytest.raises(KeyError):\n    {'a': 1}['b']\n",
    "key added": "c = {'a': 1}\nc['b'] = 2\nprint(c['b'])\n",
    "key added elsewhere": "c = {'a': 1}\nc.update(b=2)\nprint(c['b'])\n",
    "passed on": "c = {'a': 1}\nfill(c)\nprint(c['b'])\n".replace("fill", "setattr"),
    "asked first": "c = {'a': 1}\nif 'b' in c:\n    print(c['b'])\n",
    "spread": "import other\nc = {**other.C, 'a': 1}\nprint(c['b'])\n",
    "list grows": "xs = [1]\nxs.append(2)\nprint(xs[1])\n",
    "list extended": "xs = [1]\nxs += [2, 3]\nprint(xs[2])\n",
    "base case": "def f(n):\n    if n == 0:\n        return 0\n    return f(n - 1)\n",
    "base case in expression": "def f(n):\n    return 1 if n == 0 else n * f(n - 1)\n",
    "base case by and": "def f(n):\n    return n and f(n - 1)\n",
    "tree walk": "def f(node):\n    for child in node.children:\n        f(child)\n",
    "generator": "def f():\n    yield 1\n    yield from f()\n",
    "method and function": "def train(x):\n    return x\nclass A:\n    def train(self, x):\n        return train(x)\n",
    "super": "class A(dict):\n    def get(self, k):\n        return super().get(k)\n",
    "other object": "class A:\n    def save(self, other):\n        return other.save(self)\n",
    "decorated": "import f\n@f.cached\ndef g(a, b):\n    return g(a)\n",
    "percent format": "print('%d of %d' % (1, 2))\n",
    "list times": "print([0] * 3 + [1], 'a' * 3, 'a' in 'abc')\n",
    "installed package": "import msgspec\nmsgspec.nothing_of_the_kind\nmsgspec.decode(1, 2, 3, four=5)\n",
    "newer f-string": "d = {'a': 1}\nprint(f'{d['a']} {'\\n'.join(d)}')\n",
    "type parameters": "type Pair[T] = tuple[T, T]\ndef first[T](p: Pair[T]) -> T:\n    return p[0]\nclass A[T]:\n    x: T\n",
    "list grows before a function reads it": "R = ['a', 'b']\nR.append('c')\ndef f():\n    return R[2]\n",
    "list grows inside its own len": "def len(x):\n    x.append(3)\nA = [1, 2]\nlen(A)\nprint(A[2])\n",
    "list by the larger of two": "A = [1, 2]\nB = max(A, [0])\nB.append(3)\nprint(A[2])\n",
    "list by an empty sum": "A = [1, 2]\nB = sum([], A)\nB.append(3)\nprint(A[2])\n",
    "list by eval": "A = [1, 2]\neval('A.append(3)')\nprint(A[2])\n",
    "dict by vars": "D = {'a': 1}\nvars()['D']['b'] = 2\nprint(D['b'])\n",
    "inner dict by locals": "D = {'a': {'b': 1}}\nlocals()['D']['a']['c'] = 2\nprint(D['a']['c'])\n",
    "device required elsewhere": (
        "import torch\ndef check():\n    if not torch.cuda.is_available():\n        raise SystemExit('no GPU')\n"
        "def main():\n    check()\n    if torch.cuda.is_available():\n        device = 'cuda'\n    print(device)\n"),
    "device required before": (
        "import torch\ndef main():\n    if not torch.cuda.is_available():\n        return\n"
        "    if torch.cuda.is_available():\n        device = 'cuda'\n    print(device)\n"),
    "device asked for again": (
        "import torch\nif torch.cuda.is_available():\n    device = 'cuda'\nif torch.cuda.is_available():\n"
        "    print(device)\n"),
    "device or not": (
        "import torch\nif torch.cuda.is_available():\n    d = 'cuda'\nelif not torch.cuda.is_available():\n"
        "    d = 'cpu'\nprint(d)\n"),
    "device by two conditions": (
        "import torch\nif torch.cuda.is_available():\n    d = 'cuda'\nif not torch.cuda.is_available():\n"
        "    d = 'cpu'\nprint(d)\n"),
    "availability of a package": "import x\nif x.is_peft_available():\n    c = 1\nprint(c)\n",
    **{
        f"search {what}": (
            f"import x\ndata = x.load()\n{before}for split in {items}:\n    if {test}:\n        found = data[split]\n"
            f"        break\n{after}print(found)\n")
        for what, before, items, test, after in [
            ("with a value before", "found = None\n", "('a', 'b')", "split in data", ""),
            ("with an else", "", "('a', 'b')", "split in data", "else:\n    raise KeyError\n"),
            ("checked before", "assert 'a' in data\n", "('a', 'b')", "split in data", ""),
            ("checked after", "", "('a', 'b')", "split in data", "if split not in data:\n    raise KeyError\n"),
            ("of what is computed", "", "x.splits()", "split in data", ""),
            ("with a last resort", "", "('a', 'b')", "split in data or split == 'b'", ""),
            ("for the usual split", "", "('test', 'train')", "split in data", ""),
            ("for what is used anyway", "print(data['b'])\n", "('a', 'b')", "split in data", ""),
            ("among literals", "", "('a', 'b')", "split == 'b'", ""),
        ]
    },
    **{
        f"result of {what}": f"{function}r = f(1)\nprint({use})\n"
        for what, function, use in [
            ("a stub", "def f(a): ...\n", "r['a']"),
            ("a documented stub", "def f(a):\n    'To do.'\n    pass\n", "r['a']"),
            ("an abstract function", "def f(a):\n    print(a)\n    raise NotImplementedError\n", "r['a']"),
            ("a generator", "def f(a):\n    yield a\n", "r.send(1)"),
            ("a coroutine", "async def f(a):\n    print(a)\n", "r.close()"),
            ("a decorated function", "import x\n@x.task\ndef f(a):\n    print(a)\n", "r['a']"),
            ("a function defined twice", "def f(a):\n    print(a)\nimport x\nf = x.wrap(f)\n", "r['a']"),
            ("a function that ends the script", "import sys\ndef f(a):\n    print(a)\n    sys.exit(1)\n", "r['a']"),
            ("a function that may return", "def f(a):\n    if a:\n        return [a]\n", "r[0]"),
            ("a function that returns inside with", "def f(a):\n    with open(a) as b:\n        return b\n", "r.name"),
            ("a function, passed on", "def f(a):\n    print(a)\n", "r"),
            ("a function, asked", "def f(a):\n    print(a)\n", "r['a'] if r else 0"),
            ("a function, asked by hasattr", "def f(a):\n    print(a)\n", "hasattr(r, 'a') and r.a"),
            ("a function, its class", "def f(a):\n    print(a)\n", "r.__class__"),
        ]
    },
    "result replaced": "def f(a):\n    print(a)\nr = f(1)\nr = {'a': 1}\nprint(r['a'])\n",
    "result expected to fail": "def f(a):\n    print(a)\ntry:\n    f(1)['a']\nexcept TypeError:\n    pass\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_clean_scripts_are_silent(name: str) -> None:
    assert kinds(CLEAN[name]) == []


VERSIONS = {
    "reused quotes": ("d = {}\nprint(f'{d['a']}')\n", (3, 12)),
    "type statement": ("type X = int\n", (3, 12)),
    "type parameters": ("def f[T](x: T) -> T:\n    return x\n", (3, 12)),
    "match": ("x = 1\nmatch x:\n    case 1:\n        pass\n", (3, 10)),
    "exception groups": ("try:\n    pass\nexcept* ValueError:\n    pass\n", (3, 11)),
    "bare exception list": ("try:\n    pass\nexcept ValueError, TypeError:\n    pass\n", (3, 14)),
    "t-string": ("name = 1\nx = t'{name}'\n", (3, 14)),
}


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize("minor", [9, 10, 11, 12, 13, 14])
def test_syntax_is_judged_for_the_python_of_the_job(name: str, minor: int) -> None:
    source, since = VERSIONS[name]
    found = [kind for kind, _ in kinds(source, f"3.{minor}") if kind == "syntax-error"]
    assert found == ([] if (3, minor) >= since else ["syntax-error"])


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = (1,\n", 2), ("def f(:\n", 1), ("print 'a'\n", 1), ("if x\n    pass\n", 1), ("  x = 1\n", 1),
        ("return 1\n", 1), ("x = 1\n\tif x:\n", 2), ("f(a=1, a=2)\n", 1), ("def f(a, a):\n    pass\n", 1),
        ("break\n", 1), ("x = 'abc\n", 1), ("async def f():\n    pass\nawait f()\n", 3), ("1 = x\n", 1),
        ("nonlocal x\n", 1), ("def f():\n    x = 1\n    global x\n", 3), ("x = 0777\n", 1),
    ],
)  # fmt: skip
def test_a_syntax_error_is_the_only_finding(source: str, line: int) -> None:
    (found,) = diagnose(["undefined_above\n" + source])[0]
    assert found.kind == "syntax-error"
    assert found.line in (line, line + 1, line + 2)


def test_places_count_characters_from_one() -> None:
    found = only("é = 'üü'; print('😀', nothing)\n")
    assert (found.line, found.column, found.end_line, found.end_column) == (1, 22, 1, 29)
    assert found.subject == "nothing"


def test_carriage_returns_and_byte_order_marks_do_not_move_lines() -> None:
    assert [(d.line, d.column) for d in diagnose(["\ufeffx = 1\r\nprint(y)\rprint(z)\r\n"])[0]] == [(2, 7), (3, 7)]


def test_an_undefined_name_is_reported_once() -> None:
    assert kinds("print(nothing)\nprint(nothing)\n") == [("undefined-name", 1)]


def test_messages_name_lines_and_remedy() -> None:
    found = only("def f():\n    print(total)\n    total = 1\n")
    assert "`total` is read at line 2 but only assigned at line 3 of the same function" in found.message
    assert "move the assignment above line 2" in found.message
    assert only("print(np.pi)\n").message.endswith("add `import numpy as np`")
    for source, _, _ in FAULTY.values():
        for diagnostic in diagnose([source])[0]:
            assert "\n" not in diagnostic.message
            assert ";" in diagnostic.message


def test_a_batch_answers_in_order() -> None:
    sources = [f"print(missing_{i})\n" if i % 3 == 0 else "(" * 300 if i % 3 == 1 else "x = 1\n" for i in range(100)]
    found = diagnose(sources)
    for index, diagnostics in enumerate(found):
        expected = {0: "undefined-name", 1: "syntax-error"}.get(index % 3)
        assert [d.kind for d in diagnostics] == ([expected] if expected else [])
        if expected == "undefined-name":
            assert diagnostics[0].subject == f"missing_{index}"


def test_no_sources() -> None:
    assert diagnose([]) == []


HOSTILE = {
    "brackets": "x = " + "(" * 5000 + ")" * 5000,
    "blocks": "".join(" " * i + "if 1:\n" for i in range(5000)) + " " * 5000 + "pass\n",
    "operators": "x = 1" + "+1" * 5000,
    "unary": "x = " + "-" * 5000 + "1",
    "calls": "import q\nx = q" + "()" * 5000,
    "lambdas": "x = " + "lambda: " * 5000 + "1",
    "attributes": "import q\nx = q" + ".a" * 5000,
    "elif": "if 1:\n    pass\n" + "elif 1:\n    pass\n" * 4000,
    "await": "async def f():\n    " + "await " * 5000 + "x\n",
    "5 MB": "x = '''" + "a" * 5_000_000 + "'''\n",
    "50,000 lines": "import q\n" + "q.f(1, 2)\n" * 50_000,
    "NUL": "x = 1\n\0\n",
    "surrogate": "x = '\ud800'\n",
    "unfinished string": "x = '''" + "(" * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_comes_back(name: str) -> None:
    assert all(isinstance(d, Diagnostic) for d in diagnose([HOSTILE[name]])[0])


@pytest.mark.parametrize(("name", "line", "word"), [
    ("brackets", 1, "nested brackets"), ("blocks", 101, "indentation"), ("NUL", 2, "NUL"), ("surrogate", 1, "surrogate"),
])  # fmt: skip
def test_what_no_python_reads_is_a_syntax_error(name: str, line: int, word: str) -> None:
    (found,) = diagnose([HOSTILE[name]])[0]
    assert (found.kind, found.line) == ("syntax-error", line)
    assert word in found.message


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(), max_size=4), st.text(max_size=6))
def test_any_text_is_answered(sources: list[str], python_version: str) -> None:
    assert len(diagnose(sources, python_version=python_version)) == len(sources)


def test_nothing_is_opened_for_writing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    diagnose(["x = 1\n"])  # imports happen, and may write their byte code
    opened: list[Any] = []
    real_open = builtins.open
    real_os_open = os.open

    def record(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, int) and set(mode) & set("wax+"):  # a number is the end of a pipe
            opened.append((file, mode))
        return real_open(file, mode, *args, **kwargs)

    def record_descriptor(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            opened.append((path, flags))
        return real_os_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", record)
    monkeypatch.setattr(io, "open", record)
    monkeypatch.setattr(os, "open", record_descriptor)
    monkeypatch.chdir(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in diagnostics_engine._ENVIRONMENT.rglob("*")}
    diagnose(["x = 1\n", "print(y)\n"])
    assert opened == []
    assert list(tmp_path.iterdir()) == []
    assert {p: p.stat().st_mtime_ns for p in diagnostics_engine._ENVIRONMENT.rglob("*")} == before


def test_settings_of_the_user_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ty.toml").write_text('[rules]\nall = "ignore"\n')
    (tmp_path / "pyproject.toml").write_text('[tool.ty.rules]\nall = "ignore"\n[tool.ruff]\nselect = []\n')
    (tmp_path / "ty").mkdir()
    (tmp_path / "ty" / "ty.toml").write_text('[rules]\nall = "ignore"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TY_CONFIG_FILE", str(tmp_path / "ty.toml"))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert kinds("print(nothing)\n") == [("undefined-name", 1)]


def test_a_missing_engine_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ty", None)
    with pytest.raises(EngineError, match="pip install ty"):
        diagnose(["x = 1\n"])


@pytest.mark.parametrize("command", ["false", "true"])
def test_an_engine_that_ends_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(diagnostics_engine, "_binary", lambda: f"/bin/{command}")
    with pytest.raises(EngineError, match="PY001 to PY006"):
        diagnose(["x = 1\n"])


def test_an_engine_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics_engine, "_binary", lambda: "/nowhere/ty")
    with pytest.raises(EngineError, match="cannot be started"):
        diagnose(["x = 1\n"])


def test_the_message_about_a_result_names_the_function_and_its_line() -> None:
    found = only("import x\ndef build(d):\n    o = {'a': d}\noptions = build(1)\nprint(options['a'])\n")
    assert found.subject == "options"
    assert "`build` (defined at line 2) returns nothing; add the missing `return`" in found.message


@pytest.mark.parametrize("text", ["x=1;" * 100_000, "x = [" + "1," * 100_000 + "]\n", "q.a.b(c)(d)(e)(f);\n" * 9_999])
def test_text_with_too_many_tokens_is_not_sent_to_the_engine(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(diagnostics_engine, "_binary", lambda: "/nowhere/ty")
    assert diagnose([text]) == [[]]


def test_one_hostile_script_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics_engine, "_BATCH_TIMEOUT_SECONDS", 4.0)
    monkeypatch.setattr(diagnostics_engine, "_SINGLE_TIMEOUT_SECONDS", 4.0)
    # ty's time grows with the square of these (43 s at 1,000 with ty 0.0.105).
    endless = "def f(a):\n    x = None\n" + "    if a: x = x or 1\n" * 3000
    results = diagnose_each(["print(first)\n", endless, "print(last)\n"])
    assert isinstance(results[1], EngineError)
    assert [[d.subject for d in r] for r in results if not isinstance(r, EngineError)] == [["first"], ["last"]]


def test_a_divisor_that_max_keeps_above_zero_is_no_zero() -> None:
    clean = "SHARDS = 0\n\n\ndef per_shard(rows):\n    return len(rows) // max(SHARDS, 1)\n\n\nprint(per_shard([1]))\n"
    assert diagnose([clean]) == [[]]
    faulty = "SHARDS = 0\n\n\ndef per_shard(rows):\n    return len(rows) // SHARDS\n\n\nprint(per_shard([1]))\n"
    assert [d.kind for d in diagnose([faulty])[0]] == ["certain-exception"]
