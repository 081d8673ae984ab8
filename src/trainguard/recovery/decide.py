"""From what an attempt ended with to what is done next. Pure: the same question has the same answer."""

from __future__ import annotations

from trainguard.recovery.case import LONGEST_DELAY_SECONDS, Case
from trainguard.recovery.records import Act, Decision, Failure, History, Limits
from trainguard.recovery.registry import by_kind

# Whatever the policies say one by one, so many attempts in a row without a new verified checkpoint are looked at by a
# person: faults of several kinds that take turns would otherwise each begin to count anew.
MOST_WITHOUT_PROGRESS = 40
_GOES_ON: frozenset[Act] = frozenset({"retry", "rollback", "pause"})


def decide(failure: Failure, history: History, limits: Limits) -> Decision:
    """What to do next with the file. `history` ends with the attempt that just failed, or leaves it out."""
    case = Case(failure, history, limits)
    decision = by_kind()[failure.kind].decide(case)
    times = case.strikes()
    # A queue that waits for a person is looked at already.
    waits_for_a_person = decision.act == "pause" and decision.wait_for is None
    if decision.act in _GOES_ON and not waits_for_a_person and times > MOST_WITHOUT_PROGRESS:
        return Decision(
            act="hold",
            why=f"{times} attempts without a new verified checkpoint; the last: {failure.why}",
            policy="budget",
            counts=False,
            advice="`trainguard queue show` has its whole history; `trainguard queue release` lets it go on",
        )
    if not 0 <= decision.delay_seconds <= LONGEST_DELAY_SECONDS:
        raise ArithmeticError(f"{decision.policy}: a delay of {decision.delay_seconds} s")
    return decision
