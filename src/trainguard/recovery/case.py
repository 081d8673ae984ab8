"""What a policy is asked with: the failure, what happened before, and how long to wait. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

from trainguard.recovery.records import Attempt, Decision, Failure, History, Kind, Limits

# No pause between two attempts grows beyond this; half an hour of a GPU that waits is what a person notices.
LONGEST_DELAY_SECONDS = 1_800.0
_JITTER = 0.25


class Case:
    """One question to a policy. `attempts` end with the one that just failed."""

    def __init__(self, failure: Failure, history: History, limits: Limits) -> None:
        self.failure = failure
        self.limits = limits
        self.history = history
        self.attempts = _with_this(failure, history)

    # -- progress ------------------------------------------------------------------------------------------------------

    @cached_property
    def since_progress(self) -> tuple[Attempt, ...]:
        """The attempts since the last new verified checkpoint: that which made it, since it failed too, and all later.

        New is what is beyond every checkpoint before it: what a rollback makes once more is no progress. A person's
        release begins anew as well.
        """
        best = self.attempts[0].first_step or self.limits.step_before or 0
        start = len(self.attempts) - len(self.since_release)
        for at, each in enumerate(self.attempts):
            if each.verified_step is not None and each.verified_step > best:
                best, start = each.verified_step, max(at, start)
        return self.attempts[start:]

    @cached_property
    def since_release(self) -> tuple[Attempt, ...]:
        """The attempts since a person released the file, with this one: all where nobody did."""
        after = self.history.released_after
        *earlier, this = self.attempts
        return (*(each for each in earlier if after is None or each.number > after), this)

    @property
    def rollbacks(self) -> int:
        """How often the file was rolled back before this attempt, since a person released it where one did."""
        # Of a long history only the last attempts are kept, of what was left out everything.
        done = sum(1 for each in self.since_release[:-1] if each.act == "rollback")
        return max(done, len(self.history.skipped) - self.history.skipped_before)

    def strikes(self, *kinds: Kind) -> int:
        """How many attempts of these kinds (none given: all but "stopped") failed since there was progress. One whose
        process could not be started was none."""
        return sum(
            1
            for each in self.since_progress
            if each.failure is not None
            and not each.failure.data.get("not_started")
            and (each.failure.kind in kinds if kinds else each.failure.kind not in _FREE)
        )

    def earlier(self, same: Callable[[Failure], bool]) -> int:
        """How many of the attempts since there was progress, without this one, ended in such a failure."""
        return sum(1 for each in self.since_progress[:-1] if each.failure is not None and same(each.failure))

    def seen_before(self) -> bool:
        """Whether an earlier attempt ended with the same fault at the same place, with no progress since then."""
        return self.earlier(lambda failure: failure.fingerprint == self.failure.fingerprint) > 0

    @property
    def verified_step(self) -> int | None:
        """The newest verified checkpoint's global step, as far as is known."""
        return next((each.verified_step for each in reversed(self.attempts) if each.verified_step is not None), None)

    @property
    def from_where(self) -> str:
        step = self.verified_step
        return f"from the verified checkpoint of step {step:,}" if step is not None else "from its beginning"

    # -- sizes ---------------------------------------------------------------------------------------------------------

    def size(self, field: str, usual: int) -> int:
        """A size as it is now: what was changed for this file, else the user's."""
        value = self.history.changes.get(field, usual)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else max(1, usual)

    @property
    def batch_size(self) -> int:
        return self.size("batch_size", self.limits.batch_size)

    @property
    def accumulation(self) -> int:
        return self.size("gradient_accumulation", self.limits.gradient_accumulation)

    # -- waiting -------------------------------------------------------------------------------------------------------

    def delay(self, times: int, *, at_once: bool = True, cap: float = LONGEST_DELAY_SECONDS) -> float:
        """Seconds before the `times`-th attempt in a row: doubled each time up to `cap`, give or take a quarter.

        The first is made `at_once` where nothing is won by waiting. The quarter is drawn from the fault itself, so that
        the same question has the same answer, and that many files that failed together do not come back together.
        """
        if at_once:
            times -= 1
        if times <= 0:
            return 0.0
        base = max(0.0, self.limits.retry_delay_seconds)
        seconds = base * 2.0 ** min(times - 1, 40)
        text = f"{self.failure.fingerprint}|{len(self.attempts)}|{times}"
        drawn = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:4], "big") / 2**32
        return round(min(cap, min(cap, seconds) * (1.0 - _JITTER + 2 * _JITTER * drawn)), 1)


# Ended by trainguard itself: neither a failure nor a retry.
_FREE: frozenset[Kind] = frozenset({"stopped"})


def _with_this(failure: Failure, history: History) -> tuple[Attempt, ...]:
    """The attempts with the one that just ended as the last, be it among them already (its `act` is None) or not."""
    attempts = history.attempts
    if attempts and attempts[-1].act is None:
        last = attempts[-1]
        rest = attempts[:-1]
        this = Attempt(
            number=last.number,
            started=last.started,
            ended=last.ended,
            first_step=last.first_step,
            last_step=last.last_step,
            verified_step=last.verified_step,
            failure=failure,
            changes=last.changes,
        )
        return (*rest, this)
    number = attempts[-1].number + 1 if attempts else 1
    return (*attempts, Attempt(number=number, started=0.0, ended=0.0, failure=failure))


def retry(case: Case, policy: str, why: str, *, at_once: bool = True, times: int | None = None) -> Decision:
    """Once more, with the usual back-off."""
    count = times if times is not None else case.strikes()
    return Decision(
        act="retry",
        why=f"{why}; goes on {case.from_where}",
        policy=policy,
        delay_seconds=case.delay(count, at_once=at_once),
    )


def hold(policy: str, why: str, advice: str) -> Decision:
    """A person must look: `advice` says at what."""
    return Decision(act="hold", why=why, policy=policy, advice=advice, counts=False)
