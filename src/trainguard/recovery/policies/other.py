"""Ended early, trainguard's own faults, and what nobody knows."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold, retry
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision


class Other(Policy):
    """*What it does*

    Ended early: again from where it stopped, once; then held. Stopped by an action that the user has set for a warning:
    held at once. A fault of trainguard itself: once again, then held. Unknown: again with growing pauses up to
    `guard.retries`, then quarantined.

    *Why*

    A run that makes no step the second time will make none the third time. What is not known may be anything, and only
    whether there is progress tells.
    """

    name = "other"
    kinds = ("ended-early", "internal", "unknown")

    def decide(self, case: Case) -> Decision:
        failure = case.failure
        if failure.data.get("asked"):
            advice = "`trainguard queue release` goes on; guard.actions says which findings stop a run"
            return hold(self.name, f"stopped as guard.actions asks for: {failure.why}", advice)
        if failure.kind in ("ended-early", "internal"):
            times = case.strikes(failure.kind)
            if times <= 1:
                return retry(case, self.name, f"{failure.why}; once more")
            advice = (
                "please report it, with the attempt's output.log"
                if failure.kind == "internal"
                else "look at max_steps, at streaming data that end early, and at callbacks that stop"
            )
            return hold(self.name, f"{failure.why}; {times} times without a new verified checkpoint", advice)
        times = case.strikes()
        if times > case.limits.retries:
            why = f"{failure.why}; {times} attempts without a new verified checkpoint"
            advice = "the attempt's output.log has its last words"
            return Decision(act="quarantine", why=why, policy=self.name, advice=advice)
        return retry(case, self.name, failure.why)
