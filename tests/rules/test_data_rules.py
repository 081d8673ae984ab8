"""DATA rules on facts that no small file has: thresholds, tables, folders, secrets, hostile words."""

from __future__ import annotations

import pytest

from tests.report.data_samples import facts
from trainguard.facts.data.folders import SAVED_FOLDER
from trainguard.facts.data.records import (
    DataFacts,
    DataFile,
    Duplicates,
    Leak,
    Problem,
    ProblemKind,
    Sample,
    Truncation,
)
from trainguard.findings import Finding, Location
from trainguard.material import report_on
from trainguard.rules.base import Subject
from trainguard.rules.data._problems import each_counted, repair, share
from trainguard.rules.data.large_file import LargeFile

TOKEN = "hf_" + "qWeRtYuIoPaSdFgHjKlZxCvBnMqWeRtYuI"
QUIET = facts(problems=(), truncation=None, duplicates=None, leak=None)
KINDS: dict[ProblemKind, str] = {
    "empty-file": "DATA001",
    "malformed-json": "DATA002",
    "messages-missing": "DATA003",
    "messages-empty": "DATA004",
    "unknown-role": "DATA005",
    "content-not-string": "DATA006",
    "bad-encoding": "DATA007",
    "no-assistant-turn": "DATA010",
    "role-order": "DATA011",
    "empty-content": "DATA012",
    "hostile-line": "DATA013",
    "wrong-extension": "DATA014",
    "template-token-in-content": "DATA017",
    "mixed-schemas": "DATA018",
    "unreadable-input": "DATA020",
}


def found(data: DataFacts) -> list[Finding]:
    report = report_on(Subject(kind="data", data=data), data.path)
    assert report.errors == ()
    return list(report.findings)


def with_problem(kind: ProblemKind, sample: Sample, count: int = 1, **changes: object) -> DataFacts:
    counts = {"human": count, "gpt": 1}
    problem = Problem(kind=kind, count=count, samples=(sample,) if sample.path else (), counts=counts)
    return facts(**{"problems": (problem,), "truncation": None, "duplicates": None, "leak": None} | changes)


def test_data_without_a_problem_are_left_alone() -> None:
    assert found(QUIET) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_problem_has_its_rule_and_its_place(kind: ProblemKind) -> None:
    sample = Sample(path="train.jsonl", line=7, column=3, text="{}", detail="what is wrong")
    (only,) = found(with_problem(kind, sample, count=3))
    assert only.code == KINDS[kind]
    assert only.where == Location("train.jsonl", 7, 3)
    assert only.evidence["count"] == 3
    assert dict(only.evidence["samples"][0]) == {"line": 7, "column": 3, "text": "{}", "detail": "what is wrong"}
    assert "\n" not in only.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_without_a_sample_is_still_told(kind: ProblemKind) -> None:
    (only,) = found(with_problem(kind, Sample(path="")))
    assert only.where == Location("train.jsonl")


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_the_data_neither_break_a_line_nor_carry_a_token(kind: ProblemKind) -> None:
    said = f"role {TOKEN}\n\x1b[31m" + "long " * 200
    sample = Sample(path="train.jsonl", line=7, text=said, detail=said)
    problem = Problem(kind=kind, count=2, samples=(sample,), counts={said: 2})
    (only,) = found(facts(problems=(problem,), truncation=None, duplicates=None, leak=None))
    assert "\n" not in only.message
    assert len(only.message) < 900
    assert TOKEN not in str(only.to_dict())


def test_a_row_of_a_table_has_a_number_but_no_line() -> None:
    file = DataFile(path="train.parquet", bytes=10, rows=20, format="parquet")
    sample = Sample(path="train.parquet", line=7, text="…")
    (only,) = found(with_problem("empty-content", sample, path="train.parquet", files=(file,)))
    assert only.where == Location("train.parquet")
    assert "(row 7)" in only.message
    assert only.evidence["samples"][0]["row"] == 7
    assert only.fix is None


def test_a_row_of_csv_has_a_line_but_no_column() -> None:
    file = DataFile(path="train.csv", bytes=10, rows=20, format="csv")
    sample = Sample(path="train.csv", line=7, column=30, text="…")
    (only,) = found(with_problem("empty-content", sample, path="train.csv", files=(file,)))
    assert only.where == Location("train.csv", 7)
    assert "column" not in only.evidence["samples"][0]


def test_a_shard_is_named() -> None:
    files = tuple(DataFile(path=f"data/{n}.jsonl", bytes=10, rows=20, format="jsonl") for n in (1, 2))
    sample = Sample(path="data/2.jsonl", line=7, column=2, text="{")
    (only,) = found(with_problem("malformed-json", sample, count=2, path="data", files=files))
    assert only.where == Location("data/2.jsonl", 7, 2)
    assert "in 2 lines (first: data/2.jsonl line 7)" in only.message
    assert only.evidence["samples"][0]["path"] == "data/2.jsonl"
    assert only.fix is None  # a folder has no one repaired copy


def test_one_empty_shard_is_not_said_to_be_everything() -> None:
    files = tuple(DataFile(path=f"data/{n}.jsonl", bytes=0, rows=0, format="jsonl") for n in (1, 2, 3))
    sample = Sample(path="data/2.jsonl")
    (one,) = found(with_problem("empty-file", sample, path="data", files=files))
    assert one.message.startswith("data/2.jsonl holds no example (0 bytes), while others do")
    (two,) = found(with_problem("empty-file", sample, count=2, path="data", files=files))
    assert two.message.startswith("2 of 3 files hold no example, the first is data/2.jsonl")


def test_a_repair_is_offered_where_there_is_one() -> None:
    assert repair(QUIET) == "trainguard data train.jsonl --fix train.repaired.jsonl"
    odd = facts("my data.txt", files=(DataFile(path="my data.txt", bytes=1, rows=1, format="jsonl"),))
    assert repair(odd) == "trainguard data 'my data.txt' --fix 'my data.repaired.jsonl'"
    packed = DataFile(path="a.jsonl.gz", bytes=1, rows=1, format="jsonl", compression="gzip")
    assert repair(facts("a.jsonl.gz", files=(packed,))) is None
    known = Sample(path="train.jsonl", line=1)
    (only,) = found(with_problem("unknown-role", known))
    assert only.fix is not None
    strange = Problem(kind="unknown-role", count=1, samples=(known,), counts={"narrator": 1})
    (only,) = found(facts(problems=(strange,), truncation=None, duplicates=None, leak=None))
    assert only.fix is None
    assert "rename them, or take the rows out" in only.message


# -- thresholds


@pytest.mark.parametrize(
    ("exact", "near", "speaks"),
    [(0, None, False), (113, None, False), (114, None, True), (0, 569, False), (0, 570, True), (3, 100, False)],
)
def test_repeats_are_told_from_one_percent_on_and_resemblance_from_five(
    exact: int, near: int | None, speaks: bool
) -> None:
    repeats = Duplicates(exact=exact, near=near, looked_at=11_400, threshold=0.8)
    findings = found(facts(problems=(), truncation=None, leak=None, duplicates=repeats))
    assert [each.code for each in findings] == ["DATA015"] * speaks


@pytest.mark.parametrize(
    ("exact", "near", "speaks"),
    [(0, 0, False), (19, None, False), (20, None, True), (0, 199, False), (0, 200, True)],
)
def test_leaks_are_told_from_one_in_a_thousand_on(exact: int, near: int | None, speaks: bool) -> None:
    leak = Leak(eval_path="eval.jsonl", eval_rows=20_000, exact=exact, near=near, threshold=0.8)
    findings = found(facts(problems=(), truncation=None, duplicates=None, leak=leak))
    assert [each.code for each in findings] == ["DATA016"] * speaks


@pytest.mark.parametrize(
    ("rows", "batch_size", "speaks"), [(7, 8, True), (8, 8, False), (0, 8, False), (7, None, False)]
)
def test_less_than_a_batch_is_told_where_the_batch_is_known(rows: int, batch_size: int | None, speaks: bool) -> None:
    data = facts(problems=(), truncation=None, duplicates=None, leak=None, rows=rows, batch_size=batch_size)
    assert [each.code for each in found(data)] == ["DATA009"] * speaks


@pytest.mark.parametrize(("size", "speaks"), [(1_000_000_000, False), (1_000_000_001, True)])
def test_a_file_is_large_above_one_gigabyte(size: int, speaks: bool) -> None:
    data = facts(files=(DataFile(path="train.jsonl", bytes=size, rows=9, format="jsonl"),))
    assert len(list(LargeFile().check(Subject(kind="data", data=data)))) == speaks


def test_several_large_files_are_one_finding() -> None:
    files = tuple(DataFile(path=f"data/{n}.jsonl", bytes=n * 900_000_000, rows=9, format="jsonl") for n in range(1, 5))
    (only,) = LargeFile().check(Subject(kind="data", data=facts("data", files=files)))
    assert only.message.startswith("data/2.jsonl has 1.8 GB and 2 more files are as large: ")
    assert only.where == Location("data/2.jsonl")


# -- words


def test_an_estimate_of_lengths_says_that_it_is_one() -> None:
    cut = Truncation(max_length=512, over=1510, longest=4711, lost_answers=None, exact=False, samples=())
    (only,) = found(facts(problems=(), duplicates=None, leak=None, truncation=cut))
    assert only.message.startswith("by estimate, 1,510 of 11,400 rows (13 %) are longer than max_length=512; ")
    assert "about 4,711 tokens" in only.message
    assert "--tokenizer" in only.message
    assert only.evidence["exact"] is False


@pytest.mark.parametrize(
    ("over", "lost", "words"),
    [
        (9, 9, "9 of 11,400 rows (less than 0.1 %) are longer than max_length=512 and lose their whole answer;"),
        (9, 1, "are longer than max_length=512, and 1 loses its whole answer;"),
        (1, 1, "1 of 11,400 rows (less than 0.1 %) is longer than max_length=512 and loses its whole answer;"),
        (9, 0, "are longer than max_length=512; the longest has 4,711 tokens"),
        (9, None, "are longer than max_length=512; the longest has 4,711 tokens"),
    ],
)
def test_how_many_lose_their_answer(over: int, lost: int | None, words: str) -> None:
    cut = Truncation(max_length=512, over=over, longest=4711, lost_answers=lost, exact=True, samples=())
    (only,) = found(facts(problems=(), duplicates=None, leak=None, truncation=cut))
    assert words in only.message


def test_a_template_that_has_judged_is_named() -> None:
    sample = Sample(path="train.jsonl", line=7, detail="roles must alternate")
    (only,) = found(with_problem("role-order", sample, template_judged=True))
    assert only.message.startswith("the chat template refuses 1 of 11,400 rows (line 7): roles must alternate; ")


ORDER = "merge messages of one role"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("Conversation roles must alternate user/assistant/user/assistant/...", ORDER),
        ("System message must be at the beginning.", ORDER),
        ("Message has tool role, but there was no previous assistant message with a tool call!", ORDER),
        ("No user query found in messages.", ORDER),
        ("System role not supported", "put the text of the system message at the start of the first user message"),
        ("Only user and assistant roles are supported!", "give messages only the roles that the template takes"),
        ("Unexpected message role.", "give messages only the roles that the template takes"),
        ("UndefinedError: 'dict object' has no attribute 'content'", "give every message a 'role' and a 'content'"),
        ("TypeError: Can only get item pairs from a mapping.", "write the 'arguments' of each tool call as an object"),
        ("requires tool_call.function.arguments to be a dict (mapping)", "write the 'arguments' of each tool call"),
        ('TypeError: can only concatenate str (not "list") to str', "write each 'content' as one string"),
        ('TypeError: can only concatenate str (not "NoneType") to str', "write a string where the row has null"),
        ("None of this will do", "change such rows to what the template takes"),
        ("", "change such rows to what the template takes"),
    ],
)
def test_the_remedy_fits_the_words_of_the_template(words: str, remedy: str) -> None:
    sample = Sample(path="train.jsonl", line=7, detail=words)
    (only,) = found(with_problem("role-order", sample, template_judged=True))
    assert f"; tokenizing stops there; {remedy}" in only.message
    assert only.message.count(".;") == words.count("...")


def test_a_saved_dataset_is_no_error() -> None:
    data = facts(problems=(Problem(kind="unreadable-input", count=1, counts={SAVED_FOLDER: 1}, samples=()),))
    assert [each.severity for each in found(data) if each.code == "DATA020"] == ["info"]
    both = {SAVED_FOLDER: 1, "Permission denied": 1}
    data = facts(problems=(Problem(kind="unreadable-input", count=2, counts=both, samples=()),))
    assert [each.severity for each in found(data) if each.code == "DATA020"] == ["error"]


def test_many_names_are_counted_not_listed() -> None:
    counts = {f"role{number}": 10 - number for number in range(9)}
    assert each_counted(counts) == "'role0' (10 rows), 'role1' (9 rows), 'role2' (8 rows), 'role3' (7 rows) and 5 more"


@pytest.mark.parametrize(
    ("part", "expected"), [(0, "0 %"), (1, "less than 0.1 %"), (50, "0.5 %"), (200, "2 %"), (9999, "99.9 %")]
)
def test_shares(part: int, expected: str) -> None:
    assert share(part, 10_000) == expected
