"""What must hold of `decide` in 2,000 random stories of a file: faults that pass, faults that stay, NaN and saves.

The world here is not the daemon's: checkpoints are a set of global steps, and an attempt goes on from the newest one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import pytest

from trainguard.recovery.case import LONGEST_DELAY_SECONDS
from trainguard.recovery.decide import decide
from trainguard.recovery.making import TRANSIENT, make
from trainguard.recovery.records import (
    Attempt,
    Decision,
    Evidence,
    Failure,
    History,
    Kind,
    Limits,
    Phase,
)

STORIES, AT_ONCE = 2_000, 100
MOST_ATTEMPTS = 41  # in a row without a new verified checkpoint
ENDS = ("hold", "quarantine", "fail")
# These go away without anybody's doing; not even a person is asked for them while there is progress in between.
PASSING: tuple[Kind, ...] = (
    "killed",
    "preempted",
    "hang",
    "network",
    "unknown",
    "disk-error",
    "disk-full",
    "mount-gone",
)
# These may end in a hold (a person looks), never in a quarantine.
HELD_AT_MOST: tuple[Kind, ...] = ("ram-oom", "gpu-lost", "ended-early", "internal")
FIELDS = {"batch_size", "gradient_accumulation", "eval.batch_size"}


class World:
    """One file in training: its checkpoints, what was tried, and a check of every decision."""

    def __init__(self, seed: int, **limits: int) -> None:
        self.random = chance = random.Random(seed)
        self.before = chance.choice((0, 0, 37, 1_200))
        self.planned = chance.randint(20, 400)
        self.every = chance.choice((None, 1, 3, 10, 25))
        self.keep = chance.choice((1, 2, 5))
        self.limits = Limits(
            retries=limits.get("retries", chance.randint(3, 5)),
            retry_delay_seconds=chance.choice((0.0, 0.5, 10.0, 60.0, 5_000.0)),
            rollbacks=chance.randint(0, 4),
            batch_size=limits.get("batch_size", chance.choice((1, 2, 3, 6, 8, 12, 16, 30))),
            gradient_accumulation=chance.randint(1, 9),
            step_before=self.before,
            save_steps=self.every,
        )
        self.effective = self.limits.batch_size * self.limits.gradient_accumulation
        self.checkpoints = {self.before}
        self.attempts: tuple[Attempt, ...] = ()
        self.changes: dict[str, object] = {}
        self.skipped: tuple[tuple[int, int], ...] = ()

    @property
    def newest(self) -> int:
        return max(self.checkpoints)

    @property
    def end(self) -> int:
        return self.before + self.planned

    def train(self, until: int, *, saves_at_end: bool = False) -> None:
        """Goes on from the newest checkpoint to a global step, saves on the way, and prunes."""
        every = self.every or max(1, self.planned // 3)
        self.checkpoints |= {step for step in range(self.newest + 1, until + 1) if step % every == 0}
        if saves_at_end and until > self.newest:
            self.checkpoints.add(until)
        self.checkpoints = {self.before, *sorted(self.checkpoints)[-self.keep :]}

    def fails(self, kind: Kind, *, step: int | None, phase: Phase = "train", first: int, **data: object) -> Decision:
        """An attempt that began at `first` ends; what is done about it, checked."""
        own = max(0, step - self.before) if step is not None else None
        evidence = Evidence(exit_code=1, phase=phase, step=step, own_steps=own, planned_steps=self.planned)
        failure = make(evidence, kind, "RUN022", "words", "test", data=data)
        assert failure.transient == (kind in TRANSIENT)
        number = len(self.attempts) + 1
        now = Attempt(
            number=number,
            started=60.0 * number,
            ended=60.0 * number + 30,
            first_step=first,
            last_step=step,
            verified_step=self.newest,
            failure=failure,
        )
        history = History(attempts=(*self.attempts, now), changes=dict(self.changes), skipped=self.skipped)
        decision = decide(failure, history, self.limits)
        assert decide(failure, history, self.limits) == decision, "the same question has the same answer"
        self.check(decision, failure)
        self.attempts = (*self.attempts, msgspec_replace(now, act=decision.act))
        self.changes |= decision.changes
        if decision.act == "rollback":
            self.roll_back(decision, failure)
        return decision

    def check(self, decision: Decision, failure: Failure) -> None:
        assert 0 <= decision.delay_seconds <= LONGEST_DELAY_SECONDS
        assert decision.why
        assert decision.policy
        assert decision.deadline_seconds is None or (decision.act == "pause" and decision.deadline_seconds > 0)
        assert set(decision.changes) <= FIELDS, "never another length or method"
        assert decision.advice or decision.act not in ENDS, "a person is told what to do"
        after = {"batch_size": self.limits.batch_size, "gradient_accumulation": self.limits.gradient_accumulation}
        after |= self.changes | decision.changes  # type: ignore[arg-type]
        assert after["batch_size"] * after["gradient_accumulation"] == self.effective
        assert after["batch_size"] >= 1
        assert after.get("eval.batch_size", 1) >= 1
        assert (decision.act == "rollback") == (decision.skip is not None) == (decision.before_step is not None)
        assert decision.act != "rollback" or failure.kind in ("not-finite", "divergence")

    def roll_back(self, decision: Decision, failure: Failure) -> None:
        """Goes back as `--before-step` does, and leaves out the window as `--skip-steps` does."""
        assert decision.before_step is not None
        assert decision.skip is not None
        first, last = decision.skip
        left = {step for step in self.checkpoints if step < decision.before_step}
        assert left, "there is a checkpoint to go back to"
        chosen = max(left) - self.before
        assert first > chosen, f"window {decision.skip} reaches behind the checkpoint of own step {chosen}"
        assert first <= last <= self.planned, f"window {decision.skip} of {self.planned} steps"
        onset = failure.data["onset"] - self.before
        assert first <= onset <= last, f"window {decision.skip} without the onset {onset}"
        assert decision.before_step <= failure.data["onset"]
        assert len(self.skipped) < self.limits.rollbacks
        self.checkpoints, self.skipped = left, (*self.skipped, decision.skip)
        self.planned -= last - first + 1


def msgspec_replace(attempt: Attempt, **fields: object) -> Attempt:
    from msgspec.structs import replace

    return replace(attempt, **fields)


def over(decision: Decision) -> bool:
    """Whether nothing more is tried until a person does something."""
    return decision.act in ENDS or (decision.act == "pause" and decision.wait_for is None)


def seeds(batch: int) -> Sequence[int]:
    return range(batch * AT_ONCE, (batch + 1) * AT_ONCE)


BATCHES = pytest.mark.parametrize("batch", range(STORIES // AT_ONCE // 4))


@BATCHES
def test_faults_that_pass_never_put_a_file_aside(batch: int) -> None:
    """Up to three in a row of any kind, with a new verified checkpoint after each row."""
    seen: Counter[str] = Counter()
    for seed in seeds(batch):
        world = World(seed)
        chance = world.random
        kinds = PASSING if chance.random() < 0.7 else PASSING + HELD_AT_MOST
        used: set[int] = set()
        while world.newest < world.end:
            reached = min(world.end, world.newest + chance.randint(1, max(2, world.planned // 6)))
            reached = next((s for s in range(reached, world.end) if s % (world.every or 5) == 0), world.end)
            first = world.newest
            world.train(reached, saves_at_end=True)  # progress
            if world.newest >= world.end:
                break
            same = chance.choice(kinds)
            at = world.newest
            # A fault at one and the same step of two attempts is no passing one: that is what tells the two apart.
            places = chance.sample(sorted(set(range(at + 1, at + 60)) - used), 3)
            used |= set(places)
            for step in places[: chance.randint(1, 3)]:
                kind = same if chance.random() < 0.7 else chance.choice(kinds)
                decision = world.fails(kind, step=step, first=first)
                first = at
                seen[decision.act] += 1
                assert decision.act not in ("quarantine", "fail"), (seed, kind, decision)
                if kinds is PASSING:
                    assert not over(decision), (seed, kind, decision)
                if decision.act == "hold":
                    break  # released by a person
    assert seen["retry"] > 100
    assert seen["pause"] > 20


@BATCHES
def test_faults_that_stay_end_in_bounded_attempts(batch: int) -> None:
    """One to six kinds that take turns and never let a new checkpoint through, at the same or at other steps."""
    for seed in seeds(batch):
        world = World(10_000 + seed, retries=seed % 7)
        chance = world.random
        kinds = chance.sample([each for each in get_args(Kind) if each != "stopped"], chance.randint(1, 6))
        phase: Phase = chance.choice(("load", "tokenize", "train", "evaluate", "save", "unknown"))
        at = chance.choice((None, world.before + 3))
        attempt, decision = 0, None
        while decision is None or not over(decision):
            attempt += 1
            assert attempt <= MOST_ATTEMPTS, (seed, kinds)
            step = at if at is None or chance.random() < 0.5 else at + chance.randint(0, 9)
            decision = world.fails(chance.choice(kinds), step=step, phase=phase, first=world.before)


@BATCHES
def test_not_finite_goes_back_before_its_onset_and_ends(batch: int) -> None:
    """NaN and divergence, wherever they show, with saves at odd steps, pruning, and other faults between."""
    for seed in seeds(batch):
        world = World(20_000 + seed)
        chance = world.random
        rollbacks, attempts = 0, 0
        while world.newest < world.end:
            attempts += 1
            assert attempts < 200
            first = world.newest
            if chance.random() < 0.3:
                until = chance.randint(first, world.end)
                world.train(until, saves_at_end=chance.random() < 0.5)
                decision = world.fails("preempted", step=until, first=first)
            else:
                shown = chance.randint(first + 1, world.end)
                kind: Kind = chance.choice(("not-finite", "divergence"))
                since = max(world.before + 1, shown - (chance.randint(0, 60) if kind == "divergence" else 0))
                world.train(shown - 1)
                decision = world.fails(kind, step=shown, first=first, since_step=since)
            rollbacks += decision.act == "rollback"
            if over(decision):
                break
        assert rollbacks <= world.limits.rollbacks
        assert len(world.skipped) == rollbacks


@BATCHES
def test_gpu_memory_keeps_the_effective_batch_down_to_one(batch: int) -> None:
    for seed in seeds(batch):
        world = World(30_000 + seed)
        size, attempts = world.limits.batch_size, 0
        while True:
            attempts += 1
            step = world.before + 1 + world.random.randint(0, 5)
            decision = world.fails("gpu-oom", step=step, first=world.before)
            if over(decision):
                break
            assert isinstance(decision.changes["batch_size"], int)
            assert decision.changes["batch_size"] <= size // 2
            size = decision.changes["batch_size"]
        assert (decision.act, size) == ("quarantine", 1)
        assert attempts <= world.limits.batch_size.bit_length()


def test_pauses_grow_stay_bounded_and_differ_between_files() -> None:
    """Doubled each time, within a quarter, not two files at the same second."""
    base = 10.0
    by_time: dict[int, list[float]] = {}
    for file in range(300):
        attempts: tuple[Attempt, ...] = ()
        for times in range(1, 25):
            failure = make(Evidence(exit_code=1, step=file), "network", "RUN022", "words", "test")
            now = Attempt(number=times, started=0.0, ended=1.0, first_step=0, failure=failure)
            limits = Limits(retry_delay_seconds=base)
            decision = decide(failure, History(attempts=(*attempts, now)), limits)
            assert decision.act == "retry"
            by_time.setdefault(times, []).append(decision.delay_seconds)
            attempts = (*attempts, msgspec_replace(now, act="retry"))
    for times, delays in by_time.items():
        middle = min(LONGEST_DELAY_SECONDS, base * 2 ** (times - 1))
        assert all(0.74 * middle <= each <= min(LONGEST_DELAY_SECONDS, 1.26 * middle) for each in delays)
        assert max(delays) - min(delays) > 0.2 * middle
        assert len(set(delays)) > 30


def test_the_number_of_rollbacks_holds_where_old_attempts_were_forgotten() -> None:
    """The daemon keeps only the last attempts of a long history; the windows left out are all kept."""
    failure = make(Evidence(exit_code=1, step=500, own_steps=500, planned_steps=900), "not-finite", "RUN001", "w", "t")
    now = Attempt(number=900, started=0.0, ended=1.0, first_step=400, verified_step=490, failure=failure)
    skipped = ((10, 14), (30, 45), (60, 120))
    decision = decide(failure, History(attempts=(now,), skipped=skipped), Limits(step_before=0, rollbacks=3))
    assert decision.act == "hold"
