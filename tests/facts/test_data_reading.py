"""Reading JSON Lines: what is counted, where it is said to be, and that no way of reading finds anything else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from trainguard.facts.data import duplicates, pool, ranges, reading
from trainguard.facts.data.blocks import BlockReader
from trainguard.facts.data.reading import read_data
from trainguard.facts.data.records import DataFacts
from trainguard.facts.data.rows import iterate

HI = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def write(path: Path, *rows: Any, end: str = "\n") -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + end.encode() for line in lines))
    return path


def told(facts: DataFacts) -> list[tuple[str, int, list[tuple[int | None, int | None]]]]:
    return [(each.kind, each.count, [(at.line, at.column) for at in each.samples]) for each in facts.problems]


def test_a_sound_chat_file(tmp_path: Path) -> None:
    rows = [HI, chat(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), n=1)]
    facts = read_data(write(tmp_path / "a.jsonl", *rows, HI))
    assert facts.problems == ()
    assert (facts.rows, facts.layout, facts.conversational) == (3, "messages", True)
    assert facts.roles == {"user": 4, "assistant": 4, "system": 1}
    assert facts.turns == {2: 2, 5: 1}
    assert facts.columns == {"messages": 3, "n": 1}
    assert facts.duplicates is not None
    assert facts.duplicates.exact == 1
    assert [(each.line, each.detail) for each in facts.duplicates.samples] == [(3, "same as line 1")]


@pytest.mark.parametrize(
    ("row", "kind", "column", "detail"),
    [
        (b'{"messages": [', "malformed-json", 15, "the line ends within the JSON, as in a document"),
        (b'{"messages": [{"role": "us', "malformed-json", 27, "the line ends within the JSON"),
        (b'{"a": 1} {"b": 2}', "malformed-json", 10, "more than one JSON value"),
        (b'{"a": 1},', "malformed-json", 9, "a comma after the object"),
        (b"[1]", "malformed-json", 1, "the line is a JSON array, not an object"),
        (b"hello", "malformed-json", 1, "no JSON"),
        (b'{"text": "\xff"}', "bad-encoding", 11, "byte 0xff is not UTF-8"),
        ('{"text": "ä'.encode() + b'\xc3("}', "bad-encoding", 12, "byte 0xc3 is not UTF-8"),
        (b'{"text": "\\ud83dx"}', "bad-encoding", 11, "\\ud83d is half of a surrogate pair"),
        (b'{"text": "\\ude00"}', "bad-encoding", 11, "\\ude00 is half of a surrogate pair"),
        ({"foo": 1}, "messages-missing", 1, "keys 'foo'"),
        ({"instruction": "a", "output": "b"}, "messages-missing", 1, "completion = output"),
        ({"message": []}, "messages-missing", 1, "did you mean 'messages'?"),
        ({"messages": "hi"}, "messages-missing", 14, "'messages' is string, not a list of messages"),
        ({"messages": None}, "messages-missing", 1, "'messages' is null"),
        ({"messages": []}, "messages-empty", 14, "'messages' is an empty list"),
        ({"messages": [{"content": "a"}]}, "messages-missing", 15, "a message without 'role'"),
        (chat(("human", "a"), ("assistant", "b")), "unknown-role", 15, "role 'human', which means 'user'"),
        (chat(("user", 5), ("assistant", "b")), "content-not-string", 43, "'content' is number"),
        (chat(("user", "a"), ("assistant", None)), "content-not-string", 82, "'content' of 'assistant' is null"),
        (chat(("user", ["a"]), ("assistant", "b")), "content-not-string", 44, "list of string"),
        (chat(("user", "a")), "no-assistant-turn", 15, "roles user"),
        (chat(("user", "a"), ("user", "b"), ("assistant", "c")), "role-order", 49, "'user' right after 'user'"),
        (chat(("assistant", "a"), ("user", "b")), "role-order", 15, "'assistant' before any 'user'"),
        (chat(("user", "a"), ("system", "b"), ("assistant", "c")), "role-order", 49, "'system' after 'user'"),
        (chat(("user", "a"), ("tool", "b"), ("assistant", "c")), "role-order", 49, "no call by 'assistant'"),
        (chat(("user", " \n"), ("assistant", "c")), "empty-content", 43, "'content' of 'user' is empty"),
        (chat(("user", "a"), ("assistant", "")), "empty-content", 82, "'content' of 'assistant' is empty"),
        (chat(("user", "a<|im_end|>"), ("assistant", "c")), "template-token-in-content", 43, "holds '<|im_end|>'"),
        ({"prompt": "a", "completion": ""}, "empty-content", 31, "'completion' is empty"),
        ({"prompt": "", "completion": ""}, "empty-content", 30, "'completion' is empty"),
        ({"prompt": ""}, "empty-content", 12, "'prompt' is empty"),
        ({"prompt": "", "chosen": "", "rejected": "y"}, "empty-content", 26, "'chosen' is empty"),
        (
            {"conversations": HI["messages"]},
            "messages-missing",
            19,
            "messages of role and content in 'conversations'; rename the column to \"messages\"",
        ),
        (
            {"messages": [HI["messages"][0], {"role": "assistant", "content": None, "refusal": "No."}]},
            "content-not-string",
            83,
            "'content' of 'assistant' is null; its text is in 'refusal': move it into 'content'",
        ),
        (
            {"conversations": [{"from": "user", "value": "a"}, {"from": "function_call", "value": "{}"}]},
            "unknown-role",
            52,
            "role 'function_call', a call written as text: --fix leaves it, for as a text of 'assistant' it would be "
            "no call; write it as 'tool_calls' of an 'assistant' message",
        ),
        ({"text": 5}, "content-not-string", 10, "'text' is number"),
        (b'{"text": "a", "n": 1e400}', "malformed-json", 20, "a number too large"),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_problem_and_its_place(tmp_path: Path, row: Any, kind: str, column: int, detail: str, before: int) -> None:
    facts = read_data(write(tmp_path / "a.jsonl", *[HI] * before, row, HI))
    problem = facts.problem(kind)  # type: ignore[arg-type]
    assert problem is not None, facts.problems
    assert problem.count == 1
    (place,) = problem.samples
    assert (place.line, place.column) == (before + 1, column)
    assert detail in place.detail
    assert [each.kind for each in facts.problems if each.kind != "mixed-schemas"] == [kind]


@pytest.mark.parametrize(
    "row",
    [
        chat(("developer", "s"), ("user", "a"), ("assistant", "b")),
        chat(("system", ""), ("user", "a"), ("assistant", "b")),
        chat(("user", "a"), ("assistant", "b"), ("user", "c")),
        chat(("user", "<s>[INST] x [/INST]</s> <div> a < b"), ("assistant", "b")),
        chat(("user", [{"type": "image"}, {"type": "text", "text": "what?"}]), ("assistant", "b")),
        chat(("user", "a\u2028b\u0085\x0b"), ("assistant", "\U0001f600 \u202eabc")),
        {**HI, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
                {"role": "tool", "content": "1", "tool_call_id": "x"},
                {"role": "assistant", "content": "b", "weight": 1},
            ]
        },
        {"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "text": "a b"},
        {"conversations": [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}]},
        {"prompt": "a", "completion": "<|im_end|>"},
        {"prompt": HI["messages"][:1], "completion": HI["messages"][1:]},
        {"prompt": HI["messages"][:1], "completion": HI["messages"][1:], "label": True},
        {"chosen": HI["messages"], "rejected": HI["messages"]},
        {"prompt": HI["messages"][:1], "chosen": HI["messages"][1:], "rejected": HI["messages"][1:]},
        {"prompt": "a"},
        {"prompt": "", "completion": "x"},
        {"prompt": " ", "completion": "x", "label": True},
        {"prompt": "", "chosen": "x", "rejected": "y"},
        {"text": "a <|endoftext|>"},
        {"input_ids": [1, 2], "labels": [1, 2]},
        b'{"text": "a", "score": NaN, "other": -Infinity}',
        {"text": "NaN"},
        {"text": "a", "messages": None},
    ],
)
def test_no_false_alarm(tmp_path: Path, row: Any) -> None:
    facts = read_data(write(tmp_path / "a.jsonl", row, row, row))
    assert facts.problems == ()
    assert facts.rows == 3


def test_a_row_counts_once_but_for_faults_that_do_not_hide_each_other(tmp_path: Path) -> None:
    both = chat(("user", "a"), ("user", ""), ("assistant", "c"))
    hidden = chat(("human", ""), ("assistant", "c"))
    facts = read_data(write(tmp_path / "a.jsonl", both, hidden))
    assert [(each.kind, each.count) for each in facts.problems] == [
        ("unknown-role", 1),
        ("role-order", 1),
        ("empty-content", 1),
    ]


def test_roles_are_counted_by_name_and_five_places_are_given(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    facts = read_data(write(tmp_path / "a.jsonl", *[row] * 12))
    problem = facts.problem("unknown-role")
    assert problem is not None
    assert (problem.count, problem.counts) == (12, {"human": 12, "gpt": 12})
    assert [each.line for each in problem.samples] == [1, 2, 3, 4, 5]
    assert facts.layout == "sharegpt"


def test_mixed_schemas(tmp_path: Path) -> None:
    facts = read_data(write(tmp_path / "a.jsonl", HI, HI, {"text": "a"}, HI, {"text": "b"}))
    problem = facts.problem("mixed-schemas")
    assert problem is not None
    assert (problem.count, problem.counts, problem.samples[0].line) == (2, {"messages": 3, "text": 2}, 3)


# Any way of cutting a file into blocks and ranges must tell the same.

_PIECES = [
    json.dumps(HI).encode(),
    json.dumps(chat(("user", "x" * 300), ("assistant", "ä" * 99)), ensure_ascii=False).encode(),
    json.dumps(chat(("user", "a"), ("user", "b"), ("assistant", "c"))).encode(),
    json.dumps(chat(("user", " "), ("assistant", "c"))).encode(),
    json.dumps(chat(("bot", "a"), ("assistant", "c"))).encode(),
    json.dumps(chat(("user", "<|eot_id|>"), ("assistant", "c"), id=1)).encode(),
    json.dumps({"text": "a"}).encode(),
    b"",
    b"  ",
    b'{"messages": [',
    b'{"text": "\xe2\x82"}',
    b'{"a":1}{"b":2}',
    json.dumps(HI).encode() * 2,
    json.dumps(HI).encode().replace(b"[{", b"[\n{"),
    json.dumps({"messages": [HI["messages"][0], {"role": "assistant", "content": "}\n{"}]}).encode(),
    b"\0\0",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_cut_changes_what_is_told(tmp_path: Path, data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.sampled_from(_PIECES), max_size=40))
    last = data.draw(st.sampled_from([b"", b"\n", b"\r\n"]))
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + last)
    whole = read_data(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_RANGE_BYTES", data.draw(st.integers(1, 700)))
        patch.setattr(ranges, "BLOCK_BYTES", data.draw(st.integers(1, 300)))
        patch.setattr(BlockReader, "_at_once", lambda *_: None) if data.draw(st.booleans()) else None
        parts = read_data(path)
    assert parts == whole
    # Lines that a JSON decoder refuses are told by number.
    lines = b"\n".join(lines).split(b"\n")
    refused = {number for number, line in enumerate(lines, 1) if line.strip() and not _is_object(line)}
    named = {
        place.line
        for each in whole.problems
        if each.kind in ("malformed-json", "bad-encoding")
        for place in each.samples
    }
    assert named <= refused
    count = sum(each.count for each in whole.problems if each.kind in ("malformed-json", "bad-encoding"))
    assert count == len(refused)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_corruption_is_no_exception_and_its_line_is_right(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(b"".join(line + b"\n" for line in [_PIECES[0], _PIECES[1]] * 6))
    for _ in range(data.draw(st.integers(1, 4))):
        if not content:
            break
        at = data.draw(st.integers(0, len(content) - 1))
        way = data.draw(st.sampled_from(["set", "delete", "insert", "cut"]))
        byte = data.draw(st.sampled_from([0, 10, 13, 32, 34, 44, 91, 92, 123, 125, 0xC3, 0xFF, 65]))
        if way == "set":
            content[at] = byte
        elif way == "delete":
            del content[at]
        elif way == "insert":
            content.insert(at, byte)
        elif at:
            del content[at:]
    path = tmp_path / "a.jsonl"
    path.write_bytes(bytes(content))
    facts = read_data(path)
    lines = bytes(content).split(b"\n")
    refused = [number for number, line in enumerate(lines, 1) if line.strip() and not _is_object(line)]
    found = [each for each in facts.problems if each.kind in ("malformed-json", "bad-encoding", "hostile-line")]
    assert sum(each.count for each in found) == len(refused)
    assert {place.line for each in found for place in each.samples} <= set(refused)
    assert {place.line for each in facts.problems for place in each.samples} <= set(range(len(lines) + 1)) | {None}


_LINE = json.dumps(HI).encode()


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([_LINE + _LINE], [1]),
        ([_LINE.replace(b"[{", b"[\n{")], [1, 2]),
        ([_LINE + _LINE, _LINE.replace(b"[{", b"[\n{")], [1, 2, 3]),
        ([_LINE + _LINE, _LINE.replace(b"}, {", b"}\n, {")], [1, 2, 3]),
    ],
)
def test_objects_are_told_from_lines_also_where_their_numbers_agree(
    tmp_path: Path, rows: list[bytes], lines: list[int]
) -> None:
    problem = read_data(write(tmp_path / "a.jsonl", *[_LINE] * 10_000, *rows, _LINE)).problem("malformed-json")
    assert problem is not None
    assert [each.line for each in problem.samples] == [10_000 + line for line in lines]


def test_workers_tell_the_same_as_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", *[*[HI] * 50, b"broken", {"text": "a"}, chat(("gpt", "a"))] * 40)
    monkeypatch.setattr(reading, "_RANGE_BYTES", 10_000)
    alone = read_data(path, workers=1)
    monkeypatch.setattr(pool, "MIN_PARALLEL_BYTES", 1)
    done: list[tuple[int, int]] = []
    assert read_data(path, workers=3, on_progress=lambda some, all_: done.append((some, all_))) == alone
    size = path.stat().st_size
    assert done[-1] == (size, size)
    assert done == sorted(done)
    assert alone.problem("malformed-json").count == 40  # type: ignore[union-attr]


def test_a_worker_that_dies_is_told_and_no_clean_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", *[HI] * 500)
    monkeypatch.setattr(reading, "_RANGE_BYTES", 4_000)
    monkeypatch.setattr(pool, "MIN_PARALLEL_BYTES", 1)
    program = (
        "import os, signal; from trainguard.facts.data import worker as w, ranges\n"
        "def tallies(reader, part, limit, before=w.tallies):\n"
        "    if part.start == 8000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return before(reader, part, limit)\n"
        "w.tallies = tallies; w.main()"
    )
    monkeypatch.setattr(pool, "_PROGRAM", program)
    facts = read_data(path, workers=2)
    problem = facts.problem("unreadable-input")
    assert problem is not None
    assert problem.count == 1
    assert "was killed (SIGKILL)" in problem.samples[0].detail
    assert 0 < facts.rows < 500


def test_without_workers_it_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", *[HI] * 500)
    monkeypatch.setattr(reading, "_RANGE_BYTES", 4_000)
    monkeypatch.setattr(pool, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr(pool, "_PROGRAM", "raise SystemExit(3)")
    facts = read_data(path, workers=2)
    assert (facts.rows, facts.problems) == (500, ())


@pytest.mark.parametrize("rows", [50, 400])
def test_duplicates_beyond_what_a_set_holds(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_SET_ROWS", 64)
    monkeypatch.setattr(duplicates, "_MEMORY_BYTES", 128)
    found = duplicates.ExactDuplicates()
    values = [0, *[(number * 0x9E3779B97F4A7C15) % 2**64 for number in range(1, rows)], 0]
    found.add(0, 0, b"".join(value.to_bytes(8, "little") for value in values))
    found.add(1, 7, b"".join(values[at].to_bytes(8, "little") for at in (5, 5, 0, 9)))
    count, repeats = found.result()
    found.close()
    assert count == 3
    assert [tuple(each) for each in repeats] == [(1, 7, 0, 5), (1, 8, 0, 5), (1, 10, 0, 9)]


def test_a_sample_says_that_it_is_one_and_keeps_line_numbers(tmp_path: Path) -> None:
    rows = [HI] * 20_000
    rows[-1] = chat(("user", "a"))
    path = write(tmp_path / "a.jsonl", *rows)
    facts = read_data(path, sample=2_000)
    assert 500 < facts.rows < 8_000
    assert any("about 2,000 rows" in note for note in facts.notes)
    everything = read_data(path, sample=100_000)
    assert everything.rows == 20_000
    assert told(everything) == [("no-assistant-turn", 1, [(20_000, 15)])]


def test_a_sample_finds_the_right_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *[HI] * 10_000, *[chat(("user", "a"))] * 10_000)
    facts = read_data(path, sample=2_000)
    problem = facts.problem("no-assistant-turn")
    assert problem is not None
    lines = path.read_bytes().split(b"\n")
    assert all(b"assistant" not in lines[(each.line or 0) - 1] for each in problem.samples)


def test_rows_are_given_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", HI, b"broken", b"", {"text": "a"})
    assert [(line, row) for _, line, row in iterate(path)] == [(1, HI), (4, {"text": "a"})]
    assert list(iterate(tmp_path / "none.jsonl")) == []


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_RANGE_BYTES", 1_000)
    for way, words in (("cut", "100 after"), ("gone", "is gone"), ("grown", "bytes before")):
        path = write(tmp_path / "a.jsonl", *[HI] * 100)

        def change(*_: int, way: str = way, path: Path = path) -> None:
            if way == "cut":
                os.truncate(path, 100)
            elif way == "gone":
                path.unlink(missing_ok=True)
            else:
                with path.open("ab") as file:
                    file.write(b"more")

        problem = read_data(path, on_progress=change).problem("unreadable-input")
        assert problem is not None
        assert problem.count == 1
        assert "changed while it was read" in problem.samples[0].detail
        assert words in problem.samples[0].detail


def test_the_special_tokens_and_the_template_of_a_tokenizer_decide(tmp_path: Path) -> None:
    folder = tmp_path / "tok"
    folder.mkdir()
    vocabulary = Tokenizer(models.BPE())
    vocabulary.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<start_of_turn>", "<end_of_turn>", "[PAD]", "<bos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    vocabulary.train_from_iterator(["hello"], trainer)
    vocabulary.save(str(folder / "tokenizer.json"))
    template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ 'x' if m['role'] == 'ipython' else m['role'] }}{{ m['content'] }}{% endfor %}"
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    rows = [
        chat(("user", "a <|im_end|> [PAD] <bos>"), ("assistant", "b")),
        chat(("user", "a <end_of_turn>"), ("assistant", "b")),
        chat(("user", "a"), ("user", "a"), ("ipython", "c"), ("assistant", "b")),
        chat(("system", "s"), ("user", "a"), ("assistant", "b")),
        chat(("human", "a"), ("assistant", "b")),
    ]
    facts = read_data(write(tmp_path / "a.jsonl", *rows), tokenizer=folder)
    assert facts.template_judged
    assert [(each.kind, each.samples[0].line, dict(each.counts)) for each in facts.problems] == [
        ("unknown-role", 5, {"human": 1}),
        ("role-order", 4, {"no system role": 1}),
        ("template-token-in-content", 2, {"<end_of_turn>": 1}),
    ]
    facts = read_data(write(tmp_path / "a.jsonl", *rows), tokenizer=tmp_path / "none")
    assert not facts.template_judged
    assert any("the tokenizer cannot be used" in note for note in facts.notes)
