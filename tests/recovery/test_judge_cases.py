"""The classifier against labels of somebody who had not read it, and against four sets that were written later."""

from __future__ import annotations

import pytest

from tests.recovery.judge_cases import CASES, FIRST_WRONG_CLASSIFIER, FIRST_WRONG_EVIDENCE, FIRST_WRONG_LABEL, Case
from tests.recovery.judge_fourth import (
    FOURTH,
    FOURTH_WRONG_FIRST,
    FOURTH_WRONG_LABEL,
    LATER,
    LATER_WRONG_FIRST,
    STILL_WRONG,
)
from tests.recovery.judge_holdout import HELD_OUT, HELD_OUT_WRONG_FIRST
from tests.recovery.judge_third import THIRD, THIRD_WRONG_FIRST
from trainguard.recovery.classify import classify

EVERY = [*CASES, *HELD_OUT, *THIRD, *FOURTH, *LATER]


@pytest.mark.parametrize("case", [each for each in EVERY if each[0] not in STILL_WRONG], ids=lambda case: str(case[0]))
def test_an_end_is_called_what_it_was(case: Case) -> None:
    name, evidence, honest, codes = case
    found = classify(evidence)
    said = (found.kind, found.code, found.why) if found is not None else (None, "", "")
    assert said[0] in honest, f"{name}: {said}"
    assert found is None or found.code.startswith(codes), f"{name}: {said}"


def test_no_case_is_there_twice_and_the_record_names_cases() -> None:
    names = [case[0] for case in EVERY]
    assert len(set(names)) == len(names) >= 580
    wrong = {
        *FIRST_WRONG_CLASSIFIER,
        *FIRST_WRONG_LABEL,
        *FIRST_WRONG_EVIDENCE,
        *HELD_OUT_WRONG_FIRST,
        *THIRD_WRONG_FIRST,
        *FOURTH_WRONG_FIRST,
        *FOURTH_WRONG_LABEL,
        *LATER_WRONG_FIRST,
        *STILL_WRONG,
    }
    assert wrong <= set(names)


@pytest.mark.parametrize("case", [each for each in CASES if each[1].tail], ids=lambda case: str(case[0]))
def test_what_was_survived_or_only_printed_decides_nothing(case: Case) -> None:
    """Whatever the log holds, a run that made all its steps and ended cleanly has succeeded."""
    from msgspec.structs import replace

    clean = replace(case[1], exit_code=0, signal=None, asked_by=None, findings=(), planned_steps=50, own_steps=50)
    assert classify(clean) is None
