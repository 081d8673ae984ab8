"""An inbox with a queue behind it, guarded or naive, and a stand-in for training that reads what it is given.

A drill puts files into the inbox and lets all of them be trained; what was trained is known by content.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainguard.drills.base import Outcome
from trainguard.drills.guard import Guard
from trainguard.drills.queue._naive import NaiveQueue
from trainguard.findings import Finding
from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.hashing import OnProgress, nothing
from trainguard.queue.inbox import Inbox, Look
from trainguard.queue.store import Queue, open_queue

Train = Callable[[Path], None]


class Desk:
    """`trained` are the contents that were trained, in their order; `findings` what was said."""

    def __init__(self, scratch: Path, guard: Guard) -> None:
        self.guard = guard
        self.scratch = scratch
        self.box = scratch / "inbox"
        self.home = scratch / "output" / "queue"
        self.box.mkdir()
        self.home.mkdir(parents=True)
        self.naive = NaiveQueue(self.box, scratch / "naive")
        self.custody = Custody(self.home)
        self.inbox = Inbox(self.box, 0.0)
        self.trained: list[str] = []
        self.findings: list[Finding] = []
        self.failed: str | None = None

    def put(self, name: str, content: str) -> Path:
        path = self.box / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def queue(self) -> Queue:
        return open_queue(self.home, lineage="drill", owner="drill")

    def read(self, path: Path) -> None:
        """The stand-in for training."""
        self.trained.append(path.read_text())

    def train_all(
        self,
        train: Train | None = None,
        *,
        seen: Callable[[], None] | None = None,
        waiting: Callable[[], None] | None = None,
        tick: OnProgress = nothing,
        queue: Queue | None = None,
    ) -> None:
        """Everything that waits is trained once. `seen` is called when the files were seen and none is touched yet,
        `waiting` when they are accepted; then rows and files are brought together, as at a daemon's start."""
        train = train or self.read
        if not self.guard.guarding:
            self._naively(train, seen)
            return
        opened = queue or self.queue()
        try:
            inbox = _Seeing(self.box, seen)
            self.findings += accept_ready(inbox, self.custody, opened, tick=tick).findings
            if waiting is not None:
                waiting()
                self.findings += self.custody.reconcile(opened).findings
            self._train(opened, train)
        finally:
            if queue is None:
                opened.close()

    def outcome(self, **values: object) -> Outcome:
        findings = tuple(finding for finding in self.findings if finding.code not in self.guard.ignored)
        return Outcome(findings=findings, values={"trained": list(self.trained), "failed": self.failed, **values})

    def _train(self, queue: Queue, train: Train) -> None:
        while (lease := queue.take(("accepted",), "checking")) is not None:
            queue.move_to(lease, "waiting", cause=None)
        while (lease := queue.take()) is not None:
            path = self.custody.find(lease.file)
            if path is None:
                self.custody.settle(queue.move_to(lease, "failed", cause=self.custody.verify(lease.file)))
                continue
            train(path)
            queue.move_to(lease, "verifying", cause=None)
            self.custody.settle(queue.move_to(lease, "done", cause=None))

    def _naively(self, train: Train, seen: Callable[[], None] | None) -> None:
        try:
            waiting = list(self.naive.waiting())
            if seen is not None:
                seen()
            for path in waiting:
                train(path)
                self.naive.finish(path.name)
        except (OSError, ValueError, RuntimeError) as error:
            self.failed = f"{type(error).__name__}: {error}"


class _Seeing(Inbox):
    """Calls back after the look, when the worst can happen to what was seen."""

    def __init__(self, folder: Path, seen: Callable[[], None] | None) -> None:
        super().__init__(folder, 0.0)
        self._callback = seen

    def look(self) -> Look:
        look = super().look()
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()
        return look
