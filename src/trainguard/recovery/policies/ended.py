"""Ended by somebody else: killed, preempted, or asked to stop by trainguard itself."""

from __future__ import annotations

from trainguard.recovery.case import Case, retry
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

# A kill is seldom the file's fault: it gets twice the retries of other faults before it counts as one. Where the
# kernel's log cannot be read, as in most containers, a kill for memory looks like any other.
_PATIENCE = 2


class Ended(Policy):
    """*What it does*

    Asked to stop by trainguard: the file goes on waiting, nothing failed. Killed or preempted: at once again from the
    last verified checkpoint; without a new one since, with growing pauses, and after twice `guard.retries` quarantined.

    *Why*

    Who was killed at a new place each time gets on. Who never reaches the next checkpoint is either killed for what it
    does, or needs checkpoints that are closer together.
    """

    name = "ended"
    kinds = ("stopped", "preempted", "killed")

    def decide(self, case: Case) -> Decision:
        failure = case.failure
        if failure.kind == "stopped":
            return Decision(act="stop", why=failure.why, policy=self.name, counts=False)
        times = case.strikes()
        most = _PATIENCE * max(0, case.limits.retries)
        if times > most:
            every = f" (every {case.limits.save_steps:,} steps now)" if case.limits.save_steps else ""
            advice = (
                f"save more often{every} with save.steps; look at who ends it: the limits of the container, the "
                "scheduler, other programs that fill the memory"
            )
            why = f"ended from outside, {times} attempts without a new verified checkpoint ({most} retries)"
            return Decision(act="quarantine", why=why, policy=self.name, advice=advice)
        decision = retry(case, self.name, failure.why)
        progressed = len(case.since_progress) == 1
        return Decision(
            act="retry",
            why=decision.why,
            policy=self.name,
            delay_seconds=decision.delay_seconds,
            counts=not progressed,
        )
