"""Texts that look like training scripts and go wrong in every way: grammar recombined, then mutated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

CASES = Path(__file__).resolve().parent.parent / "cases" / "seen"

# Few names, so that things meet: values that hold themselves, classes that inherit from each other, names that are
# both function and variable.
_NAMES = ["a", "b", "c", "model", "trainer", "args", "parser", "config", "self", "kwargs", "A", "B"]
_CALLABLES = [
    "Trainer",
    "SFTTrainer",
    "SFTConfig",
    "TrainingArguments",
    "HfArgumentParser",
    "TrlParser",
    "ArgumentParser",
    "AutoModelForCausalLM.from_pretrained",
    "LoraConfig",
    "BitsAndBytesConfig",
    "load_dataset",
    "partial",
    "functools.partial",
    "dict",
    "vars",
    "asdict",
    "setattr",
    "getattr",
    "globals",
    "yaml.safe_load",
    "json.loads",
    "os.system",
    "subprocess.run",
    "Path",
    "os.path.join",
    "torch.save",
    "torch.load",
    "print",
    "super",
    "copy.deepcopy",
    "wandb.init",
    "trackio.init",
    "login",
]
_METHODS = (
    "train save_model save_pretrained push_to_hub parse_args add_argument parse_args_into_dataclasses update get items "
    "parse_known_args format join split pop to backward step append extend set_defaults"
).split()
_KEYWORDS = (
    "push_to_hub hub_model_id report_to output_dir save_strategy attn_implementation args default type action model "
    "peft_config optim load_in_4bit device_map dest required hub_token token timeout check shell"
).split()
_LITERALS = (
    "None True False 0 -1 1e999 0x7fffffffffffffffffff ... [] {} () set() 10**9 b'x' '' 'a=b' 'user/name' 'hf_xxx' "
    "'flash_attention_2' '--push_to_hub' '~/out' 'C:\\\\x' '/fsx/d' 'wandb' 'trackio' '{}' '%s' 'None'"
).split()

_HOSTILE = [
    "x = " + "(" * 150 + ")" * 150,
    "x = " + "[" * 90 + "]" * 90,
    "x = " + "-" * 3000 + "1",
    "x = " + " + ".join(["a"] * 800),
    "x = " + "a.b" * 300,
    "x = " + "f()" + "()" * 300,
    "x = " + "lambda: " * 90 + "0",
    "x = " + "not " * 200 + "0",
    "x = '" + "a" * 20_000 + "'",
    "x = 1" + "0" * 5000,
    "x = '" + "%s" * 500 + "' % x",
    "x = 'a' * 10**12",
    "x = 10 ** 10 ** 10",
    "x = 1 << 10**12",
    "x = [0] * 10**12",
    "x = 'a'.ljust(10**12)",
    "x = f'{1:>1000000000000}'",
    "x = '%1000000000000d' % 1",
    "x = '{:1000000000000}'.format(1)",
    "x = 'a'.join(['b'] * 10**12)",
    "x = ('a' * 10**6).replace('a', 'b' * 10**6)",
    "x = int('9' * 10**6)",
    "x = range(10**12)",
    "x = x + 1\n" * 300,
    "x = [x, x]\n" * 60,
    "x = {'a': x, 'b': x}\n" * 40,
    "x = x + x\n" * 60,
    "x = f'{x}{x}'\n" * 40,
    "x = a if b else x\n" * 100,
    "a, b = b, a\n" * 100,
    "x += 'aaaaaaaa'\n" * 100,
    "a.b = a\na.b.b.b.b = a.b",
    "def f(a=f()): return f(f)\nf(f(f(f)))",
    "def f(a): return g(a)\ndef g(a): return f(a)\nf(g(f(1)))",
    "class A(B): x = B.x\nclass B(A): x = A.x\nA(B(A.x))",
    "class A(A): pass\nA().train()",
    "f = partial(f, f)\nf = partial(f, f)\nf()",
    "d = {}\nd.update(d)\nd = dict(**d, a=d)\nf(**d)",
    "global x, y\nnonlocal z",
    "import a as b, b as a\nfrom . import *\nfrom .. import x\nfrom trl import *",
    "async def f():\n    async with a as b, c: yield await (yield)\n    return [i async for i in f()]",
    "match x:\n    case {'a': [A(b=1) as c, *d], **e} if f: pass\n    case _: pass",
    "try:\n    pass\nexcept* (A, B) as e:\n    raise\nelse:\n    pass\nfinally:\n    pass",
    "type X[T: int, *Ts, **P] = T\ndef f[T](a: T) -> T: return a\nclass C[T]: pass",
    "x = f'{f'{f'{a!r:>{b}}'}'}'\ny = t'{x}'",
    "with (open(a) as b, open(c) as d,): pass",
    "@f\n@f.g(lambda: f)\nclass A(metaclass=A, **A): x: A = A",
    "del x, a.b, a[0]\nassert a, b\nraise a from b",
    "[a := 1, b := a, *c]\nprint(*a, **b, c=d)",
    "if __name__ == '__main__':\n    main()\nelse:\n    main(main)",
    "while True:\n    while a:\n        break\n    else:\n        continue\n    break",
    "# /// script\n# dependencies = ['trl', 'torch>=2']\n# [tool.hf-jobs]\n# timeout = '2h'\n# ///",
    "# /// script\n# dependencies = [\n# ///",
    "# trainguard: ignore[JOB001, JOB999, ] because",
    "#!/usr/bin/env -S uv run\n# -*- coding: latin-1 -*-",
    '"""unfinished',
    "x = 'unfinished",
    "def f(:",
    "\tx = 1\n        y = 2\n  z = 3",
    "\\\n" * 50,
    "print 'python 2'",
    "x = 1;" * 200,
    "if a:\n" + "".join(" " * n + "if a:\n" for n in range(1, 60)) + " " * 60 + "pass",
]

_ODD_CHARACTERS = ["\0", "\ud800", "\udfff", "\u2028", "\u202e", "\ufeff", "\u0130", "\u00a0", "\x0c", "\x1a", "\r"]
_ODD_CHARACTERS += ["\t", "\U0001f600", "\u0661", "\u1e9e", "\u00aa", "\ufb01", "\x1b[31m"]


@cache
def fragments() -> list[str]:
    """The statements at the left margin of the labelled cases' scripts, some with what precedes them."""
    found: dict[str, None] = {}
    for path in sorted(CASES.glob("*.toml")):
        case = tomllib.loads(path.read_text(encoding="utf-8"))
        script = case.get("script") or case.get("arguments", {}).get("script") or ""
        found[script] = None
        for part in re.split(r"\n(?=[A-Za-z@#])", script):
            found[part] = None
    return [text for text in found if text.strip()]


def expressions() -> SearchStrategy[str]:
    """Nested expressions over few names."""
    leaves = st.sampled_from(_NAMES) | st.sampled_from(_LITERALS)

    def nested(inner: SearchStrategy[str]) -> SearchStrategy[str]:
        keyword = st.tuples(st.sampled_from(_KEYWORDS), inner).map("=".join)
        spread = inner.map("**{}".format) | inner.map("*{}".format)
        given = st.lists(inner | keyword | spread, max_size=3).map(", ".join)
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(st.sampled_from(_CALLABLES + _NAMES), given).map(lambda p: f"{p[0]}({p[1]})"),
            st.tuples(inner, st.sampled_from(_METHODS), given).map(lambda p: f"{p[0]}.{p[1]}({p[2]})"),
            st.tuples(inner, st.sampled_from(_KEYWORDS)).map(".".join),
            pair.map(lambda p: f"{p[0]}[{p[1]}]"),
            pair.map(lambda p: f"({p[0]} or {p[1]})"),
            pair.map(lambda p: f"({p[0]} if {p[1]} else {p[0]})"),
            pair.map(lambda p: f"({p[0]} + {p[1]})"),
            pair.map(lambda p: f"({p[0]} == {p[1]})"),
            pair.map(lambda p: f"({p[0]} % {p[1]})"),
            pair.map(lambda p: f"({p[0]} ** {p[1]})"),
            pair.map(lambda p: f"({p[0]} * {p[1]})"),
            pair.map(lambda p: f"{{'x': {p[0]}, **{p[1]}}}"),
            pair.map(lambda p: f"[{p[0]}, *{p[1]}]"),
            pair.map(lambda p: f"[a for a in {p[0]} if {p[1]}]"),
            pair.map(lambda p: f"(lambda a={p[0]}: {p[1]})"),
            inner.map("f'{{{}}}/x'".format),
            inner.map("not {}".format),
        )

    return st.recursive(leaves, nested, max_leaves=8)


def statements() -> SearchStrategy[str]:
    """Statements, those with a body nested one level deep."""
    name, value = st.sampled_from(_NAMES), expressions()
    simple = st.one_of(
        st.tuples(name, value).map(" = ".join),
        st.tuples(name, value).map(" += ".join),
        st.tuples(name, st.sampled_from(_KEYWORDS), value).map(lambda p: f"{p[0]}.{p[1]} = {p[2]}"),
        st.tuples(name, st.sampled_from(_KEYWORDS), value).map(lambda p: f"{p[0]}['{p[1]}'] = {p[2]}"),
        st.tuples(name, name, value).map(lambda p: f"{p[0]}, {p[1]} = {p[2]}"),
        value,
        value.map("return {}".format),
        st.sampled_from(_CALLABLES).map(lambda c: f"from trl import {c.partition('.')[0]}"),
        name.map("global {}".format),
        st.sampled_from(["pass", "break", "continue", "raise", "return", "exit()", "import trl, torch as a"]),
    )
    body = st.lists(simple, min_size=1, max_size=3).map(lambda lines: "".join(f"\n    {line}" for line in lines))
    head = st.one_of(
        st.tuples(name, name).map(lambda p: f"def {p[0]}({p[1]}={p[0]}, *args, **kwargs):"),
        st.tuples(name, name).map(lambda p: f"class {p[0]}({p[1]}):"),
        value.map("if {}:".format),
        value.map("while {}:".format),
        st.tuples(name, value).map(lambda p: f"for {p[0]} in {p[1]}:"),
        st.tuples(value, name).map(lambda p: f"with {p[0]} as {p[1]}:"),
    )
    block = st.tuples(head, body).map("".join)
    guarded = st.tuples(body, name, body).map(lambda p: f"try:{p[0]}\nexcept Exception as {p[1]}:{p[2]}")
    return simple | block | guarded


Mutation = tuple[str, int, int]
_BIG = 1_000_000
_MOST_CHARACTERS = 100_000  # many inputs find more than long ones


def mutated(text: str, mutations: list[Mutation]) -> str:
    """`text` after some accidents; each is a kind, a place and a detail."""
    for kind, place, detail in mutations:
        text = _MUTATIONS[kind](text, place, detail)[:_MOST_CHARACTERS]
    return text


def _on_tokens(change: Callable[[list[str], int, int], None]) -> Callable[[str, int, int], str]:
    def apply(text: str, place: int, detail: int) -> str:
        tokens = re.findall(r"\w+|\s+|.", text, re.DOTALL) or [""]
        change(tokens, place % len(tokens), detail)
        return "".join(tokens)

    return apply


def _on_lines(change: Callable[[list[str], int, int], None]) -> Callable[[str, int, int], str]:
    def apply(text: str, place: int, detail: int) -> str:
        lines = text.split("\n")
        change(lines, place % len(lines), detail)
        return "\n".join(lines)

    return apply


def _delete(parts: list[str], at: int, detail: int) -> None:
    del parts[at : at + 1 + detail % 4]


def _duplicate(parts: list[str], at: int, detail: int) -> None:
    parts[at:at] = parts[at : at + 1 + detail % 3] * (1 + detail % 40)


def _swap(parts: list[str], at: int, detail: int) -> None:
    other = detail % len(parts)
    parts[at], parts[other] = parts[other], parts[at]


def _replace(parts: list[str], at: int, detail: int) -> None:
    pool = _NAMES + _LITERALS + _CALLABLES + _KEYWORDS + list("()[]{}=:,.*@\\'\"#\n")
    parts[at] = pool[detail % len(pool)]


def _insert_odd(parts: list[str], at: int, detail: int) -> None:
    parts.insert(at, _ODD_CHARACTERS[detail % len(_ODD_CHARACTERS)])


def _nest(parts: list[str], at: int, detail: int) -> None:
    depth = (1, 10, 99, 1000, 5000)[detail % 5]
    opening, closing = (("(", ")"), ("[", "]"), ("{0:", "}"), ("-", ""), ("f(", ")"), ("not ", ""))[detail % 6]
    parts[at] = opening * depth + parts[at] + closing * depth


def _indent(lines: list[str], at: int, detail: int) -> None:
    for index in range(at, min(at + 1 + detail % 8, len(lines))):
        lines[index] = "    " + lines[index] if detail % 2 else lines[index].removeprefix("    ")


def _join(lines: list[str], at: int, detail: int) -> None:
    lines[at : at + 2] = [(" ; ", "\\", " ", "\r")[detail % 4].join(lines[at : at + 2])]


def _repeat_much(lines: list[str], at: int, detail: int) -> None:
    lines[at:at] = [lines[at]] * (200, 1000, 3000)[detail % 3]


def _cut(text: str, place: int, detail: int) -> str:
    at = place % (len(text) + 1)
    return text[:at] if detail % 2 else text[at:]


_MUTATIONS: dict[str, Callable[[str, int, int], str]] = {
    "delete tokens": _on_tokens(_delete),
    "duplicate tokens": _on_tokens(_duplicate),
    "swap tokens": _on_tokens(_swap),
    "replace token": _on_tokens(_replace),
    "insert odd character": _on_tokens(_insert_odd),
    "nest": _on_tokens(_nest),
    "delete lines": _on_lines(_delete),
    "duplicate lines": _on_lines(_duplicate),
    "swap lines": _on_lines(_swap),
    "indent": _on_lines(_indent),
    "join lines": _on_lines(_join),
    "repeat a line": _on_lines(_repeat_much),
    "cut": _cut,
}


def mutations() -> SearchStrategy[list[Mutation]]:
    """Accidents for `mutated`."""
    number = st.integers(0, _BIG)
    return st.lists(st.tuples(st.sampled_from(sorted(_MUTATIONS)), number, number), max_size=5)


def sources() -> SearchStrategy[str]:
    """Python-like text."""
    part = st.sampled_from(fragments()) | st.sampled_from(_HOSTILE) | statements() | st.text(max_size=30)
    whole = st.lists(part, max_size=8).map("\n".join)
    return st.builds(mutated, whole, mutations())
