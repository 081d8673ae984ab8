"""Runs a command on a recorded disk.

`python -m trainguard.drills.process._on_disk QUESTION` (JSON) mounts one in a name space of its own, filled from a
folder, runs the command inside, and writes the list of operations down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trainguard.drills.inside import mount, own_mounts
from trainguard.drills.process._disk import MAX_WRITE, Disk


def mount_disk(disk: Disk, place: str) -> None:
    """Mounts `disk` at `place` and serves it from a thread. For a process with a name space of mounts of its own."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},max_read={MAX_WRITE}"
    mount("trainguard-drill", place, "fuse.recorded", options)
    threading.Thread(target=disk.serve, args=(device,), daemon=True).start()


def run_on_disk(
    start: Path,
    place: Path,
    command: list[str],
    *,
    log: Path | None = None,
    skew_seconds: float = 0.0,
    locked: Mapping[str, float] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs `command` where `place` is such a disk, filled from the folder `start`; the log goes to `log`: how many
    of the operations filled the disk, and all of them (MessagePack).

    `locked` are files that are locked at the beginning, and for how many seconds.
    """
    question = {
        "start": str(start),
        "place": str(place),
        "log": str(log) if log is not None else None,
        "command": command,
        "skew": skew_seconds,
        "locked": dict(locked or {}),
    }
    return subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(question)],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
    )


def main() -> int:
    question = json.loads(sys.argv[1])
    own_mounts()
    disk = Disk(Path(question["start"]), skew_seconds=question["skew"])
    filled = len(disk.log)
    for path, seconds in question["locked"].items():
        disk.lock(path, seconds)
    mount_disk(disk, question["place"])
    ended = subprocess.run(question["command"], check=False, cwd="/").returncode
    if question["log"] is not None:
        Path(question["log"]).write_bytes(msgspec.msgpack.encode((filled, disk.log)))
    return ended if ended >= 0 else 128 - ended


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the mount goes with the name space
