"""RUN004: the loss does not fall."""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from trainguard.findings import Finding, Severity
from trainguard.signals._constants import untrained_losses
from trainguard.signals._robust import linear_fit, median, noise, push, quantile, trend_z
from trainguard.signals._trend import (
    Course,
    Height,
    at_height,
    followed,
    plain,
    same_step,
    share_done,
    shown,
    step_of,
)
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Run, Sample

# Methods whose known number is that of two sides that are the same, and the noise of the loss, as a share of it, with
# which they are not: a margin of 0.01 moves -log sigmoid by 0.005.
_PAIRS, _MOVES = frozenset({"dpo", "kto", "reward"}), 0.006
# Noise, as a share of the loss, below which the loss does not move at all.
_EXACT = 1e-5
# A margin of the rewards beyond which a policy is no longer its reference: of beta 0.1, 30 % more likely.
_MOVED = 0.03
# What rises when a model learns, also where its loss hardly moves: a small `beta` scales the loss of DPO, not these.
_RISING = ("rewards/accuracies", "accuracy", "rewards/margins", "margin", "mean_token_accuracy")
# The window of the latest points at full learning rate, and how many of them make the level.
_WINDOW, _LATEST = 24, 12
# The error of a median of n normal values is 1.2533 sigma / sqrt(n) (asymptotic; Kenney and Keeping 1962).
_MEDIAN_ERROR = 1.2533


class PlateauState(State, frozen=True, kw_only=True):
    """`course` is the whole curve, `high` that at full learning rate (from `first_step`), `recent` the latest of it,
    `other` a metric that rises when a model learns."""

    height: Height = Height()
    course: Course = Course()
    high: Course = Course()
    recent: tuple[float, ...] = ()
    other: tuple[float, ...] = ()
    other_name: str | None = None
    first_step: int | None = None
    last_step: int | None = None
    next_look: int = 0
    fallen: bool = False
    said_at: float | None = None


class Plateau(Signal[PlateauState]):
    """The loss stands where it began, although the learning rate is at its height.

    *What it sees*: two shapes. The loss stays at the number of a model that has learnt nothing: ln(vocabulary),
    ln(classes), ln 2 for DPO and reward models, 0.5 for KTO, the like for the other losses of TRL. Or it has never
    clearly fallen from its first points, at a level that no pretrained model has on text it can read.

    *Why it costs you*: the run takes its full time and leaves the model as it was: frozen weights, labels that do not
    belong to their texts, a learning rate far too small, gradients that do not arrive.

    *What it is not*: the start (DPO begins at ln 2, pretraining at ln(vocabulary), a warm-up moves little), the flat
    end of a run that has fallen, a pretrained model that reads familiar text at a low loss, a slow but steady fall,
    a DPO loss that hardly moves while accuracies or margins rise. GRPO's loss says nothing about learning.

    *What to do*: check that weights are trainable and in the optimizer, that labels are not shuffled against their
    inputs and chosen differs from rejected, then raise `learning_rate` by 3 to 10 times.
    """

    code = "RUN004"
    name = "plateau"
    severity = "warn"
    methods = frozenset({"sft", "pretrain", "dpo", "kto", "reward"})
    state_type = PlateauState
    thresholds = (
        Threshold(
            key="points",
            default=14,
            unit="logged points",
            about="points at full learning rate before a loss at a known number is called stuck",
            source="measured: tiny Llama, Qwen2 and DPO runs leave the number within 8 logged points of the warm-up",
        ),
        Threshold(
            key="steps",
            default=20,
            unit="optimizer steps",
            about="steps at full learning rate before a loss is called stuck, however often it is logged",
            source="measured: small models from scratch with logging_steps=1 leave the number within 16 steps",
        ),
        Threshold(
            key="share",
            default=0.2,
            unit="share of the planned steps",
            about="how much of the run must be done before a loss at a known number is called stuck",
            source="measured: as points; warm-ups are a tenth of a run or less in most recipes",
        ),
        Threshold(
            key="band",
            default=0.01,
            unit="share of the number",
            about="how near to the known number the median loss is taken to be at it",
            source="measured: unigram statistics alone take a pretraining run 10 % below ln(vocabulary)",
        ),
        Threshold(
            key="slow_fall",
            default=0.03,
            unit="share of the number",
            about="a fall by the end of the run that the points so far must rule out; more where they are noisy",
            source="measured: tiny models at a small rate that learn, but slowly, fall by 3 % and more",
        ),
        Threshold(
            key="flat_points",
            default=25,
            unit="logged points",
            about="points at full learning rate before a loss that is at no known number is called flat",
            source="measured: synthetic runs with 2 to 10 % of noise",
        ),
        Threshold(
            key="flat_share",
            default=0.35,
            unit="share of the planned steps",
            about="how much of the run must be done before a loss that is at no known number is called flat",
            source="measured: synthetic runs with 2 to 10 % of noise",
        ),
        Threshold(
            key="fall",
            default=0.02,
            unit="share of the first level",
            about="a smaller fall from the first points to the latest is none",
            source="measured: fine-tunes of a pretrained model on familiar text fall by 2 % and more",
        ),
        Threshold(
            key="readable",
            default=2.0,
            unit="nats a token",
            about="below this level a flat loss is that of a model that reads its text well already: nothing is said",
            source="perplexity 7.4; 7B models end pretraining below it (Touvron 2023, arXiv 2302.13971, figure 1)",
        ),
        Threshold(
            key="doubtful",
            default=3.0,
            unit="nats a token",
            about="below this level a flat loss is only worth a look (`info`)",
            source="perplexity 20: a pretrained model that reads text in a language or format new to it",
        ),
        Threshold(
            key="unreadable",
            default=4.0,
            unit="nats a token",
            about="from this level on a flat loss needs no further proof: no pretrained model reads text so badly",
            source="perplexity 55; GPT-2 small reads WikiText-103 at 37.5 zero-shot (Radford 2019, table 3)",
        ),
    )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._numbers = untrained_losses(run)

    def step(self, state: PlateauState, sample: Sample) -> tuple[PlateauState, tuple[Finding, ...]]:
        if sample.kind == "file":
            # Another level. A model that has trained on a file before need not fall from where the next one begins.
            fallen = state.fallen or state.course.count >= _LATEST
            return PlateauState(height=state.height, fallen=fallen, said_at=state.said_at), ()
        if sample.kind == "resume" and not state.course.count and (sample.finite("from_step") or 0) > 0:
            return replace(state, fallen=True), ()
        loss = sample.finite("loss")
        if sample.kind != "metrics" or loss is None or same_step(state.last_step, sample):
            return state, ()
        state, looks = self._seen(state, sample, loss)
        if state.said_at is not None:
            return self._recovered(state), ()
        if not looks:
            return state, ()
        for judge in (self._at_number, self._flat):
            found = judge(state, sample)
            if found is not None:
                message, severity, evidence = found
                said = self.finding(
                    message, step=state.last_step, severity=severity, fix=self._fix(), evidence=evidence
                )
                return replace(state, said_at=median(state.recent)), (said,)
        return state, ()

    def _seen(self, state: PlateauState, sample: Sample, loss: float) -> tuple[PlateauState, bool]:
        """The state with one loss more, and whether it is time to look: rarer and rarer, so that it stays cheap."""
        height, high = at_height(state.height, self.run, sample)
        step = step_of(sample)
        changes: dict[str, Any] = {"height": height, "course": followed(state.course, loss)}
        if not state.course.count and self._begins_late(sample):
            changes["fallen"] = True
        if step is not None:
            changes["last_step"] = step
        if not high:
            return replace(state, **changes), False
        changes["recent"] = push(state.recent, loss, _WINDOW)
        name = state.other_name or next((each for each in _RISING if sample.finite(each) is not None), None)
        value = sample.finite(name) if name is not None else None
        if name is not None and value is not None:
            changes |= {"other_name": name, "other": push(state.other, value, _WINDOW)}
        changes["high"] = followed(state.high, loss)
        points = state.high.count + 1
        if state.first_step is None and step is not None:
            changes["first_step"] = step
        looks = points >= state.next_look
        if looks:
            changes["next_look"] = points + 1 + points // 12
        return replace(state, **changes), looks

    def _begins_late(self, sample: Sample) -> bool:
        """Whether the first point seen is not the run's: it goes on from a checkpoint, or the watcher came later."""
        if self.run.declared.get("resume"):
            return True
        every, done, step = self.run.count("logging_steps"), share_done(self.run, sample), step_of(sample)
        return every is not None and step is not None and done is not None and step > 2 * every and done > 0.1

    def _recovered(self, state: PlateauState) -> PlateauState:
        """Forgets that it was said once the loss has clearly come down from there."""
        at = state.said_at
        latest = state.recent[-5:]
        if at is not None and len(latest) == 5 and median(latest) < at - max(0.05 * abs(at), 4 * noise(state.recent)):
            return replace(state, said_at=None, fallen=True)
        return state

    def _far_enough(self, state: PlateauState, sample: Sample, points: float, share: float) -> bool:
        done = share_done(self.run, sample)
        first, last = state.first_step, state.last_step
        few = first is not None and last is not None and last - first < self.threshold("steps")
        if few and noise(state.recent) > _EXACT * abs(median(state.recent)):
            return False
        if done is None:
            # The run does not say how long it is: that many points again, or steps by the hundred behind them.
            steps = (state.last_step or 0) - (state.first_step or 0)
            return state.high.count >= 2.5 * points or (state.high.count >= points and steps >= 50 * points)
        # Of a run with few, coarse points half as many do, and half of the run.
        return done >= share and (state.high.count >= points or (state.high.count >= points / 2 and done >= 0.5))

    def _learns_otherwise(self, state: PlateauState) -> bool:
        """Whether accuracies or margins say that the model learns, whatever the loss."""
        if len(state.other) < 6:
            return False
        # Margins are differences from the reference, 0 while the policy is still the same.
        if state.other_name == "rewards/margins" and abs(median(state.other[-12:])) > _MOVED:
            return True
        if state.other_name in ("rewards/accuracies", "accuracy") and median(state.other[-12:]) > 0.58:
            return True
        return trend_z(state.other) > 2.0

    def _at_number(self, state: PlateauState, sample: Sample) -> tuple[str, Severity, dict[str, Any]] | None:
        latest = state.recent[-_LATEST:]
        if not latest:
            return None
        level = median(latest)
        for number, what in self._numbers:
            band = self.threshold("band") * number
            if not 0.9 * number <= level <= 1.1 * number:
                continue
            error = _MEDIAN_ERROR * noise(state.recent) / math.sqrt(len(latest))
            # Below the number there is learning; above it a model that has not even learnt to say nothing.
            low = 0.5 * band if self.run.method in ("dpo", "kto") else band
            if error > 2 * band or not number - low - min(error, band / 2) <= level <= number + 3 * band + error:
                continue
            # Alike means the same number. A policy or a head that moves has losses that differ from batch to batch: it
            # learns nothing yet, and whether it will is seen late.
            moves = self.run.method in _PAIRS and noise(state.recent) > _MOVES * number
            points, share = self.threshold("points"), self.threshold("share")
            if not self._far_enough(state, sample, 3 * points if moves else points, 3 * share if moves else share):
                continue
            # Was it lower for some time, then it has diverged to here, or it is passing through.
            if quantile(state.course.values, 0.15) < number - 4 * band - 4 * error:
                continue
            if self._may_yet_fall(state, sample, number) or self._learns_otherwise(state):
                continue
            message = (
                f"The loss stays at {shown(level)} since {state.high.count} logged points at full learning rate; that "
                f"is {what}: the model learns nothing"
            )
            return message, "warn", self._evidence(state, level) | {"number": plain(number)}
        return None

    def _may_yet_fall(self, state: PlateauState, sample: Sample, number: float) -> bool:
        """Whether the curve so far leaves room for a slow, steady fall that makes up a clear one by the end.

        The slope of a line through n values with noise s has the error s sqrt(12 / n^3).
        """
        # A head drawn at random first loses what it began with: without that quarter of the curve.
        headed = self.run.method == "reward" or self.run.count("num_labels") is not None
        values = state.high.values[len(state.high.values) // 4 if headed else 0 :]
        if len(values) < 6 or trend_z(values) < -1.3:
            return True
        slope, _, _ = linear_fit(values)
        spread = noise(values)
        error = spread * math.sqrt(12 / len(values) ** 3)
        done = share_done(self.run, sample)
        # Where the planned length is not known: three times as long as now.
        length = len(state.high.values) / max(done, 0.05) if done is not None else 3 * len(state.high.values)
        room = max(self.threshold("slow_fall") * number, 2.5 * spread)
        # Token losses are means over many tokens, so that little noise hides a fall; classes and pairs are few.
        doubt = 1.6 if number > 4 else 1.3
        return (slope - doubt * error) * length < -room

    def _flat(self, state: PlateauState, sample: Sample) -> tuple[str, Severity, dict[str, Any]] | None:
        values = state.course.values
        if state.fallen or self.run.method not in ("sft", "pretrain"):
            return None
        if median(state.recent[-_LATEST:]) < self.threshold("readable"):
            return None
        if len(values) < 12 or not self._far_enough(
            state, sample, self.threshold("flat_points"), self.threshold("flat_share")
        ):
            return None
        head, tail = max(4, len(values) // 5), max(6, len(values) // 3)
        first, level = median(values[:head]), median(values[-tail:])
        if level < self.threshold("readable") or level > 1.05 * first:
            return None
        fall = (first - level) / first
        error = _MEDIAN_ERROR * noise(values) * math.sqrt(1 / head + 1 / tail) / first
        sure = level >= self.threshold("unreadable")
        doubt = 0.0 if sure else 2 * error
        # Where the noise is larger than the fall that is asked for, a missing fall says nothing.
        if not sure and doubt > 2 * self.threshold("fall"):
            return None
        if fall + doubt > self.threshold("fall") or trend_z(values) < -1.64 or self._learns_otherwise(state):
            return None
        message = (
            f"The loss has not fallen: {shown(first)} at the start, {shown(level)} after {state.course.count} logged "
            f"points, though the learning rate is at its height"
        )
        severity: Severity = "warn" if level >= self.threshold("doubtful") else "info"
        return message, severity, self._evidence(state, level) | {"first_level": plain(first), "fall": plain(fall)}

    def _evidence(self, state: PlateauState, level: float) -> dict[str, Any]:
        return {"level": plain(level), "noise": plain(noise(state.recent)), "points": state.high.count}

    def _fix(self) -> str:
        rate = self.run.number("learning_rate")
        given = f" (now {rate:g})" if rate else ""
        what = {
            "dpo": "that `chosen` and `rejected` differ and that the policy's weights are trainable",
            "kto": "that `label` has both values and that the policy's weights are trainable",
            "reward": "that `chosen` and `rejected` differ and that the head is trainable",
        }.get(self.run.method, "that the labels belong to their inputs and that the weights are trainable")
        return f"Check {what}; if so, raise `learning_rate`{given} 3 to 10 times"
