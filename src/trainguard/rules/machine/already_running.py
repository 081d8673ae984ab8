"""SYS009: a run of trainguard already holds this folder."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import FolderFacts, LockFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import at

_MESSAGE = (
    "{path} is held by a run that is going on{pid}, and two runs would overwrite each other's checkpoints; wait for "
    "it, end it, or write to another folder"
)


class AlreadyRunning(Rule):
    """Another guarded run or daemon is at work in this folder.

    *What it does*

    Tries the kernel's lock on `trainguard.lock` in the folder. A lock file that no living process holds, such as one
    that a crash left behind, is no finding.

    *Why it costs you*

    Two runs in one folder write checkpoints of the same names. Each deletes and resumes from those of the other.

    *Example*

    ```sh
    trainguard daemon --folder inbox &  trainguard daemon --folder inbox
    ```

    *Use instead*

    One run for each folder.
    """

    code = "SYS009"
    name = "already-running"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={"folder": FolderFacts(path="out", lock=LockFacts(path="out/trainguard.lock", held=False))},
            why="Left behind by a run that is gone.",
        ),
        Example(machine={"folder": FolderFacts(path="out")}, why="There is no lock file."),
    )
    INVALID = (
        Example(
            machine={"folder": FolderFacts(path="out", lock=LockFacts(path="out/x.lock", held=True, pid=4242))},
            findings=((None, _MESSAGE.format(path="out", pid=" (process 4242)")),),
        ),
        Example(
            machine={"folder": FolderFacts(path="out", lock=LockFacts(path="out/trainguard.lock", held=True))},
            findings=((None, _MESSAGE.format(path="out", pid="")),),
            why="The file does not say which.",
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        folder = subject.machine.folder if subject.machine is not None else None
        lock = folder.lock if folder is not None else None
        if folder is None or lock is None or not lock.held:
            return
        pid = f" (process {lock.pid})" if lock.pid is not None else ""
        message = _MESSAGE.format(path=folder.path, pid=pid)
        yield self.finding(message, where=at(folder), evidence={"pid": lock.pid, "lock": lock.path})
