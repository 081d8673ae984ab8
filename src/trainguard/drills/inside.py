"""Asks about the machine from inside a fault: a process of its own that first breaks its own view of the system.

`python -m trainguard.drills.inside QUESTION` makes the faults that QUESTION (JSON) names, asks the guard, and prints
the findings as JSON. Nothing outside of the process is touched: mounts are made in a name space of its own, and a
failing system call fails for this process and its children alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainguard.drills.guard import Guard
from trainguard.findings import Finding

# The kernel's numbers: include/uapi/linux/sched.h, mount.h, prctl.h, seccomp.h,
# filter.h, capability.h.
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_SECCOMP_MODE_FILTER, _RET_ALLOW, _RET_ERRNO = 2, 0x7FFF0000, 0x00050000
_BPF_LOAD, _BPF_JUMP_EQUAL, _BPF_RETURN = 0x20, 0x15, 0x06
# System calls by machine (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
_CALLS = {"x86_64": {"fsync": 74, "fdatasync": 75}, "aarch64": {"fsync": 82, "fdatasync": 83}}

_DEADLINE_SECONDS = 120.0


def ask_inside(
    guard: Guard,
    setup: Sequence[Mapping[str, Any]],
    *,
    folder: Path | None = None,
    needed_bytes: int | None = None,
    deadline_seconds: float | None = None,
    environment: Mapping[str, str | None] | None = None,
) -> tuple[Finding, ...]:
    """The findings about the machine as a process sees it to which the faults of `setup` have happened.

    `environment` sets variables, or removes those that it maps to None. Raises RuntimeError where a fault could not
    be made, and subprocess.TimeoutExpired where the guard hangs.
    """
    question = {
        "setup": list(setup),
        "folder": str(folder) if folder is not None else None,
        "needed_bytes": needed_bytes,
        "deadline_seconds": deadline_seconds,
        "ignore": list(guard.ignored),
    }
    variables = {key: value for key, value in {**os.environ, **(environment or {})}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(question)],
        capture_output=True,
        check=False,
        env=variables,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=_DEADLINE_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the fault could not be made: {done.stderr.strip()[-500:]}")
    return tuple(Finding.from_dict(each) for each in json.loads(done.stdout))


def main() -> None:
    question = json.loads(sys.argv[1])
    for step in question["setup"]:
        _SETUPS[step["what"]](step)
    if question.get("ask") is False:
        return
    from trainguard.asking import Options
    from trainguard.facts.machine.folder import DEADLINE_SECONDS
    from trainguard.facts.machine.reading import read_machine
    from trainguard.material import report_on
    from trainguard.rules.base import Subject

    folder = question["folder"]
    machine = read_machine(
        folder=Path(folder) if folder is not None else None,
        needed_bytes=question["needed_bytes"],
        deadline_seconds=question["deadline_seconds"] or DEADLINE_SECONDS,
        ask_torch=False,
    )
    report = report_on(Subject(kind="machine", machine=machine), "machine", Options(ignore=tuple(question["ignore"])))
    if report.errors:
        raise RuntimeError(report.errors[0].traceback)
    print(json.dumps([finding.to_dict() for finding in report.findings]))


def _tmpfs(step: Mapping[str, Any]) -> None:
    """A file system of its own at `path`, as small as `options` say."""
    own_mounts()
    mount("tmpfs", step.get("path", os.getcwd()), "tmpfs", step.get("options", "size=64k"))


def _silent_mount(step: Mapping[str, Any]) -> None:
    """A network file system at `path` whose server is gone: whoever asks it anything waits.

    It is a FUSE mount whose requests nobody reads; the kernel keeps those who ask waiting as long as the device is
    open, which it is until this process ends.
    """
    own_mounts()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    mount(step.get("source", "gone:/export"), step["path"], "fuse.sshfs", options)


def _failing_calls(step: Mapping[str, Any]) -> None:
    """System calls that fail with `errno` from now on, as those on a broken disk do."""
    numbers = [_CALLS[platform.machine()][name] for name in step["calls"]]
    program = [(_BPF_LOAD, 0, 0, 0)]  # the number of the call, the first field of struct seccomp_data
    for number in numbers:
        program += [(_BPF_JUMP_EQUAL, 0, 1, number), (_BPF_RETURN, 0, 0, _RET_ERRNO | int(step["errno"]))]
    program.append((_BPF_RETURN, 0, 0, _RET_ALLOW))
    code = b"".join(struct.pack("HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_program = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(filter_program, len(filter_program))
    libc = _libc()
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    address = ctypes.c_void_p(ctypes.addressof(holder))
    _checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address, 0, 0), "prctl")


def _no_rights(_step: Mapping[str, Any]) -> None:
    """Root's right to pass over permissions, taken from the processes started from now on; others never had it.

    Another user's id would not do: the interpreter may lie in a folder that only this user can read.
    """
    if os.geteuid() == 0:
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            _checked(_libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")


def _limit(step: Mapping[str, Any]) -> None:
    import resource

    resource.setrlimit(getattr(resource, step["name"]), (step["soft"], step["soft"]))


def _swapping(step: Mapping[str, Any]) -> None:
    """The kernel's counters as they are on a machine that swaps `bytes_per_second` in and out, all tasks waiting for
    `share` of the time: files of the same format over /proc's, for this process alone, the counters growing."""
    own_mounts()
    folder = Path(step["at"])
    folder.mkdir(exist_ok=True)
    mount("tmpfs", str(folder), "tmpfs", "size=1m")
    used = f"SwapTotal: {step['total'] // 1024:>14} kB\nSwapFree: {(step['total'] - step['used']) // 1024:>14} kB\n"
    kept = [line for line in Path("/proc/meminfo").read_text("ascii").splitlines(True) if not line.startswith("Swap")]
    # Documentation/accounting/psi.rst; the file is missing where the kernel was built or started without it.
    stalled = f"avg10={100 * step['share']:.2f} avg60=0.00 avg300=0.00 total=1\n"
    shown = {"meminfo": "".join(kept) + used, "pressure/memory": f"some {stalled}full {stalled}"}
    began, page = time.monotonic(), os.sysconf("SC_PAGE_SIZE")

    def counters() -> str:
        pages = int((time.monotonic() - began) * step["bytes_per_second"] / page)
        return f"pswpin {pages:015d}\npswpout {pages:015d}\n"

    shown["vmstat"] = counters()
    for name, text in shown.items():
        if (Path("/proc") / name).exists():
            file = folder / name.replace("/", "-")
            file.write_text(text, "ascii")
            _checked(_libc().mount(bytes(file), b"/proc/" + name.encode(), None, ctypes.c_ulong(_MS_BIND), None), name)

    def count() -> None:
        with (folder / "vmstat").open("r+b", buffering=0) as file:
            while True:
                os.pwrite(file.fileno(), counters().encode(), 0)
                time.sleep(0.01)

    threading.Thread(target=count, daemon=True).start()


_SETUPS = {
    "tmpfs": _tmpfs,
    "silent-mount": _silent_mount,
    "failing-calls": _failing_calls,
    "no-rights": _no_rights,
    "limit": _limit,
    "swapping": _swapping,
}


def own_mounts() -> None:
    """A name space of mounts for this process alone; a user without rights gets one of users first."""
    libc = _libc()
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNS) != 0:
        _checked(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
        Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): before the map of groups
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _checked(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount")


def mount(source: str, target: str, kind: str, options: str) -> None:
    arguments = [os.fsencode(each) for each in (source, target, kind)]
    _checked(_libc().mount(*arguments, ctypes.c_ulong(0), options.encode()), f"mount {kind}")


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
