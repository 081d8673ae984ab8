"""The configuration's, the model's or the machine's fault: no file would train."""

from __future__ import annotations

from trainguard.recovery.case import Case
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision


class Config(Policy):
    """*What it does*

    Pauses the whole queue until a person resumes it; the file keeps its place. Where no process could be started for
    want of descriptors, processes or memory, until one can be.

    *Why*

    Every file would fail the same way, and a queue that fails one file after the other for a wrong path is emptied over
    night.
    """

    name = "config"
    kinds = ("config",)

    def decide(self, case: Case) -> Decision:
        if case.failure.data.get("not_started"):
            return Decision(
                act="pause",
                why=f"{case.failure.why}; the queue waits until a process can be started",
                policy=self.name,
                wait_for="start",
                counts=False,
                advice="raise the daemon's limits: ulimit -n and -u, pids.max of the container, LimitNOFILE= and "
                "TasksMax= of the unit",
            )
        return Decision(
            act="pause",
            why=f"{case.failure.why}; no file would train, so the queue waits",
            policy=self.name,
            counts=False,
            advice="mend it, then `trainguard daemon resume CONFIG`; `trainguard check CONFIG` shows whether it is",
        )
