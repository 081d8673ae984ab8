"""What every signal keeps to, whatever it sees: parametrized from the registry, so that a new file is asked too."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.signals.trend_help import HOSTILE
from trainguard.errors import UsageError
from trainguard.findings import Finding
from trainguard.signals.base import Signal, State
from trainguard.signals.codes import RUN_CODES
from trainguard.signals.registry import HEADINGS, discover
from trainguard.signals.samples import METHODS, Run, read_sample
from trainguard.signals.watching import Watcher, watch_metrics

SIGNALS = discover().signals
# Not seen in metrics: the guarded trainer, or the supervisor of its process, says them.
WITHOUT_SIGNAL = {"RUN010", "RUN011", "RUN012", "RUN013", "RUN016", "RUN017", "RUN022", "RUN023", "RUN025"}
EACH = pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.code)


def feed(signal: type[Signal[Any]], records: list[Any], run: Run) -> tuple[State, list[Finding]]:
    """A signal over records. Each state goes through JSON, as strictly as JSON is: no NaN, no infinity."""
    detector = signal(run)
    state: State = detector.start()
    said: list[Finding] = []
    for index, record in enumerate(records):
        sample = read_sample(record, index=index)
        before = msgspec.to_builtins(state)
        after, findings = detector.step(state, sample)
        assert msgspec.to_builtins(state) == before, "the state that was given has changed"
        again, the_same = detector.step(state, sample)
        assert (msgspec.to_builtins(again), the_same) == (msgspec.to_builtins(after), findings), "a step has a memory"
        plain = json.loads(json.dumps(msgspec.to_builtins(after), allow_nan=False))
        state = msgspec.convert(plain, type=signal.state_type)
        assert state == after, "the state is another one after JSON"
        said += findings
    return state, said


def feed_fast(signal: type[Signal[Any]], records: list[Any], run: Run) -> tuple[State, list[Finding]]:
    """As `feed`, without the proofs at each record; the state goes through JSON at the end."""
    detector = signal(run)
    state: State = detector.start()
    said: list[Finding] = []
    for index, record in enumerate(records):
        state, findings = detector.step(state, read_sample(record, index=index))
        said += findings
    plain = json.loads(json.dumps(msgspec.to_builtins(state), allow_nan=False))
    assert msgspec.convert(plain, type=signal.state_type) == state
    return state, said


def perfect(method: str, points: int = 200) -> list[dict[str, Any]]:
    """A run as one wishes for: the loss falls, the schedule is kept, the evaluation falls with it."""
    records: list[dict[str, Any]] = [{"event": "start", "t": 0.0}, {"event": "phase", "name": "train", "t": 1.0}]
    for i in range(1, points + 1):
        wave = math.sin(i * 1.7)
        start = {"dpo": math.log(2), "reward": math.log(2), "kto": 0.5, "pretrain": 10.4}.get(method, 2.0)
        record: dict[str, Any] = {
            "step": 10 * i,
            "t": 1.0 + 12.0 * i,
            "epoch": i / points,
            "loss": start * (0.4 + 0.6 * math.exp(-i / 60)) * (1 + 0.02 * wave),
            "grad_norm": 1.0 + 0.2 * wave,
            "learning_rate": 2e-5 * (1 - i / points),
            "memory_gb": 20.0,
            "memory_reserved_gb": 22.0,
        }
        if method == "grpo":
            record |= {"loss": 0.001 * wave, "reward": 0.2 + 0.6 * i / points + 0.02 * wave, "reward_std": 0.2}
            record |= {"frac_reward_zero_std": 0.1, "kl": 0.02 + 0.01 * wave, "completion_length": 120 + wave}
        if method in {"dpo", "kto"}:
            record |= {"rewards/margins": i / points, "rewards/accuracies": 0.5 + 0.4 * i / points}
        records.append(record)
        if i % 50 == 0:
            records.append({"step": 10 * i, "t": 5.0 + 12.0 * i, "eval_loss": start * (0.5 + 0.5 * math.exp(-i / 60))})
    records.append({"event": "end", "exit_code": 0, "step": 10 * points, "t": 20.0 + 12.0 * points})
    return records


PERFECT = {
    "learning_rate": 2e-5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0,
    "max_steps": 2000,
    "logging_steps": 10,
    "eval_steps": 500,
    "max_grad_norm": 1.0,
    "gpu_memory_gb": 80.0,
}


def test_no_file_is_broken_and_every_code_has_its_signal() -> None:
    registry = discover()
    assert registry.errors == ()
    assert {signal.code for signal in registry.signals} == set(RUN_CODES) - WITHOUT_SIGNAL


@EACH
def test_what_a_signal_says_of_itself(signal: type[Signal[Any]]) -> None:
    text = signal.__doc__ or ""
    places = [text.index(f"*{heading}*") for heading in HEADINGS]
    assert places == sorted(places), "the headings are in another order"
    bodies = [part.split("*", 1)[-1].strip() for part in _parts(text, places)]
    assert all(len(body) > 40 for body in bodies), "a heading without a text"
    assert text.splitlines()[0].endswith("."), "the first line is a sentence"
    assert (signal.name, signal.severity) == RUN_CODES[signal.code]
    assert signal.__module__.rsplit(".", 1)[-1] == signal.name.replace("-", "_"), "the file is named after the finding"
    assert signal.methods <= set(METHODS)
    assert signal.methods


def _parts(text: str, places: list[int]) -> list[str]:
    ends = [*places[1:], len(text)]
    return [text[start + 1 : end] for start, end in zip(places, ends, strict=True)]


@EACH
def test_thresholds_are_documented(signal: type[Signal[Any]]) -> None:
    keys = [threshold.key for threshold in signal.thresholds]
    assert len(set(keys)) == len(keys)
    for threshold in signal.thresholds:
        assert threshold.key.isidentifier()
        assert threshold.key.islower()
        assert math.isfinite(threshold.default)
        assert len(threshold.unit) >= 1
        assert len(threshold.about) > 10
        assert len(threshold.source) > 10
        changed = signal(Run(thresholds={signal.code: {threshold.key: threshold.default + 1}}))
        assert changed.threshold(threshold.key) == threshold.default + 1
        assert signal(Run()).threshold(threshold.key) == threshold.default
    with pytest.raises(KeyError):
        signal(Run()).threshold("there is none")


@EACH
def test_a_state_is_frozen_and_small(signal: type[Signal[Any]]) -> None:
    state = signal(Run()).start()
    assert isinstance(state, signal.state_type)
    for field in msgspec.structs.fields(signal.state_type):
        with pytest.raises(AttributeError):
            setattr(state, field.name, None)
    method = next(iter(sorted(signal.methods)))
    run = Run(method=method)
    # Written at every save, so its size counts: bytes, after a run of 3,000 points and after one of twice as many.
    size, later = (len(msgspec.json.encode(feed_fast(signal, perfect(method, n), run)[0])) for n in (3000, 6000))
    assert size < 64_000
    assert later < 1.2 * size + 1_000, "it grows with the run"


@EACH
def test_an_empty_run_and_a_perfect_one_are_silent(signal: type[Signal[Any]]) -> None:
    for method in sorted(signal.methods):
        assert feed(signal, [], Run(method=method))[1] == []
        assert feed_fast(signal, perfect(method), Run(method=method))[1] == []
        assert feed_fast(signal, perfect(method), Run(method=method, declared=PERFECT))[1] == []
    feed(signal, perfect(method, 40), Run(method=method, declared=PERFECT))


@EACH
def test_nothing_but_events_and_ticks_before_the_first_log(signal: type[Signal[Any]]) -> None:
    loading: list[Any] = [{"event": "start", "t": 0.0}, {"event": "phase", "name": "load", "t": 0.1}]
    loading += [{"tick": True, "t": float(i)} for i in range(60)]
    assert feed(signal, loading, Run(method=min(signal.methods), declared=PERFECT))[1] == []


# -- hostile records --

_NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 0, -1, 1, 0.0, 1e308, 5e-324, 2**63, 0.6931471805599453]),
)
_VALUES = st.one_of(
    _NUMBERS, st.none(), st.booleans(), st.text(max_size=8), st.sampled_from(["nan", "inf", "-inf", "1e400"])
)
_KEYS = (
    "step t epoch loss grad_norm learning_rate num_tokens tokens_per_second memory_gb memory_reserved_gb eval_loss "
    "eval_accuracy reward reward_std frac_reward_zero_std kl rewards/margins rewards/accuracies completion_length "
    "clipped_ratio think_share weights_changed_share weights_changed lora_b_norm train_loss train_runtime entropy "
    "mean_token_accuracy from_step exit_code"
).split()
_RECORDS = st.one_of(
    st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=8),
    st.fixed_dictionaries(
        {"event": st.sampled_from(["start", "resume", "end", "phase", "file", "none", 3])},
        optional={"t": _VALUES, "from_step": _VALUES, "step": _VALUES, "name": _VALUES, "exit_code": _VALUES},
    ),
    st.fixed_dictionaries({"tick": st.just(True)}, optional={"t": _VALUES}),
    st.fixed_dictionaries({"samples": st.one_of(_VALUES, st.lists(_VALUES, max_size=6))}, optional={"step": _VALUES}),
    st.sampled_from(HOSTILE),
)
_DECLARED = st.dictionaries(
    st.sampled_from(
        "lr_scheduler_type learning_rate warmup_steps num_cycles lr_end max_steps num_train_epochs num_decay_steps "
        "logging_steps eval_steps save_steps early_stopping_patience max_grad_norm gradient_accumulation_steps fp16 "
        "bf16 peft beta loss_type vocab_size num_labels num_target_tokens gpu_memory_gb expects_think resume "
        "baseline".split()
    ),
    st.one_of(_VALUES, st.sampled_from(["linear", "cosine", "cosine_with_restarts", "polynomial", "sigmoid", "ipo"])),
    max_size=8,
)


@EACH
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    records=st.lists(_RECORDS, max_size=30),
    repeats=st.integers(1, 4),
    declared=_DECLARED,
    method=st.sampled_from(METHODS),
)
def test_hostile_records_never_raise(
    signal: type[Signal[Any]], records: list[Any], repeats: int, declared: dict[str, Any], method: Any
) -> None:
    if method not in signal.methods:
        method = min(signal.methods)
    given_records = copy.deepcopy(records)
    _, said = feed(signal, records * repeats, Run(method=method, declared=declared))
    for finding in said:
        assert finding.code == signal.code
        assert "\n" not in finding.message
        json.dumps(finding.to_dict())
    assert repr(records) == repr(given_records), "a record was changed"


@EACH
def test_numbers_that_no_run_logs(signal: type[Signal[Any]]) -> None:
    """Each metric at each of the numbers that break arithmetic, for long enough to fill every window."""
    for value in (0.0, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, 10**400, -5, 2**63):
        for key in _KEYS:
            records = [{"step": i, "t": float(i), "loss": 2.0, "grad_norm": 1.0} | {key: value} for i in range(30)]
            feed_fast(signal, records, Run(method=min(signal.methods), declared=PERFECT))


# -- the one door --


def test_watch_metrics_is_lazy() -> None:
    read = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal read
        for i in range(1000):
            read += 1
            yield {"step": i, "loss": math.nan if i == 5 else 2.0, "grad_norm": 1.0}

    findings = watch_metrics(records(), method="sft")
    assert read == 0
    first = next(findings)
    assert (first.code, first.step, read) == ("RUN001", 5, 6)


def test_watch_metrics_refuses_a_method_that_is_none() -> None:
    with pytest.raises(UsageError, match="sft"):
        list(watch_metrics([], method="ppo"))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_a_watcher_goes_on_from_its_state(method: Any) -> None:
    records = perfect(method, 80)
    for i in range(60, 80):
        records[i] = records[i] | {"loss": 0.0, "grad_norm": math.nan}
    run = Run(method=method, declared=PERFECT)
    whole = Watcher(run)
    expected = [finding for record in records for finding in whole.feed(record)]
    assert any(finding.code == "RUN001" for finding in expected)
    for cut in (0, 1, 30, 61, 62, 70, len(records)):
        first, second = Watcher(run), Watcher(run)
        said = [finding for record in records[:cut] for finding in first.feed(record)]
        second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
        said += [finding for record in records[cut:] for finding in second.feed(record)]
        assert said == expected, cut
        assert first.errors == second.errors == []


def test_a_signal_that_fails_is_reported_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    nan = next(signal for signal in SIGNALS if signal.code == "RUN002")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(nan, "step", broken)
    watcher = Watcher(Run())
    findings = [finding for i in range(3) for finding in watcher.feed({"step": i, "loss": math.nan})]
    assert [finding.code for finding in findings] == ["RUN001"]
    assert [error.origin for error in watcher.errors] == [f"RUN002 ({nan.__module__})"]
    with pytest.raises(RuntimeError, match="RUN002"):
        list(watch_metrics([{"step": 1, "loss": 2.0}], method="sft"))


def test_findings_of_signals_are_complete() -> None:
    finding = next(watch_metrics([{"step": 7, "loss": math.nan}], method="sft"))
    assert dataclasses.is_dataclass(finding)
    assert (finding.step, finding.docs) == (7, "docs/signals.md#run001")
    assert finding.evidence
