"""Stood still."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold, retry
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision


class Hang(Policy):
    """*What it does*

    Again from the last verified checkpoint. At the same step of the same phase for the second time, with no new
    verified checkpoint between: quarantined with the stacks, or held where it was while loading, since no file would
    get past that.

    *Why*

    A collective that lost a peer, a dead mount, a worker that waits for itself: most come back once. A hang that comes
    back at the same example is made by it.
    """

    name = "hang"
    kinds = ("hang",)

    def decide(self, case: Case) -> Decision:
        failure = case.failure
        times = case.strikes()
        where = f"at step {failure.step:,}" if failure.step is not None else f"while {failure.phase}"
        advice = "the stacks of all threads are in trainguard/stacks.txt of output_dir"
        if case.seen_before():
            if failure.phase == "load" or (failure.step is None and failure.phase != "tokenize"):
                return hold(
                    self.name,
                    f"{failure.why}; twice before its first step",
                    f"{advice}; then `trainguard queue release`",
                )
            why = f"{failure.why}; the second time {where}"
            return Decision(act="quarantine", why=why, policy=self.name, advice=advice)
        if times > case.limits.retries:
            why = f"{failure.why}; {times} attempts without a new verified checkpoint"
            return Decision(act="quarantine", why=why, policy=self.name, advice=advice)
        return retry(case, self.name, failure.why)
