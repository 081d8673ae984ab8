"""Attempts with real processes: begun, stopped, killed, left behind by a daemon that was killed itself."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainguard.daemon.child import Child, Ended, Leftover, end_leftovers, leftovers, read_result
from trainguard.daemon.nanny import CANNOT_EXECUTE, OUTPUT, PROCESS, RESULT, bound_output
from trainguard.daemon.processes import MARK, Identity, identity, is_alive, process, processes
from trainguard.daemon.remains import leftovers_finding, remains_finding

SECONDS = 60.0
# A command, a grandchild in a session of its own, and one that has lost its parent as well.
TREE = "setsid sleep 300 & (setsid setsid sleep 301 &) ; sleep 302 & echo ready; wait"


def until(met: Callable[[], object], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def output(folder: Path) -> bytes:
    path = folder / OUTPUT
    return path.read_bytes() if path.exists() else b""


def shell(folder: Path, command: str, **more: str) -> Child:
    return Child.start(["/bin/bash", "-c", command], folder=folder, environment={**os.environ, **more})


def of(folder: Path) -> set[int]:
    """The living processes of an attempt, by the mark that they carry."""
    found = set()
    for each in processes():
        try:
            content = Path(f"/proc/{each.pid}/environ").read_bytes()
        except OSError:
            continue
        if f"{MARK}={folder}".encode() in content.split(b"\0") and not each.is_dead:
            found.add(each.pid)
    return found


def ended(child: Child) -> Ended:
    found = child.wait(SECONDS)
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "queue" / "attempts" / "7" / "1"
    yield place
    for pid in of(place):
        os.kill(pid, signal.SIGKILL)


def test_exit_codes_signals_and_figures(folder: Path) -> None:
    child = shell(folder, "echo out; echo err >&2; exit 7")
    assert child.pid is not None
    end = ended(child)
    assert (end.exit_code, end.signal, end.asked, end.killed, end.left) == (7, None, None, (), ())
    assert end.peak_rss_bytes is not None
    assert end.peak_rss_bytes > 1 << 20
    assert output(folder) == b"out\nerr\n"
    assert read_result(folder) == Ended(
        exit_code=7, seconds=end.seconds, peak_rss_bytes=end.peak_rss_bytes, pids=end.pids
    )
    assert ended(shell(folder.parent / "2", "kill -SEGV $$")).signal == signal.SIGSEGV


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["/no/such/program"], 127, "/no/such/program: No such file or directory"),
        (["/dev/null"], 126, "/dev/null: Permission denied"),
        ([], 126, "no process could be started"),
        (["a\0b"], 126, "no process could be started"),
    ],
)
def test_what_cannot_be_executed_has_ended(folder: Path, command: list[str], code: int, words: str) -> None:
    end = ended(Child.start(command, folder=folder))
    assert end.exit_code == code
    assert words in (end.reason or "")
    if command and "\0" not in command[0]:
        assert words.encode() in output(folder)


def test_a_folder_that_cannot_be_made_is_an_end_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    end = ended(Child.start(["/bin/true"], folder=tmp_path / "file" / "1"))
    assert end.exit_code == 126
    assert "Not a directory" in (end.reason or "")


def test_a_working_folder_that_is_gone(folder: Path, tmp_path: Path) -> None:
    end = ended(Child.start(["/bin/true"], folder=folder, working_directory=tmp_path / "gone"))
    assert end.exit_code == 127
    assert "gone" in (end.reason or "")


def test_bytes_of_commands_environment_and_output_stay_bytes(folder: Path) -> None:
    odd = os.fsdecode(b"\xff a'b\n")
    child = Child.start(
        ["/bin/bash", "-c", 'printf %s "$0$ODD"', odd], folder=folder, environment={"ODD": odd, "PATH": "/bin"}
    )
    assert ended(child).exit_code == 0
    assert output(folder) == b"\xff a'b\n" * 2


def test_nothing_of_the_daemon_is_inherited(folder: Path) -> None:
    reading, writing = os.pipe()
    child = shell(
        folder, "ls /proc/self/fd | wc -l; trap | grep -vcE 'HUP|INT|QUIT'; cat; grep SigIgn /proc/self/status"
    )
    ended(child)
    os.close(reading)
    os.close(writing)
    lines = output(folder).decode().split()
    # Three, and the folder that ls reads. No signal is ignored, but for those that a shell ignores for what it starts
    # in the background, these tests perhaps (HUP, INT, QUIT), and those that the C library keeps for itself (32 and 33,
    # signal(7)): no program can ask for these, but whoever started the tests may have left them ignored.
    assert lines[:2] == ["4", "0"]
    ignored = {number for number in range(1, 65) if int(lines[-1], 16) >> (number - 1) & 1}
    assert ignored & signal.valid_signals() <= {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}


def names(child: Child) -> set[str]:
    return {each.name for each in child.tree()}


def test_the_tree_is_killed_and_reaped_grandchildren_too(folder: Path) -> None:
    child = shell(folder, TREE)
    # Of four, one begins as another program.
    until(lambda: output(folder) == b"ready\n" and len(child.tree()) == 4 and "setsid" not in names(child))
    begun = time.monotonic()
    child.kill()
    end = ended(child)
    assert time.monotonic() - begun < 20.0
    assert end.signal == signal.SIGKILL
    assert end.asked == "kill"
    assert {each.name for each in end.killed} == {"sleep"}
    assert len(end.killed) == 3
    assert of(folder) == set()
    # No zombie of it either, here or under the first process.
    assert not [pid for pid in end.pids if process(pid) is not None]


def test_what_outlives_its_command_is_ended_and_named(folder: Path) -> None:
    end = ended(shell(folder, "setsid sleep 300 & exit 0"))
    assert end.exit_code == 0
    assert [each.name for each in end.killed] == ["sleep"]
    assert of(folder) == set()


def test_what_cleans_up_behind_its_command_is_left_to_do_so(folder: Path) -> None:
    end = ended(shell(folder, "(setsid bash -c 'sleep 0.1; echo cleaned') & exit 0"))
    assert end.killed == ()
    assert output(folder) == b"cleaned\n"


def test_a_stop_lets_the_run_save(folder: Path) -> None:
    child = shell(folder, "trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: output(folder) == b"ready\n")
    child.stop(SECONDS)
    end = ended(child)
    assert (end.exit_code, end.asked) == (75, "stop")
    assert output(folder).endswith(b"saved\n")


def test_at_the_deadline_the_tree_is_killed(folder: Path) -> None:
    child = shell(folder, "trap '' TERM; setsid bash -c \"trap '' TERM; sleep 300\" & echo ready; wait; sleep 300")
    until(lambda: output(folder) == b"ready\n")
    begun = time.monotonic()
    child.stop(0.5)
    end = ended(child)
    assert 0.4 < time.monotonic() - begun < 20.0
    assert end.signal == signal.SIGKILL
    assert of(folder) == set()


def test_a_stopped_tree_can_be_stopped_and_killed(folder: Path) -> None:
    child = shell(folder, "trap 'exit 75' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: output(folder) == b"ready\n")
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    child.stop(SECONDS)
    assert ended(child).exit_code == 75

    other = shell(folder.parent / "2", TREE)
    until(lambda: len(other.tree()) == 4)
    for each in other.tree():
        os.kill(each.pid, signal.SIGSTOP)
    other.kill()
    assert ended(other).signal == signal.SIGKILL
    assert of(folder.parent / "2") == set()


def test_a_nanny_that_somebody_has_stopped_goes_on(folder: Path) -> None:
    child = shell(folder, "sleep 0.2; exit 3")
    nanny = process(child.pid or 0)
    assert nanny is not None
    os.kill(nanny.parent, signal.SIGSTOP)
    assert ended(child).exit_code == 3


def test_a_killed_nanny_takes_the_tree_with_it(folder: Path) -> None:
    child = shell(folder, TREE)
    until(lambda: len(child.tree()) == 4)
    mine = {each.pid for each in child.tree()}
    nanny = process(child.pid or 0)
    assert nanny is not None
    os.kill(nanny.parent, signal.SIGKILL)
    end = ended(child)
    assert (end.signal, end.asked) == (signal.SIGKILL, "lost")
    assert of(folder) == set()
    # Whoever adopts orphans here has reaped them.
    until(lambda: not [each for each in processes() if each.pid in mine])


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_nanny_that_is_stuck_is_killed_and_the_tree_ends(
    folder: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in a system call that does not return: orders reach it, and nothing comes of them."""
    monkeypatch.setattr("trainguard.daemon.child._STUCK_SECONDS", 2.0)
    child = shell(folder, TREE)
    until(lambda: len(child.tree()) == 4)
    child._looked = math.inf  # so that nobody lets it go on
    nanny = process(child.pid or 0)
    assert nanny is not None
    os.kill(nanny.parent, signal.SIGSTOP)
    began = time.monotonic()
    if how == "stop":
        child.stop(0.5)
    else:
        child.kill()
    end = ended(child)
    assert time.monotonic() - began > 2.0  # it had its time
    assert (end.signal, end.asked) == (signal.SIGKILL, how)
    assert end.reason == "the process that supervised it was killed"
    assert of(folder) == set()
    assert process(nanny.parent) is None


def test_sigterm_to_the_nanny_is_one_to_the_command(folder: Path) -> None:
    child = shell(folder, "trap 'exit 75' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: output(folder) == b"ready\n")
    nanny = process(child.pid or 0)
    assert nanny is not None
    os.kill(nanny.parent, signal.SIGTERM)
    end = ended(child)
    assert (end.exit_code, end.asked) == (75, None)


def test_a_child_that_a_thread_has_started_outlives_it(folder: Path) -> None:
    found: list[Child] = []
    thread = threading.Thread(target=lambda: found.append(shell(folder, "sleep 0.5; exit 4")))
    thread.start()
    thread.join()
    assert ended(found[0]).exit_code == 4


def test_an_old_record_is_not_taken_for_the_new_one(folder: Path) -> None:
    ended(shell(folder, "exit 3"))
    child = shell(folder, "echo ready; sleep 300")
    until(lambda: output(folder).endswith(b"ready\n"))
    assert read_result(folder) is None
    child.kill()
    ended(child)
    found = read_result(folder)
    assert found is not None
    assert found.signal == signal.SIGKILL


def test_a_tree_that_forks_all_the_time(folder: Path) -> None:
    child = shell(folder, "for n in 1 2 3; do (while :; do setsid sleep 0.05 & sleep 0.01; done) & done; wait")
    until(lambda: len(child.tree()) > 8)
    child.kill()
    assert ended(child).left == ()
    assert of(folder) == set()


def test_a_forgotten_child_ends(folder: Path) -> None:
    child = shell(folder, "echo ready; sleep 300")
    nanny = child._nanny
    assert nanny is not None
    child._close()
    nanny.wait(SECONDS)
    assert of(folder) == set()


# The daemon itself is killed.

_DAEMON = """
import sys, time
from pathlib import Path
from trainguard.daemon.child import Child
child = Child.start(["/bin/bash", "-c", sys.argv[2]], folder=Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


def daemon(folder: Path, command: str = TREE) -> tuple[subprocess.Popen[bytes], int]:
    """Another daemon with a run of its own: its process, and the run's."""
    begun = subprocess.Popen([sys.executable, "-c", _DAEMON, str(folder), command], stdout=subprocess.PIPE)
    assert begun.stdout is not None
    pid = int(begun.stdout.readline())
    begun.stdout.close()
    return begun, pid


def test_the_tree_dies_with_the_daemon(folder: Path) -> None:
    first, _ = daemon(folder)
    until(lambda: output(folder) == b"ready\n" and len(of(folder)) >= 5)
    first.kill()
    first.wait()
    until(lambda: of(folder) == set(), 5.0)
    until(lambda: (folder / RESULT).exists())
    end = read_result(folder)
    assert end is not None
    assert (end.signal, end.asked) == (signal.SIGKILL, "daemon-gone")


def test_what_a_daemon_and_its_nanny_left_behind_is_ended(folder: Path) -> None:
    home = folder.parents[2]
    first, pid = daemon(folder)
    until(lambda: output(folder) == b"ready\n" and len(of(folder)) >= 5)
    # While it lives its run is its own, whoever looks.
    assert leftovers(home) == []
    nanny = process(pid)
    assert nanny is not None
    os.kill(nanny.parent, signal.SIGSTOP)  # so that it cannot clean up
    first.kill()
    first.wait()
    os.kill(nanny.parent, signal.SIGKILL)
    until(lambda: process(nanny.parent) is None or process(nanny.parent).is_dead)  # type: ignore[union-attr]
    until(lambda: [each.name for each in leftovers(home)] == ["sleep"] * 3)  # some are setsid or a shell at first
    assert leftovers(home.parent / "que") == []
    assert len(end_leftovers(home)) == 3
    assert of(folder) == set()
    assert read_result(folder) is None


def test_a_command_without_its_marks_is_found_by_its_record(folder: Path) -> None:
    """It has wiped its environment; its number, start and boot stand in the attempt's record."""
    other = subprocess.Popen(["/usr/bin/env", "-i", "/bin/sleep", "300"])
    try:
        until(lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
        found = identity(other.pid)
        assert found is not None
        folder.mkdir(parents=True)
        dead = Identity(1 << 22, 1, found.boot, found.namespace)
        record = {"command": found._replace(started=found.started - 1).text(), "daemon": dead.text()}
        (folder / PROCESS).write_text(json.dumps(record))
        # Another process of the same number.
        assert leftovers(folder.parents[2], [folder]) == []
        record["command"] = found._replace(boot="another").text()
        (folder / PROCESS).write_text(json.dumps(record))
        assert leftovers(folder.parents[2], [folder]) == []
        record["command"] = found.text()
        (folder / PROCESS).write_text(json.dumps(record))
        assert [each.pid for each in end_leftovers(folder.parents[2], [folder])] == [other.pid]
    finally:
        other.kill()
        other.wait()


def test_records_that_are_no_records(folder: Path) -> None:
    folder.mkdir(parents=True)
    for content in (b"", b"{", b"[]", b'{"exit_code": 0}', b'{"exit_code": "x", "signal": {}}', b"[" * 100_000):
        (folder / RESULT).write_bytes(content)
        (folder / PROCESS).write_bytes(content)
        read_result(folder)
        assert leftovers(folder.parents[2], [folder]) == []


def test_an_attempt_of_before_the_boot(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / PROCESS).write_text(json.dumps({"boot": "0f0f0f0f-0000", "command": "1:1:0f0f0f0f-0000:pid[1]"}))
    end = read_result(folder)
    assert end is not None
    assert end.rebooted
    assert end.asked == "reboot"


def test_an_identity_is_of_one_process() -> None:
    found = identity(os.getpid())
    assert found is not None
    assert is_alive(found)
    assert Identity.parse(found.text()) == found
    assert not is_alive(found._replace(started=found.started + 1))
    assert not is_alive(found._replace(boot="another"))
    assert not is_alive(found._replace(namespace="another"))
    assert Identity.parse("4242") is None
    assert Identity.parse("x:1:b:n") is None


def test_what_is_said_of_processes_that_stay() -> None:
    six = tuple(Leftover(pid=pid, name="sleep") for pid in range(101, 107))
    found = remains_finding(Ended(exit_code=0, killed=six))
    assert found is not None
    assert (found.code, found.name, found.severity) == ("SYS014", "unreaped-children", "warn")
    assert found.message.startswith("the run left 6 processes behind when it ended: 101 (sleep), ")
    assert "105 (sleep) and 1 more; they were killed and reaped" in found.message
    assert found.evidence["count"] == 6
    # A run that was killed has its tree killed with it: nothing to be said.
    assert remains_finding(Ended(signal=9, asked="kill", killed=six)) is None
    assert remains_finding(Ended(exit_code=0)) is None
    stuck = remains_finding(Ended(signal=9, asked="kill", left=six[:1]))
    assert stuck is not None
    assert stuck.severity == "error"
    assert "1 process of the run would not die: 101 (sleep)" in stuck.message
    assert leftovers_finding([]) is None
    assert "1 process of its run behind" in (leftovers_finding(six[:1]) or found).message


def test_a_long_output_keeps_its_ends(tmp_path: Path) -> None:
    path = tmp_path / OUTPUT
    block = b"x" * 1023 + b"\n"
    with path.open("ab") as file:
        file.write(b"first\n")
        for _ in range(70):
            file.write(block * 1024)
        file.write(b"last\n")
        file.flush()
        before = os.fstat(file.fileno()).st_blocks * 512
        bound_output(os.fsencode(path))
        after = os.fstat(file.fileno())
        assert before > 70 << 20
        assert after.st_blocks * 512 < 36 << 20
        file.write(b"and on\n")
    content = path.read_bytes()
    assert content.startswith(b"first\n")
    assert content.endswith(b"last\nand on\n")
    assert b"left out by trainguard" in content
    size = path.stat().st_blocks
    bound_output(os.fsencode(path))
    assert path.stat().st_blocks == size
    bound_output(os.fsencode(tmp_path / "none"))


# A process with so many more descriptors than it has open now: first the daemon's own calls fail, then the nanny's.
LIMITED = """
import json, os, resource, sys
from pathlib import Path
from trainguard.daemon.child import Child

Child.start(["/bin/true"], folder=Path(sys.argv[1]) / "first").wait(60)  # what is imported and opened once
free = int(sys.argv[2])
most = len(os.listdir("/proc/self/fd")) - 1 + free
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
ended = Child.start(["/bin/true"], folder=Path(sys.argv[1]) / "second").wait(60)
print(json.dumps([ended.exit_code, ended.not_started, ended.reason]))
"""


@pytest.mark.parametrize("free", range(12))
def test_a_limit_of_descriptors_is_told_from_an_end_of_the_command(tmp_path: Path, free: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(free)], capture_output=True, text=True, check=True
    )
    code, not_started, reason = json.loads(done.stdout)
    if code == 0:
        assert free > 2
        assert (not_started, reason) == (None, None)
    else:
        assert (code, not_started) == (CANNOT_EXECUTE, errno.EMFILE), reason
        assert "descriptor" in reason or "open files" in reason


def test_a_command_that_is_not_there_says_so_with_its_errno(tmp_path: Path) -> None:
    found = ended(Child.start([str(tmp_path / "nothing")], folder=tmp_path / "1"))
    assert (found.exit_code, found.not_started) == (127, errno.ENOENT)
    assert ended(shell(tmp_path / "2", "exit 126")).not_started is None  # the command's own word
