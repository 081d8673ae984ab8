"""The daemon's lock, with real processes that hold it, are killed, and leave their files behind."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainguard.daemon.lock import AlreadyRunningError, DaemonLock, holder
from trainguard.errors import UsageError

_HOLD = """
import sys, time
from pathlib import Path
from trainguard.daemon.lock import DaemonLock
DaemonLock(Path(sys.argv[1])).take()
print("held", flush=True)
time.sleep(600)
"""


def held_by_another(home: Path) -> subprocess.Popen[bytes]:
    other = subprocess.Popen([sys.executable, "-c", _HOLD, str(home)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    other.stdout.close()
    return other


def test_the_second_is_told_the_first(tmp_path: Path) -> None:
    home = tmp_path / "out" / "queue"
    other = held_by_another(home)
    try:
        with pytest.raises(AlreadyRunningError, match=f"process {other.pid} since") as caught:
            DaemonLock(home).take()
        finding = caught.value.finding
        assert (finding.code, finding.severity, finding.evidence["pid"]) == ("SYS009", "error", other.pid)
        found = holder(home)
        assert found is not None
        assert found.pid == other.pid
        # Whatever stands in the file, the kernel knows the holder.
        (home / "daemon.json").write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
        with pytest.raises(AlreadyRunningError, match=f": process {other.pid};"):
            DaemonLock(home).take()
    finally:
        other.kill()
        other.wait()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """Killed, it leaves its files behind: they lock nobody out, not even with the number of a living process."""
    other = held_by_another(tmp_path)
    other.kill()
    other.wait()
    (tmp_path / "daemon.json").write_text(json.dumps({"pid": os.getppid(), "host": "here", "started": 1.0}))
    assert holder(tmp_path) is None
    with DaemonLock(tmp_path):
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()
    assert holder(tmp_path) is None


def test_looking_does_not_give_it_up(tmp_path: Path) -> None:
    with DaemonLock(tmp_path):
        holder(tmp_path)
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
            DaemonLock(tmp_path).take()
        seen = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from trainguard.daemon.lock import holder; "
                "print(holder(Path(sys.argv[1])).pid)",
                str(tmp_path),
            ],
            capture_output=True,
            check=True,
        )
        assert int(seen.stdout) == os.getpid()


def test_children_do_not_inherit_it(tmp_path: Path) -> None:
    lock = DaemonLock(tmp_path).take()
    child = os.fork()
    if child == 0:
        import time

        time.sleep(30)
        os._exit(0)
    try:
        lock.release()
        assert holder(tmp_path) is None
        other = held_by_another(tmp_path)
        other.kill()
        other.wait()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_two_names_are_two_locks(tmp_path: Path) -> None:
    with DaemonLock(tmp_path, name="one"), DaemonLock(tmp_path, name="two"):
        assert holder(tmp_path) is None


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="choose another output_dir"):
        DaemonLock(tmp_path / "file" / "queue").take()
    assert holder(tmp_path / "file" / "queue") is None
    assert holder(tmp_path / "none") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b'{"pid": 1e99}', b"\xff" * 10])
def test_what_is_written_beside_it_is_not_believed(tmp_path: Path, content: bytes) -> None:
    other = held_by_another(tmp_path)
    try:
        (tmp_path / "daemon.json").write_bytes(content)
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == other.pid
    finally:
        other.kill()
        other.wait()


def test_whoever_may_only_read_is_told_who_holds_it(tmp_path: Path) -> None:
    """Asking needs no right to write; where not even reading is allowed, nobody is told that no daemon runs."""
    ask = (
        "import sys; from pathlib import Path; from trainguard.daemon.lock import holder; "
        "print(holder(Path(sys.argv[1])))"
    )
    root = os.getuid() == 0  # who may read all, but for these capabilities (capabilities(7))
    command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if root else []
    command += [sys.executable, "-c", ask, str(tmp_path)]
    with DaemonLock(tmp_path) as lock:
        if root:
            os.chown(lock.path, 65534, 65534)
        lock.path.chmod(0o444)
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert f"process {os.getpid()}" in asked.stdout, asked.stderr
        lock.path.chmod(0)
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "Permission denied" in asked.stderr
    assert "None" not in asked.stdout


def test_a_lock_whose_folder_was_away_is_taken_anew_or_not_at_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with DaemonLock(home) as lock:
        lock.renew()
        inode = os.stat(lock.path).st_ino
        os.rename(home, tmp_path / "away")  # another file at its path is another lock
        other = held_by_another(home)
        try:
            with pytest.raises(AlreadyRunningError):
                lock.renew()
        finally:
            other.kill()
            other.wait()
        lock.renew()
        assert os.stat(lock.path).st_ino != inode
        again = subprocess.run([sys.executable, "-c", _HOLD, str(home)], capture_output=True, check=False, timeout=60)
        assert b"AlreadyRunningError" in again.stderr
    assert holder(home) is None


def test_a_lock_file_that_is_removed_while_it_is_taken_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockf, path = fcntl.lockf, tmp_path / "daemon.lock"

    def at_this_instant(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "lockf", lockf)
        path.unlink()
        lockf(descriptor, how)

    monkeypatch.setattr(fcntl, "lockf", at_this_instant)
    with DaemonLock(tmp_path):
        again = subprocess.run(
            [sys.executable, "-c", _HOLD, str(tmp_path)], capture_output=True, check=False, timeout=60
        )
        assert b"AlreadyRunningError" in again.stderr
