"""JSON, TOML and YAML are read with their places, and nothing that stands in them does harm."""

from __future__ import annotations

import contextlib
import json
import math
import time
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from trainguard.facts.config.json_text import parse_json
from trainguard.facts.config.node import MAX_BYTES, InvalidDocumentError, Node, leaves, to_python
from trainguard.facts.config.toml_text import parse_toml
from trainguard.facts.config.yaml_text import parse_yaml

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
SCALARS = (
    st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
    ),
    max_size=5,
)


def at(text: str, node: Node) -> str:
    assert node.line is not None
    assert node.column is not None
    return text.split("\n")[node.line - 1][node.column - 1 :]


def read_json(text: str) -> Node:
    node, problems = parse_json(text)
    if problems:
        raise problems[0]
    return node


@given(DOCUMENTS, st.sampled_from([None, 0, 2]), st.booleans())
def test_json_is_read_as_python_reads_it(document: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    node = read_json(text)
    assert to_python(node) == json.loads(text)
    for _, leaf in leaves(node):
        assert at(text, leaf).startswith(json.dumps(leaf.value, ensure_ascii=ascii_only))


def toml(document: dict[str, Any], *, inline: bool) -> str:
    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{quoted(k)} = {value(v)}" for k, v in item.items()) + " }"
        if isinstance(item, list):
            return "[" + ", ".join(value(each) for each in item) + "]"
        if isinstance(item, str):
            return quoted(item)
        return json.dumps(item)

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

    lines = [f"{quoted(k)} = {value(v)}  # a comment" for k, v in document.items() if inline or not isinstance(v, dict)]
    for key, item in document.items():
        if not inline and isinstance(item, dict):
            lines += ["", f"[{quoted(key)}]", *(f"{quoted(k)}={value(v)}" for k, v in item.items())]
    return "\n".join(lines)


@given(DOCUMENTS, st.booleans())
def test_toml_is_read_as_tomllib_reads_it(document: dict[str, Any], inline: bool) -> None:
    text = toml(document, inline=inline)
    node = parse_toml(text)
    assert to_python(node) == tomllib.loads(text)
    for _, leaf in leaves(node):
        assert at(text, leaf).startswith(leaf.text.split("\n")[0])
        assert tomllib.loads(f"x = {leaf.text}")["x"] == leaf.value


@given(DOCUMENTS, st.booleans())
def test_yaml_is_read_as_pyyaml_reads_it_where_the_versions_agree(document: dict[str, Any], flow: bool) -> None:
    # Double quotes around every text: what remains plain are numbers and switches.
    text = yaml.dump(document, default_style='"' if flow else None, allow_unicode=True, width=10_000)
    node = parse_yaml(text)
    assert _same(to_python(node), yaml.safe_load(text))


def _same(ours: Any, theirs: Any) -> bool:
    """The same but for plain words that YAML 1.1 takes for something else (`1e+16`, `yes`, `1:30`)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return len(ours) == len(theirs) and all(
            _same(value, other) for value, other in zip(ours.values(), theirs.values(), strict=True)
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(_same(a, b) for a, b in zip(ours, theirs, strict=True))
    return ours == theirs or isinstance(ours, float) or not isinstance(ours, str)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-5", 1e-5),
        ("2E+3", 2000.0),
        (".5", 0.5),
        ("1_000", 1000),
        ("012", 12),
        ("0x10", 16),
        ("1:30", "1:30"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("~", None),
        ("-.inf", -math.inf),
        ("2024-01-01", "2024-01-01"),
        ("'1e-5'", "1e-5"),
        ("!!str 5", "5"),
        ("!!float 1e-5", 1e-5),
    ],
)
def test_plain_words_of_yaml_mean_what_version_1_2_says(word: str, value: object) -> None:
    (_, leaf), *_ = leaves(parse_yaml(f"key: {word}"))
    assert leaf.value == value
    assert type(leaf.value) is type(value)


def test_aliases_and_merges_of_yaml() -> None:
    text = "base: &b {r: 8, alpha: 16}\nlora:\n  <<: *b\n  r: 4\n"
    assert to_python(parse_yaml(text)) == {"base": {"r": 8, "alpha": 16}, "lora": {"r": 4, "alpha": 16}}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
READERS: dict[str, Callable[[str], Node]] = {"json": read_json, "toml": parse_toml, "yaml": parse_yaml}


@pytest.mark.parametrize(
    ("kind", "text", "line", "column", "got", "because"),
    [
        ("json", '{"a": 1,\n "b": }', 2, 7, "}", "double quotes"),
        ("json", '{"a": 1,\n "b": 2', 2, 8, "the end of the file", "the { at 1:1 is not closed"),
        ("json", '{"a": "x\n}', 1, 7, '"x', "a text ends on its line"),
        ("json", '{"a": 01}', 1, 7, "01", "true, false and null"),
        ("json", '{"a": True}', 1, 7, "True", "Python's word"),
        ("json", "{'a': 1}", 1, 2, "'a'", "double quotes only"),
        ("json", '{"a": 1,}', 1, 8, "a comma before }", "no comma after the last"),
        ("json", '{"a": 1 "b": 2}', 1, 9, '"b": 2}', "parted by commas"),
        ("json", '{"a": 1} // x', 1, 10, "// x", "JSON has none"),
        ("json", '{"a": "C:\\models"}', 1, 10, "\\m", "no other escapes"),
        ("json", "", 1, 1, "nothing", "empty"),
        ("json", "[" * 100_000, 1, 66, "values nested more than 64 deep", "no field"),
        ("toml", "a = 1\nb = lora", 2, 5, "lora", "in quotes"),
        ("toml", "a = 1\n[b]\nc=2\na = 1\nc = 3", 5, 1, "c = 3", "further up"),
        ("toml", "a = 1\na = 2\n\nb = 3", 2, 1, "a = 2", "further up"),
        ("toml", "a = [1, 2", 1, 10, "the end of the file", "Unclosed array"),
        ("toml", "b = 1\na" + ".a" * 100 + " = 1", 2, 1, "values nested more than 64 deep", "no field"),
        ("yaml", "a: 1\n\tb: 2", 2, 1, "a tab", "indented with spaces"),
        ("yaml", "a: [1, 2", 2, 1, "the end of the text", "','"),
        ("yaml", "a: *b", 1, 4, "*b", "no &b stands above it"),
        ("yaml", "a: &b [*b]", 1, 8, "*b", "inside itself"),
        (
            "yaml",
            "a: !!python/object/apply:os.system [ls]",
            1,
            4,
            "the tag !!python/object/apply:os.system",
            "no objects",
        ),
        ("yaml", "a: 1\n---\nb: 2", 2, 1, "a second document after ---", "one configuration"),
        ("yaml", "- " * 100_000, 1, 131, "values nested more than 64 deep", "no field"),
        ("yaml", "a: \x01", 1, 4, "the character U+0001", "control"),
        ("yaml", "", 1, 1, "nothing", "empty"),
    ],
)
def test_what_is_broken_is_named_with_its_place(
    kind: str, text: str, line: int | None, column: int | None, got: str, because: str
) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        READERS[kind](text)
    problem = caught.value
    assert (problem.line, problem.column, problem.got) == (line, column, got)
    assert because in problem.because


def test_a_comma_hides_no_other_problem() -> None:
    node, problems = parse_json('{"a": 1, // one\n "b": True,\n \'c\': [1,],\n}')
    assert to_python(node) == {"a": 1, "b": True, "c": [1]}
    assert [(each.line, each.column) for each in problems] == [(1, 10), (2, 7), (3, 2), (3, 9), (3, 11)]


def test_aliases_that_multiply_stay_small() -> None:
    started = time.monotonic()
    node = parse_yaml(BOMB)
    with pytest.raises(InvalidDocumentError, match="more than 20,000 parts"):
        to_python(node)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("kind", READERS)
@given(st.text(max_size=60) | st.text("{}[]\"':,=#&*!-\n\t \\01.eE<~|>%@`ab", max_size=60))
@example('"\\\n')
def test_no_text_breaks_a_reader(kind: str, text: str) -> None:
    problem: InvalidDocumentError | None = None
    try:
        READERS[kind](text)
    except InvalidDocumentError as error:
        problem = error
    assert problem is None or (problem.got and "\n" not in problem.got)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "piece", ['{"a":', "[", "{a: ", "a = [", "a.", '"', "- ", "? ", "&a ", "a: b\n", "# x\n", "1", "\\", "'"]
)
def test_a_long_file_is_read_in_time(kind: str, piece: str) -> None:
    text = (piece * MAX_BYTES)[:MAX_BYTES]
    started = time.monotonic()
    with contextlib.suppress(InvalidDocumentError):
        READERS[kind](text)
    assert time.monotonic() - started < 10
