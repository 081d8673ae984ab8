"""Evidence of attempts that really ran, and of the system's counters as both versions of control groups write them."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from trainguard.daemon import witness as module
from trainguard.daemon.cgroup_events import oom_kills
from trainguard.daemon.child import Child, Ended
from trainguard.daemon.gpu import GpuMemory
from trainguard.daemon.hang import Hang
from trainguard.daemon.kernel_log import KernelLog
from trainguard.daemon.witness import Witness
from trainguard.facts.machine import mounts as mount_table
from trainguard.facts.machine.records import Gpu, GpuProcess, NvidiaFacts
from trainguard.recovery.records import Evidence

_RUN = """
import json, os, sys, time
from pathlib import Path
own = Path(sys.argv[1]) / "trainguard"
own.mkdir(parents=True, exist_ok=True)
def line(name, **values):
    with (own / name).open("a") as file:
        file.write(json.dumps(values) + "\\n")
def say(event, **values):
    print(json.dumps({"event": event, "time": 0.0, **values}), flush=True)
say("begin", step=0, steps=10, step_before=0)
print("10%|#  \\r20%|## \\r\\x1b[31mwarn: slow\\x1b[0m")
for step in (1, 2, 3):
    line("heartbeat.jsonl", t=time.monotonic(), time=0.0, pid=os.getpid(), phase="train", step=step)
    say("progress", step=step, steps=10)
finding = {"code": "RUN001", "severity": "error", "message": "loss is nan", "step": 3}
line("events.jsonl", event="finding", step=3, finding=finding)
say("finding", finding=finding)
with (own / "failure.txt").open("a") as file:
    file.write("2026 RUN022 boom\\n\\nTraceback (most recent call last):\\nValueError: boom\\n")
sys.exit(1)
"""


def run_once(output: Path, folder: Path, script: str = _RUN, **more: Any) -> Evidence:
    watched = Witness(output)
    child = Child.start([sys.executable, "-c", script, str(output)], folder=folder)
    ended = child.wait(60)
    assert ended is not None
    try:
        return watched.evidence(ended, folder=folder, **more)
    finally:
        watched.close()


def test_what_a_run_left_behind(tmp_path: Path) -> None:
    output = tmp_path / "out"
    (output / "checkpoint-4").mkdir(parents=True)
    (output / "checkpoint-4" / "model.safetensors").write_bytes(b"x" * 5000)
    found = run_once(output, tmp_path / "1")
    assert (found.exit_code, found.signal, found.asked_by) == (1, None, None)
    assert (found.phase, found.step, found.own_steps, found.planned_steps) == ("train", 3, 3, 10)
    assert [each["code"] for each in found.findings] == ["RUN001"]
    assert found.traceback is not None
    assert "ValueError: boom" in found.traceback
    assert "warn: slow" in found.tail
    assert found.silent_seconds is not None
    assert 0 <= found.silent_seconds < 60
    assert found.disk_free_bytes is not None
    assert found.disk_free_bytes > 0
    assert found.needed_bytes is not None
    assert found.needed_bytes >= 5000
    assert not found.mount_gone
    assert not found.machine_going_down
    assert found.result_saved is None


def test_what_earlier_attempts_wrote_is_theirs(tmp_path: Path) -> None:
    run_once(tmp_path / "out", tmp_path / "1")
    found = run_once(tmp_path / "out", tmp_path / "2", "import os; os.kill(os.getpid(), 9)")
    assert found.signal == signal.SIGKILL
    assert found.findings == ()
    assert found.traceback is None
    assert (found.phase, found.step, found.tail, found.silent_seconds) == ("unknown", None, (), None)


def test_errors_of_the_checks_before_a_run(tmp_path: Path) -> None:
    error = {"code": "DATA001", "severity": "error", "message": "is empty"}
    other = {"code": "DATA002", "severity": "error", "message": "forced"}
    checks = {
        "event": "checks",
        "reports": [{"findings": [error, other, {"code": "SYS005", "severity": "warn", "message": "swaps"}]}],
        "forced": ["DATA002"],
        "stops": 1,
    }
    found = run_once(tmp_path / "out", tmp_path / "1", f"print({json.dumps(checks)!r}); raise SystemExit(1)")
    assert found.findings == (error,)
    checks["stops"] = 0
    assert run_once(tmp_path / "out", tmp_path / "2", f"print({json.dumps(checks)!r})").findings == ()


def test_a_clean_end(tmp_path: Path) -> None:
    script = (
        "import json, sys\nfrom pathlib import Path\n"
        "p = Path(sys.argv[1]) / 'trainguard'; p.mkdir(parents=True)\n"
        "(p / 'events.jsonl').write_text(json.dumps({'event': 'save', 'step': 9, 'final': True}) + '\\n')\n"
        "print(json.dumps({'event': 'end', 'code': 0, 'steps': 9, 'planned': 9}))"
    )
    found = run_once(tmp_path / "out", tmp_path / "1", script)
    assert (found.exit_code, found.own_steps, found.planned_steps, found.result_saved) == (0, 9, 9, True)
    # Nobody asks the disk and the GPUs of a run that is well.
    assert found.disk_free_bytes is None


def test_who_ended_it(tmp_path: Path) -> None:
    hang = Hang(phase="train", step=3, silent_seconds=700.0, budget_seconds=600.0, slowest_seconds=1.0, pid=1)
    found = run_once(tmp_path / "out", tmp_path / "1", "pass", hang=hang)
    assert (found.asked_by, found.silent_seconds) == ("hang", 700.0)
    assert run_once(tmp_path / "out", tmp_path / "2", "pass", asked_by="drain").asked_by == "drain"


def test_an_output_that_is_no_text(tmp_path: Path) -> None:
    script = (
        "import sys; w = sys.stdout.buffer.write; w(b'\\xff\\xfe\\n'); w(b'x' * 100_000 + b'\\n'); "
        'w(b\'{"event": [1]}\\n{"event": "checks", "stops": 1, "reports": 7}\\n{\' + b\'[\' * 5000 + b\'\\n\'); '
        "w(b'\\n'.join(b'line %d' % n for n in range(500)))"
    )
    found = run_once(tmp_path / "out", tmp_path / "1", script)
    assert len(found.tail) == 200
    assert found.tail[-1] == "line 499"


def test_an_output_folder_that_is_gone(tmp_path: Path) -> None:
    found = run_once(tmp_path / "none" / "out", tmp_path / "1", "raise SystemExit(3)")
    assert found.exit_code == 3
    assert not found.mount_gone


def test_a_mount_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of mounts is the kernel's; the one of afterwards lacks the output folder's."""
    mounts = mount_table.read_mounts() or ()
    point = mount_table.Mount(mount_point=str(tmp_path), filesystem="nfs4", source="server:/data", read_only=False)
    monkeypatch.setattr(module, "read_mounts", lambda: (*mounts, point))
    watched = Witness(tmp_path / "out")
    monkeypatch.setattr(module, "read_mounts", lambda: mounts)
    found = watched.evidence(Ended(exit_code=1), folder=tmp_path / "1")
    assert found.mount_gone
    assert found.disk_free_bytes is None
    watched.close()


# Memory, by the kernel's own counters.


def group(root: Path, version: int, events: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    kind, name = ("cgroup2", "memory.events") if version == 2 else ("cgroup", "memory.oom_control")
    mount = "/sys/fs/cgroup" if version == 2 else "/sys/fs/cgroup/memory"
    (root / "proc/self/cgroup").write_text("0::/user/a\n" if version == 2 else "4:memory:/user/a\n0::/\n")
    (root / "proc/self/mountinfo").write_text(f"30 1 0:9 / {mount} rw - {kind} {kind} rw\n")
    folder = root / mount.lstrip("/") / "user/a"
    folder.mkdir(parents=True)
    (folder / name).write_text(events)
    (folder.parents[1] / name).write_text("oom_kill 99\n")


def test_kills_for_memory_of_this_group(tmp_path: Path) -> None:
    group(tmp_path / "2", 2, "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills(tmp_path / "2") == 2
    group(tmp_path / "1", 1, "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert oom_kills(tmp_path / "1") == 4
    # A kernel that does not count, and a system without control groups.
    group(tmp_path / "0", 1, "oom_kill_disable 0\nunder_oom 0\n")
    assert oom_kills(tmp_path / "0") is None
    assert oom_kills(tmp_path / "none") is None


def test_inside_a_container_the_mount_is_the_group(tmp_path: Path) -> None:
    group(tmp_path, 2, "")
    (tmp_path / "proc/self/cgroup").write_text("0::/docker/of/the/host\n")
    assert oom_kills(tmp_path) == 99
    (tmp_path / "proc/self/cgroup").write_text("0::/../../outside\n")
    assert oom_kills(tmp_path) == 99


def test_the_kernels_log_from_now_on(tmp_path: Path) -> None:
    """The real one, where it may be read; a pipe and nothing at all say nothing, and nobody waits for them."""
    assert KernelLog(tmp_path / "none").lines() == ()
    os.mkfifo(tmp_path / "pipe")
    assert not KernelLog(tmp_path / "pipe").is_read
    log = KernelLog()
    if log._descriptor is None:
        return
    before = log.lines()
    assert not [line for line in before if line.startswith("Linux version")]
    # Wound back to its beginning, where the kernel has named itself.
    os.lseek(log._descriptor, 0, os.SEEK_SET)
    lines = log.lines()
    assert 0 < len(lines) <= 400
    assert all("\n" not in line for line in lines)
    log.close()
    assert log.lines() == ()


def test_kills_of_others_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("Out of memory: Killed process 12 (chrome) total-vm:1kB", "oom-kill:constraint=CONSTRAINT_NONE", "Xid")
    monkeypatch.setattr(module, "numbers_are_the_kernels", lambda: True)
    assert module._about(lines, (13,)) == lines[1:]
    assert module._about(lines, (12, 13)) == lines
    assert module._about(lines, ()) == lines
    monkeypatch.setattr(module, "numbers_are_the_kernels", lambda: False)
    assert module._about(lines, (13,)) == lines


# GPU memory between files.


class Driver:
    """The driver's answers, one after the other; the last one again and again."""

    def __init__(self, *used: int, processes: tuple[GpuProcess, ...] = ()) -> None:
        self.used = [each << 20 for each in used]
        self.processes = processes
        self.asked = 0

    def __call__(self) -> tuple[NvidiaFacts | None, tuple[Gpu, ...] | None]:
        used = self.used[min(self.asked, len(self.used) - 1)]
        self.asked += 1
        gpu = Gpu(index=0, uuid="GPU-abc", total_bytes=80 << 30, used_bytes=used, processes=self.processes)
        return NvidiaFacts(status="ok"), (gpu, Gpu(index=1, used_bytes=70 << 30))


def test_memory_that_comes_back(tmp_path: Path) -> None:
    memory = GpuMemory(visible="0", ask=Driver(500, 60_000, 600))
    assert memory.remember() == {0: 500 << 20}
    assert memory.wait(10) is None


def test_memory_that_does_not_is_somebodys() -> None:
    driver = Driver(500, 60_500, processes=(GpuProcess(pid=77, used_bytes=60_000 << 20, name="python"),))
    memory = GpuMemory(visible="GPU-abc", ask=driver)
    memory.remember()
    found = memory.wait(0.1)
    assert found is not None
    assert (found.code, found.severity) == ("SYS008", "warn")
    assert "60,000 MiB more in use" in found.message
    assert "process 77 (python) with 60,000 MiB" in found.message
    assert "`kill 77`" in found.message
    assert memory.wait(10, stop=lambda: True) is None


def test_a_holder_without_a_name_and_no_gpus() -> None:
    memory = GpuMemory(ask=Driver(0, 9000))
    memory.remember()
    found = memory.wait(0)
    assert found is not None
    assert "does not name" in found.message
    none = GpuMemory(ask=lambda: (None, None))
    assert none.remember() == {}
    assert none.wait(60) is None
    assert GpuMemory(ask=Driver(1)).wait(60) is None


def test_an_attempt_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """A thousand attempts are a thousand descriptors, where each leaves one, and that is the usual limit."""

    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    Witness(tmp_path).evidence(Ended(exit_code=0), folder=tmp_path)
    before = opened()
    for _ in range(5):
        Witness(tmp_path).evidence(Ended(exit_code=0), folder=tmp_path)
        lost = Witness(tmp_path)
        lost.close()
    assert opened() == before
