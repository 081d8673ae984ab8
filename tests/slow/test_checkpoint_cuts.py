"""200 damaged checkpoints of each kind: none is chosen unless the Trainer resumes from it bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.facts.checkpoint_damage import BAD, GOOD, Trainers, damaged, damages
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint

CUTS = 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora", "sharded"])
def test_two_hundred_cuts(kind: str, tmp_path: Path) -> None:
    with Trainers() as trainers:
        runs = trainers.runs(kind, tmp_path)
        tried = list(damages(runs, seed=3, rounds=6))[-CUTS:]  # the last ones are those of every family
        assert len(tried) == CUTS
        for number, damage in enumerate(tried):
            folder = damaged(runs, damage, tmp_path / str(number))
            chosen = latest_verified_checkpoint(folder)
            if chosen == folder / BAD:
                assert trainers.outcome(runs, folder / BAD) == "equal", damage
            else:
                assert chosen == folder / GOOD, damage
        assert trainers.outcome(runs, runs.first / GOOD) == "equal"
