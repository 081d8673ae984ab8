"""A control group for each attempt: in a real one where this machine has a writable cgroup v2, and the counters of
memory, which most machines give to one version only, in a folder with the kernel's files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.daemon.serving import ROOT
from trainguard.daemon import attempt_group
from trainguard.daemon.attempt_group import Group, prepare, remove_old
from trainguard.daemon.child import Child
from trainguard.daemon.processes import kill_group, process
from trainguard.facts.machine.mounts import read_mounts

SECONDS = 60.0
# A daemon in the delegated group: it starts an attempt whose grandchild has left every session, and wiped its marks.
DAEMON = """
import json, os, sys, time
from pathlib import Path
from trainguard.daemon import attempt_group
from trainguard.daemon.child import Child, end_leftovers

home, what = Path(sys.argv[1]), sys.argv[2]
base = attempt_group.prepare()
if what == "clean":
    found = [each.pid for each in end_leftovers(home, [home / "attempts/7/3"])]
    print(json.dumps({"killed": found, "groups": sorted(each.name for each in base.glob("attempt-*"))}), flush=True)
    sys.exit()
command = "(exec env -i setsid /bin/sleep 300) & echo $!; exec sleep 301"
child = Child.start(["/bin/bash", "-c", command], folder=home / "attempts/7/3")
log = home / "attempts/7/3/output.log"
while not log.read_bytes():
    time.sleep(0.01)
groups = list(base.glob("attempt-*"))
inside = [int(each) for each in (groups[0] / "cgroup.procs").read_text().split()]
said = {"group": str(groups[0]), "inside": inside, "pid": child.pid, "nanny": child._nanny.pid}
print(json.dumps(said), flush=True)
if what == "lost":
    os.kill(child._nanny.pid, 9)
    ended = child.wait(60)
elif what == "kill":
    child.kill()
    ended = child.wait(60)
else:
    time.sleep(300)
print(json.dumps({"killed": [each.pid for each in ended.killed], "there": groups[0].exists()}), flush=True)
"""


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A group that is marked as systemd marks those that it leaves to a service."""
    for mount in read_mounts() or ():
        place = Path(mount.mount_point) / f"trainguard-test-{os.getpid()}"
        if mount.filesystem != "cgroup2":
            continue
        with suppress(OSError):
            place.mkdir()
            try:
                os.setxattr(place, "user.delegate", b"1")
                yield place
            finally:
                kill_group(os.fsencode(place))
                for _ in range(1000):
                    Group(place).remove()
                    if not place.exists():
                        break
                    time.sleep(0.01)
            return
    pytest.skip("no control group (version 2) can be made here")


def daemon(group: Path, home: Path, what: str) -> subprocess.Popen[str]:
    joins = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    command = [sys.executable, "-c", f"{joins}\n{DAEMON}", str(home), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def said(process_: subprocess.Popen[str]) -> dict[str, object]:
    assert process_.stdout is not None
    return dict(json.loads(process_.stdout.readline()))


def is_gone(pid: int) -> bool:
    end = time.monotonic() + SECONDS
    while (found := process(pid)) is not None and not found.is_dead:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("what", ["kill", "lost"])
def test_an_attempt_is_in_a_group_of_its_own_and_ends_with_it(delegated: Path, tmp_path: Path, what: str) -> None:
    with daemon(delegated, tmp_path, what) as running:
        begun = said(running)
        inside = begun["inside"]
        assert isinstance(inside, list)
        assert len(inside) == 2
        assert begun["pid"] in inside
        assert begun["nanny"] not in inside
        assert running.pid not in inside
        assert str(begun["group"]).startswith(f"{delegated}/attempt-")
        ended = said(running)
        assert running.wait(SECONDS) == 0
    assert all(is_gone(each) for each in inside)
    assert not ended["there"]


def test_what_a_dead_daemon_left_is_found_by_its_group(delegated: Path, tmp_path: Path) -> None:
    with daemon(delegated, tmp_path, "stay") as running:
        begun = said(running)
        inside = begun["inside"]
        assert isinstance(inside, list)
        # All at once, so that nobody cleans up: the daemon and the nanny, and with it the command.
        nanny = begun["nanny"]
        assert isinstance(nanny, int)
        os.kill(nanny, signal.SIGSTOP)
        running.kill()
        running.wait()
        os.kill(nanny, signal.SIGKILL)
    (grandchild,) = set(inside) - {begun["pid"]}
    assert process(grandchild) is not None
    with daemon(delegated, tmp_path, "clean") as cleaning:
        found = said(cleaning)
        assert cleaning.wait(SECONDS) == 0
    assert grandchild in found["killed"]  # type: ignore[operator]
    assert found["groups"] == []
    assert is_gone(grandchild)


def stand_in(root: Path, group: str = "svc", *, delegated: bool = True, controllers: str = "memory pids") -> Path:
    """A system whose only control group is ours, with the kernel's files."""
    base = root / "sys/fs/cgroup" / group
    base.mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::/{group}\n")
    (root / "proc/self/mountinfo").write_text("30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")
    for name, text in (("cgroup.procs", ""), ("cgroup.subtree_control", ""), ("cgroup.controllers", controllers)):
        (base / name).write_text(text)
    if delegated:
        try:
            os.setxattr(base, "user.delegate", b"1")
        except OSError:
            pytest.skip("this file system keeps no attributes of users")
    return base


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    prepare(Path("/nowhere"))


def test_the_daemon_moves_beside_its_attempts_where_memory_is_to_be_counted(tmp_path: Path) -> None:
    base = stand_in(tmp_path)
    assert prepare(tmp_path) == base
    assert (base / "daemon/cgroup.procs").read_text() == str(os.getpid())
    assert (base / "cgroup.subtree_control").read_text() == "+memory"
    # One that is started in there, by the manager or after a restart, makes its groups beside it as well.
    (tmp_path / "proc/self/cgroup").write_text("0::/svc/daemon\n")
    (base / "cgroup.subtree_control").write_text("memory\n")
    assert prepare(tmp_path) == base


def test_a_group_that_is_not_ours_is_let_be(tmp_path: Path) -> None:
    base = stand_in(tmp_path, delegated=False)
    assert prepare(tmp_path) is None
    assert Group.make(tmp_path / "attempts/7/3") is None
    assert sorted(each.name for each in base.iterdir()) == [
        "cgroup.controllers",
        "cgroup.procs",
        "cgroup.subtree_control",
    ]
    assert prepare(tmp_path / "no system at all") is None


def test_a_daemon_that_may_not_count_goes_back_where_it_is_counted(tmp_path: Path) -> None:
    base = stand_in(tmp_path)
    (base / "cgroup.subtree_control").unlink()
    (base / "cgroup.subtree_control").mkdir()  # the kernel says EBUSY; a folder says EISDIR
    (base / "daemon").mkdir()
    assert prepare(tmp_path) == base
    assert (base / "cgroup.procs").read_text() == str(os.getpid())


def test_the_counters_are_those_of_the_attempt(tmp_path: Path) -> None:
    base = stand_in(tmp_path)
    assert prepare(tmp_path) == base
    folder = tmp_path / "home/attempts/7/3"
    group = Group.make(folder)
    assert group is not None
    assert group.path.name.startswith("attempt-")
    assert group.path.name.endswith("-7-3")
    second = Group.make(folder)
    assert second is not None
    assert second.path != group.path
    assert (group.oom_kills, group.peak_bytes, group.processes) == (None, None, set())
    (group.path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    (group.path / "memory.peak").write_text("4096\n")
    (group.path / "cgroup.procs").write_text(f"0\n{os.getpid()}\n4711\n")
    (group.path / "below").mkdir()
    (group.path / "below/cgroup.procs").write_text("4712\n")
    assert (group.oom_kills, group.peak_bytes, group.processes) == (2, 4096, {4711, 4712})
    remove_old(folder.parents[1])
    assert group.path.exists()  # something lives in it
    assert not second.path.exists()


def test_a_child_tells_what_its_group_has_counted(tmp_path: Path) -> None:
    base = stand_in(tmp_path)
    assert prepare(tmp_path) == base
    inside = textwrap.dedent(
        """
        group=$(echo "$1"/attempt-*-7-3)
        echo "oom_kill 1" > "$group/memory.events"
        echo 8192 > "$group/memory.peak"
        """
    )
    child = Child.start(["/bin/bash", "-c", inside, "sh", str(base)], folder=tmp_path / "home/attempts/7/3")
    ended = child.wait(SECONDS)
    assert ended is not None
    assert (ended.exit_code, ended.oom_kills, ended.group_peak_bytes) == (0, 1, 8192)


def test_without_a_group_a_child_is_as_it_was(tmp_path: Path) -> None:
    assert attempt_group.prepare(tmp_path) is None
    ended = Child.start(["/bin/true"], folder=tmp_path / "attempts/7/3").wait(SECONDS)
    assert ended is not None
    assert (ended.exit_code, ended.group_peak_bytes) == (0, None)
