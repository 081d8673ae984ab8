"""The training file's own fault."""

from __future__ import annotations

from trainguard.recovery.case import Case
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision


class Data(Policy):
    """*What it does*

    Fails the file at once, with the reason beside it, and takes the next.

    *Why*

    The same bytes fail the same way each time. The file is kept; mended, it comes in as another file.
    """

    name = "data"
    kinds = ("data",)

    def decide(self, case: Case) -> Decision:
        advice = "`trainguard check FILE` lists every fault of it, and `--fix` writes a repaired copy where it can"
        return Decision(act="fail", why=case.failure.why, policy=self.name, advice=advice)
