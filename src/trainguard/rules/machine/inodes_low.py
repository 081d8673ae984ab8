"""SYS002: room on the disk, but no more files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainguard.facts.machine.records import FolderFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import at, counted

# A checkpoint of one process on one GPU is 8 files and its folder (transformers 5.23, trainer.py: model.safetensors,
# config.json, generation_config.json, optimizer.pt, scheduler.pt, rng_state.pth, trainer_state.json,
# training_args.bin); a tokenizer adds about 4.
_ONE_SAVE = 9
_FEW = 1000

_MESSAGE = (
    "{path} can take {files} more: a run writes about ten for each checkpoint, and hundreds into the caches of "
    "libraries; delete small files there, or write to another disk"
)


class InodesLow(Rule):
    """Hardly any inodes left: the disk has room, and still no file can be made.

    *What it does*

    Looks at the number of files that the output folder's file system can still take. A warning below 1,000, and an
    error where not even one checkpoint's files can be made. Silent for file systems without such a number.

    *Why it costs you*

    The error of the library is "No space left on device", while `df` shows plenty of space.

    *Example*

    ```sh
    df -i out  # IFree 212
    ```

    *Use instead*

    ```sh
    find ~/.cache -type f | wc -l  # then delete what is not needed, often old caches and pip's wheels
    ```
    """

    code = "SYS002"
    name = "inodes-low"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(machine={"folder": FolderFacts(path="out", total_inodes=10**7, free_inodes=9 * 10**6)}),
        Example(machine={"folder": FolderFacts(path="out")}, why="btrfs has no fixed number of inodes."),
    )
    INVALID = (
        Example(
            machine={"folder": FolderFacts(path="out", total_inodes=10**6, free_inodes=212)},
            findings=((None, _MESSAGE.format(path="out", files="212 files")),),
        ),
        Example(
            machine={"folder": FolderFacts(path="/data/out", total_inodes=10**6, free_inodes=999)},
            findings=((None, _MESSAGE.format(path="/data/out", files="999 files")),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        folder = subject.machine.folder if subject.machine is not None else None
        if folder is None or folder.free_inodes is None or folder.free_inodes >= _FEW or folder.read_only:
            return
        message = _MESSAGE.format(path=folder.path, files=counted(folder.free_inodes, "file"))
        evidence = {"free_inodes": folder.free_inodes, "total_inodes": folder.total_inodes}
        finding = self.finding(message, where=at(folder), evidence=evidence)
        yield replace(finding, severity="error") if folder.free_inodes < _ONE_SAVE else finding
