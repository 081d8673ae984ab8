"""SYS001: too little room on the disk for what a run writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainguard.facts.machine.records import FolderFacts, WriteProbe
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import GIB, at, size

# Less than one checkpoint of the smallest model that people train in earnest: GPT-2 has 124 million parameters, and
# weights and two moments of Adam in float32 take 12 bytes for each, 1.5 GB.
_LITTLE_BYTES = GIB

_NEEDED = (
    "{path} has {free} free, and the next checkpoint takes {needed}: saving it fails after the steps before it were "
    "paid for; free {missing}, or write to a larger disk"
)
_FULL = "{path} is full: not even a small file could be written there ({error}); free space, or write to another disk"
_QUOTA = (
    "{path}: the quota of this user is used up (EDQUOT), though the file system shows {free} free; delete files there, "
    "or ask for a larger quota"
)


class DiskLow(Rule):
    """Too little free space where a run will save.

    *What it does*

    Compares the free space of the output folder's file system with the size of the next checkpoint, where that is
    known, and writes a small file there for real, which also meets a full quota. An error where the checkpoint cannot
    fit. Where the size is not known, a warning below 1 GiB.

    *Why it costs you*

    A run that cannot save loses every step since the last checkpoint, and a save that ends half-way leaves a broken
    folder that the Trainer then resumes from.

    *Example*

    ```sh
    trainguard doctor --folder out --needs 16GB  # 9 GB are free
    ```

    *Use instead*

    A disk with room for two checkpoints (the new one is written before the old one is deleted), and
    `save_total_limit=2`.
    """

    code = "SYS001"
    name = "disk-low"
    severity = "error"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={"folder": FolderFacts(path="out", free_bytes=20 * 10**9), "needed_bytes": 16 * 10**9},
            why="The next checkpoint fits.",
        ),
        Example(machine={"folder": FolderFacts(path="out", free_bytes=5 * 10**9)}, why="Nothing says what is needed."),
        Example(machine={"needed_bytes": 16 * 10**9}, why="No folder was named."),
    )
    INVALID = (
        Example(
            machine={"folder": FolderFacts(path="out", free_bytes=9 * 10**9), "needed_bytes": 16 * 10**9},
            findings=((None, _NEEDED.format(path="out", free="9.0 GB", needed="16.0 GB", missing="7.0 GB")),),
        ),
        Example(
            machine={
                "folder": FolderFacts(
                    path="out", free_bytes=0, write=WriteProbe(written=False, step="write", error="ENOSPC")
                )
            },
            findings=((None, _FULL.format(path="out", error="ENOSPC")),),
        ),
        Example(
            machine={
                "folder": FolderFacts(
                    path="out", free_bytes=8 * 10**11, write=WriteProbe(written=False, step="write", error="EDQUOT")
                )
            },
            findings=((None, _QUOTA.format(path="out", free="800.0 GB")),),
            why="A quota does not show in the free space.",
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        folder = machine.folder if machine is not None else None
        if machine is None or folder is None:
            return
        free, needed = folder.free_bytes, machine.needed_bytes
        evidence = {"free_bytes": free, "needed_bytes": needed, "filesystem": folder.filesystem}
        error = folder.write.error if folder.write is not None and not folder.write.written else None
        if error == "EDQUOT":
            message = _QUOTA.format(path=folder.path, free=size(free) if free is not None else "room")
            yield self.finding(message, where=at(folder), evidence={**evidence, "errno": error})
        elif error == "ENOSPC" and folder.free_inodes != 0:  # without inodes it is SYS002 that says so
            message = _FULL.format(path=folder.path, error=error)
            yield self.finding(message, where=at(folder), evidence={**evidence, "errno": error})
        elif free is not None and needed is not None and free < needed:
            message = _NEEDED.format(
                path=folder.path, free=size(free), needed=size(needed), missing=size(needed - free)
            )
            yield self.finding(message, where=at(folder), evidence=evidence)
        elif free is not None and needed is None and free < _LITTLE_BYTES and not folder.read_only:
            message = (
                f"{folder.path} has {size(free)} free, less than a checkpoint of even a small model takes; free space, "
                "or write to a larger disk"
            )
            yield replace(self.finding(message, where=at(folder), evidence=evidence), severity="warn")
