"""SYS012: a folder on another machine's disk, or one that does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainguard.facts.machine.records import FolderFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import at

_SILENT = (
    "{path} did not answer within {seconds:g} s{what}: a run that writes there would hang without an error; see "
    "whether its server can be reached, or write to a local disk"
)
_STUCK = (
    "{path} answers, but a small file was not on its disk after {seconds:g} s{what}: every save would take as long; "
    "see whether its server or disk is overloaded, or write to a local disk"
)
_NETWORK = (
    "{path} lies on the network ({what}): when its server goes away a save hangs, and several machines may write "
    "there; prefer a local disk and copy the results"
)


class NetworkMount(Rule):
    """The output folder lies on a network file system, or on one that does not answer.

    *What it does*

    Reads the type of the file system from the kernel's table of mounts, and asks it for its free space in a process of
    its own with a deadline. An error where no answer comes; a note where it answers and is a network's.

    *Why it costs you*

    A system call on a mount whose server is gone blocks without an end: the run stands still, holds the GPU, and no
    exception is raised.

    *Example*

    ```python
    SFTConfig(output_dir="/mnt/nfs/runs")
    ```

    *Use instead*

    ```python
    SFTConfig(output_dir="/local/runs")  # and copy the checkpoints when they are complete
    ```
    """

    code = "SYS012"
    name = "network-mount"
    severity = "error"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(machine={"folder": FolderFacts(path="out", answered=True, filesystem="ext4", network=False)}),
        Example(machine={"folder": FolderFacts(path="out")}, why="It cannot be told."),
    )
    INVALID = (
        Example(
            machine={
                "folder": FolderFacts(
                    path="/mnt/nfs/out",
                    answered=False,
                    deadline_seconds=10.0,
                    filesystem="nfs4",
                    source="store:/export",
                    network=True,
                )
            },
            findings=((None, _SILENT.format(path="/mnt/nfs/out", seconds=10.0, what=" (nfs4 from store:/export)")),),
        ),
        Example(
            machine={"folder": FolderFacts(path="out", answered=False, deadline_seconds=10.0)},
            findings=((None, _SILENT.format(path="out", seconds=10.0, what="")),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        folder = subject.machine.folder if subject.machine is not None else None
        if folder is None:
            return
        what = f"{folder.filesystem} from {folder.source}" if folder.filesystem is not None else ""
        evidence = {
            "filesystem": folder.filesystem,
            "source": folder.source,
            "mount_point": folder.mount_point,
            "deadline_seconds": folder.deadline_seconds,
        }
        seconds = folder.deadline_seconds or 0.0
        shown = f" ({what})" if what else ""
        if folder.answered is False:
            message = _SILENT.format(path=folder.path, seconds=seconds, what=shown)
            yield self.finding(message, where=at(folder), evidence=evidence)
        elif folder.answered and folder.stuck_at is not None:
            message = _STUCK.format(path=folder.path, seconds=seconds, what=shown)
            yield replace(self.finding(message, where=at(folder), evidence=evidence), severity="warn")
        elif folder.answered and folder.network:
            message = _NETWORK.format(path=folder.path, what=what)
            yield replace(self.finding(message, where=at(folder), evidence=evidence), severity="info")
