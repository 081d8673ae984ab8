"""What Hypothesis draws of the campaign: the same life for the same seed, without living it, and every fault."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from campaign.blows import BLOWS
from campaign.catalogue import IN_REAL_TRAINER, IN_TRAINER, ODD, WISHES, Drop
from campaign.machine import BrokenError, Life, draw, planned


class Noted:
    """A world in which nothing happens: it notes what would."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.notes: list[tuple[Any, ...]] = []

    def tick(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        self.notes.append(("wait", seconds))

    def drop(self, drop: Drop, fault: str | None) -> None:
        self.notes.append((fault or "drop", drop))

    def ask(self, what: str, *arguments: str) -> None:
        self.notes.append((what, *arguments))

    def arm(self, fault: dict[str, Any]) -> None:
        self.notes.append((fault["what"], fault))

    def strike(self, what: str, **how: Any) -> None:
        self.notes.append((what, how))

    def finish(self) -> dict[str, Any]:
        return {"violations": self.violations}


class Lives:
    """Draws lives, and keeps the worlds that they were lived in."""

    worlds: ClassVar[list[Noted]] = []

    def drawn(self, seed: int, trainer: str = "tiny") -> list[tuple[Any, ...]]:
        self.worlds.clear()

        def make_world() -> Noted:
            self.worlds.append(Noted())
            return self.worlds[-1]

        draw(cast("type[Life]", type("L", (Life,), {"trainer": trainer, "make_world": staticmethod(make_world)})), seed)
        assert len(self.worlds) == 1
        return self.worlds[0].notes


def test_a_seed_draws_the_same_life_again_and_another_seed_another() -> None:
    lives = Lives()
    assert lives.drawn(3) == lives.drawn(3)
    assert lives.drawn(3) != lives.drawn(4)


def test_every_fault_and_every_wish_is_drawn_and_can_be_made() -> None:
    lives = Lives()
    in_trainer = {each for group in IN_TRAINER.values() for each in group}
    expected = {"wait", "drop", *BLOWS, *in_trainer, *ODD, *WISHES}
    drawn: set[str] = set()
    for seed in range(200):
        drawn |= {note[0] for note in lives.drawn(seed)}
        if drawn >= expected:
            break
    assert drawn == expected


def test_the_real_trainer_is_asked_only_for_what_it_can_be_brought_to() -> None:
    lives = Lives()
    for seed in range(10):
        armed = [note[1] for note in lives.drawn(seed, "real") if isinstance(note[-1], dict) and "step" in note[-1]]
        assert {each["what"] for each in armed} <= IN_REAL_TRAINER
        assert all(isinstance(each["step"], int) and each["step"] > 0 for each in armed)


def test_the_faults_of_a_life_are_known_before_it_is_lived() -> None:
    lives = Lives()
    for seed in range(5):
        notes = lives.drawn(seed)
        harmless = {"wait", "drop", "pause", *WISHES}
        assert planned(seed, "tiny") == sum(note[0] not in harmless for note in notes)


def test_what_breaks_ends_a_life_which_is_made_smaller() -> None:
    class Breaking(Noted):
        def strike(self, what: str, **how: Any) -> None:
            super().strike(what, **how)
            if what == "power":
                self.violations.append("the power broke it")

    worlds: list[Noted] = []

    def make_world() -> Noted:
        worlds.append(Breaking())
        return worlds[-1]

    with pytest.raises(BrokenError, match="broke it"):
        draw(cast("type[Life]", type("L", (Life,), {"make_world": staticmethod(make_world)})), 5, shrink=True)
    broken = [each for each in worlds if each.violations]
    smallest = min(broken, key=lambda world: len(repr(world.notes)))
    assert len([note for note in smallest.notes if note[0] in BLOWS]) == 1
    assert {note[1].rows for note in smallest.notes if note[0] == "drop"} == {6}
    assert {note[1].rows for note in broken[0].notes if note[0] == "drop"} != {6}
