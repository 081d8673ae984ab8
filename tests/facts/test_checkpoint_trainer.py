"""Against the real Trainer: what it saves verifies, what it does with damaged ones, and what is chosen instead."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.facts.checkpoint_damage import BAD, GOOD, Damage, Runs, Trainers, damaged, damages

from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.reading import read_checkpoints

ONE_OF_EACH = 20


@pytest.fixture(scope="module")
def trainers() -> Iterator[Trainers]:
    with Trainers() as process:
        yield process


@pytest.fixture(scope="module")
def runs(trainers: Trainers, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return trainers.runs("full", tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("kind", ["full", "lora", "sharded"])
def test_what_the_trainer_saves_verifies(kind: str, trainers: Trainers, tmp_path: Path) -> None:
    trainers.ask("save", kind=kind, folder=tmp_path, seed=0)

    for deep in (False, True):
        facts = read_checkpoints(tmp_path, deep=deep)
        assert [each.why_not for each in facts.checkpoints] == ["", "", ""]
        assert [each.step for each in facts.checkpoints] == [2, 4, 6]
        assert [problem.kind for each in facts.checkpoints for problem in each.problems] == ["already-complete"]


def test_a_copy_verifies_too(runs: Runs, tmp_path: Path) -> None:
    # Copies have other times, in an order that the copying decides.
    for name, order in (("sorted", sorted), ("backwards", lambda names: sorted(names, reverse=True))):
        target = tmp_path / name / BAD
        target.mkdir(parents=True)
        for path in order(list((runs.first / BAD).iterdir())):  # type: ignore[operator]
            shutil.copy(path, target / path.name)
        assert latest_verified_checkpoint(tmp_path / name) == target


def test_without_optimizer_nothing_is_wrong_and_nothing_is_chosen(trainers: Trainers, tmp_path: Path) -> None:
    trainers.ask("save", kind="full", folder=tmp_path, seed=0, save_only_model=True)

    facts = read_checkpoints(tmp_path)

    assert [problem.kind for each in facts.checkpoints for problem in each.problems] == []
    assert all("save_only_model" in each.why_not for each in facts.checkpoints)
    assert latest_verified_checkpoint(tmp_path) is None


def test_the_trainer_takes_the_highest_number_whether_it_is_whole_or_not(
    runs: Runs, trainers: Trainers, tmp_path: Path
) -> None:
    shutil.copytree(runs.first / GOOD, tmp_path / GOOD)
    (tmp_path / BAD).mkdir()

    assert trainers.ask("last", folder=tmp_path) == str(tmp_path / BAD)
    assert trainers.outcome(runs, tmp_path / BAD).startswith("fails: ")
    assert latest_verified_checkpoint(tmp_path) == tmp_path / GOOD


@pytest.mark.parametrize("name", ["scheduler.pt", "optimizer.pt", "rng_state.pth"])
def test_the_trainer_resumes_wrongly_and_silently_without(
    name: str, runs: Runs, trainers: Trainers, tmp_path: Path
) -> None:
    shutil.copytree(runs.first / GOOD, tmp_path / GOOD)
    shutil.copytree(runs.first / BAD, tmp_path / BAD)
    (tmp_path / BAD / name).unlink()

    assert trainers.outcome(runs, tmp_path / BAD) == "differs"
    assert latest_verified_checkpoint(tmp_path) == tmp_path / GOOD


def test_no_damaged_checkpoint_is_chosen_unless_the_trainer_resumes_correctly(
    runs: Runs, trainers: Trainers, tmp_path: Path
) -> None:
    tried = few(list(damages(runs, seed=0)))
    assert len(tried) == ONE_OF_EACH
    outcomes = set()

    for number, damage in enumerate(tried):
        folder = damaged(runs, damage, tmp_path / str(number))
        chosen = latest_verified_checkpoint(folder)
        outcome = trainers.outcome(runs, folder / BAD)
        outcomes.add(outcome.partition(":")[0])
        assert chosen == folder / GOOD or (chosen == folder / BAD and outcome == "equal"), damage

    assert outcomes >= {"differs", "fails"}
    assert trainers.outcome(runs, runs.first / GOOD) == "equal"


def few(every: list[Damage]) -> list[Damage]:
    """One damage of each family in turn, so that few of them are of all kinds."""
    by_family: dict[str, list[Damage]] = {}
    for damage in every:
        by_family.setdefault(damage.family, []).append(damage)
    taken: list[Damage] = []
    while len(taken) < ONE_OF_EACH:
        taken += [left.pop() for left in by_family.values() if left]
    return taken[:ONE_OF_EACH]
