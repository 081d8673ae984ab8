"""An exception of code."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

# What cannot depend on the moment: the same line says the same whenever it runs.
_CERTAIN = frozenset({"NameError", "UnboundLocalError", "SyntaxError", "IndentationError", "TabError"})


class Code(Policy):
    """*What it does*

    Once more in a new process; the same exception at the same step for the second time, with no new verified checkpoint
    between, puts the file into quarantine, with its traceback. What cannot pass by itself (an undefined name) is not
    tried again. While loading, where it need not be the file's doing, it is held in place of that.

    *Why*

    Most exceptions come back for ever, and each attempt costs a load of the model. A few do not: a race, a broken pipe,
    an index on another process's late file.
    """

    name = "code"
    kinds = ("code",)

    def decide(self, case: Case) -> Decision:
        failure = case.failure
        kind = str(failure.data.get("place", "")).split("/", 1)[-1].split("@", 1)[0]
        certain = kind in _CERTAIN
        times = case.strikes()
        again = case.seen_before()
        if not certain and not again and times <= case.limits.retries:
            return Decision(
                act="retry",
                why=f"{failure.why}; once more in a new process, {case.from_where}",
                policy=self.name,
                delay_seconds=case.delay(times),
            )
        reason = "which cannot pass by itself" if certain else "the same twice" if again else f"{times} attempts"
        advice = "the traceback is in trainguard/failure.txt of output_dir, and in the attempt's output.log"
        if failure.phase == "load":
            why = f"{failure.why}; {reason}, while loading, in which the file may have no part"
            return hold(self.name, why, f"{advice}; mend it, then `trainguard queue release`")
        return Decision(act="quarantine", why=f"{failure.why}; {reason}", policy=self.name, advice=advice)
