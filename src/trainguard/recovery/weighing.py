"""Weighs what a process said as it ended with what the kernel, the disk, the mounts and the GPU say."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field, replace

from trainguard.recovery import places, signs, xid
from trainguard.recovery.by_finding import Said
from trainguard.recovery.catalogue import Message, of_kernel
from trainguard.recovery.making import make
from trainguard.recovery.reading import Crash, Raised, last_lines
from trainguard.recovery.records import Evidence, Failure, Kind, Phase

_FATAL = frozenset({signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV, signal.SIGILL, signal.SIGFPE})
# The kernel's killer sends SIGKILL; systemd-oomd and earlyoom may send SIGTERM.
_OF_MEMORY = frozenset({signal.SIGKILL, signal.SIGTERM})
# Messages of a worker that somebody has killed, and errors of talking to one that is gone.
_WORKER_GONE = frozenset({"worker-killed", "map-worker-died", "pool-broken"})
_WORKER_EXITED = re.compile(r"^RuntimeError: DataLoader worker \(pid\(s\) [\d, ]+\) exited unexpectedly")
# What the ranks that are left say of one that is gone: it was ended by a signal, which tells more.
_RANK_GONE = frozenset({"torchrun-failed", "gloo-reset", "nccl-remote", "nccl-watchdog", "store-timeout"})
# What the scheduler prints of a kill is no word of the process that was killed.
_OF_SCHEDULER = frozenset({"slurm-oom", "slurm-preempted", "slurm-cancelled"})
# Of `accelerate launch` and others that run the script as a child (CPython 3.11, subprocess.py:144).
_DIED = re.compile(r"^subprocess\.CalledProcessError: Command .* died with <Signals\.SIG\w+: (\d+)>\.$")
_PEER_GONE = frozenset({"EOFError", "BrokenPipeError", "ConnectionResetError", "ConnectionRefusedError"})
_OF_FILES = frozenset(
    {"OSError", "FileNotFoundError", "NotADirectoryError", "IOError", "BlockingIOError", "TimeoutError"}
)
_TOUCHES_GPU = ("CUDA", "cuDNN", "cuBLAS", "NCCL", "NVML", "HIP error", "CUBLAS", "CUDNN")
_GPU_KINDS: frozenset[Kind] = frozenset({"gpu-lost", "gpu-oom"})
_FILE_KINDS: frozenset[Kind] = frozenset({"disk-error", "disk-full", "mount-gone", "data"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The evidence and what was read out of it. `code` and `number` are the exit code and the signal."""

    evidence: Evidence
    code: int | None
    number: int | None
    lines: list[str] = field(default_factory=list)
    crash: Crash | None = None
    message: Message | None = None
    said: Said | None = None
    why: str = ""

    @property
    def raised(self) -> Raised | None:
        """What ended it: of a launcher that only says that a child has failed, what the child said first."""
        if self.crash is None:
            return None
        chain = self.crash.chain
        if chain[0].type != "ChildFailedError" or len(chain) == 1:
            return chain[0]
        found = self.message.pattern if self.message is not None and self.message.id != "torchrun-failed" else None
        return next((each for each in chain[1:] if found is not None and found.search(each.words)), chain[1])

    @property
    def words(self) -> str:
        if self.raised is not None:
            return self.raised.words.split("\n\n", 1)[0]
        return self.said.message if self.said is not None else ""

    def failure(
        self, kind: Kind, code: str, why: str, source: str, *, phase: Phase | None = None, **data: object
    ) -> Failure:
        said = self.said if self.said is not None and self.said.code == "RUN022" and self.crash is None else None
        return make(self.evidence, kind, code, why, source, said=said, raised=self.raised, phase=phase, data=data)

    def gpu_lost(self, *, code: str = "RUN013") -> Failure | None:
        """Where the driver or a probe says that the GPU is gone, or has reported a fault of the program."""
        lost = xid.worst(self.evidence.kernel, "gpu")
        if lost is not None:
            why = f"the GPU failed: Xid {lost.number}, {lost.name}; {lost.todo}"
            return self.failure("gpu-lost", "RUN013", why, f"Xid {lost.number}", xid=lost.number, todo=lost.todo)
        if self.evidence.gpu_answers is False:
            why = f"the GPU does not answer any more{f': {self.words or self.why}' if self.words or self.why else ''}"
            return self.failure("gpu-lost", code, why, "probe of the GPU")
        return None


def weigh(seen: Seen) -> Failure:
    """What an exit that was not clean and not asked for was."""
    number = seen.number
    if number is None and seen.crash is not None and seen.crash.chain[0].type == "ChildFailedError":
        # torchrun has ended itself with 1, since a child ended: of a signal, where that left no traceback.
        root = signs.root_exit(seen.lines)
        said = seen.message is None or seen.message.id in _RANK_GONE
        if root is not None and root < 0 and said and (root != -signal.SIGABRT or not _watched(seen)):
            number, seen = -root, replace(seen, number=-root, message=None)
    died = _DIED.search(seen.words) if number is None and seen.message is None else None
    if died is not None:
        number, seen = int(died[1]), replace(seen, number=int(died[1]))
    return (
        _memory(seen, number)
        or _gpu(seen, number)
        or _files(seen, number)
        or _signal(seen, number)
        or _message(seen)
        or _rest(seen)
    )


def _watched(seen: Seen) -> bool:
    """Whether NCCL's watchdog has aborted the rank that torchrun names."""
    return seen.message is not None and seen.message.id in ("nccl-watchdog", "nccl-remote")


def _memory(seen: Seen, number: int | None) -> Failure | None:
    why = signs.killed_for_memory(seen.evidence)
    worker = seen.message is not None and seen.message.id in _WORKER_GONE
    if why is not None:
        peer = seen.message is None and seen.raised is not None
        peer = peer and (seen.raised.type in _PEER_GONE or bool(_WORKER_EXITED.match(seen.words)))  # type: ignore[union-attr]
        if number in _OF_MEMORY or worker or peer:
            return seen.failure("ram-oom", "RUN011", f"out of system memory: {why}{_peak(seen.evidence)}", "kernel")
    if worker and seen.evidence.oom_kills == 0:
        return seen.failure(
            "killed",
            "RUN012",
            f"one of its processes was killed, and not by the kernel for memory: {seen.words}",
            "log",
        )
    return None


def _peak(evidence: Evidence) -> str:
    peak, limit = evidence.peak_rss_bytes, evidence.memory_limit_bytes
    if peak is None:
        return ""
    of = f" of {signs.size(limit)}" if limit is not None else ""
    together = evidence.group_peak_bytes
    all_of_it = f" ({signs.size(together)} with all its processes and their files)" if together is not None else ""
    return f", at {signs.size(peak)}{of} resident{all_of_it}"


def _gpu(seen: Seen, number: int | None) -> Failure | None:
    """A GPU that failed explains CUDA errors, native crashes, and ends without a word; no KeyError."""
    of_gpu = (seen.message is not None and seen.message.kind in _GPU_KINDS) or any(
        each in seen.words for each in _TOUCHES_GPU
    )
    silent = seen.crash is None and seen.message is None and number is None
    oom = seen.message is not None and seen.message.kind == "gpu-oom"
    if oom or not (of_gpu or number in _FATAL or silent):
        return None
    lost = seen.gpu_lost()
    if lost is not None:
        return lost
    own = xid.worst(seen.evidence.kernel, "application")
    if own is not None and (of_gpu or number in _FATAL):
        why = f"the GPU reports a fault of the program (Xid {own.number}, {own.name}): {seen.words}; {own.todo}"
        return seen.failure("code", "RUN013", why, f"Xid {own.number}", xid=own.number)
    return None


def _files(seen: Seen, number: int | None) -> Failure | None:
    """The disk and the mounts. Whether a disk is full is what the file system says, whatever the errno."""
    full = signs.full_disk(seen.evidence)
    kind = seen.message.kind if seen.message is not None else None
    of_files = kind in _FILE_KINDS or (
        seen.message is None and seen.raised is not None and seen.raised.type in _OF_FILES
    )
    bus = number == signal.SIGBUS
    silent = seen.crash is None and seen.message is None and number is None
    if seen.evidence.mount_gone and (of_files or bus or silent or kind == "config"):
        return seen.failure("mount-gone", "SYS012", f"its mount is gone{_colon(seen.words)}", "mount")
    wrote = kind in ("disk-full", "disk-error")
    free = seen.evidence.disk_free_bytes
    very_full = full is not None and (seen.evidence.inodes_free == 0 or (free or 0) < signs.FULL_BELOW_BYTES)
    if full is not None and (wrote or (very_full and (bus or silent))):
        return seen.failure("disk-full", "RUN025", f"the disk is full ({full}){_colon(seen.words)}", "statvfs")
    if kind == "disk-full" and free is not None:
        why = (
            f"no room, though the output folder's file system has {signs.size(free)} free: another file system "
            f"(temporary files, a cache), or a quota{_colon(seen.words)}"
        )
        return seen.failure("disk-full", "RUN025", why, "log", elsewhere=True)
    of_kernel_log = of_kernel(seen.evidence.kernel) if of_files or bus else None
    if of_kernel_log is not None and of_kernel_log.kind in ("disk-error", "mount-gone") and kind != "data":
        why = f"the kernel reports errors of a disk or mount{_colon(seen.words)}"
        return seen.failure(of_kernel_log.kind, of_kernel_log.code, why, "kernel")
    return None


def _colon(words: str) -> str:
    return f": {words}" if words else ""


def _signal(seen: Seen, number: int | None) -> Failure | None:
    if number is None:
        return None
    if seen.message is not None and number not in (signal.SIGKILL, signal.SIGPIPE) and seen.message.where == "line":
        return None  # what a library said as it gave up
    if seen.message is not None and seen.message.id in _OF_SCHEDULER:
        counted_none = seen.message.kind == "ram-oom" and seen.evidence.oom_kills == 0
        if not counted_none:
            return None
    if number == signal.SIGABRT and seen.message is not None:
        return None
    kind, code, why = signs.BY_SIGNAL.get(number, ("unknown", "RUN012", "for no reason that is known here"))
    name = signs.signal_name(number)
    if number == signal.SIGBUS and any("insufficient shared memory" in line for line in last_lines(seen.lines)):
        return seen.failure("ram-oom", "RUN011", "shared memory ran out (SIGBUS in a worker)", name, signal=name)
    if number == signal.SIGTERM and seen.evidence.machine_going_down:
        why = "the machine is going down"
    extra = f"{_peak(seen.evidence)}; nothing says that it was for memory" if number == signal.SIGKILL else ""
    return seen.failure(kind, code, f"ended by {name}: {why}{extra}", name, signal=name)


def _message(seen: Seen) -> Failure | None:
    found = seen.message
    if found is None:
        return None
    line = next((each for each in last_lines(seen.lines) if found.pattern.search(each)), "")
    words = seen.words or line
    source = f"{found.where} {found.id}"
    return seen.failure(found.kind, found.code, words, source, phase=found.phase, message=found.id)


def _rest(seen: Seen) -> Failure:
    if seen.raised is not None or (seen.said is not None and seen.said.code == "RUN022"):
        if any(each in seen.words for each in ("CUDA error", "HIP error")):
            return seen.failure("gpu-lost", "RUN013", seen.words, "exception")
        place = places.of_place(seen.raised) if seen.raised is not None else None
        if place is not None:
            return seen.failure(place.kind, place.code, seen.words, f"raised by {place.name}")
        frame = seen.raised.frame if seen.raised is not None else None
        at = f" at {frame.short}" if frame is not None else ""
        return seen.failure("code", "RUN022", f"{seen.words}{at}", "exception")
    if seen.said is not None:
        return make(seen.evidence, seen.said.kind, seen.said.code, seen.said.message, "finding", said=seen.said)
    why = f"it exited with code {seen.code} and said nothing that is known here"
    return seen.failure("unknown", "RUN022", why, "exit code", exit_code=seen.code)
