"""The disk is full or fails, or its mount is gone."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold, retry
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

_PAUSES = 4
_MOUNT_SECONDS = 6 * 3_600.0


class Disk(Policy):
    """*What it does*

    Full: waits until the file system has room, however long, and prunes what may go; then goes on from the last
    verified checkpoint. Full elsewhere than the output folder (temporary files, a cache, a quota): twice again with
    growing pauses, then held. Failing: once again, then waits for the mount to answer, then held. Mount gone: waits for
    it for six hours, then held. Four pauses without a new verified checkpoint hold the file too.

    *Why*

    Nothing about the file is wrong, so it is never put aside for a disk. Whether there is room is what the file system
    says of itself, since a full disk has many names.
    """

    name = "disk"
    kinds = ("disk-full", "disk-error", "mount-gone")

    def decide(self, case: Case) -> Decision:
        failure = case.failure
        times = case.strikes(*self.kinds)
        if times > _PAUSES:
            advice = "look at the file system of output_dir, its quota and its mount; then `trainguard queue release`"
            return hold(self.name, f"{failure.why}; {times} times without a new verified checkpoint", advice)
        if failure.kind == "disk-full":
            return self._full(case, times)
        if failure.kind == "disk-error" and times <= 1:
            return retry(case, self.name, f"{failure.why}; once more", at_once=False, times=times)
        return Decision(
            act="pause",
            why=f"{failure.why}; waits until it can be written to, then goes on {case.from_where}",
            policy=self.name,
            wait_for="mount",
            delay_seconds=case.delay(times),
            deadline_seconds=_MOUNT_SECONDS,
        )

    def _full(self, case: Case, times: int) -> Decision:
        failure = case.failure
        if failure.data.get("elsewhere"):
            if case.strikes("disk-full") > 2:
                advice = "make room in TMPDIR and in the caches (HF_HOME), or raise the quota; then "
                advice += "`trainguard queue release`"
                return hold(self.name, failure.why, advice)
            return retry(case, self.name, failure.why, at_once=False, times=times)
        return Decision(
            act="pause",
            why=f"{failure.why}; waits for room, then goes on {case.from_where}",
            policy=self.name,
            wait_for="disk",
            delay_seconds=case.delay(times),
            advice="free room on the file system of output_dir, or keep fewer checkpoints with save.keep",
        )
