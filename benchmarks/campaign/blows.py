"""The faults that come from outside of the daemon, each a function of the world that it happens to."""

from __future__ import annotations

import errno
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from campaign.limits import STOP_SECONDS
from campaign.processes import send
from trainguard.drills.process._cuts import newest_said, unmount
from trainguard.drills.process._daemon import command
from trainguard.drills.process._disk import Disk
from trainguard.drills.process._on_disk import mount_disk
from trainguard.drills.process._power import Cut, after_power_cut

if TYPE_CHECKING:
    from campaign.world import World

_STOP_SPARE_SECONDS = 15.0
_TWO_DAEMONS_SECONDS = 20.0
_EVENTS = "out/trainguard/events.jsonl"


def _victims(world: World, who: str) -> list[int]:
    match who:
        case "daemon":
            return world.processes.all("campaign/serve.py")
        case "nanny":
            return world.processes.all("daemon.nanny", "daemon/nanny.py")
        case _:
            return world.processes.trainers()


def _kill(world: World, who: str) -> None:
    if who == "all":
        world.processes.end()
    else:
        for pid in _victims(world, who):
            send(pid, signal.SIGKILL)
    if who in ("daemon", "all"):
        world.start_again()


def _stop_and_continue(world: World, who: str, *, seconds: float) -> None:
    stopped = [pid for pid in _victims(world, who) if send(pid, signal.SIGSTOP)]
    world.wait(seconds)
    for pid in stopped:
        send(pid, signal.SIGCONT)


def _power(world: World, *, cut: Cut, share: float, number: int) -> None:
    """All processes are gone, and of the disk what had reached it at some moment since somebody last looked.

    Before that, the newest save is cut at every prefix of its operations.
    """
    world.processes.end()
    unmount(world.place)
    log = world.disk.log
    upto = world.outside + round(share * (len(log) - world.outside))
    verified = newest_said(after(log, upto, "kept").bytes_of(_EVENTS) or b"")
    world.violations += world.prefixes.look_at(log, number)
    world.disk = after(log, upto, cut, number)
    mount_disk(world.disk, str(world.place))
    whole = newest_whole(world)
    if verified > whole:
        world.violations.append(f"step {verified} was verified before the power went ({cut}), {whole} after it")
    world.start_again()
    world.outside = len(world.disk.log)


def after(log: Sequence[tuple[object, ...]], upto: int, cut: Cut, number: int = 0) -> Disk:
    """The disk that is left of so many operations."""
    disk = Disk()
    disk.take(after_power_cut(log, upto, cut, number))
    return disk


def newest_whole(world: World) -> int:
    """The newest step that verifies byte for byte, read in another process: this one serves the disk."""
    asked = [*command(world.place / "out")[:-1], "--newest", str(world.place / "out")]
    return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def _drain(world: World) -> None:
    """Asked to end and started anew, as with an update of the machine."""
    if world.daemon is None or not world.alive():
        return
    world.daemon.terminate()
    limit = STOP_SECONDS + _STOP_SPARE_SECONDS
    try:
        code = world.daemon.wait(limit)
    except subprocess.TimeoutExpired:
        world.violations.append(f"the daemon did not stop within {limit:.0f} s: {world.log_end()}")
        world.daemon.kill()
        code = world.daemon.wait()
    # Before it has loaded what it needs, a process ends by the signal as any other.
    if code not in (0, -signal.SIGKILL, -signal.SIGTERM) and time.monotonic() > world.excused_until:
        world.violations.append(f"asked to stop, the daemon ended with {code}: {world.log_end()}")
    world.start_again()


def _disk(number: int, world: World, *, seconds: float) -> None:
    world.disk.failing = number
    world.wait(seconds)
    world.disk.failing = None
    world.excuse()


def _clock(world: World, *, days: int) -> None:
    world.clock.move(days * 86_400)


def _second_daemon(world: World) -> None:
    if world.daemon is None or not world.alive():
        return
    first = world.daemon
    world.start_daemon()
    second = world.daemon
    until = time.monotonic() + _TWO_DAEMONS_SECONDS
    while first.poll() is None and second.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    # The lock goes to whoever is there first, which need not be the one that was started first.
    world.daemon, other = (first, second) if second.poll() is not None else (second, first)
    if other.poll() is None:
        other.kill()
    if other.wait() not in (0, 1):
        world.violations.append(f"of two daemons neither ended, or one with {other.returncode}: {world.log_end()}")


def _pause(world: World, *, now: bool, seconds: float) -> None:
    """Paused by a person for a while. A daemon that works until nothing is left ends meanwhile."""
    world.ask("pause", "daemon", "pause", *(["--now"] if now else []))
    until = time.monotonic() + seconds
    world.excused_until = float("inf")
    while time.monotonic() < until:
        time.sleep(0.05)
    world.ask("resume", "daemon", "resume")
    world.excuse()


BLOWS: Mapping[str, Callable[..., None]] = {
    **{f"kill-{who}": partial(_kill, who=who) for who in ("daemon", "nanny", "trainer", "all")},
    **{f"stop-and-continue-{who}": partial(_stop_and_continue, who=who) for who in ("daemon", "nanny", "trainer")},
    "power": _power,
    "drain": _drain,
    "disk-fills": partial(_disk, errno.ENOSPC),
    "disk-breaks": partial(_disk, errno.EIO),
    "read-only": partial(_disk, errno.EROFS),
    "clock": _clock,
    "second-daemon": _second_daemon,
    "pause": _pause,
}
