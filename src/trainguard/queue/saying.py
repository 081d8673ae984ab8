"""What is said about files that are not taken in, or are taken with a remark. One line each, with what to do."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from trainguard.findings import Finding
from trainguard.queue.codes import queue_finding
from trainguard.queue.names import shown

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ENDINGS = ".jsonl, .json, .parquet, .csv, .tsv and .txt, and these with .gz or .zst"


def other_file(path: Path, priority: str) -> Finding:
    ending = os.path.splitext(path.name)[1]
    why = f"the ending {shown(ending)} is none" if ending else "its name has no ending"
    return queue_finding(
        "QUEUE006",
        f"{shown(path.name)} is left alone in the inbox: {why} of training data ({_ENDINGS}); rename it, or take it "
        "away",
        path=shown(path),
        evidence={"ending": shown(ending), "priority": priority},
    )


def own_file(path: Path, role: str) -> Finding:
    return queue_finding(
        "QUEUE006",
        f"{shown(path.name)} is {role} and lies in the inbox: it is left alone and never trained; keep it elsewhere, "
        "or take another folder as queue.inbox",
        path=shown(path),
        evidence={"role": role},
    )


def special(path: Path, mode: int) -> Finding:
    kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
    return queue_finding(
        "QUEUE006",
        f"{shown(path.name)} is left alone in the inbox and never opened: it is {kind}; put a regular file there "
        "instead",
        path=shown(path),
    )


def folder(path: Path, inbox: Path) -> Finding:
    where = (
        "the inbox, or in its folders high, normal and low" if path.parent == inbox else "one of the inbox's folders"
    )
    return queue_finding(
        "QUEUE006",
        f"{shown(path.name)} is a folder and is not looked into; put its files into {where}",
        path=shown(path),
    )


def link(path: Path, inbox: Path) -> Finding:
    """Says where a link leads, without following it into anything."""
    try:
        target = os.readlink(path)
        where = _where(path, target, inbox)
    except OSError as error:
        where = f"cannot be read ({error.strerror})"
    return queue_finding(
        "QUEUE004",
        f"{shown(path.name)} is a symlink that {where}; links in the inbox are not followed: put the file itself "
        "there, "
        f"or use `trainguard queue add` with the file's own path",
        path=shown(path),
    )


def _where(path: Path, target: str, inbox: Path) -> str:
    """In words where a link leads. The names on the way are resolved, nothing is opened (path_resolution(7))."""
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return f"leads back to itself (to {shown(target)})"
        return f"leads nowhere (to {shown(target)})"
    except RuntimeError:  # how Python up to 3.12 says a loop in some places
        return f"leads back to itself (to {shown(target)})"
    home = os.path.realpath(inbox)
    inside = real == home or real.startswith(home + os.sep)
    return f"leads to {shown(target)} in the inbox" if inside else f"leads out of the inbox, to {shown(real)}"


def silent(folder: Path) -> Finding:
    return queue_finding(
        "SYS012",
        f"the inbox {shown(folder)} lies on a network mount that does not answer; nothing is accepted until it "
        "does, and "
        "training goes on: look at the server and the network, or mount it anew",
        path=shown(folder),
    )


def unreadable_folder(folder: Path, error: OSError) -> Finding:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        remedy = "make it, or set queue.inbox"
    elif error.errno in (errno.EACCES, errno.EPERM):
        remedy = f"give this user the right to read and write it (chmod u+rwx{_mode(folder)})"
    else:
        remedy = "look at the disk"
    return queue_finding(
        "SYS003",
        f"the inbox {shown(folder)} cannot be read ({error.strerror or error}); nothing is accepted from it until "
        f"then: {remedy}",
        path=shown(folder),
    )


def unreadable_file(path: Path, error: OSError) -> Finding:
    return queue_finding(
        "SYS003",
        f"{shown(path.name)} cannot be read ({error.strerror or error}{_mode(path)}); it waits in the inbox and is "
        "tried "
        f"again: give user {_user()} the right to read it (chmod a+r)",
        path=shown(path),
        evidence={"errno": errno.errorcode.get(error.errno or 0, str(error.errno))},
    )


def still_written(path: Path, seconds: float, size: int, writers: object) -> Finding:
    held = f" and {writers} has it open for writing" if getattr(writers, "writing", None) else ""
    return queue_finding(
        "QUEUE011",
        f"{shown(path.name)} is not accepted yet: it is still being written after {seconds / 60:,.0f} minutes "
        f"({size:,} "
        f"bytes by now{held}); close it when it is whole, or write it as NAME.part and rename it in the end",
        path=shown(path),
        evidence={"seconds": round(seconds), "bytes": size, "pid": getattr(writers, "pid", None)},
    )


def vanished(path: Path) -> Finding:
    return queue_finding(
        "QUEUE001",
        f"{shown(path.name)} was removed from the inbox before it was accepted, so it is not trained; put it there "
        "again "
        "if that was a mistake",
        severity="info",
        path=shown(path),
    )


def awkward(name: str, kept_as: str) -> Finding:
    return queue_finding(
        "QUEUE005",
        f"{shown(name)} was accepted; its name holds what breaks scripts, so it is kept as {kept_as}",
        path=shown(name),
        evidence={"kept_as": kept_as},
    )


def same_content(path_name: str, cause: str, file_id: int, same_as: int) -> Finding:
    words = cause.removeprefix("QUEUE003: ").replace(
        "`trainguard queue release` with its number", f"`trainguard queue release {file_id}`"
    )
    return queue_finding(
        "QUEUE003",
        f"{shown(path_name)} is file {file_id} and held: {words}",
        path=shown(path_name),
        evidence={"file": file_id, "same_as": same_as},
    )


def same_name(name: str, file_id: int, earlier_id: int) -> Finding:
    return queue_finding(
        "QUEUE003",
        f"{shown(name)} is file {file_id}; file {earlier_id} had the same name and another content: both are trained, "
        "each under its own number",
        severity="info",
        path=shown(name),
        evidence={"file": file_id, "earlier": earlier_id},
    )


def moved(path: Path, why: str) -> Finding:
    return queue_finding(
        "QUEUE002",
        f"{shown(path.name)} was moved or changed while it was taken in ({why}); the copy that was accepted is "
        "whole and is "
        "trained, and a file under its name now is taken as another one",
        severity="info",
        path=shown(path),
    )


def stays(path: Path, why: str) -> Finding:
    return queue_finding(
        "SYS003",
        f"{shown(path.name)} was accepted, but its original stays in the inbox ({why}); it is not accepted a second "
        "time: "
        "remove it yourself, or let this user write to the folder",
        severity="warn",
        path=shown(path),
    )


def not_taken(path: Path, error: OSError, home: Path) -> Finding:
    """The disk refuses: the file is still in the inbox, or on its way with a journal. Nothing is lost."""
    code = {errno.ENOSPC: "SYS001", errno.EDQUOT: "SYS001"}.get(error.errno or 0, "SYS003")
    remedy = (
        f"make room on the disk of {shown(home)}"
        if code == "SYS001"
        else f"look at the rights and the disk of {shown(home)} and of the inbox"
    )
    return queue_finding(
        code,
        f"{shown(path.name)} cannot be taken in ({error.strerror or error}); it is kept and tried again: {remedy}",
        path=shown(path),
        evidence={"errno": errno.errorcode.get(error.errno or 0, str(error.errno))},
    )


def _mode(path: Path) -> str:
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    return f"; mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}"


def _user() -> int:
    return os.geteuid()
