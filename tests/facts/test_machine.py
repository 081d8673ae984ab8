"""What is read of a machine: folders, mounts, control groups, memory, drivers. Nothing hangs, nothing raises."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

import pytest

from trainguard.drills.machine._driver import drivers
from trainguard.facts.machine import child, nvidia, torch_build
from trainguard.facts.machine.cgroups import memory_limit, process_limit
from trainguard.facts.machine.child import ask_child
from trainguard.facts.machine.folder import LOCK_NAME, read_folder
from trainguard.facts.machine.limits import is_launched, read_limits
from trainguard.facts.machine.memory import read_memory
from trainguard.facts.machine.mounts import Mount, is_network, mount_of, read_mounts
from trainguard.facts.machine.nvidia import read_nvidia, read_xids
from trainguard.facts.machine.reading import read_machine
from trainguard.facts.machine.torch_build import read_torch

GIB = 1 << 30


# -- folders -------------------------------------------------------------------------


def test_a_folder_is_written_to_for_real_and_left_as_it_was(tmp_path: Path) -> None:
    facts = read_folder(tmp_path)
    assert facts.answered is True
    assert facts.write is not None
    assert facts.write.written
    assert facts.free_bytes is not None
    assert facts.free_bytes <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    assert facts.mode == tmp_path.stat().st_mode & 0o7777
    assert facts.skew_seconds is not None
    assert abs(facts.skew_seconds) < 5
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    facts = read_folder(tmp_path / "runs" / "one")
    assert facts.probed == str(tmp_path)
    assert facts.write is not None
    assert facts.write.written
    assert not (tmp_path / "runs").exists()


def test_a_file_where_a_folder_should_be_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("x")
    for path in (file, file / "out"):
        facts = read_folder(path)
        assert facts.problem == f"{file} is not a folder"
        assert facts.write is None


def test_links_that_lead_nowhere_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    assert "symbolic links" in (read_folder(tmp_path / "loop" / "out").problem or "")
    assert "does not exist" in (read_folder(tmp_path / "gone").problem or "")


@pytest.mark.parametrize("name", ["a\nb", "a'b\"c", "ünï", "\udcff", "x" * 300])
def test_odd_names_are_no_reason_to_fail(tmp_path: Path, name: str) -> None:
    facts = read_folder(tmp_path / name)
    assert facts.answered in (True, None)


def test_a_nul_in_a_path_is_said(tmp_path: Path) -> None:
    assert "NUL" in (read_folder(Path(f"{tmp_path}\0x")).problem or "")


def test_the_size_of_the_largest_checkpoint_is_told(tmp_path: Path) -> None:
    for step, size in ((2, 100), (10, 7000), (9, 500)):
        folder = tmp_path / f"checkpoint-{step}" / "global_step"
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(b"x" * size)
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-3").symlink_to("/")
    assert read_folder(tmp_path).checkpoint_bytes == 7000
    assert read_machine(folder=tmp_path).needed_bytes == 7000
    assert read_machine(folder=tmp_path, needed_bytes=5).needed_bytes == 5


def test_a_lock_counts_while_a_process_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / LOCK_NAME
    lock.write_text(f'{{"pid": {os.getpid()}}}')
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        facts = read_folder(tmp_path).lock
        assert facts is not None
        assert (facts.held, facts.pid) == (True, os.getpid())
    facts = read_folder(tmp_path).lock
    assert facts is not None
    assert not facts.held


def test_a_lock_that_is_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK_NAME)
    assert read_folder(tmp_path).lock is None


# -- children with a deadline ----------------------------------------------------------


def script(folder: Path, text: str) -> Path:
    path = folder / "probe.py"
    path.write_text(text)
    return path


def test_a_child_that_hangs_is_given_up_with_what_it_said(tmp_path: Path) -> None:
    probe = script(tmp_path, "import time\nprint('{\"started\": true}', flush=True)\ntime.sleep(60)\n")
    started = time.monotonic()
    answer = ask_child(probe, {}, deadline_seconds=1.0)
    assert answer.timed_out
    assert answer.values == {"started": True}
    assert time.monotonic() - started < 10


def test_a_child_that_leaves_a_grandchild_with_the_pipe_is_given_up(tmp_path: Path) -> None:
    probe = script(tmp_path, "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(5)\n")
    started = time.monotonic()
    assert ask_child(probe, {}, deadline_seconds=1.0).timed_out
    assert time.monotonic() - started < 4


def test_a_child_that_dies_or_babbles_is_no_exception(tmp_path: Path) -> None:
    answer = ask_child(script(tmp_path, "raise SystemExit(7)"), {}, deadline_seconds=20)
    assert answer.failed == "the probe ended with code 7"
    babble = 'print("[1, 2]\\n{\\nnull\\n" + "x" * 5_000_000)'
    assert ask_child(script(tmp_path, babble), {}, deadline_seconds=20).values == {}


def test_without_an_interpreter_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child.sys, "executable", str(tmp_path / "none"))
    assert "no process could be started" in (ask_child(tmp_path, {}, deadline_seconds=1).failed or "")
    facts = read_folder(tmp_path)
    assert facts.answered is None
    assert facts.write is None


def test_a_machine_too_busy_to_start_a_child_is_no_silent_disk(tmp_path: Path) -> None:
    facts = read_folder(tmp_path, deadline_seconds=0.0)
    assert facts.answered is not False or facts.stuck_at is None
    assert facts.problem is None


# -- mounts ----------------------------------------------------------------------------


def test_the_table_of_mounts_is_read_with_its_escapes(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        b"30 22 0:40 / /mnt/with\\040space rw - nfs4 store:/export rw,vers=4.2\n"
        b"31 22 0:41 / /mnt/ro ro,nosuid - ext4 /dev/sdb1 rw\n"
        b"garbage\n\n40 22 0:1 / - x\n"
    )
    mounts = read_mounts(table)
    assert mounts is not None
    assert [mount.mount_point for mount in mounts] == ["/", "/mnt/with space", "/mnt/ro"]
    found = mount_of("/mnt/with space/out", mounts)
    assert found is not None
    assert (found.filesystem, found.source, found.read_only) == ("nfs4", "store:/export", False)
    assert mount_of("/mnt/ro", mounts) == mounts[2]
    assert mount_of("/mnt/rope", mounts) == mounts[0]
    assert read_mounts(tmp_path / "none") is None


def test_of_two_mounts_on_one_point_the_later_counts() -> None:
    first, second = (Mount(mount_point="/a", filesystem=kind, source="x", read_only=False) for kind in ("ext4", "nfs"))
    assert mount_of("/a/b", (first, second)) == second


@pytest.mark.parametrize(
    ("filesystem", "network"),
    [
        ("nfs4", True),
        ("fuse.sshfs", True),
        ("ext4", False),
        ("fuse", False),
        ("overlay", False),
        ("fuse.fuse-overlayfs", False),
    ],
)
def test_network_file_systems(filesystem: str, network: bool) -> None:
    assert is_network(filesystem) is network


# -- control groups and memory ---------------------------------------------------------


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 16000000 kB\nMemFree: 100 kB\nMemAvailable: 8000000 kB\nSwapTotal: 1000 kB\nSwapFree: 400 kB\n"
V2 = "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


def test_the_lowest_limit_of_nested_groups_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/jobs/one\n",
            "proc/self/mountinfo": V2,
            "sys/fs/cgroup/jobs/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/jobs/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/jobs/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file {GIB // 2}\n",
            "sys/fs/cgroup/jobs/one/memory.max": "max\n",
            "sys/fs/cgroup/jobs/one/memory.current": f"{2 * GIB}\n",
            "sys/fs/cgroup/jobs/pids.max": "100\n",
            "sys/fs/cgroup/jobs/pids.current": "30\n",
            "sys/fs/cgroup/jobs/one/pids.max": "max\n",
        },
    )
    limit = memory_limit(root)
    assert limit is not None
    assert (limit.limit, limit.group) == (4 * GIB, "/sys/fs/cgroup/jobs")
    assert limit.free == 4 * GIB - 3 * GIB + GIB + GIB // 2
    processes = process_limit(root)
    assert processes is not None
    assert (processes.limit, processes.free) == (100, 70)


def test_version_1_and_a_path_of_the_host(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/docker/0123\n0::/docker/0123\n",
            "proc/self/mountinfo": "32 31 0:31 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB // 4}\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 1024\n",
        },
    )
    limit = memory_limit(root)
    assert limit is not None
    assert (limit.limit, limit.free) == (GIB, GIB - GIB // 4 + 1024)
    (root / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory_limit(root) is None


def test_a_group_outside_of_the_name_space_is_not_followed(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"proc/self/cgroup": "0::/../../../outside\n", "proc/self/mountinfo": V2})
    write(tmp_path, {"outside/memory.max": "1\n", "outside/memory.current": "1\n"})
    assert memory_limit(root) is None


def test_memory_and_the_rate_of_swapping(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/vmstat": "pswpin 1000\npswpout 50\n",
            "proc/pressure/memory": "some avg10=1.00 avg60=0 avg300=0 total=1\nfull avg10=12.50 avg60=0 total=9\n",
        },
    )

    def swap(seconds: float) -> None:
        time.sleep(0.05)
        write(root, {"proc/vmstat": "pswpin 3000\npswpout 50\n"})

    facts = read_memory(root, sleep=swap)
    assert facts.total_bytes == 16_000_000 * 1024
    assert facts.swap_used_bytes == 600 * 1024
    assert facts.swap_in_bytes_per_second is not None
    assert facts.sampled_seconds is not None
    page = os.sysconf("SC_PAGE_SIZE")
    assert facts.swap_in_bytes_per_second == pytest.approx(2000 * page / facts.sampled_seconds)
    assert facts.swap_out_bytes_per_second == 0
    assert facts.stalled_share == 0.125


def test_without_swap_nothing_is_waited_for(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/meminfo": "MemTotal: 10 kB\nMemAvailable: 5 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"})

    def never(seconds: float) -> None:
        raise AssertionError

    facts = read_memory(root, sleep=never)
    assert (facts.swap_total_bytes, facts.swap_in_bytes_per_second) == (0, None)


@pytest.mark.parametrize("text", ["", "MemTotal: x kB\n", "\0\xff", "MemTotal:\n"])
def test_an_odd_meminfo_is_cannot_tell(tmp_path: Path, text: str) -> None:
    facts = read_memory(write(tmp_path, {"proc/meminfo": text}))
    assert facts.swap_total_bytes is None or facts.total_bytes != 0


# -- GPUs and torch --------------------------------------------------------------------


def use_driver(folder: Path, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in drivers(folder, start).items():
        if value is not None:
            monkeypatch.setenv(key, value)
    monkeypatch.setattr(nvidia, "_LIBRARY", str(folder / "driver" / "libnvidia-ml.so.1"))


@pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's library is looked for on Linux")
def test_gpus_as_the_driver_describes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_driver(tmp_path, 'GPUS[:] = [{"name": "NVIDIA L4", "total": 24 * GIB, "used": 2 * GIB}]', monkeypatch)
    facts, gpus = read_nvidia()
    assert facts is not None
    assert (facts.status, facts.driver, facts.cuda) == ("ok", "580.82.07", (13, 0))
    assert gpus is not None
    assert (gpus[0].name, gpus[0].capability, gpus[0].free_bytes) == ("NVIDIA L4", (9, 0), 22 * GIB)
    assert gpus[0].processes is not None
    assert gpus[0].processes[0].pid == 4242
    assert gpus[0].mig is None
    assert gpus[0].uncorrected_errors is None


@pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's library is looked for on Linux")
@pytest.mark.parametrize(
    ("start", "status", "gpus"),
    [
        ("raise NVMLError(9)", "no-driver", ()),
        ("raise NVMLError(18)", "version-mismatch", None),
        ("raise NVMLError(999)", "error", None),
        ("import os; os._exit(3)", "error", None),
    ],
)
def test_drivers_that_do_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, status: str, gpus: tuple[()] | None
) -> None:
    use_driver(tmp_path, start, monkeypatch)
    facts, found = read_nvidia()
    assert facts is not None
    assert (facts.status, found) == (status, gpus)


@pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's library is looked for on Linux")
def test_a_driver_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_driver(tmp_path, "import time; time.sleep(60)", monkeypatch)
    facts, gpus = read_nvidia(deadline_seconds=1.0)
    assert facts is not None
    assert (facts.status, gpus) == ("timeout", None)


def test_xids_come_from_the_kernels_log(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text(
        "6,1,1,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n"
        "6,2,2,-;NVRM: Xid (PCI:0000:3b:00): 79, again\n6,3,3,-;NVRM: Xid (PCI:0000:5e:00): 31, pid=2\n"
    )
    found = read_xids(log)
    assert found == {"0000:3b:00": (79,), "0000:5e:00": (31,)}
    assert nvidia._bus("00000000:3B:00.0") == "0000:3b:00"
    assert read_xids(tmp_path / "none") == {}


def test_torch_is_read_from_its_files_and_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "torch/__init__.py": "raise SystemExit('imported')",
            "torch/version.py": "__version__ = '2.9.1+cu130'\ncuda: Optional[str] = '13.0'\n",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    del sys.modules["torch"]
    facts = read_torch(ask=False)
    assert facts is not None
    assert (facts.version, facts.cuda, facts.sees) == ("2.9.1+cu130", (13, 0), None)
    (tmp_path / "torch/version.py").write_text("__version__ = (((\n")
    assert read_torch(ask=False) is None


def test_what_torch_sees_is_asked_in_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "torch/__init__.py": "class cuda:\n    def device_count():\n        return 2\n\ndef zeros(*a, **b): ...\n",
            "torch/version.py": "__version__ = '2.9.1'\ncuda = '13.0'\n",
        },
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(torch_build, "_version_file", lambda: tmp_path / "torch/version.py")
    facts = read_torch(ask=True)
    assert facts is not None
    assert (facts.sees, facts.problem) == (2, None)
    (tmp_path / "torch/__init__.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    facts = read_torch(ask=True)
    assert facts is not None
    assert (facts.sees, facts.problem) == (None, "ImportError: libcudart.so.13: cannot open")
    (tmp_path / "torch/__init__.py").write_text("import time; time.sleep(60)")
    facts = read_torch(ask=True, deadline_seconds=1.0)
    assert facts is not None
    assert facts.timed_out


# -- limits, launchers and the whole ---------------------------------------------------


def test_limits_are_those_of_this_process() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(soft, 512) if soft != resource.RLIM_INFINITY else 512
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        assert read_limits().open_files == lower
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_launchers_are_known_by_their_variables() -> None:
    assert is_launched({"LOCAL_RANK": "0"})
    assert not is_launched({"PATH": "/bin"})


def test_a_machine_is_read_without_torch_being_imported(tmp_path: Path) -> None:
    was_there = "torch" in sys.modules
    machine = read_machine(folder=tmp_path)
    assert machine.cores
    assert machine.clock is not None
    assert machine.clock.drift_seconds is not None
    assert abs(machine.clock.drift_seconds) < 5
    assert ("torch" in sys.modules) == was_there


def test_an_empty_system_is_all_cannot_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: no proc, no table of mounts, no control groups."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert read_memory(tmp_path).usable_bytes is None
    assert read_limits(tmp_path).group_processes is None
    monkeypatch.setattr(nvidia.sys, "platform", "darwin")
    assert read_nvidia() == (None, None)
