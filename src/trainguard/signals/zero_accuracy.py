"""RUN007: nothing is right."""

from __future__ import annotations

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._robust import median, push
from trainguard.signals._trend import Height, at_height, plain, same_step, share_done, shown, step_of
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

_EVALUATED = ("eval_accuracy", "eval_exact_match", "eval_rewards/accuracies", "eval_mean_token_accuracy")
# trl 1.16: `mean_token_accuracy` of sft and dpo. Of a vocabulary, a model that knows nothing yet hits none for long.
_TOKENS = "mean_token_accuracy"
# Pairs in training: dpo and kto, reward models (trl 1.16, dpo_trainer.py, reward_trainer.py).
_PAIRS = (("rewards/accuracies", "rewards/margins"), ("accuracy", "margin"))
# With this loss in nats a token the likeliest token has a probability worth the name.
_READS = 3.0
_WINDOW = 40


class Counted(State, frozen=True, kw_only=True):
    """One accuracy: how many zeros in a row at the end of it, the values before them, how often it was seen."""

    zeros: int = 0
    before: tuple[float, ...] = ()
    seen: int = 0
    last_step: int | None = None
    said: bool = False


class ZeroAccuracyState(State, frozen=True, kw_only=True):
    height: Height = Height()
    evaluated: Counted = Counted()
    evaluated_key: str | None = None
    trained: Counted = Counted()
    pairs: tuple[float, ...] = ()
    margins: tuple[float, ...] = ()
    pairs_step: int | None = None
    pairs_said: bool = False


class ZeroAccuracy(Signal[ZeroAccuracyState]):
    """The accuracy is exactly 0 and stays there, or falls to it.

    *What it sees*: an accuracy of 0 over several evaluations, after enough of the run that something ought to be right;
    one that was above 0 and is 0 now; no right token in training over many
    logs, though the loss is low or there were some before; for DPO, accuracies of 0
    with margins below 0: the model prefers the rejected answers of every pair.

    *Why it costs you*: an accuracy of exactly 0 is hardly ever a weak model, which is right by chance now and then. It
    is predictions and labels that do not belong together: shifted by one token, another set of label names, a parser
    that finds no answer, outputs cut before the answer, chosen and rejected exchanged.

    *What it is not*: zeros at the start of a hard task that then rises; DPO's first logs, where policy and reference
    are alike and no answer is preferred; a loss that falls meanwhile proves nothing either way.

    *What to do*: print three predictions beside their labels as `compute_metrics` gets them.
    """

    code = "RUN007"
    name = "zero-accuracy"
    severity = "warn"
    methods = frozenset({"sft", "pretrain", "reward", "dpo", "kto", "grpo"})
    state_type = ZeroAccuracyState
    thresholds = (
        Threshold(
            key="evaluations",
            default=3,
            unit="evaluations",
            about="evaluations of exactly 0 from the start on",
            source="measured: exact match of tiny runs leaves 0 by the second evaluation after a fifth of the run",
        ),
        Threshold(
            key="share",
            default=0.2,
            unit="share of the planned steps",
            about="how much of the run must be done; unknown or less: two evaluations more",
            source="measured: as evaluations",
        ),
        Threshold(
            key="fallen",
            default=2,
            unit="evaluations",
            about="evaluations of exactly 0 after some above 0",
            source="one may be an evaluation that failed",
        ),
        Threshold(
            key="training_points",
            default=10,
            unit="logged points",
            about="training logs without one right token at full learning rate, where tokens were right before or the "
            "loss is below 3 nats",
            source="measured: tiny random models have none for 60 logs, at losses above 5",
        ),
        Threshold(
            key="pairs",
            default=8,
            unit="logged points",
            about="logs in a row of accuracy 0 with negative margins (dpo, kto)",
            source="one in 256 by chance with one pair a log",
        ),
    )

    def step(self, state: ZeroAccuracyState, sample: Sample) -> tuple[ZeroAccuracyState, tuple[Finding, ...]]:
        if sample.kind not in ("metrics", "evaluation"):
            return state, ()
        height, high = state.height, True
        if sample.kind == "metrics":
            height, high = at_height(height, self.run, sample)
            state = replace(state, height=height)
        key = state.evaluated_key or _first(sample, _EVALUATED)
        value = sample.finite(key) if key else None
        if key is not None and value is not None:
            now = _counted(state.evaluated, sample, value)
            state = replace(state, evaluated=now, evaluated_key=key)
            if self._evaluations_say(now, key, sample):
                state = replace(state, evaluated=replace(now, said=True))
                return state, (self._said(key, now, "evaluations", sample),)
        if not high:
            return state, ()
        value = sample.finite(_TOKENS)
        if value is not None:
            now = _counted(state.trained, sample, value)
            state = replace(state, trained=now)
            enough = now.zeros >= self.threshold("training_points") and self._reads(now, sample)
            if enough and not now.said and not state.evaluated.said:
                state = replace(state, trained=replace(now, said=True))
                return state, (self._said(_TOKENS, now, "logged points", sample),)
        return self._pairs(state, sample)

    def _reads(self, now: Counted, sample: Sample) -> bool:
        """Whether some tokens ought to be right: the model reads its data, by its loss, or has hit tokens before."""
        loss, norm = sample.value("loss"), sample.value("grad_norm")
        if (loss is not None and loss != loss) or (norm is not None and norm != norm):
            return False  # weights of NaN predict nothing, and RUN001 says so
        low = loss is not None and 0 < loss < _READS and self.run.method in ("sft", "pretrain")
        return low or (len(now.before) >= 5 and median(now.before[-10:]) >= 0.1)

    def _evaluations_say(self, now: Counted, key: str, sample: Sample) -> bool:
        if now.said or not now.zeros:
            return False
        if key == "eval_mean_token_accuracy":
            loss = sample.finite("eval_loss")
            reads = loss is not None and loss < _READS and self.run.method in ("sft", "pretrain")
            if not reads and not now.before:
                return False
        if key == "eval_rewards/accuracies":
            margin = sample.finite("eval_rewards/margins")
            if margin is None or margin >= 0:  # alike, which RUN004 says, or not known
                return False
        if now.before:
            # A level that was clear and is gone at once is no chance.
            sure = len(now.before) >= 3 and min(now.before[-3:]) >= 0.2
            return now.zeros >= (1 if sure else self.threshold("fallen"))
        return now.zeros >= self.threshold("evaluations") and self._done(sample, now)

    def _done(self, sample: Sample, now: Counted) -> bool:
        done = share_done(self.run, sample)
        if done is not None and done >= self.threshold("share"):
            return True
        return now.zeros >= self.threshold("evaluations") + 2 and done is None

    def _said(self, key: str, now: Counted, what: str, sample: Sample) -> Finding:
        was = f", after {shown(median(now.before[-5:]))} before" if now.before else ""
        return self.finding(
            f"{key} is exactly 0 over the last {now.zeros} {what}{was}: predictions and labels do not belong together, "
            "since a weak model is right now and then",
            step=step_of(sample) if step_of(sample) is not None else now.last_step,
            fix="Print a few predictions beside their labels in `compute_metrics`: look for a shift by one token, "
            "masked labels (-100) that are counted, other label names, an answer that the parser does not find",
            evidence={"metric": key, "zeros": now.zeros, "before": plain(median(now.before[-5:])), "seen": now.seen},
        )

    def _pairs(self, state: ZeroAccuracyState, sample: Sample) -> tuple[ZeroAccuracyState, tuple[Finding, ...]]:
        name, margin_name = next((each for each in _PAIRS if sample.finite(each[0]) is not None), _PAIRS[0])
        value, margin = sample.finite(name), sample.finite(margin_name)
        if value is None or margin is None or same_step(state.pairs_step, sample):
            return state, ()
        step = step_of(sample)
        state = replace(state, pairs_step=step if step is not None else state.pairs_step)
        if value > 0 or margin >= 0:
            return replace(state, pairs=(), margins=(), pairs_said=False), ()
        state = replace(state, pairs=push(state.pairs, value, _WINDOW), margins=push(state.margins, margin, _WINDOW))
        if state.pairs_said or len(state.pairs) < self.threshold("pairs"):
            return state, ()
        margin = median(state.margins)
        said = self.finding(
            f"{name} is 0 over {len(state.pairs)} logged points with margins of {shown(margin)}: the model comes to "
            "prefer the rejected answer of every pair",
            step=state.pairs_step,
            fix="Check that the columns `chosen` and `rejected` are not exchanged in the data file",
            evidence={"metric": name, "zeros": len(state.pairs), "margin": plain(margin)},
        )
        return replace(state, pairs_said=True), (said,)


def _first(sample: Sample, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if sample.finite(name) is not None), None)


def _counted(counted: Counted, sample: Sample, value: float) -> Counted:
    step = step_of(sample)
    if same_step(counted.last_step, sample):
        return counted
    zero = value == 0
    return Counted(
        zeros=counted.zeros + 1 if zero else 0,
        before=counted.before if zero else push(counted.before, value, _WINDOW),
        seen=counted.seen + 1,
        last_step=step if step is not None else counted.last_step,
        said=counted.said and zero,
    )
