from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.pep723 import read_pep723

# The expression of the specification, to be equal to on everything that is not long enough to hang it.
REFERENCE = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import torch\n",
        "# /// script\n# dependencies = []\n",  # never closed
        "# /// script\n# ///\n",  # no content
        "# /// script \n# dependencies = []\n# ///\n",
        "#/// script\n# dependencies = []\n# ///\n",
        "# /// other\n# dependencies = []\n# ///\n",
        " # /// script\n # dependencies = []\n # ///\n",
        "# /// script\n# dependencies = []\nimport os\n# ///\n",
    ],
)
def test_what_is_no_block(text: str) -> None:
    assert read_pep723(text) is None


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("# dependencies = [", "end of document"),
        ("# dependencies = 'trl'", "dependencies"),
        ("# dependencies = ['trl', 3]", "dependencies"),
        ("# requires-python = 3.11", "requires-python"),
    ],
)
def test_malformed_blocks_say_why(body: str, part: str) -> None:
    block = read_pep723(f"# /// script\n{body}\n# ///\n")
    assert block is not None
    assert block.error is not None
    assert part in block.error
    assert block.dependencies is None


def test_two_blocks_are_an_error() -> None:
    one = "# /// script\n# dependencies = []\n# ///\n"
    block = read_pep723(one + "\n" + one)
    assert block is not None
    assert "more than one" in (block.error or "")


def test_a_block_with_everything() -> None:
    text = (
        "#!/usr/bin/env -S uv run\n"
        "# /// script\n"
        '# requires-python = ">=3.11"\n'
        "# dependencies = [\n"
        '#     "trl>=0.12",\n'
        "#\n"
        '#     "peft",\n'
        "# ]\n"
        "# [tool.uv]\n"
        '# exclude-newer = "2026-01-01T00:00:00Z"\n'
        "# [tool.hf-jobs]\n"
        '# flavor = "a10g-large"\n'
        "# ///\n"
        "import trl\n"
    )
    for ending in ("\n", "\r\n", "\r"):
        block = read_pep723(text.replace("\n", ending))
        assert block is not None
        assert block.error is None
        assert block.dependencies == ("trl>=0.12", "peft")
        assert block.requires_python == ">=3.11"
        assert block.hf_jobs == {"flavor": "a10g-large"}
        assert block.uv == {"exclude-newer": "2026-01-01T00:00:00Z"}
        assert (block.line, block.end_line) == (2, 13)


def test_no_dependencies_key_differs_from_an_empty_list() -> None:
    without = read_pep723('# /// script\n# requires-python = ">=3.12"\n# ///\n')
    empty = read_pep723("# /// script\n# dependencies = []\n# ///\n")
    assert without is not None
    assert empty is not None
    assert without.dependencies is None
    assert empty.dependencies == ()


def test_a_long_block_that_never_closes_is_read_in_no_time() -> None:
    started = time.perf_counter()
    assert read_pep723("# /// script\n" * 50_000) is None
    assert time.perf_counter() - started < 2


@given(
    st.lists(
        st.sampled_from(
            ["# /// script", "# ///", "#", "# a = 1", "# dependencies = []", "", "import x", "# /// other"]
        ),
        max_size=12,
    )
)
def test_agrees_with_the_reference_expression(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    expected = [match for match in REFERENCE.finditer(text) if match["type"] == "script"]
    block = read_pep723(text)
    assert (block is None) is (not expected)
    if block is not None and len(expected) == 1:
        assert block.line == text.count("\n", 0, expected[0].start()) + 1
        assert block.end_line - block.line == expected[0].group().count("\n")
