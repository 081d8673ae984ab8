"""What attempts ended with: 174 labelled ones, a third of which were set aside while the classifier was made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recovery.labelled import DONE, OOM, PART, ROWS, Row, evidence, finding, is_set_aside, trace
from trainguard.recovery.classify import classify
from trainguard.recovery.records import Evidence
from trainguard.recovery.signs import ending


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_an_attempt_is_what_a_person_would_say(row: Row) -> None:
    _, kind, given_ = row
    failure = classify(evidence(given_))
    assert (failure.kind if failure is not None else None) == kind, failure


def test_a_third_was_set_aside() -> None:
    aside = sum(is_set_aside(name) for name, _, _ in ROWS)
    assert len(ROWS) > 150
    assert 0.2 < aside / len(ROWS) < 0.45


@pytest.mark.parametrize("ended", [{"signal": 11}, {"signal": 9}, {"exit_code": 134}, {"exit_code": 75}])
@pytest.mark.parametrize("asked_by", [None, "drain", "hang", "cancel"])
def test_what_happens_after_the_result_is_saved_is_no_failure(ended: dict[str, int], asked_by: str | None) -> None:
    last_words = ("terminate called without an active exception", "Segmentation fault (core dumped)")
    known = {**ended, "asked_by": asked_by, "tail": last_words, "planned_steps": 12}
    assert classify(Evidence(**known, own_steps=12, result_saved=True)) is None
    assert classify(Evidence(**known, own_steps=12)) is not None
    assert classify(Evidence(**known, own_steps=11, result_saved=True)) is not None


def test_a_failure_names_its_code_and_the_numbers() -> None:
    oom = classify(Evidence(exit_code=1, tail=trace(OOM), **PART))
    assert oom is not None
    assert (oom.code, oom.phase, oom.step) == ("RUN010", "train", 10)
    assert oom.data["tried_bytes"] == 2 * 2**30
    assert oom.data["own_bytes"] == round(22.51 * 2**30)
    full = classify(
        Evidence(exit_code=1, tail=trace("OSError: [Errno 28] No space left on device"), disk_free_bytes=17)
    )
    assert full is not None
    assert "17 bytes are free" in full.why
    elsewhere = classify(
        Evidence(exit_code=1, tail=trace("OSError: [Errno 28] No space left on device"), disk_free_bytes=2**40)
    )
    assert elsewhere is not None
    assert elsewhere.data["elsewhere"] is True
    kernel = classify(Evidence(signal=9, oom_kills=1, peak_rss_bytes=60 * 2**30, memory_limit_bytes=64 * 2**30))
    assert kernel is not None
    assert "60.0 GiB of 64.0 GiB" in kernel.why


def test_the_onset_is_that_of_the_finding() -> None:
    diverged = classify(Evidence(exit_code=1, findings=(finding("RUN003", step=90, since_step=60),)))
    assert diverged is not None
    assert diverged.data["onset"] == 60
    lost = classify(Evidence(exit_code=1, findings=(finding("RUN001", step=90),), step=95, own_steps=45))
    assert lost is not None
    assert (lost.data["onset"], lost.data["step_before"]) == (90, 50)


def test_the_same_exception_at_the_same_step_has_the_same_fingerprint() -> None:
    def of(last: str, step: int, line: int = 7) -> str:
        tail = trace(last, ("/a/b/train.py", line, "main"), ("/x/site-packages/torch/m.py", 3, "f"))
        failure = classify(Evidence(exit_code=1, tail=tail, step=step, phase="train"))
        assert failure is not None
        return failure.fingerprint

    assert of("KeyError: 'a'", 3) == of("KeyError: 'b'", 3)
    assert len({of("KeyError: 'a'", 3), of("KeyError: 'a'", 4), of("IndexError: x", 3), of("KeyError: 'a'", 3, 8)}) == 4


def test_a_traceback_of_its_own_file_goes_before_the_output() -> None:
    text = "\n".join(trace("ZeroDivisionError: division by zero"))
    failure = classify(Evidence(exit_code=1, tail=("no news",), traceback=text, **PART))
    assert failure is not None
    assert failure.data["place"].startswith("code/ZeroDivisionError@project/train.py:41")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"exit_code": 137}, (137, 9)),
        ({"exit_code": -11}, (139, 11)),
        ({"signal": 15}, (143, 15)),
        ({"exit_code": 1}, (1, None)),
        ({"exit_code": 255}, (255, None)),
        ({}, (None, None)),
    ],
)
def test_wrappers_say_signals_as_exit_codes(given_: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    assert ending(Evidence(**given_)) == expected


_TEXT = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            *trace(OOM),
            *trace("KeyError: 'x'", prefix="[rank0]: "),
            "{'loss': 1}",
            "Root Cause",
            "  exitcode  : -9 (pid: 1)",
        ]
    ),
)
_VALUE = st.none() | st.integers(-5, 300) | st.text(max_size=8) | st.binary(max_size=8) | st.floats() | st.booleans()
_FINDING = st.dictionaries(st.sampled_from(["code", "severity", "message", "step", "evidence"]), _VALUE)


@settings(max_examples=120, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "exit_code": st.none() | st.integers(-70, 300),
            "signal": st.none() | st.integers(-1, 70),
            "asked_by": st.sampled_from([None, "drain", "pause", "hang", "lease", "cancel", "?"]),
            "tail": st.lists(_TEXT, max_size=30).map(tuple),
            "traceback": st.none() | _TEXT,
            "findings": st.lists(_FINDING, max_size=4).map(tuple),
            "kernel": st.lists(_TEXT | st.just("NVRM: Xid (PCI:0000:65:00): 79, x"), max_size=4).map(tuple),
            "oom_kills": st.none() | st.integers(-1, 3),
            "disk_free_bytes": st.none() | st.integers(-1, 2**50),
            "inodes_free": st.none() | st.integers(-1, 9),
            "mount_gone": st.booleans(),
            "gpu_answers": st.none() | st.booleans(),
            "planned_steps": st.none() | st.integers(-1, 99),
            "own_steps": st.none() | st.integers(-1, 99),
            "step": st.none() | st.integers(-1, 99),
        },
    )
)
def test_nothing_makes_it_raise(given_: dict[str, Any]) -> None:
    failure = classify(Evidence(**given_))
    assert failure is None or (failure.why and failure.code and len(failure.why) < 900)
    if failure is None:
        assert given_.get("exit_code") in (0, 1)
        assert given_.get("signal") is None
    assert classify(Evidence(**given_)) == failure


@pytest.mark.parametrize("field", ["tail", "findings", "kernel", "traceback"])
@pytest.mark.parametrize("value", [None, b"\xff\x00", 7, ("a", None, b"\xff"), [{"code": None}]])
def test_evidence_of_the_wrong_type_is_an_unknown_failure(field: str, value: Any) -> None:
    failure = classify(Evidence(exit_code=1, **{field: value}))
    assert failure is not None


def test_a_long_output_is_read_in_time() -> None:
    import time

    tail = tuple([*trace(OOM)] * 400 + ["x" * 10_000] * 400 + ["a: " * 2_000] * 400)
    begin = time.process_time()
    classify(Evidence(exit_code=1, tail=tail))
    assert time.process_time() - begin < 2.0


def test_success_is_told_by_exit_and_steps_alone() -> None:
    assert classify(Evidence(exit_code=0, tail=trace(OOM), oom_kills=3, disk_free_bytes=0, **DONE)) is None
