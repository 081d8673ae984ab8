"""What is done about a failure: each policy by its cases, and what holds for all of them, whatever happens."""

from __future__ import annotations

import errno
import itertools
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trainguard.recovery.alike import several_alike
from trainguard.recovery.case import LONGEST_DELAY_SECONDS
from trainguard.recovery.classify import classify
from trainguard.recovery.decide import MOST_WITHOUT_PROGRESS, decide
from trainguard.recovery.making import TRANSIENT
from trainguard.recovery.policies.gpu_oom import smaller_batch
from trainguard.recovery.records import Attempt, Decision, Evidence, Failure, History, Kind, Limits, Phase

KINDS: tuple[Kind, ...] = get_args(Kind)
PHASES: tuple[Phase, ...] = get_args(Phase)
LIMITS = Limits(batch_size=8, gradient_accumulation=2, save_steps=20, step_before=0)
ON = ("retry", "rollback")


def failed(
    kind: Kind, *, step: int | None = 30, phase: Phase = "train", place: str | None = None, **data: Any
) -> Failure:
    place = place or kind
    return Failure(
        kind=kind,
        code="RUN022",
        why=f"{kind} happened",
        fingerprint=f"{place}:{phase}:{step}",
        phase=phase,
        step=step,
        transient=kind in TRANSIENT,
        data={"place": place, **data},
    )


class Life:
    """A file whose attempts fail one after the other, as the daemon remembers them."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.history = History()

    def fail(self, failure: Failure, *, verified: int | None = None, first: int | None = 0) -> Decision:
        number = len(self.history.attempts) + 1
        now = Attempt(number=number, started=0.0, ended=1.0, first_step=first, verified_step=verified, failure=failure)
        seen = replace(self.history, attempts=(*self.history.attempts, now))
        decision = decide(failure, seen, self.limits)
        assert decide(failure, seen, self.limits) == decision
        done = Attempt(
            number=number,
            started=0.0,
            ended=1.0,
            first_step=first,
            verified_step=verified,
            failure=failure,
            act=decision.act,
        )
        self.history = replace(
            self.history,
            attempts=(*self.history.attempts, done),
            changes={**self.history.changes, **decision.changes},
            skipped=(*self.history.skipped, decision.skip) if decision.skip else self.history.skipped,
        )
        return decision

    def release(self) -> None:
        """As the daemon reads it of a file that a person has released."""
        self.history = replace(
            self.history, released_after=len(self.history.attempts), skipped_before=len(self.history.skipped)
        )

    def acts(self, failure: Failure, most: int = 60, **given_: Any) -> list[str]:
        acts: list[str] = []
        for _ in range(most):
            acts.append(self.fail(failure, **given_).act)
            if acts[-1] not in (*ON, "pause"):
                break
        return acts


# -- each policy


def test_gpu_oom_halves_the_micro_batch_down_to_one_then_quarantines_with_advice() -> None:
    life, seen = Life(), []
    for _ in range(3):
        decision = life.fail(failed("gpu-oom"))
        assert (decision.act, decision.delay_seconds, decision.counts) == ("retry", 0.0, False)
        seen.append((decision.changes["batch_size"], decision.changes["gradient_accumulation"]))
    assert seen == [(4, 4), (2, 8), (1, 16)]
    last = life.fail(failed("gpu-oom"))
    assert last.act == "quarantine"
    assert not last.changes
    assert last.advice is not None
    assert "gradient_checkpointing" in last.advice


@pytest.mark.parametrize(
    ("batch", "steps", "to"), [(3, 1, (1, 3)), (5, 2, (2, 5)), (7, 1, (1, 7)), (6, 1, (3, 2)), (9, 4, (4, 9))]
)
def test_an_odd_micro_batch_keeps_the_effective_batch(batch: int, steps: int, to: tuple[int, int]) -> None:
    assert smaller_batch(batch, steps) == to


def test_gpu_oom_by_phase() -> None:
    life = Life()
    evaluating = life.fail(failed("gpu-oom", phase="evaluate"))
    assert evaluating.changes == {"eval.batch_size": 4}
    assert [life.fail(failed("gpu-oom", phase="evaluate")).changes for _ in range(2)] == [
        {"eval.batch_size": 2},
        {"eval.batch_size": 1},
    ]
    assert life.fail(failed("gpu-oom", phase="evaluate")).act == "quarantine"
    loading = Life()
    assert (
        loading.fail(failed("gpu-oom", phase="load")).wait_for,
        loading.fail(failed("gpu-oom", phase="load")).act,
    ) == (
        "gpu",
        "hold",
    )
    saving = Life()
    assert not saving.fail(failed("gpu-oom", phase="save")).changes
    assert saving.fail(failed("gpu-oom", phase="save")).changes["batch_size"] == 4


def test_gpu_memory_of_others_is_waited_for_once() -> None:
    others = failed("gpu-oom", total_bytes=24 << 30, free_bytes=1 << 30, own_bytes=2 << 30)
    life = Life()
    assert life.fail(others).wait_for == "gpu"
    assert life.fail(others).changes["batch_size"] == 4
    own = failed("gpu-oom", total_bytes=24 << 30, free_bytes=1 << 30, own_bytes=22 << 30)
    assert Life().fail(own).act == "retry"


def test_a_script_whose_batch_cannot_be_changed_is_tried_once_more_then_held() -> None:
    assert Life(Limits(can_change_batch=False)).acts(failed("gpu-oom")) == ["retry", "hold"]


def test_nan_goes_back_and_leaves_out_the_window_at_most_n_times() -> None:
    life = Life()
    first = life.fail(failed("not-finite", step=37, onset=37), verified=20)
    assert (first.act, first.before_step, first.skip) == ("rollback", 37, (33, 38))
    second = life.fail(failed("not-finite", step=39, onset=39), verified=20)
    assert second.skip == (23, 40)
    third = life.fail(failed("not-finite", step=39, onset=39), verified=20)
    assert third.skip == (21, 40)  # never before the checkpoint that it goes back to
    held = life.fail(failed("not-finite", step=39, onset=39), verified=20)
    assert held.act == "hold"
    assert held.advice is not None
    assert "learning_rate" in held.advice


def test_the_window_counts_this_files_own_steps() -> None:
    limits = Limits(step_before=1_000, save_steps=20)
    decision = Life(limits).fail(failed("not-finite", step=1_037, onset=1_037), verified=1_020, first=1_000)
    assert (decision.before_step, decision.skip) == (1_037, (33, 38))


def test_a_divergence_goes_back_beyond_newer_checkpoints() -> None:
    decision = Life().fail(failed("divergence", step=95, onset=50), verified=80)
    assert (decision.before_step, decision.skip) == (50, (41, 51))


@pytest.mark.parametrize(("onset", "planned", "act"), [(1, 1, "hold"), (4, 5, "hold"), (3, 5, "rollback")])
def test_a_file_of_which_nothing_would_be_left_is_held_and_says_so(onset: int, planned: int, act: str) -> None:
    decision = Life().fail(failed("not-finite", step=onset, onset=onset, planned_steps=planned))
    assert decision.act == act
    assert ("nothing of the file" in decision.why) == (act == "hold")


@pytest.mark.parametrize("times", [1, 60])
def test_a_machine_that_cannot_start_a_process_is_no_files_fault(times: int) -> None:
    found = classify(Evidence(exit_code=126, not_started=errno.EMFILE, tail=("no process: Too many open files",)))
    assert found is not None
    assert (found.kind, found.code) == ("config", "SYS011")
    life = Life()
    decision = [life.fail(found) for _ in range(times)][-1]
    assert (decision.act, decision.wait_for, decision.counts) == ("pause", "start", False)
    assert "EMFILE" in decision.why
    assert "ulimit" in (decision.advice or "")


@pytest.mark.parametrize(
    ("number", "kind", "wait_for"),
    [
        (errno.EAGAIN, "config", "start"),
        (errno.ENOMEM, "config", "start"),
        (errno.ENOSPC, "disk-full", "disk"),
        (errno.EROFS, "disk-error", None),
        (errno.ENOENT, "config", None),
        (errno.EACCES, "config", None),
    ],
)
def test_why_no_process_could_be_started_decides_what_is_waited_for(
    number: int, kind: str, wait_for: str | None
) -> None:
    found = classify(Evidence(exit_code=127 if number == errno.ENOENT else 126, not_started=number, tail=("python",)))
    assert found is not None
    assert found.kind == kind
    assert Life().fail(found).wait_for == wait_for


def test_nan_in_the_first_steps_again_is_the_learning_rate() -> None:
    life = Life()
    assert life.fail(failed("not-finite", step=1, onset=1)).skip == (1, 2)
    assert life.fail(failed("not-finite", step=1, onset=1)).act == "hold"


def test_code_is_tried_once_more_and_not_the_same_twice() -> None:
    assert Life().acts(failed("code", place="code/KeyError@a.py:1")) == ["retry", "quarantine"]
    assert Life().acts(failed("code", place="code/NameError@a.py:1")) == ["quarantine"]
    assert Life().acts(failed("code", place="code/KeyError@a.py:1", phase="load", step=None)) == ["retry", "hold"]
    life = Life()
    assert [life.fail(failed("code", step=step)).act for step in (3, 5, 7, 9)] == ["retry"] * 3 + ["quarantine"]


def test_a_hang_at_the_same_place_twice_is_quarantined() -> None:
    assert Life().acts(failed("hang")) == ["retry", "quarantine"]
    assert Life().acts(failed("hang", phase="load", step=None)) == ["retry", "hold"]
    life = Life()
    assert [life.fail(failed("hang", step=step)).act for step in (3, 5, 7, 9)] == ["retry"] * 3 + ["quarantine"]


@pytest.mark.parametrize("kind", ["hang", "code"])
def test_the_same_fault_at_the_same_step_with_progress_between_is_no_repetition(kind: Kind) -> None:
    life = Life()
    assert life.fail(failed(kind, step=30), verified=10).act == "retry"
    assert life.fail(failed(kind, step=30), verified=20, first=10).act == "retry"
    assert life.fail(failed(kind, step=30), verified=20, first=20).act == "quarantine"


def test_a_release_gives_a_new_budget_and_keeps_the_history() -> None:
    life, fault = Life(), failed("not-finite", step=30, onset=30)
    assert life.acts(fault, verified=20, first=0) == ["rollback"] * 3 + ["hold"]
    skipped = life.history.skipped
    life.release()
    again = life.fail(fault, verified=20, first=20)
    assert again.act == "rollback"
    assert "rollback 1 of 3 since it was released" in again.why
    assert life.acts(fault, verified=20, first=20) == ["rollback", "rollback", "hold"]
    assert life.history.skipped[:3] == skipped
    assert len(life.history.attempts) == 8
    life.release()
    assert life.fail(fault, verified=20, first=20).act == "rollback"


@pytest.mark.parametrize(
    ("kind", "tries"), [("hang", 2), ("code", 2), ("ram-oom", 2), ("gpu-lost", 3), ("network", 31), ("killed", 7)]
)
def test_a_release_gives_every_policy_its_budget_anew(kind: Kind, tries: int) -> None:
    life, fault = Life(), failed(kind)
    first = life.acts(fault)
    assert len(first) == tries
    life.release()
    assert life.acts(fault) == first


def test_a_killed_run_goes_on_at_once_and_progress_resets_the_budget() -> None:
    life = Life()
    for step in range(20, 400, 20):
        decision = life.fail(failed("killed"), verified=step)
        assert (decision.act, decision.delay_seconds, decision.counts) == ("retry", 0.0, False)
    acts = life.acts(failed("killed"), verified=380)
    assert acts == ["retry"] * 5 + ["quarantine"]  # the sixth is the one that made the checkpoint


def test_what_a_rollback_makes_once_more_is_no_progress() -> None:
    life = Life()
    life.fail(failed("unknown"), verified=100)
    acts = [life.fail(failed("unknown"), verified=step).act for step in (40, 60, 80)]
    assert acts == ["retry", "retry", "quarantine"]


def test_the_pauses_double_up_to_half_an_hour() -> None:
    life = Life(Limits(retries=100))
    delays = [life.fail(failed("unknown")).delay_seconds for _ in range(20)]
    assert delays[0] == 0.0
    assert all(7.5 * 2**at <= delay <= 12.5 * 2**at for at, delay in enumerate(delays[1:7]))
    assert delays[-1] >= 0.75 * LONGEST_DELAY_SECONDS
    assert len({round(delay / 10) for delay in delays[-5:]}) > 1, "no jitter"


def test_network_is_waited_for_a_night_then_held() -> None:
    life, waited = Life(), 0.0
    for _ in range(30):
        decision = life.fail(failed("network", step=None, phase="load"))
        assert (decision.act, decision.counts) == ("retry", False)
        waited += decision.delay_seconds
    assert 8 * 3600 < waited < 15 * 3600
    assert life.fail(failed("network", step=None, phase="load")).act == "hold"


@pytest.mark.parametrize(
    ("kind", "given_", "acts"),
    [
        ("data", {}, ["fail"]),
        ("stopped", {}, ["stop"]),
        ("ram-oom", {}, ["retry", "hold"]),
        ("gpu-lost", {}, ["pause", "pause", "hold"]),
        ("disk-full", {}, ["pause"] * 4 + ["hold"]),
        ("disk-full", {"elsewhere": True}, ["retry", "retry", "hold"]),
        ("disk-error", {}, ["retry"] + ["pause"] * 3 + ["hold"]),
        ("mount-gone", {}, ["pause"] * 4 + ["hold"]),
        ("ended-early", {}, ["retry", "hold"]),
        ("ended-early", {"asked": True}, ["hold"]),
        ("internal", {}, ["retry", "hold"]),
        ("unknown", {}, ["retry"] * 3 + ["quarantine"]),
        ("preempted", {}, ["retry"] * 6 + ["quarantine"]),
    ],
)
def test_how_a_fault_that_stays_ends(kind: Kind, given_: dict[str, Any], acts: list[str]) -> None:
    assert Life().acts(failed(kind, **given_)) == acts


def test_a_configuration_fault_never_drains_the_queue() -> None:
    life = Life()
    for _ in range(100):
        decision = life.fail(failed("config"))
        assert (decision.act, decision.wait_for) == ("pause", None)


def test_faults_that_take_turns_come_to_an_end() -> None:
    life = Life()
    kinds: tuple[Kind, ...] = ("network", "gpu-lost", "disk-error", "killed", "ram-oom")
    turns = itertools.cycle(kinds)
    acts = [life.fail(failed(kind)).act for kind, _ in zip(turns, range(50), strict=False)]
    assert "hold" in acts or "quarantine" in acts


def test_forty_attempts_without_progress_are_enough_whatever_each_policy_allows() -> None:
    life = Life()
    kinds: list[Kind] = ["ended-early", "internal", "ram-oom"]
    more: tuple[tuple[Kind, int], ...] = (("network", 30), ("gpu-lost", 2), ("disk-full", 4))
    for kind, times in more:
        kinds += [kind] * times
    decisions = [life.fail(failed(kind)) for kind in kinds]
    assert {each.act for each in decisions} == {"retry", "pause"}
    assert [life.fail(failed("gpu-oom")).act for _ in range(2)] == ["retry", "hold"]


def test_three_files_of_the_same_fault_in_a_row_are_not_three_files_faults() -> None:
    same = failed("code", place="code/KeyError@a.py:1")
    assert several_alike([same, same]) is None
    assert several_alike([failed("hang"), same, same]) is None
    assert several_alike([failed("hang"), same, failed("code", step=70, place="code/KeyError@a.py:1"), same])
    assert several_alike([failed("data")] * 3) is None


def test_the_attempt_that_just_ended_may_be_left_out_of_the_history() -> None:
    first = Attempt(number=1, started=0.0, ended=1.0, failure=failed("code"), act="retry")
    assert decide(failed("code"), History(attempts=(first,)), LIMITS).act == "quarantine"
    assert decide(failed("code"), History(), LIMITS).act == "retry"


# -- what holds for all

_FAILURES = st.builds(
    failed,
    st.sampled_from(KINDS),
    step=st.none() | st.integers(0, 200),
    phase=st.sampled_from(PHASES),
    place=st.none() | st.sampled_from(["code/KeyError@a.py:1", "code/NameError@a.py:1"]),
    onset=st.none() | st.integers(-2, 200),
    since_step=st.none() | st.integers(0, 200),
    own_bytes=st.none() | st.just(1 << 30),
    total_bytes=st.none() | st.just(24 << 30),
    free_bytes=st.none() | st.just(1 << 30),
    elsewhere=st.none() | st.just(True),
    asked=st.none() | st.just(True),
)
_LIMITS = st.builds(
    Limits,
    retries=st.integers(0, 9),
    retry_delay_seconds=st.floats(0, 1e6),
    rollbacks=st.integers(0, 5),
    batch_size=st.integers(1, 64),
    gradient_accumulation=st.integers(1, 64),
    eval_batch_size=st.none() | st.integers(1, 64),
    step_before=st.none() | st.integers(0, 100),
    save_steps=st.none() | st.integers(1, 50),
    can_resume=st.booleans(),
    can_change_batch=st.booleans(),
    can_skip_data=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(_LIMITS, st.lists(st.tuples(_FAILURES, st.none() | st.integers(0, 200)), min_size=1, max_size=12))
def test_every_decision_is_sound(limits: Limits, faults: list[tuple[Failure, int | None]]) -> None:
    life = Life(limits)
    effective = limits.batch_size * limits.gradient_accumulation
    for failure, verified in faults:
        before = life.history
        decision = life.fail(failure, verified=verified, first=limits.step_before)
        assert 0.0 <= decision.delay_seconds <= LONGEST_DELAY_SECONDS
        assert decision.why
        assert decision.policy
        changes = life.history.changes
        assert set(changes) <= {"batch_size", "gradient_accumulation", "eval.batch_size"}
        size, steps = changes.get("batch_size", limits.batch_size), changes.get("gradient_accumulation")
        assert size * (steps if steps is not None else limits.gradient_accumulation) == effective
        if decision.changes:
            assert limits.can_change_batch
        assert decision.act != "fail" or failure.kind == "data"
        assert decision.act != "stop" or failure.kind == "stopped"
        assert not (failure.transient and decision.act == "fail")
        if decision.act in ("hold", "quarantine", "fail"):
            assert decision.advice
        if decision.act == "rollback":
            assert decision.skip is not None
            assert decision.before_step is not None
            assert 1 <= decision.skip[0] <= decision.skip[1]
            own = limits.step_before or 0
            assert decision.before_step <= own + decision.skip[1]
            # What was trained before the checkpoint it goes back to is not left out.
            trained = [each.verified_step for each in before.attempts if each.verified_step is not None]
            trained += [verified] if verified is not None else []
            back = max((step for step in trained if step < decision.before_step), default=own)
            assert decision.skip[0] + own > back


@settings(max_examples=40, deadline=None)
@given(_LIMITS, st.lists(_FAILURES, min_size=1, max_size=6))
def test_without_progress_nothing_is_tried_for_ever(limits: Limits, faults: list[Failure]) -> None:
    assume(all(each.kind not in ("stopped", "config") for each in faults))
    life = Life(limits)
    for failure in itertools.islice(itertools.cycle(faults), MOST_WITHOUT_PROGRESS + 2):
        decision = life.fail(failure, verified=None)
        if decision.act in ("hold", "quarantine", "fail"):
            return
        assert decision.act != "pause" or decision.wait_for is not None
    raise AssertionError([each.act for each in life.history.attempts])


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4_096), st.integers(1, 512))
def test_the_effective_batch_is_the_same_all_the_way_down(batch: int, steps: int) -> None:
    effective, size = batch * steps, (batch, steps)
    for _ in range(13):
        smaller = smaller_batch(*size)
        if smaller is None:
            assert size[0] == 1
            return
        assert smaller[0] * smaller[1] == effective
        assert 1 <= smaller[0] <= size[0] // 2
        size = smaller
    raise AssertionError(size)
