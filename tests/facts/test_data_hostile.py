"""Files made to break a reader: each is a problem with its line, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainguard.facts.data.faults import column_at, lone_surrogate
from trainguard.facts.data.reading import read_data

OK = b'{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"}]}\n'

HOSTILE = {
    "deep": (OK * 2 + b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n" + OK, "hostile-line", 3),
    "deep and open": (OK * 2 + b"[" * 100_000 + b"\n" + OK, "hostile-line", 3),
    "deep objects": (OK + b'{"a":' * 100_000 + b"\n" + OK, "hostile-line", 2),
    "deep in a string": (OK + b'{"text":"' + b"[" * 100_000 + b'","n":}\n' + OK, "malformed-json", 2),
    "long line": (OK + b'{"text":"' + b"a" * 60_000_000 + b'"}\n' + OK, "hostile-line", 2),
    "10 million empty lines": (OK + b"\n" * 10_000_000 + b"broken\n" + OK, "malformed-json", 10_000_002),
    "NULs": (OK * 3 + b"\0" * 70_000, "malformed-json", 4),
    "many NULs": (OK * 3 + b"\0" * 40_000_000, "hostile-line", 4),
    "huge integer": (OK + b'{"text":"a","n":' + b"1" * 100_000 + b"}\n", "malformed-json", 2),
    "huge exponent": (OK + b'{"text":"a","n":1e400}\n', "malformed-json", 2),
    "backslashes": (OK + b'{"text":"' + b"\\" * 2_000_001 + b'"}\n', "malformed-json", 2),
    "quotes": (OK + b'"' * 2_000_001 + b"\n", "malformed-json", 2),
    "surrogates": (OK + b'{"text":"' + b"\\ud800" * 200_000 + b'"}\n', "bad-encoding", 2),
    "keys": (
        OK + b"{" + b",".join(b'"k%d":1' % number for number in range(200_000)) + b"}\n",
        "messages-missing",
        2,
    ),
    "concatenated": (OK + OK.strip() * 20_000 + b"\n", "malformed-json", 2),
    "one byte off UTF-8 at each border": (
        b"".join(OK.replace(b"hi", b"x" * (262_144 - len(OK)) + b"\xe2\x82") for _ in range(3)),
        "bad-encoding",
        1,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(tmp_path: Path, name: str) -> None:
    content, kind, line = HOSTILE[name]
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    start = time.process_time()
    facts = read_data(path)
    assert time.process_time() - start < 10
    problem = facts.problem(kind)  # type: ignore[arg-type]
    assert problem is not None, facts.problems
    assert problem.samples[0].line == line
    assert all(len(place.text) <= 120 for each in facts.problems for place in each.samples)
    assert all(len(each) <= 200 for problem in facts.problems for each in problem.counts)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(OK + b'{"text":"')
        for _ in range(120):
            file.write(b"a" * 1_000_000)
        file.write(b'"}\n' + OK)
        file.write(b'{"text":"' + "\U0001f600".encode() * 4_000_000 + b'"}\n')
    program = (
        "import re, sys; from pathlib import Path; from trainguard.facts.data.reading import read_data\n"
        "facts = read_data(Path(sys.argv[1]), workers=1)\n"
        "assert [(each.kind, each.samples[0].line) for each in facts.problems][0] == ('hostile-line', 2), facts\n"
        r"print(re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300_000  # KiB


def test_many_names_are_not_all_kept(tmp_path: Path) -> None:
    lines = [b'{"messages":[{"role":"r%d","content":"a"}],"k%d":1}\n' % (number, number) for number in range(5_000)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    facts = read_data(tmp_path / "a.jsonl")
    problem = facts.problem("unknown-role")
    assert problem is not None
    assert problem.count == 5_000
    assert len(problem.counts) <= 201
    assert len(facts.columns) <= 201
    assert len(facts.roles) <= 201


@pytest.mark.parametrize(
    ("line", "at"),
    [
        (rb'"\ud83d\ude00"', None),
        (rb'"\\ud800"', None),
        (rb'"\\\ud800"', 3),
        (rb'"\ud800\ud800\udc00"', 1),
        (rb'"\ud800\u0041"', 1),
        (rb'"\udc00"', 1),
        (rb'"\uD800', 1),
    ],
)
def test_lone_surrogates(line: bytes, at: int | None) -> None:
    assert lone_surrogate(line) == at


def test_the_column_of_a_value() -> None:
    text = '{"a": {"b": [1, {"c": "x"}]}, "d": [[], {}, "]"], "a": {"b": [0]}}'
    assert text[(column_at(text, ("d", 2)) or 0) - 1 :].startswith('"]"')
    assert text[(column_at(text, ("a", "b", 0)) or 0) - 1 :].startswith("0]")
    assert column_at("", ("a",)) is None
    assert column_at('{"a"', ("a",)) == 1
