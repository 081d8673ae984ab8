"""The GPU failed, or does not answer."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

_TRIES = 2
_WAIT_SECONDS = 3_600.0


class GpuLost(Policy):
    """*What it does*

    Waits until a GPU answers to a new process, then goes on from the last verified checkpoint; twice, then the file is
    held with what the driver said.

    *Why*

    An error of the CUDA context is gone with its process, so that a new one decides whether the GPU is. A GPU that has
    fallen off the bus comes back with a reset or a reboot, which a person does.
    """

    name = "gpu-lost"
    kinds = ("gpu-lost",)

    def decide(self, case: Case) -> Decision:
        times = case.strikes("gpu-lost")
        todo = case.failure.data.get("todo")
        if times > _TRIES:
            advice = (
                f"{todo or 'look for NVRM: Xid in the kernel log, and at nvidia-smi'}; then `trainguard queue release`"
            )
            return hold(self.name, f"the GPU failed {times} times without a new verified checkpoint", advice)
        return Decision(
            act="pause",
            why=f"{case.failure.why}; waits until the GPU answers to a new process, then goes on {case.from_where}",
            policy=self.name,
            wait_for="gpu",
            delay_seconds=case.delay(times),
            deadline_seconds=_WAIT_SECONDS,
            advice=str(todo) if todo else None,
        )
