"""RUN024: after a resume the run sees batches again that it has already trained on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trainguard.findings import Finding
from trainguard.signals._replays import NONE, Point, bends, close, rank_correlation, telling
from trainguard.signals._robust import bounded, median, noise
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Run, Sample

# Points kept of the run so far, of its beginning, of the beginning of the current epoch, and after a resume.
_HISTORY = 160
_START = 32
_AFTER = 24
# The Trainer logged the epoch with two decimals until transformers 5.
_ROUNDING = 0.0051


class DataReplayedState(State, frozen=True, kw_only=True):
    """`before` is the run up to the last resume and since then, `start` its first points, `after` those of the resume.

    `told` is the resume about which everything is known: said, or found healthy.
    """

    before: tuple[Point, ...] = ()
    start: tuple[Point, ...] = ()
    epoch_start: tuple[Point, ...] = ()
    after: tuple[Point, ...] = ()
    from_step: int | None = None
    tokens: float | None = None
    step: int | None = None
    told: bool = True
    files: int = 0


class DataReplayed(Signal[DataReplayedState]):
    """The data order starts again at the beginning, though the run goes on.

    *What it sees*: after a resume, the epoch falls back to the beginning while the step goes on; or the sequence of
    tokens per log (which tells batches apart), of losses, or of the ups and downs of the loss is the one from the
    beginning of the run or of other, earlier steps.

    *Why it costs you*: the batches before the resume are trained twice and those at the end never; the loss looks
    better than it is.

    *What it is not*: the same *steps* again after a resume from an earlier checkpoint (they must repeat exactly), the
    next epoch in the same order, another file, num_tokens that counts from 0 again.

    *What to do*: resume without ignore_data_skip, and with a data loader that keeps its place; for an iterable data set
    use one with state_dict, or skip what was trained.
    """

    code = "RUN024"
    name = "data-replayed"
    severity = "warn"
    thresholds = (
        Threshold(
            key="equal_points",
            default=3,
            unit="logged points",
            about="points in a row that are equal to earlier ones, to six digits",
            source="measured: three losses of four digits agree by chance in one of 10^9 places",
        ),
        Threshold(
            key="near_points",
            default=5,
            unit="logged points",
            about="points in a row that agree within 0.1 % with earlier ones, where the curve varies by far more",
            source="measured: on independent noise of 5 % about one in 10^6 places",
        ),
        Threshold(
            key="alike_points",
            default=12,
            unit="logged points",
            about="points over which the ups and downs of the loss must be those of the beginning",
            source="measured: with a rank correlation of `alike` 8 of 10,000 independent curves",
        ),
        Threshold(
            key="alike",
            default=0.93,
            unit="rank correlation",
            about="how alike the ups and downs must be",
            source="see alike_points",
        ),
    )
    state_type = DataReplayedState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._interval = run.count("logging_steps")
        steps, epochs = run.count("max_steps"), run.number("num_train_epochs")
        self._per_epoch = steps / epochs if steps and epochs and epochs >= 1 else None

    def step(self, state: DataReplayedState, sample: Sample) -> tuple[DataReplayedState, tuple[Finding, ...]]:
        if sample.kind == "resume":
            given = sample.finite("from_step")
            at = int(given) if given is not None and given >= 0 else (sample.step or state.step)
            return self._resumed(state, at), ()
        if sample.kind == "file":
            # other data: nothing before it can be seen again
            return DataReplayedState(step=state.step, files=state.files + 1), ()
        if sample.kind != "metrics":
            return state, ()
        loss, step = sample.finite("loss"), sample.step
        tokens = sample.finite("num_tokens")
        if loss is None and tokens is None:
            return state, ()
        if step is None:
            step = (state.step or 0) + (self._interval or 1)
        if state.step is not None and step <= state.step and (state.told or state.after):
            if step == state.step or step < 0:
                return state, ()
            earlier = [each.step for each in state.before if each.step < step]
            state = self._resumed(state, earlier[-1] if earlier else max(0, step - (self._interval or 1)))
        point = self._point(state, sample, step, loss, tokens)
        known = bounded(tokens) if tokens is not None else state.tokens
        state = msgspec.structs.replace(state, step=step, tokens=known)
        if state.told:
            return self._kept(state, point), ()
        after = (*state.after, point)
        state = msgspec.structs.replace(state, after=after)
        verdict = self._verdict(state)
        if verdict is None:
            if len(after) < _AFTER:
                return state, ()
            return self._settled(state), ()
        if verdict == "":
            return self._settled(state), ()
        finding = self._say(state, sample, verdict)
        return self._settled(state), (finding,)

    # -- what is kept ----------------------------------------------------------------------------------------------

    def _point(
        self, state: DataReplayedState, sample: Sample, step: int, loss: float | None, tokens: float | None
    ) -> Point:
        gap = step - (state.step if state.step is not None else 0)
        if not state.told and not state.after and state.from_step is not None:
            gap = step - state.from_step
        more = NONE
        if tokens is not None:
            base = state.tokens if state.tokens is not None and state.tokens <= tokens else 0.0
            if not state.told and not state.after:
                # TRL counts from 0 again after a resume (trl 1.16, sft_trainer.py: _total_train_tokens); a count that
                # was restored goes on from a number that nobody has logged
                base = 0.0 if state.tokens is None or tokens < state.tokens / 2 else NONE
            more = bounded(tokens - base) if base != NONE else NONE
        norm, epoch = sample.finite("grad_norm"), sample.finite("epoch")
        return Point(
            step=step,
            gap=gap,
            loss=bounded(loss) if loss is not None else NONE,
            norm=bounded(norm) if norm is not None else NONE,
            tokens=more,
            epoch=bounded(epoch) if epoch is not None else NONE,
        )

    def _kept(self, state: DataReplayedState, point: Point) -> DataReplayedState:
        before = state.before
        last = before[-1] if before else None
        epoch_start = state.epoch_start
        if last is not None and last.epoch != NONE and point.epoch != NONE and int(point.epoch) > int(last.epoch):
            epoch_start = (point,)
        elif epoch_start and len(epoch_start) < _START:
            epoch_start = (*epoch_start, point)
        start = state.start
        if len(start) < _START and (last is None or len(start) == len(before)):
            start = (*start, point)
        return msgspec.structs.replace(state, before=(*before, point)[-_HISTORY:], start=start, epoch_start=epoch_start)

    def _resumed(self, state: DataReplayedState, at: int | None) -> DataReplayedState:
        if state.after:
            state = self._settled(state)
        if not state.before or at is None or at <= 0:
            # from the very beginning everything repeats, and rightly; of a run that was not seen nothing can be told
            return msgspec.structs.replace(state, from_step=at, after=(), told=True, step=at)
        return msgspec.structs.replace(state, from_step=at, after=(), told=False, step=at)

    def _settled(self, state: DataReplayedState) -> DataReplayedState:
        """The points after the resume become part of the run; the same steps before it give way to them."""
        first = state.after[0].step if state.after else (state.from_step or 0) + 1
        kept = tuple(each for each in state.before if each.step < first)
        return msgspec.structs.replace(state, before=(*kept, *state.after)[-_HISTORY:], after=(), told=True)

    # -- the verdict -----------------------------------------------------------------------------------------------

    def _verdict(self, state: DataReplayedState) -> str | None:
        """What was found, "" for a resume that is fine, None while it is open."""
        if len(state.after) == 1 and self._epoch_fell(state):
            return "epoch"
        if self._boundary(state):
            return ""  # the next epoch may come in the same order
        same = [each for each in state.before if each.step >= state.after[0].step]
        if len(same) >= 2 and self._equal(state.after, same) is not None and len(state.after) >= 2:
            agreed = self._run_length(state.after, same)
            if agreed >= min(2, len(state.after)):
                return ""
        places = self._places(state)
        if places:
            return self._told_apart(state, places)
        return self._alike(state, same)

    def _epoch_fell(self, state: DataReplayedState) -> bool:
        """Whether the epoch begins again although the step goes on: what ignore_data_skip does.

        transformers 5.23, `trainer.py`: the epoch is epochs + (step + 1) / steps_in_epoch, and `step` counts from 0
        where batches are not skipped.
        """
        point, at = state.after[0], state.from_step or 0
        known = [each for each in state.before if each.epoch != NONE and each.step <= at]
        if point.epoch == NONE or not known or point.step <= at:
            return False
        last = known[-1]
        pace = last.epoch / last.step if last.step > 0 and last.epoch > 0 else 0.0
        if len(known) > 1 and known[-1].step > known[0].step:
            pace = (known[-1].epoch - known[0].epoch) / (known[-1].step - known[0].step)
        if pace <= 0:
            return False
        then = last.epoch + (at - last.step) * pace
        own = (point.step - at) * pace
        room = 2 * _ROUNDING + 0.25 * own
        begun = then - int(then + _ROUNDING)
        if begun < 3 * room:
            return False
        return any(abs(point.epoch - each) <= room for each in (own, int(then) + own))

    def _boundary(self, state: DataReplayedState) -> bool:
        """Whether the resume is where an epoch begins."""
        at = state.from_step or 0
        if self._per_epoch is not None and self._per_epoch >= 1:
            off = at % self._per_epoch
            if min(off, self._per_epoch - off) < 1:
                return True
        point = state.after[0]
        if point.epoch == NONE or point.step <= at:
            return False
        known = [each for each in state.before if each.epoch != NONE and 0 < each.step <= at]
        if not known or known[-1].epoch <= 0:
            return False
        pace = known[-1].epoch / known[-1].step
        then = known[-1].epoch + (at - known[-1].step) * pace
        near = abs(then - round(then)) <= max(2 * _ROUNDING, 1.01 * pace) and round(then) >= 1
        return near and point.epoch > then - pace

    def _places(self, state: DataReplayedState) -> list[Point]:
        """The earlier points at which the sequence after the resume is found again."""
        after, found = state.after, list[Point]()
        least = int(self.threshold("equal_points"))
        if len(after) < least:
            return []
        histories: list[Sequence[Point]] = [state.before]
        if state.start and state.before and state.start[0].step < state.before[0].step:
            histories.append(state.start)
        if state.epoch_start and state.epoch_start[0].step < state.before[0].step:
            histories.append(state.epoch_start)
        for history in histories:
            ends = len(history) - least + 1
            found.extend(history[i] for i in range(ends) if self._matches(after, history[i : i + len(after)]))
        return found

    def _matches(self, after: Sequence[Point], earlier: Sequence[Point]) -> bool:
        """Whether the points after the resume are those from here on, as far as both go."""
        n = min(len(after), len(earlier))
        if n < int(self.threshold("equal_points")) or n < len(after):
            return False
        # the last point first: it is the new one, and settles most places at once
        for name in ("tokens", "loss"):
            ours = [getattr(each, name) for each in after]
            theirs = [getattr(each, name) for each in earlier[:n]]
            skip = 1 if ours[0] == NONE or (name == "tokens" and after[0].gap != earlier[0].gap) else 0
            ours, theirs = ours[skip:], theirs[skip:]
            if len(ours) < int(self.threshold("equal_points")) or NONE in ours or NONE in theirs:
                continue
            if any(a.gap != b.gap for a, b in zip(after[1:], earlier[1:n], strict=False)):
                continue
            if all(close(a, b, 1e-6) for a, b in zip(ours, theirs, strict=True)) and telling(ours, name):
                return True
            if (
                name == "loss"
                and len(ours) >= int(self.threshold("near_points"))
                and all(close(a, b, 1e-3) for a, b in zip(ours, theirs, strict=True))
                and noise(ours) > 0.02 * abs(median(ours))
            ):
                return True
        return False

    def _equal(self, after: Sequence[Point], same: Sequence[Point]) -> int | None:
        return 0 if same and after and same[0].step == after[0].step else None

    def _run_length(self, after: Sequence[Point], same: Sequence[Point]) -> int:
        """How many of the last points are those of the same steps before the resume."""
        by_step = {each.step: each for each in same}
        count = 0
        for point in reversed(after):
            other = by_step.get(point.step)
            if other is None:
                break
            equal_loss = point.loss != NONE and other.loss != NONE and close(point.loss, other.loss, 1e-3)
            equal_tokens = point.tokens != NONE and other.tokens != NONE and point.tokens == other.tokens
            if not (equal_tokens or equal_loss):
                break
            count += 1
        return count

    def _told_apart(self, state: DataReplayedState, places: list[Point]) -> str | None:
        """Batches that come again: those of an epoch ago may, in a run whose order is the same in each epoch."""
        first = state.after[0]
        if any(each.step == first.step for each in places):
            return ""
        for place in places:
            apart = first.epoch - place.epoch if first.epoch != NONE and place.epoch != NONE else None
            whole = apart is not None and round(apart) >= 1 and abs(apart - round(apart)) <= 2 * _ROUNDING
            if self._per_epoch is not None and apart is None:
                turns = (first.step - place.step) / self._per_epoch
                whole = round(turns) >= 1 and abs(turns - round(turns)) * self._per_epoch < 1
            if apart is None and not whole:
                whole = self._periodic(state, first.step - place.step)
            if not whole:
                return f"steps:{place.step - place.gap + 1}"
        return ""

    def _periodic(self, state: DataReplayedState, apart: int) -> bool:
        """Whether the run repeated itself at this distance before the resume too: then it is one epoch, or some."""
        at = state.from_step or 0
        counts = {each.step: each.tokens for each in (*state.start, *state.before) if each.tokens != NONE}
        pairs = [(now, counts.get(step - apart)) for step, now in counts.items() if at - apart // 2 < step <= at]
        same = [now == then for now, then in pairs if then is not None]
        return len(same) >= 1 and all(same[-3:])

    def _alike(self, state: DataReplayedState, same: Sequence[Point]) -> str | None:
        """Whether the ups and downs of the loss are those of the beginning: the second time a batch costs less."""
        after, least = state.after, int(self.threshold("alike_points"))
        if len(after) < least:
            return None
        ours = bends([each.loss for each in after])
        again = [each for each in same if each.step <= after[-1].step]
        if len(again) == len(after) and rank_correlation(ours, bends([each.loss for each in again])) > 0.5:
            return ""
        for begin in (state.start, state.epoch_start):
            earlier = begin[: len(after)]
            if len(earlier) < len(after) or any(a.gap != b.gap for a, b in zip(after[1:], earlier[1:], strict=False)):
                continue
            apart = after[0].epoch - earlier[0].epoch if min(after[0].epoch, earlier[0].epoch) != NONE else None
            if apart is not None and round(apart) >= 1 and abs(apart - round(apart)) <= 2 * _ROUNDING:
                continue
            theirs = bends([each.loss for each in earlier])
            if rank_correlation(ours, theirs) >= self.threshold("alike"):
                return f"alike:{earlier[0].step - earlier[0].gap + 1}"
        return None

    def _say(self, state: DataReplayedState, sample: Sample, verdict: str) -> Finding:
        at, points = state.from_step, len(state.after)
        kind, _, place = verdict.partition(":")
        if kind == "epoch":
            now, was = state.after[0].epoch, max(each.epoch for each in state.before)
            seen = f"the epoch went back to {now:.3g} (it was {was:.3g})"
        elif kind == "steps":
            seen = f"{points} logged points repeat those from step {place} on"
        else:
            seen = f"the loss goes up and down as it did from step {place} on, over {points} logged points"
        return self.finding(
            f"after the resume from step {at} the data starts again: {seen}, so batches are trained twice and others "
            "never; resume without ignore_data_skip, or with a data loader that keeps its place (state_dict)",
            step=sample.step,
            evidence={
                "shape": kind,
                "from_step": at,
                "repeats_from_step": int(place) if place else None,
                "points": points,
                "epoch": state.after[0].epoch if state.after[0].epoch != NONE else None,
            },
        )
