"""Every message of the catalogue: found by its example, sourced, and not found in what merely talks of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from tests.recovery.labelled import ROW_OOM, trace
from trainguard.recovery.catalogue import Message, messages, of_exceptions, of_kernel, of_line
from trainguard.recovery.classify import classify
from trainguard.recovery.page import page
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.reading import last_lines
from trainguard.recovery.records import Evidence, Kind
from trainguard.recovery.registry import HEADINGS, by_kind, policies
from trainguard.recovery.xid import XIDS, worst, xids
from trainguard.signals.codes import RUN_CODES

_CODE = re.compile(r"(?:DATA|CFG|SYS|CKPT|MODEL)\d{3}")


def test_there_are_as_many_messages_as_asked_for() -> None:
    assert len(messages()) >= 100
    assert len({each.id for each in messages()}) == len(messages())


@pytest.mark.parametrize("message", messages(), ids=lambda each: each.id)
def test_a_message_finds_its_example_and_names_its_source(message: Message) -> None:
    assert message.code in RUN_CODES or _CODE.fullmatch(message.code)
    assert len(message.source) > 10
    match message.where:
        case "kernel":
            assert of_kernel([message.example]) is message
        case "line":
            found = of_line(message.example, min(message.exits, default=1))
            assert found is message
        case "exception":
            found = of_exceptions([message.example])
            assert found is not None
            assert (found.kind, found.code) == (message.kind, message.code), found.id


@pytest.mark.parametrize(
    "message", [each for each in messages() if each.where == "exception"], ids=lambda each: each.id
)
def test_an_exception_decides_as_the_end_and_not_as_talk(message: Message) -> None:
    ended = classify(Evidence(exit_code=1, tail=trace(message.example), disk_free_bytes=10**12))
    assert ended is not None
    assert ended.kind in (message.kind, "disk-error", "disk-full", "killed") or message.rank == 0
    # The same words in a row of data, in a survived warning, or within another exception's message decide nothing.
    words = message.example.replace('"', "'")
    for tail in (
        (f'{{"text": "{words}"}}',),
        (f"WARNING: {words}", "{'loss': '2.1'}"),
        (*trace(message.example), "{'loss': '2.1'}", "{'loss': '2.0'}"),
    ):
        talked = classify(Evidence(exit_code=1, tail=tail))
        assert talked is not None
        assert talked.kind == "unknown", (tail, talked)


def test_rows_of_data_are_no_last_words() -> None:
    assert last_lines(["a", ROW_OOM, '{"input_ids": [1, 2]}', ""]) == ["a"]


def test_the_kinds_of_the_catalogue_all_have_a_policy() -> None:
    assert {each.kind for each in messages()} <= set(by_kind())
    assert set(by_kind()) == set(get_args(Kind))


@pytest.mark.parametrize("policy", policies(), ids=lambda each: each.name)
def test_a_policy_says_what_it_does_and_why(policy: Policy) -> None:
    assert all(f"*{each}*" in (policy.__doc__ or "") for each in HEADINGS)


def test_the_page_is_that_of_the_code() -> None:
    path = Path(__file__).parents[2] / "docs" / "recovery.md"
    assert path.read_text(encoding="utf-8").partition("\n\n")[2] == page(), "run `make docs`"


def test_xids_are_told_apart() -> None:
    line = "[1.2] NVRM: Xid (PCI:0000:65:00): {}, pid=4711, name=python, text"
    assert [each.number for each in xids([line.format(13), "other", line.format(9999)])] == [13, 9999]
    assert worst([line.format(45), line.format(31), line.format(79)], "gpu") == XIDS[79]
    assert worst([line.format(45), line.format(31)], "gpu") is None
    assert XIDS[94].meaning == XIDS[119].meaning == "gpu"
    assert XIDS[45].meaning == XIDS[63].meaning == "report"
    assert XIDS[31].meaning == "application"
