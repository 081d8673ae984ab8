"""The facts are never wrong: programs are run, and what they show is compared with what the facts say of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.facts.random_programs import Writer
from tests.facts.soundness import GIVEN, wrong

from trainguard.facts.script import read_script
from trainguard.facts.values import UNKNOWN, options


def programs() -> dict[str, str]:
    text = (Path(__file__).parent / "programs.txt").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("# == ")[1:])
    return {name: GIVEN + body for name, _, body in parts}


PROGRAMS = programs()


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")  # of what the programs do
def test_a_program_does_only_what_the_facts_say(name: str) -> None:
    assert sorted(set(wrong(PROGRAMS[name]))) == [], PROGRAMS[name]


def judge(seeds: range) -> None:
    for seed in seeds:
        source = Writer(seed).program()
        found = sorted(set(wrong(source, answers=4)))
        assert found == [], f"seed {seed}\n{source}"


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_random_programs_do_only_what_the_facts_say(start: int) -> None:
    judge(range(start, start + 50))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 11000, 1000))
def test_many_random_programs_do_only_what_the_facts_say(start: int) -> None:
    judge(range(start, start + 1000))


def test_the_facts_know_most_of_what_the_programs_show() -> None:
    """Facts that know nothing would never be wrong either."""
    known = total = 0
    for source in PROGRAMS.values():
        for call in read_script(source, arguments=()).calls:
            if call.written_name == "show" and call.node.args and call.live:
                total += 1
                known += UNKNOWN not in options(call.positional(0))
    assert known / total > 0.7
