"""The hub or the network does not answer."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

# With pauses of half an hour at the most, thirty attempts are about twelve hours: a night.
_PATIENCE = 30


class Network(Policy):
    """*What it does*

    Again after 10, 20, 40 s and so on up to half an hour, give or take a quarter, thirty times; then held. None of it
    counts as a retry.

    *Why*

    The network comes back, and it is nobody's fault here. All files that wait for it do not knock at the same second.
    """

    name = "network"
    kinds = ("network",)

    def decide(self, case: Case) -> Decision:
        times = case.strikes("network")
        if times > _PATIENCE:
            advice = (
                "look at the network, the proxy and the hub's status; with the model in a local folder none is needed"
            )
            return hold(
                self.name, f"{case.failure.why}; {times} attempts", f"{advice}; then `trainguard queue release`"
            )
        return Decision(
            act="retry",
            why=f"{case.failure.why}; attempt {times} of {_PATIENCE}, goes on {case.from_where}",
            policy=self.name,
            delay_seconds=case.delay(times, at_once=False),
            counts=False,
        )
