"""What attempts leave: the record of their end, and processes that outlive them or their daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from trainguard.daemon.attempt_group import Group, remove_old
from trainguard.daemon.nanny import PROCESS, RESULT
from trainguard.daemon.processes import (
    DAEMON_MARK,
    MARK,
    Identity,
    Process,
    ancestors,
    boot_id,
    descendants,
    end_all,
    is_alive,
    marks,
    namespace_id,
    processes,
)
from trainguard.findings import Evidence, Finding, Fix, Severity

# For `trainguard explain` and docs/daemon.md.
CODE, NAME = "SYS014", "unreaped-children"
ABOUT = (
    "A run left processes behind when it ended, or some of it would not die. What can be ended is killed and reaped "
    "before the next file, so that it holds neither memory nor a GPU."
)
_SWEEP_SECONDS = 10.0
_MOST_NAMED = 5
_SAID = ("exit_code", "signal", "seconds", "peak_rss_bytes", "asked", "reason", "not_started", "pids")


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """A process that was left behind by an attempt. `folder` is the attempt's, where it carries its mark."""

    pid: int
    name: str
    folder: str | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended: `exit_code` or `signal`, as waitpid gives them.

    `asked` says who ended it: "stop" and "kill" are orders of this daemon, "daemon-gone" the nanny's own when the
    daemon had died, "lost" that the nanny was killed and the rest with it. `reason` is why no command was executed,
    `not_started` the errno of that, as far as the system gave one.
    `oom_kills` counts the kernel's kills for memory in its control group, or in the daemon's meanwhile; None where
    that is not told. `group_peak_bytes` is the most that all its processes together took, with the pages of files.
    `killed` was left of the tree after its end and had to be killed, `left` would not die. `pids` are those reaped.
    """

    exit_code: int | None = None
    signal: int | None = None
    seconds: float | None = None
    peak_rss_bytes: int | None = None
    oom_kills: int | None = None
    group_peak_bytes: int | None = None
    asked: str | None = None
    reason: str | None = None
    not_started: int | None = None
    killed: tuple[Leftover, ...] = ()
    left: tuple[Leftover, ...] = ()
    pids: tuple[int, ...] = ()
    rebooted: bool = False


def read_result(folder: Path) -> Ended | None:
    """How an attempt ended that an earlier daemon began, as its nanny wrote it down; None where it did not.

    Where the machine has been started anew since, it ended with that: `rebooted`.
    """
    said = _json(folder / RESULT)
    if said is not None and ("exit_code" in said or "signal" in said):
        with suppress(msgspec.ValidationError, TypeError, ValueError):
            return said_ended(said, oom_kills=None)
    began = _json(folder / PROCESS)
    now = boot_id()
    if began is not None and now and isinstance(began.get("boot"), str) and began["boot"] not in ("", now):
        return Ended(asked="reboot", reason="the machine was started anew while it ran", rebooted=True)
    return None


def remains_finding(ended: Ended) -> Finding | None:
    """SYS014 where a run left processes behind at its own end, or where some of it would not die.

    What had to be killed because the run itself was is no fault of anybody's.
    """
    if ended.left:
        return _finding(
            ended.left,
            f"{_counted(ended.left)} of the run would not die: {_names(ended.left)}; they wait in the kernel for a "
            "device and hold its memory, so free that (a GPU, a network mount) or restart the machine",
            severity="error",
        )
    if ended.killed and ended.asked is None:
        return _finding(
            ended.killed,
            f"the run left {_counted(ended.killed)} behind when it ended: {_names(ended.killed)}; they were killed and "
            "reaped, so that they hold neither memory nor a GPU: let the script end what it starts",
        )
    return None


def leftovers_finding(found: Sequence[Leftover]) -> Finding | None:
    """SYS014 where an earlier daemon had left processes behind, which were killed."""
    if not found:
        return None
    return _finding(
        found,
        f"an earlier daemon died and left {_counted(found)} of its run behind: {_names(found)}; they were killed "
        "before the file is taken up again, since two runs would write into one folder",
    )


def _finding(found: Sequence[Leftover], message: str, *, severity: Severity = "warn") -> Finding:
    return Finding(
        severity=severity,
        message=message,
        code=CODE,
        name=NAME,
        fix=Fix("end children before the script does: `with` around pools and Popen, `shutdown()` of data workers"),
        evidence=Evidence({"count": len(found), "pids": [each.pid for each in found]}),
        docs="docs/daemon.md#sys014",
    )


def _counted(found: Sequence[Leftover]) -> str:
    return f"{len(found):,} process{'' if len(found) == 1 else 'es'}"


def _names(found: Sequence[Leftover]) -> str:
    names = ", ".join(f"{each.pid} ({each.name})" for each in found[:_MOST_NAMED])
    return names if len(found) <= _MOST_NAMED else f"{names} and {len(found) - _MOST_NAMED:,} more"


def leftovers(home: Path, folders: Iterable[Path] = ()) -> list[Leftover]:
    """Processes of attempts under `home` whose daemon is dead. `folders` are attempts that may have been running: their
    commands are found even where they have wiped the marks from their environment."""
    return [
        Leftover(pid=each.pid, name=each.name, folder=marks(each.pid).get(MARK)) for each in _left_of(home, folders)
    ]


def end_leftovers(home: Path, folders: Iterable[Path] = ()) -> list[Leftover]:
    """Kills what an earlier daemon left behind, and waits until it is gone. Those that were killed.

    Raises TimeoutError for a process that does not die: whoever started another run now would have two.
    """
    folders = list(folders)
    killed, left = sweep(lambda: _left_of(home, folders))
    if left:
        names = ", ".join(f"{each.pid} ({each.name})" for each in left)
        raise TimeoutError(
            f"of an earlier run these processes do not end, though they were killed: {names}; they wait in the kernel "
            "for a device (a GPU, a network mount), so free that or restart the machine"
        )
    remove_old(home / "attempts")
    return list(left_behind(killed))


def _left_of(home: Path, folders: Iterable[Path]) -> list[Process]:
    inside = os.path.join(os.path.realpath(home), "")
    own = set(ancestors(os.getpid()))
    every = {each.pid: each for each in processes() if not each.is_dead}
    boot, namespace = boot_id(), namespace_id()
    roots = []
    for each in every.values():
        found = marks(each.pid)
        if each.pid in own or not os.path.join(found.get(MARK, ""), "").startswith(inside):
            continue
        daemon = Identity.parse(found.get(DAEMON_MARK, ""))
        # Of a daemon in another container nothing can be said: it may be alive.
        if daemon is not None and daemon[2:] == (boot, namespace) and not is_alive(daemon):
            roots.append(each)
    for folder in folders:
        roots += _recorded(folder, every, own)
    return with_descendants(roots, every.values())


def _recorded(folder: Path, every: Mapping[int, Process], own: set[int]) -> Iterator[Process]:
    """What `process.json` of an attempt names and still lives, where its daemon does not."""
    said = _json(folder / PROCESS) or {}
    daemon = Identity.parse(str(said.get("daemon") or ""))
    if daemon is None or is_alive(daemon):
        return
    for name in ("nanny", "command"):
        whom = Identity.parse(str(said.get(name) or ""))
        if whom is not None and whom.pid in every and whom.pid not in own and is_alive(whom):
            yield every[whom.pid]
    if said.get("group") and said.get("boot") == boot_id():
        # Whatever it has done to its environment and its sessions, out of its group it does not come.
        inside = Group(Path(str(said["group"]))).processes - own
        yield from (every[pid] for pid in sorted(inside) if pid in every)


def with_descendants(roots: Iterable[Process], every: Iterable[Process]) -> list[Process]:
    found = {each.pid: each for each in roots}
    for each in descendants(list(found), every):
        found.setdefault(each.pid, each)
    return list(found.values())


def sweep(look: Callable[[], list[Process]]) -> tuple[list[Process], list[Process]]:
    def looks() -> Iterator[list[Process]]:
        while True:
            yield look()

    return end_all(looks(), deadline_seconds=_SWEEP_SECONDS)


def left_behind(found: Iterable[Process]) -> tuple[Leftover, ...]:
    return tuple(Leftover(pid=each.pid, name=each.name) for each in found)


def said_ended(said: Mapping[str, Any], *, oom_kills: int | None, group_peak_bytes: int | None = None) -> Ended:
    """What a nanny has said. Raises msgspec.ValidationError, ValueError and TypeError for what none would say."""
    values = {name: said[name] for name in _SAID if name in said}
    for name in ("killed", "left"):
        values[name] = [{"pid": pid, "name": text} for pid, text in said.get(name, ())]
    return msgspec.convert({**values, "oom_kills": oom_kills, "group_peak_bytes": group_peak_bytes}, type=Ended)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
