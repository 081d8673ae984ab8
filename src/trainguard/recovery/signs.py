"""How a process ended: its exit status, the signals behind it, the kernel's memory killer, a full disk."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Mapping, Sequence

from trainguard.recovery import catalogue
from trainguard.recovery.making import make
from trainguard.recovery.records import Evidence, Failure, Kind

# As train/space.py: with less than this free a file system is full for any writer.
FULL_BELOW_BYTES = 1 << 20
_SHOWN = 1 << 30
# A shell, and whoever follows it, says 128 + n of a child that signal n has ended (POSIX, Shell Command Language
# 2.8.2).
_BY_SHELL = 128
_KNOWN = frozenset({1, 2, 3, 4, 6, 7, 8, 9, 11, 13, 15, 24, 25, 31})
# Of a process that the kernel has killed for memory. CPython's own threads of torch are named pt_* (torch 2.13,
# torch/csrc/utils/pthreads), Ray's workers ray::*.
_OURS = re.compile(
    r"\((?:python[\d.]*|pt_\w*|ray::.*|torchrun|accelerate|trainguard\w*)\)|task=(?:python|pt_|ray::|torchrun|accelerate|trainguard)"
)
_NAMED = re.compile(r"[Kk]ill(?:ed)? process \d+ \(|task=|reaped process \d+ \(")
# torch 2.13, distributed/elastic/multiprocessing/errors/__init__.py, _FAILURE_FORMAT_TEMPLATE.
_ROOT = re.compile(r"^\s*exitcode\s*: (-?\d+) \(pid")

# fork(2), pipe(2), execve(2): limits of descriptors, processes and memory, which others may use up for a while.
_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ETXTBSY, errno.EINTR})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN = frozenset({errno.EIO, errno.EROFS, errno.ESTALE})

BY_SIGNAL: Mapping[int, tuple[Kind, str, str]] = {
    signal.SIGHUP: ("killed", "RUN012", "its terminal or session ended"),
    signal.SIGINT: ("killed", "RUN012", "somebody pressed Ctrl-C, or sent SIGINT"),
    signal.SIGQUIT: ("killed", "RUN012", "somebody sent SIGQUIT"),
    signal.SIGILL: ("config", "SYS013", "a library was built for another processor than this one"),
    signal.SIGABRT: ("code", "RUN022", "a library gave up"),
    signal.SIGBUS: ("code", "RUN022", "a mapped file was cut short, or shared memory ran out"),
    signal.SIGFPE: ("code", "RUN022", "a division by zero in native code"),
    signal.SIGKILL: ("killed", "RUN012", "a person or another program sent SIGKILL"),
    signal.SIGSEGV: ("code", "RUN022", "native code used memory that is not its own"),
    signal.SIGPIPE: ("killed", "RUN012", "whoever read its output has ended"),
    signal.SIGTERM: ("preempted", "RUN012", "it was asked to end from outside"),
    signal.SIGXCPU: ("config", "SYS011", "its limit of CPU time is reached (ulimit -t)"),
    signal.SIGXFSZ: ("config", "SYS011", "its limit of a file's size is reached (ulimit -f)"),
    signal.SIGSYS: ("config", "SYS011", "a sandbox forbids a system call that it needs"),
}


def ending(evidence: Evidence) -> tuple[int | None, int | None]:
    """Exit code as a shell would say it, and the signal behind it. Both None where no status is known."""
    code, number = evidence.exit_code, evidence.signal
    if number is None and code is not None:
        if code < 0:
            number = -code
        elif code - _BY_SHELL in _KNOWN:
            number = code - _BY_SHELL
    return (_BY_SHELL + number if number is not None else code), number


def root_exit(lines: Sequence[str]) -> int | None:
    """The exit status of the child that torchrun names as the first that failed; negative for a signal."""
    found = [int(match[1]) for line in lines[-60:] if (match := _ROOT.match(line))]
    return found[-1] if found else None


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def killed_for_memory(evidence: Evidence) -> str | None:
    """Why the kernel is known to have killed for memory; None where it is not.

    The count of the attempt's own control group decides where there is one. The kernel's log holds other programs'
    ends too, so that a line counts only where it names a process that could be of this attempt.
    """
    if evidence.oom_kills is not None:
        if evidence.oom_kills <= 0:
            return None
        times = "once" if evidence.oom_kills == 1 else f"{evidence.oom_kills:,} times"
        return f"the kernel killed {times} in its control group for memory"
    for line in reversed(evidence.kernel):
        found = catalogue.of_kernel([line])
        if found is not None and found.kind == "ram-oom" and (_OURS.search(line) or not _NAMED.search(line)):
            return "the kernel's log names it as killed for memory"
    return None


def full_disk(evidence: Evidence) -> str | None:
    """Why the output folder's file system is full, as it says itself; None where it is not, or does not tell."""
    free, needed = evidence.disk_free_bytes, evidence.needed_bytes
    if evidence.inodes_free == 0:
        return "its file system has no inodes left"
    if free is None:
        return None
    if free < FULL_BELOW_BYTES:
        return f"{free:,} bytes are free"
    if needed is not None and free < needed:
        return f"{size(free)} are free, and the next checkpoint takes {size(needed)}"
    return None


def not_started(evidence: Evidence, number: int, lines: Sequence[str]) -> Failure:
    """What keeps a process from being started: never the file, of which nothing has been read."""
    words = lines[-1] if lines else f"no process could be started: {os.strerror(number)}"
    if evidence.mount_gone:
        return make(evidence, "mount-gone", "SYS012", f"its mount is gone: {words}", "start")
    if number in _FULL:
        return make(evidence, "disk-full", "RUN025", words, "start")
    if number in _BROKEN:
        return make(evidence, "disk-error", "SYS003", words, "start")
    name = errno.errorcode.get(number, str(number))
    passes = number in _LIMITS
    return make(
        evidence, "config", "SYS011" if passes else "SYS003", f"{words} ({name})", "start", data={"not_started": passes}
    )


def size(amount: int) -> str:
    """Bytes for people."""
    return f"{amount / _SHOWN:.1f} GiB" if amount >= _SHOWN else f"{amount / 2**20:,.0f} MiB"
