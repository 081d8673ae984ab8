"""RUN006: all outputs show one pattern."""

from __future__ import annotations

import zlib
from typing import Any

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._outputs import FEWEST, Shared, shared_pattern
from trainguard.signals._robust import bounded, median, noise, push
from trainguard.signals._trend import plain, shown, step_of, texts
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

_WINDOW = 40
# As trl 1.16 names them (grpo_trainer.py), and as the shorter names have it.
_LENGTHS = ("completion_length", "completions/mean_length")
_CLIPPED = ("clipped_ratio", "completions/clipped_ratio")


class DegenerateOutputState(State, frozen=True, kw_only=True):
    """`said`: the patterns that were said and have not gone since; `in_a_row` and `kind`: records with the same one."""

    said: tuple[str, ...] = ()
    kind: str | None = None
    in_a_row: int = 0
    outputs: int = 0
    varied: bool = False
    shares: tuple[float, ...] = ()
    lengths: tuple[float, ...] = ()
    clipped: tuple[float, ...] = ()
    rewards: tuple[float, ...] = ()
    last_step: int | None = None


class DegenerateOutput(Signal[DegenerateOutputState]):
    """All outputs show one pattern: the same text, one phrase over and over, nothing at all, a reasoning tag.

    *What it sees*: in `samples`, outputs to different prompts that are the same, that repeat themselves, that are
    empty, that differ in a word only, or that all carry a reasoning tag although the run does not declare
    `expects_think`; `think_share` at 1 over several records; completions that shrink to nothing or no longer end,
    while the reward does not rise.

    *Why it costs you*: the loss looks healthy. The model has learnt the pattern and lost the rest: a template or tag in
    every target, an end-of-text token that is masked or never seen, a learning rate that has burnt the weights.

    *What it is not*: short answers of a classifier, JSON with the same keys, a common beginning ("The answer is"), a
    length limit that cuts every output, shorter answers with a better reward, reasoning tags that are declared.

    *What to do*: look at three training examples as the tokenizer sees them, with their labels: what do all share?
    """

    code = "RUN006"
    name = "degenerate-output"
    severity = "warn"
    state_type = DegenerateOutputState
    thresholds = (
        Threshold(
            key="records",
            default=2,
            unit="records with samples",
            about="records in a row in which outputs that differ in a word only are called a pattern",
            source="one record may be a handful of prompts that are alike",
        ),
        Threshold(
            key="short_records",
            default=3,
            unit="records with samples",
            about="records in a row in which the same short output is called a pattern, once others were seen",
            source="a classifier answers all of four prompts alike by chance often, of twelve hardly ever",
        ),
        Threshold(
            key="think_share",
            default=0.95,
            unit="share of the outputs",
            about="from which share on the tag is in all outputs",
            source="'in all outputs', with room for outputs that were cut before the tag",
        ),
        Threshold(
            key="think_records",
            default=3,
            unit="records",
            about="records in a row at that share; one less where it was below a half before, two less where "
            "`expects_think` is False",
            source="measured: shares of 8 outputs jump by a quarter from record to record",
        ),
        Threshold(
            key="shrunk",
            default=0.05,
            unit="share of the usual length",
            about="completions shorter than this, and than 3 tokens, are nothing",
            source="measured: answers that become terse in healthy synthetic runs keep a fifth of their length",
        ),
        Threshold(
            key="unended",
            default=0.97,
            unit="share of the completions",
            about="from which share of cut completions on none ends, where most did before",
            source="'clipped_ratio' of trl 1.16: completions without an end-of-text token",
        ),
        Threshold(
            key="points",
            default=5,
            unit="logged points",
            about="points in a row of completions that have shrunk or no longer end",
            source="measured: single batches of 8 completions are all cut now and then",
        ),
    )

    def step(self, state: DegenerateOutputState, sample: Sample) -> tuple[DegenerateOutputState, tuple[Finding, ...]]:
        if sample.kind not in ("metrics", "evaluation"):
            return state, ()
        step = step_of(sample)
        if step is not None and step != state.last_step:
            state = replace(state, last_step=step)
        found: list[Finding] = []
        if "samples" in sample.record or "eval_samples" in sample.record:
            outputs = texts(sample.record.get("samples", sample.record.get("eval_samples")))
            state, said = self._outputs(state, outputs)
            found += said
        share = _first(sample, ("think_share", "eval_think_share"))
        if share is not None:
            state, said = self._tags(state, share)
            found += said
        if sample.kind == "metrics":
            state, said = self._lengths(state, sample)
            found += said
        return state, tuple(found)

    def _outputs(
        self, state: DegenerateOutputState, outputs: tuple[str, ...]
    ) -> tuple[DegenerateOutputState, list[Finding]]:
        if not outputs:
            return state, []
        shared = shared_pattern(outputs, thinks=self.run.flag("expects_think"))
        if shared is None:
            varied = state.varied or len({text.strip() for text in outputs}) > 1
            gone = tuple(each for each in state.said if each in ("unended", "shrunk", "share"))
            return replace(state, kind=None, in_a_row=0, outputs=0, varied=varied, said=gone), []
        # The same short text in two records is one pattern, another short text is another.
        kind = shared.pattern if not shared.short else f"same {zlib.crc32(shared.excerpt.encode('utf-8', 'replace'))}"
        if kind == state.kind:
            state = replace(state, in_a_row=state.in_a_row + 1, outputs=state.outputs + len(outputs))
        else:
            state = replace(state, kind=kind, in_a_row=1, outputs=len(outputs))
        if shared.pattern in state.said or not self._enough(state, shared):
            return state, []
        if shared.pattern == "think" and "share" in state.said:
            return state, []
        said = self.finding(
            self._words(shared, len(outputs)),
            step=state.last_step,
            fix=self._fix(shared.pattern),
            evidence={
                "pattern": shared.pattern,
                "share": plain(shared.share),
                "outputs": len(outputs),
                "records": state.in_a_row,
                "excerpt": shared.excerpt,
            },
        )
        return replace(state, said=(*state.said, shared.pattern)), [said]

    def _enough(self, state: DegenerateOutputState, shared: Shared) -> bool:
        if state.outputs < FEWEST:  # a single output or two: in several records
            return False
        if shared.pattern == "alike":
            return state.in_a_row >= self.threshold("records")
        if shared.pattern == "same" and shared.short:
            return state.varied and state.in_a_row >= self.threshold("short_records") and state.outputs >= 12
        return True

    def _words(self, shared: Shared, count: int) -> str:
        what = {
            "empty": "are empty",
            "same": f'are the same text ("{shared.excerpt}")',
            "repeated": f'repeat one phrase over and over ("{shared.excerpt}")',
            "alike": f'are the same but for a word or the end ("{shared.excerpt}")',
            "think": f'carry a reasoning tag that the run does not declare ("{shared.excerpt}")',
        }[shared.pattern]
        return f"{round(shared.share * count)} of {count} sampled outputs {what}: the model has learnt one pattern"

    def _fix(self, pattern: str) -> str:
        if pattern in ("think", "share"):
            return "Declare `expects_think=True` if the tags are wanted; else take them out of the training targets"
        if pattern in ("empty", "shrunk"):
            return "Check that the end-of-text token is not the first label of the targets and that prompts are whole"
        if pattern == "unended":
            return "Check that targets end with the end-of-text token and that it is not masked as padding"
        return (
            "Look at a few training examples with their labels for what all share; lower `learning_rate` if the "
            "outputs were good before"
        )

    def _tags(self, state: DegenerateOutputState, share: float) -> tuple[DegenerateOutputState, list[Finding]]:
        if self.run.flag("expects_think"):
            return state, []
        shares = push(state.shares, share, _WINDOW)
        state = replace(state, shares=shares)
        high = self.threshold("think_share")
        if share < high:
            said = tuple(each for each in state.said if each != "share") if share < high / 2 else state.said
            return replace(state, said=said), []
        if "share" in state.said or "think" in state.said:
            return state, []
        in_a_row = next((n for n, each in enumerate(reversed(shares)) if each < high), len(shares))
        before = shares[: len(shares) - in_a_row]
        needed = self.threshold("think_records")
        if self.run.flag("expects_think") is False:
            needed -= 2
        elif before and min(before) < 0.5:
            needed -= 1
        if in_a_row < needed:
            return state, []
        risen = f", risen from {shown(before[0])}" if before else ""
        said_now = self.finding(
            f"think_share has been {shown(share)} for {in_a_row} records{risen}: every output has the reasoning tag, "
            "which the run does not declare",
            step=state.last_step,
            fix=self._fix("share"),
            evidence={"pattern": "think", "share": plain(share), "records": in_a_row},
        )
        return replace(state, said=(*state.said, "share")), [said_now]

    def _lengths(self, state: DegenerateOutputState, sample: Sample) -> tuple[DegenerateOutputState, list[Finding]]:
        length, clipped = _first(sample, _LENGTHS), _first(sample, _CLIPPED)
        if length is None and clipped is None:
            return state, []
        reward = sample.finite("reward")
        changes: dict[str, Any] = {}
        if reward is not None:
            changes["rewards"] = push(state.rewards, reward, _WINDOW)
        if length is not None:
            changes["lengths"] = push(state.lengths, length, _WINDOW)
        if clipped is not None:
            changes["clipped"] = push(state.clipped, clipped, _WINDOW)
        state = replace(state, **changes)
        points = max(1, int(self.threshold("points")))
        found: list[Finding] = []
        for kind, now in (("shrunk", self._shrunk(state, points)), ("unended", self._unended(state, points))):
            if now is None and kind in state.said:
                state = replace(state, said=tuple(each for each in state.said if each != kind))
            elif now and kind not in state.said and not self._pays(state, points):
                message, evidence = now
                found.append(
                    self.finding(
                        message, step=state.last_step, fix=self._fix(kind), evidence={"pattern": kind} | evidence
                    )
                )
                state = replace(state, said=(*state.said, kind))
        return state, found

    def _shrunk(self, state: DegenerateOutputState, points: int) -> tuple[str, dict[str, Any]] | None:
        before, latest = state.lengths[:-points], state.lengths[-points:]
        usual = max(before, default=0.0) if "shrunk" in state.said else median(before)
        if len(before) < points or max(latest) >= 3 or max(latest) > self.threshold("shrunk") * usual:
            return None
        return (
            f"Completions have shrunk from {shown(usual)} tokens to {shown(median(latest))} over {points} logged "
            "points: the model answers nothing",
            {"before": plain(usual), "latest": plain(median(latest))},
        )

    def _unended(self, state: DegenerateOutputState, points: int) -> tuple[str, dict[str, Any]] | None:
        before, latest = state.clipped[:-points], state.clipped[-points:]
        high = self.threshold("unended")
        if "unended" in state.said:
            return ("", {}) if state.clipped and state.clipped[-1] >= high / 2 else None
        if len(before) < points or median(before) > 0.5 or min(latest) < high:
            return None
        return (
            f"No completion ends any more: clipped_ratio has gone from {shown(median(before))} to "
            f"{shown(median(latest))} over {points} logged points",
            {"before": plain(median(before)), "latest": plain(median(latest))},
        )

    def _pays(self, state: DegenerateOutputState, points: int) -> bool:
        """Whether the reward is as good as before or better: then the change is what the reward asks for."""
        before, latest = state.rewards[:-points], state.rewards[-points:]
        if len(before) < points:
            return False
        return median(latest) >= median(before) - 2 * noise(state.rewards)


def _first(sample: Sample, names: tuple[str, ...]) -> float | None:
    return next((bounded(value) for name in names if (value := sample.finite(name)) is not None), None)
