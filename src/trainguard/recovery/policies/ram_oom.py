"""Out of system memory."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold, retry
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision


class RamOom(Policy):
    """*What it does*

    Once more after a pause, from the last verified checkpoint. Without a new verified checkpoint since, the second time
    holds the file.

    *Why*

    Memory that another program took may be back, and a leak that let a checkpoint pass lets the next one pass too. What
    fits nowhere fills the machine again and may take other programs with it, so it is not tried for long.
    """

    name = "ram-oom"
    kinds = ("ram-oom",)

    def decide(self, case: Case) -> Decision:
        times = case.strikes("ram-oom")
        if times <= 1:
            return retry(case, self.name, "out of system memory: once more", at_once=False, times=times)
        advice = (
            "use fewer dataloader and dataset processes, give the container more memory or more /dev/shm, or take a "
            "larger machine; then `trainguard queue release`"
        )
        return hold(self.name, f"out of system memory {times} times without a new verified checkpoint", advice)
