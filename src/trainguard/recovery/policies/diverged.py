"""NaN, infinity, divergence: back to before it began, past the data of that time."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

# What is left out before and after the step at which it showed. NaN shows at most three steps late (train/nonfinite.py:
# a GPU's flag is read without waiting); a divergence builds up. PaLM (Chowdhery et al. 2022, section 5.1) went back
# about 100 steps and left out 200 to 500 batches, those seen before and during the spike. Files here are shorter, so it
# begins with less and takes four times as much whenever that was not enough.
_BEFORE = {"not-finite": 4, "divergence": 32}
_AFTER = 1
_GROWS = 4
# Own steps in which a fault that comes back at once is the learning rate's, not the data's.
_AT_ONCE = 2
_ADVICE = (
    "lower learning_rate (a third of it), warm up longer with warmup_ratio, set max_grad_norm = 1.0, or take bf16 in "
    "place of fp16; then `trainguard queue release`"
)


class Diverged(Policy):
    """*What it does*

    Goes back to the newest verified checkpoint before the onset and leaves out the window of steps around it, whose
    examples are listed; at most `limits.rollbacks` times, each time a window four times as long, never beyond the
    checkpoint. Then, where it comes back within the first two steps, and where nothing would be left of the file, it is
    held. `trainguard queue release` gives as many rollbacks again.

    *Why*

    A batch that blows up once does so again from the same weights, so that a retry alone repeats it. Where other data
    blow up as well, the learning rate does it, and no data are to be thrown away for that.
    """

    name = "diverged"
    kinds = ("not-finite", "divergence")

    def decide(self, case: Case) -> Decision:
        failure, limits = case.failure, case.limits
        done = case.rollbacks
        onset = failure.data.get("onset", failure.step)
        before = self._step_before(case)
        # An onset before the file's own first step cannot be: then it is not known either.
        if not isinstance(onset, int) or isinstance(onset, bool) or onset <= before:
            return self._unknown_onset(case)
        own = onset - before
        earlier = case.since_release[:-1]
        same = [each for each in earlier if each.failure is not None and each.failure.kind in self.kinds]
        if own <= _AT_ONCE and same:
            why = f"{failure.why}; again within the first {_AT_ONCE} steps, with other data, so it is not the data"
            return hold(self.name, why, _ADVICE)
        since = " since it was released" if case.history.released_after is not None else ""
        if done >= max(0, limits.rollbacks):
            return hold(
                self.name, f"{failure.why}; after {done} rollbacks (the most is {limits.rollbacks}){since}", _ADVICE
            )
        if not limits.can_skip_data:
            return self._without_skipping(case, bool(same))
        skip = self._window(case, onset, before, done)
        planned = failure.data.get("planned_steps")
        if skip[0] == 1 and isinstance(planned, int) and skip[1] >= planned:
            why = (
                f"{failure.why}; leaving out what led to it would leave nothing of the file ({planned:,} steps in all)"
            )
            return hold(self.name, why, f"look at its examples, {_ADVICE}")
        return Decision(
            act="rollback",
            why=f"{failure.why}; goes back to before global step {onset:,} and leaves out this file's steps "
            f"{skip[0]:,} to {skip[1]:,} (rollback {done + 1} of {limits.rollbacks}{since})",
            policy=self.name,
            before_step=onset,
            skip=skip,
            counts=False,
        )

    def _window(self, case: Case, onset: int, before: int, done: int) -> tuple[int, int]:
        """This file's own steps that are left out, first and last. What is before the checkpoint was trained, and
        leaving it out would shift the data that follow, so that the window never begins before it."""
        length = _BEFORE[case.failure.kind] * _GROWS ** min(done, 8)
        known = [
            step for each in case.attempts for step in (each.verified_step, each.first_step, before) if step is not None
        ]
        base = max((step for step in known if step < onset), default=before)
        newest = case.verified_step
        if newest is not None and newest >= onset:
            # It goes back beyond the newest: to a multiple of save_steps, or, where that was pruned, further still.
            every = case.limits.save_steps
            base = max(base, (onset - 1) // every * every) if every else onset - 1
        first = max(base + 1, onset - length, before + 1)
        last, planned = onset + _AFTER - before, case.failure.data.get("planned_steps")
        if isinstance(planned, int) and not isinstance(planned, bool):
            last = min(last, planned)  # not beyond the file
        return first - before, max(last, onset - before)

    def _step_before(self, case: Case) -> int:
        known = case.limits.step_before
        told = case.failure.data.get("step_before")
        return known if known is not None else told if isinstance(told, int) else 0

    def _without_skipping(self, case: Case, again: bool) -> Decision:
        if again:
            return hold(self.name, f"{case.failure.why}; twice, and this script cannot leave out data", _ADVICE)
        return Decision(
            act="retry",
            why=f"{case.failure.why}; once more {case.from_where}, since this script cannot leave out data",
            policy=self.name,
        )

    def _unknown_onset(self, case: Case) -> Decision:
        if case.earlier(lambda each: each.kind in self.kinds):
            return hold(self.name, f"{case.failure.why}; twice, and the step at which it began is not known", _ADVICE)
        why = f"{case.failure.why}; the step at which it began is not known: once more {case.from_where}"
        return Decision(act="retry", why=why, policy=self.name)
