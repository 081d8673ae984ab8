"""SYS003: a folder that a run cannot write into."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from trainguard.facts.machine.records import FolderFacts, WriteProbe
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import at

# These belong to SYS001 and SYS002.
_SPACE = ("ENOSPC", "EDQUOT")

_READ_ONLY = "{path} lies on a file system that is mounted read-only ({mount}); remount it, or write to another folder"
_DENIED = (
    "{probed} is not writable for user {user}: its mode is {mode} and its owner is user {owner}; write to a folder of "
    "your own, or let the owner change the mode"
)
_BROKEN = (
    "{probed}: a test file could not be {done}: {message} ({error}), which is the disk's fault or the network's; look "
    "at the kernel's log (dmesg), and write to another disk until it is mended"
)
_OTHER = "{probed}: a test file could not be {done}: {message} ({error}); write to another folder"
_PATH = "{problem}, so nothing can be written to {path}; name a folder"
_DONE = {"create": "created", "write": "written", "sync": "synced to the disk", "remove": "removed"}


class NotWritable(Rule):
    """The output folder cannot be written to.

    *What it does*

    Writes a small file into the folder for real (or into the nearest one above it that exists), syncs and removes
    it. Names the path, its mode and owner, or the system's error: no permission, a read-only mount, an I/O error,
    a file where a folder should be.

    *Why it costs you*

    The Trainer makes its folder at the first save. What it trained until then is lost.

    *Example*

    ```sh
    trainguard doctor --folder /srv/models/out  # drwxr-xr-x of user 0; you are user 1000
    ```

    *Use instead*

    ```sh
    sudo install -d -o "$USER" /srv/models/out
    ```
    """

    code = "SYS003"
    name = "not-writable"
    severity = "error"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(machine={"folder": FolderFacts(path="out", write=WriteProbe(written=True), mode=0o755)}),
        Example(machine={"folder": FolderFacts(path="out", answered=False)}, why="SYS012 says so."),
        Example(
            machine={"folder": FolderFacts(path="out", write=WriteProbe(written=False, step="write", error="ENOSPC"))},
            why="A full disk is SYS001.",
        ),
    )
    INVALID = (
        Example(
            machine={
                "folder": FolderFacts(
                    path="/srv/out",
                    probed="/srv",
                    mode=0o755,
                    owner=0,
                    user=1000,
                    write=WriteProbe(written=False, step="create", error="EACCES", message="Permission denied"),
                )
            },
            findings=((None, _DENIED.format(probed="/srv", user=1000, mode="drwxr-xr-x", owner=0)),),
        ),
        Example(
            machine={
                "folder": FolderFacts(
                    path="/mnt/out",
                    probed="/mnt/out",
                    read_only=True,
                    mount_point="/mnt",
                    write=WriteProbe(written=False, step="create", error="EROFS", message="Read-only file system"),
                )
            },
            findings=((None, _READ_ONLY.format(path="/mnt/out", mount="/mnt")),),
        ),
        Example(
            machine={
                "folder": FolderFacts(
                    path="out",
                    probed="/data/out",
                    write=WriteProbe(written=False, step="sync", error="EIO", message="Input/output error"),
                )
            },
            findings=(
                (
                    None,
                    _BROKEN.format(
                        probed="/data/out", done="synced to the disk", message="Input/output error", error="EIO"
                    ),
                ),
            ),
        ),
        Example(
            machine={"folder": FolderFacts(path="notes.txt/out", problem="/home/ann/notes.txt is not a folder")},
            findings=((None, _PATH.format(problem="/home/ann/notes.txt is not a folder", path="notes.txt/out")),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        folder = subject.machine.folder if subject.machine is not None else None
        if folder is None:
            return
        evidence = {"path": folder.path, "probed": folder.probed, "mode": _mode(folder), "owner": folder.owner}
        if folder.problem is not None:
            message = _PATH.format(problem=folder.problem, path=folder.path)
            yield self.finding(message, where=at(folder), evidence=evidence)
            return
        probe = folder.write
        if probe is None or probe.written or probe.error in _SPACE:
            return
        evidence |= {"errno": probe.error, "step": probe.step}
        yield self.finding(_message(folder, probe), where=at(folder), evidence=evidence)


def _message(folder: FolderFacts, probe: WriteProbe) -> str:
    probed = folder.probed or folder.path
    if probe.error == "EROFS":
        return _READ_ONLY.format(path=folder.path, mount=folder.mount_point or "see the table of mounts")
    if probe.error in ("EACCES", "EPERM") and folder.mode is not None and probe.step == "create":
        return _DENIED.format(probed=probed, user=folder.user, mode=_mode(folder), owner=folder.owner)
    template = _BROKEN if probe.error in ("EIO", "ESTALE", "EREMOTEIO", "ENODEV", "ENXIO") else _OTHER
    done = _DONE.get(probe.step or "", "written")
    return template.format(probed=probed, done=done, message=probe.message, error=probe.error)


def _mode(folder: FolderFacts) -> str | None:
    return stat.filemode(stat.S_IFDIR | folder.mode) if folder.mode is not None else None
