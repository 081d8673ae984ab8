"""Shapes that the signals of the plan must tell apart, each written down by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.signals.plan_runs import Record
from tests.signals.test_plan_signals import said

LINEAR: dict[str, Any] = {
    "max_steps": 200,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "linear",
    "warmup_steps": 20,
    "logging_steps": 5,
}


def linear(step: int, *, planned: int = 200, warmup: int = 20) -> float:
    done = step - 1
    return 1e-4 * (done / warmup if done < warmup else max(0.0, (planned - done) / (planned - warmup)))


def logs(steps: Any, rate: Any = linear, **more: Any) -> list[Record]:
    return [{"step": s, "loss": 2.0, "learning_rate": rate(s)} | {k: v(s) for k, v in more.items()} for s in steps]


def shapes(records: list[Record], declared: dict[str, Any]) -> list[str]:
    return [finding.evidence["shape"] for _, finding in said("RUN019", records, declared)]


# -- RUN019 ---------------------------------------------------------------------------------------------------------


def test_warmup_begins_at_zero() -> None:
    assert shapes(logs(range(1, 201)), LINEAR | {"logging_steps": 1}) == []
    assert shapes(logs(range(1, 201)), {}) == []
    assert shapes([{"step": s, "loss": 1.0, "learning_rate": 0.0} for s in range(1, 6)], {}) == []


@pytest.mark.parametrize("declared", [LINEAR, {}, {"max_steps": 200}])
def test_rate_never_leaves_zero(declared: dict[str, Any]) -> None:
    found = said("RUN019", logs(range(5, 201, 5), lambda s: 0.0), declared)
    assert len(found) == 1
    assert "0" in found[0][1].message
    assert found[0][0] <= (4 if declared is LINEAR else 10)


def test_skipped_updates_of_fp16_move_the_schedule() -> None:
    late = logs(range(5, 201, 5), lambda s: linear(max(1, s - 6)))
    assert shapes(late, LINEAR | {"fp16": True}) == []


def test_never_decays() -> None:
    found = said("RUN019", logs(range(5, 201, 5), lambda s: min(linear(s, planned=10**9), 1e-4)), LINEAR)
    assert [f.evidence["shape"] for _, f in found] == ["no-decay"]
    assert (found[0][1].step or 0) <= 60
    constant = LINEAR | {"lr_scheduler_type": "constant_with_warmup"}
    assert shapes(logs(range(5, 201, 5), lambda s: linear(s) if s <= 20 else 1e-4), constant) == []
    # nothing declared: a constant rate is nothing wrong
    assert shapes(logs(range(5, 201, 5), lambda s: 1e-4), {}) == []


def test_zero_long_before_the_end() -> None:
    early = logs(range(5, 201, 5), lambda s: linear(s, planned=100))
    assert shapes(early, LINEAR) == ["below"]
    # only the planned steps are declared: exactly 0 is enough
    found = said("RUN019", early, {"max_steps": 200})
    assert [f.evidence["shape"] for _, f in found] == ["zero"]
    # at the end 0 is what the schedule gives
    assert shapes(logs(range(5, 201, 5)), {"max_steps": 200}) == []


@pytest.mark.parametrize("declared", [LINEAR, {}])
def test_schedule_begins_again_on_a_resume(declared: dict[str, Any]) -> None:
    records = logs(range(5, 101, 5))
    after = logs(range(105, 201, 5), lambda s: linear(s - 100))
    found = said("RUN019", [*records, {"event": "resume", "from_step": 100}, *after], declared)
    assert [f.evidence["shape"] for _, f in found] == ["resume"]
    assert found[0][0] <= 20 + 4
    fine = [*records, {"event": "resume", "from_step": 80}, *logs(range(85, 201, 5))]
    assert shapes(fine, declared) == []


def test_resume_at_ten_times_the_rate_undeclared() -> None:
    records = [*logs(range(5, 101, 5)), {"event": "resume", "from_step": 100}]
    assert shapes([*records, *logs(range(105, 201, 5), lambda s: 10 * linear(s))], {}) == ["resume"]


def test_another_file_may_warm_up_again() -> None:
    again = logs(range(105, 201, 5), lambda s: linear(s - 100, planned=100))
    records = [*logs(range(5, 101, 5), lambda s: linear(s, planned=100)), {"event": "file", "file": "b.jsonl"}, *again]
    assert shapes(records, LINEAR | {"max_steps": 100}) == []


def test_plateau_and_restarts_are_healthy() -> None:
    steps_down = logs(range(5, 201, 5), lambda s: 1e-4 * 0.1 ** (s // 70))
    assert shapes(steps_down, LINEAR | {"lr_scheduler_type": "reduce_lr_on_plateau"}) == []
    waves = logs(range(5, 201, 5), lambda s: 5e-5 * (1 + math.cos(math.pi * ((s - 1) / 50 % 1))))
    assert shapes(waves, {}) == []
    assert shapes(waves, {"lr_scheduler_type": "cosine_with_restarts", "learning_rate": 1e-4}) == []


def test_peak_of_another_size() -> None:
    assert shapes(logs(range(5, 201, 5), lambda s: 10 * linear(s)), LINEAR) == ["above"]
    assert shapes(logs(range(5, 201, 5), lambda s: 10 * linear(s)), {"learning_rate": 1e-4}) == ["above"]


def test_planned_by_epochs() -> None:
    plan = {k: v for k, v in LINEAR.items() if k != "max_steps"} | {"num_train_epochs": 2}
    epoch = {"epoch": lambda s: round(s / 100, 2)}
    assert shapes(logs(range(5, 201, 5), **epoch), plan) == []
    assert shapes(logs(range(5, 201, 5), lambda s: min(linear(s, planned=10**9), 1e-4), **epoch), plan) == ["no-decay"]


# -- RUN008 ---------------------------------------------------------------------------------------------------------

FEW = {"max_steps": 10_000, "logging_steps": 10, "eval_steps": 105, "save_steps": 1000}


def paced(n: int, seconds: float, begin: float = 0.0, step: int = 0) -> list[Record]:
    return [{"step": step + 10 * i, "loss": 1.0, "t": begin + seconds * i} for i in range(1, n + 1)]


def ticks(begin: float, seconds: float, every: float = 30.0) -> list[Record]:
    return [{"tick": True, "t": begin + every * i} for i in range(1, int(seconds / every) + 1)]


def test_stall_is_seen_and_said_once() -> None:
    records = [*paced(9, 20), *ticks(180, 3000)]
    found = said("RUN008", records, FEW)
    assert len(found) == 1
    assert found[0][1].severity == "error"
    assert found[0][1].step == 90
    assert 300 < found[0][1].evidence["waited_seconds"] < 500
    # goes on, then stalls again: another episode
    again = [*records, *paced(3, 20, begin=3300, step=90), *ticks(3360, 3000)]
    assert len(said("RUN008", again, FEW)) == 2


def test_many_steps_between_two_logs() -> None:
    records: list[Record] = []
    for i in range(1, 8):
        records += [*ticks(500 * (i - 1), 480), {"step": 500 * i, "loss": 1.0, "t": 500.0 * i}]
    assert said("RUN008", records, {"logging_steps": 500}) == []


def test_load_evaluation_and_save_are_no_stalls() -> None:
    assert said("RUN008", [{"event": "start", "t": 0.0}, *ticks(0, 1700), *paced(3, 10, begin=1700)], {}) == []
    pause = [*paced(9, 20), {"event": "phase", "name": "evaluate", "t": 181.0}, *ticks(181, 1700)]
    assert said("RUN008", pause, FEW) == []
    # undeclared phases: step 100 is within one log of an evaluation
    assert said("RUN008", [*paced(10, 20), *ticks(200, 1700), {"eval_loss": 1.0, "step": 100, "t": 1950.0}], FEW) == []
    # an evaluation that takes ten times as long as the one before stands still
    seen = [
        *paced(9, 20),
        {"event": "phase", "name": "evaluate", "t": 181.0},
        {"eval_loss": 1.0, "step": 90, "t": 240.0},
    ]
    seen += [{"event": "phase", "name": "train", "t": 240.0}, *paced(9, 20, begin=240, step=90)]
    seen += [{"event": "phase", "name": "evaluate", "t": 421.0}, *ticks(421, 1700)]
    assert len(said("RUN008", seen, FEW)) == 1


def test_a_short_evaluation_says_nothing_of_a_save() -> None:
    seen = [
        *paced(9, 20),
        {"event": "phase", "name": "evaluate", "t": 181.0},
        {"eval_loss": 1.0, "step": 90, "t": 190.0},
    ]
    seen += [
        {"event": "phase", "name": "save", "t": 190.0},
        *ticks(190, 1700),
        {"event": "phase", "name": "train", "t": 1900.0},
    ]
    assert said("RUN008", [*seen, *paced(5, 20, begin=1900, step=90)], FEW) == []


def test_nothing_after_the_end() -> None:
    assert said("RUN008", [*paced(9, 20), {"event": "end", "t": 181.0, "exit_code": 0}, *ticks(181, 9000)], FEW) == []


def test_load_that_never_ends() -> None:
    assert len(said("RUN008", [{"event": "start", "t": 0.0}, *ticks(0, 7200)], {})) == 1


# -- RUN009 ---------------------------------------------------------------------------------------------------------


def timed(seconds: Sequence[float], **more: Any) -> list[Record]:
    out, t = [], 0.0
    for i, each in enumerate(seconds, start=1):
        t += each
        out.append({"step": 10 * i, "loss": 1.0, "t": t} | {k: v(i) for k, v in more.items()})
    return out


def test_slow_after_three_points() -> None:
    found = said("RUN009", timed([90, *[20] * 15, *[100] * 10]), {})
    assert [i for i, _ in found] == [18]
    assert found[0][1].evidence["ratio"] == pytest.approx(0.2)


def test_two_slow_points_are_a_save() -> None:
    assert said("RUN009", timed([20] * 10 + [100] * 2 + [20] * 10 + [100] * 2 + [20] * 5), {}) == []


def test_longer_sequences_are_no_slowness() -> None:
    total = [0]

    def tokens(i: int) -> int:
        total[0] += 1000 if i <= 15 else 4000
        return total[0]

    assert said("RUN009", timed([20] * 15 + [80] * 15, num_tokens=tokens), {}) == []
    assert len(said("RUN009", timed([20] * 15 + [80] * 15, num_tokens=lambda i: 1000 * i), {})) == 1
    # shorter ones: fewer tokens, at the same pace
    assert said("RUN009", timed([20] * 30, tokens_per_second=lambda i: 500 if i <= 15 else 100), {}) == []


def test_another_file_and_a_resume_have_a_pace_of_their_own() -> None:
    for event in ({"event": "file", "t": 300.0}, {"event": "resume", "from_step": 150, "t": 300.0}):
        late = [r | {"t": r["t"] + 300, "step": r["step"] + 150} for r in timed([80] * 15)]
        assert said("RUN009", [*timed([20] * 15), event, *late], {}) == []


# -- RUN014 ---------------------------------------------------------------------------------------------------------


def memory(values: list[float], reserved: list[float] | None = None) -> list[Record]:
    out = [{"step": 10 * i, "loss": 1.0, "memory_gb": each} for i, each in enumerate(values, start=1)]
    for record, each in zip(out, reserved or [v * 1.05 for v in values], strict=True):
        record["memory_reserved_gb"] = each
    return out


GPU = {"gpu_memory_gb": 24.0, "max_steps": 1000}


def test_leak_and_its_forecast() -> None:
    found = said("RUN014", memory([10 + 0.2 * i for i in range(100)]), GPU)
    assert len(found) == 1
    evidence = found[0][1].evidence
    assert evidence["kind"] == "leak"
    assert evidence["gb_per_step"] == pytest.approx(0.02, rel=0.05)
    assert evidence["full_at_step"] == pytest.approx(710, abs=10)  # 24 GB are reached at point 70
    assert found[0][0] <= 12


def test_high_water_and_saturation_are_healthy() -> None:
    for seed in range(30):
        rng, mark, values = Random(seed), 0.0, []
        for _ in range(120):
            mark = max(mark, rng.gauss(0, 1))
            values.append(14 + 2 * mark)
        assert said("RUN014", memory(values), GPU) == []
    for settle in (3, 8, 15, 30, 40):
        assert said("RUN014", memory([18 - 6 * math.exp(-i / settle) for i in range(100)]), GPU) == []


def test_longer_inputs_explain_memory() -> None:
    records = memory([10 + 0.1 * i for i in range(60)])
    total = 0
    for i, record in enumerate(records):
        total += int(1000 * (10 + 0.1 * i))
        record["num_tokens"] = total
    assert said("RUN014", records, GPU) == []


def test_fragmentation() -> None:
    found = said("RUN014", memory([10.0] * 60, [12 + 0.15 * i for i in range(60)]), GPU)
    assert [f.evidence["kind"] for _, f in found] == ["fragmentation"]
    assert "expandable_segments:True" in found[0][1].message


# -- RUN015 and RUN026 ------------------------------------------------------------------------------------------------


def ended(step: int | None, code: int | None = 0, n: int = 5, **more: Any) -> list[Record]:
    end: Record = {"event": "end"} | ({"step": step} if step is not None else {})
    end |= {"exit_code": code} if code is not None else {}
    return [{"event": "start"}, *({"step": 10 * i, "loss": 1.0, **more} for i in range(1, n + 1)), end]


@pytest.mark.parametrize(
    ("records", "declared", "codes"),
    [
        (ended(50), {"max_steps": 100}, {"RUN026"}),
        (ended(50, None), {"max_steps": 100}, {"RUN026"}),
        (ended(100), {"max_steps": 100}, set()),
        (ended(50, 1), {"max_steps": 100}, set()),
        (ended(50, 75), {"max_steps": 100}, set()),
        (ended(50), {"max_steps": 100, "early_stopping_patience": 3}, set()),
        (ended(50), {}, set()),
        (ended(None), {"max_steps": 55, "logging_steps": 10}, set()),
        (ended(50, epoch=2.997), {"num_train_epochs": 3}, set()),
        (ended(50, epoch=1.5), {"num_train_epochs": 3}, {"RUN026"}),
        (ended(0, n=0), {"max_steps": 100}, {"RUN015"}),
        (ended(0, 1, n=0), {"max_steps": 100}, set()),
        ([{"event": "resume", "from_step": 100}, {"event": "end", "step": 100}], {"max_steps": 100}, {"RUN015"}),
        ([{"event": "resume", "from_step": 60}, {"event": "end", "step": 60}], {"max_steps": 100}, {"RUN015"}),
        (
            [{"event": "resume", "from_step": 60}, {"step": 100, "loss": 1.0}, {"event": "end", "step": 100}],
            {"max_steps": 100},
            set(),
        ),
        ([*ended(50)[:-1], {"event": "file"}, {"event": "end", "step": 50, "exit_code": 0}], {}, {"RUN015"}),
        (ended(30, n=0), {"max_steps": 30, "logging_steps": 500}, set()),
        (ended(40, n=0), {"resume": "out/checkpoint-40", "max_steps": 40}, {"RUN015"}),
    ],
)
def test_how_it_ended(records: list[Record], declared: dict[str, Any], codes: set[str]) -> None:
    assert {code for code in ("RUN015", "RUN026") if said(code, records, declared)} == codes


# -- RUN024 -----------------------------------------------------------------------------------------------------------


def batches(
    steps: Any, of: Any, *, fall: float = 0.0, per_epoch: int | None = None, tokens: bool = False
) -> list[Record]:
    out, total = [], 0
    for step in steps:
        rng = Random(of(step))
        loss, count = 2 + rng.gauss(0, 0.2), rng.randint(400, 900)
        total += count
        record: Record = {"step": step, "loss": round(loss - fall * loss, 4)}
        if tokens:
            record["num_tokens"] = total
        if per_epoch:
            record["epoch"] = step / per_epoch
        out.append(record)
    return out


RESUME: Record = {"event": "resume", "from_step": 100}


def test_same_steps_again_are_right() -> None:
    for tokens in (False, True):
        first = batches(range(1, 121), lambda s: s, tokens=tokens)
        assert said("RUN024", [*first, RESUME, *batches(range(101, 200), lambda s: s, tokens=tokens)], {}) == []


def test_first_batches_again() -> None:
    first = batches(range(1, 121), lambda s: s, tokens=True)
    again = batches(range(101, 200), lambda s: s - 100, tokens=True, fall=0.1)
    found = said("RUN024", [*first, RESUME, *again], {})
    assert len(found) == 1
    assert found[0][0] <= 121 + 3
    assert found[0][1].evidence["repeats_from_step"] == 1
    # without token counts: the ups and downs of the loss, which is lower the second time
    plain = batches(range(1, 121), lambda s: s)
    found = said("RUN024", [*plain, RESUME, *batches(range(101, 200), lambda s: s - 100, fall=0.1)], {})
    assert [f.evidence["shape"] for _, f in found] == ["alike"]


def test_next_epoch_in_the_same_order_is_right() -> None:
    def of(step: int) -> int:
        return (step - 1) % 50

    for at in (100, 120):
        first = batches(range(1, 125), of, tokens=True, per_epoch=50)
        after = batches(range(at + 1, 200), of, tokens=True, per_epoch=50)
        assert said("RUN024", [*first, {"event": "resume", "from_step": at}, *after], {}) == []
    # the epoch is not logged: the run has repeated itself before the resume as well
    first, after = (batches(steps, of, tokens=True) for steps in (range(1, 125), range(121, 200)))
    assert said("RUN024", [*first, {"event": "resume", "from_step": 120}, *after], {}) == []


def test_epoch_goes_back() -> None:
    first = batches(range(1, 121), lambda s: s, per_epoch=200)
    after = [r | {"epoch": (r["step"] - 100) / 200} for r in batches(range(101, 150), lambda s: s + 1000)]
    found = said("RUN024", [*first, RESUME, *after], {})
    assert [(i, f.evidence["shape"]) for i, f in found] == [(121, "epoch")]
    # another file counts from 0, rightly
    assert said("RUN024", [*first, RESUME, {"event": "file", "file": "b"}, *after], {}) == []


def test_equal_counts_of_packing_tell_nothing() -> None:
    first = [r | {"num_tokens": 2048 * r["step"]} for r in batches(range(1, 121), lambda s: s)]
    after = [r | {"num_tokens": 2048 * (r["step"] - 100)} for r in batches(range(101, 200), lambda s: s + 500)]
    assert said("RUN024", [*first, RESUME, *after], {}) == []


def test_jump_without_a_cause() -> None:
    leap = logs(range(5, 201, 5), lambda s: linear(s) * (5 if s > 150 else 1))
    assert shapes(leap, {}) == []  # 5 times a quarter of the peak: may be a restart
    leap = logs(range(5, 201, 5), lambda s: linear(s) * (20 if s > 100 else 1))
    assert shapes(leap, {}) == ["jump"]
