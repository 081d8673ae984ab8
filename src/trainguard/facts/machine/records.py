"""What a machine is: its disk, memory, GPUs, limits and clock. Sizes in bytes, times in seconds.

Every field may be None, which means that it cannot be told here (another system, no right to read it). 0 and ()
are answers: "nothing free", "no GPU".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

NvmlStatus: TypeAlias = Literal[
    "ok",
    "no-library",  # libnvidia-ml is not installed: there is no NVIDIA driver, or a container without it
    "no-driver",  # the library is there, the kernel's driver is not
    "version-mismatch",  # the library is of another release than the kernel's driver, until a reboot
    "no-binding",  # the Python package nvidia-ml-py is not installed
    "error",
    "timeout",
]
WriteStep: TypeAlias = Literal["create", "write", "sync", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteProbe:
    """What came of writing a small file for real: created, written, synced, removed.

    `error` is the name of the errno ("ENOSPC"), `message` the system's words for it, `step` what it failed at.
    `left_behind` is the probe's file where it could not be removed again.
    """

    written: bool
    step: WriteStep | None = None
    error: str | None = None
    message: str = ""
    left_behind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFacts:
    """The lock file of trainguard in a folder: whether a living process holds it, and which."""

    path: str
    held: bool
    pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """A folder that a run will write into, and the file system that it lies on.

    `path` is the folder as it was given and `probed` the folder that was looked at: the nearest one that exists
    where `path` does not yet. `answered` is False where the file system said nothing for `deadline_seconds`;
    then only what the kernel's table of mounts says is known. `network` says whether the file system is another
    machine's. `skew_seconds` is the time stamp of a file just written there, less this machine's clock.
    `free_bytes` and `free_inodes` are what an ordinary user may take. `problem` says why `path` cannot be a folder to
    write into, `stuck_at` what did not end within the deadline though the file system had answered. `owner` and
    `user` are the ids of the folder's owner and of this process. `checkpoint_bytes` is the size of the largest
    checkpoint that already lies in the folder.
    """

    path: str
    probed: str | None = None
    answered: bool | None = None
    deadline_seconds: float | None = None
    problem: str | None = None
    filesystem: str | None = None
    source: str | None = None
    mount_point: str | None = None
    network: bool | None = None
    read_only: bool | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    total_inodes: int | None = None
    free_inodes: int | None = None
    mode: int | None = None
    owner: int | None = None
    user: int | None = None
    stuck_at: Literal["write"] | None = None
    write: WriteProbe | None = None
    skew_seconds: float | None = None
    checkpoint_bytes: int | None = None
    lock: LockFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """Main memory and swap.

    `limit_bytes` is the lowest limit among the control groups that this process is in, `limit_group` that group
    and `limit_free_bytes` what it still allows. Swap rates are bytes a second over `sampled_seconds`; they are
    None where there is no swap to look at. `stalled_share` is the kernel's `full avg10`: the share of the last
    ten seconds in which every task waited for memory, 0 to 1.
    """

    total_bytes: int | None = None
    available_bytes: int | None = None
    limit_bytes: int | None = None
    limit_free_bytes: int | None = None
    limit_group: str | None = None
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    swap_in_bytes_per_second: float | None = None
    swap_out_bytes_per_second: float | None = None
    sampled_seconds: float | None = None
    stalled_share: float | None = None
    shared_memory_bytes: int | None = None

    @property
    def usable_bytes(self) -> int | None:
        """What a run can still take: what is available, or what the control group allows, whichever is less."""
        known = [size for size in (self.available_bytes, self.limit_free_bytes) if size is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that computes on a GPU. Inside a container neither its name nor its memory may be told."""

    pid: int
    used_bytes: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it. `index` counts as nvidia-smi does, in order of the PCI bus.

    `capability` is the compute capability (9, 0). `processes` are those of others that compute, None where the
    driver does not say. `uncorrected_errors` counts memory errors since the last boot that ECC could not mend;
    `xids` are the numbers of the driver's error reports in the kernel's log.
    """

    index: int
    name: str | None = None
    uuid: str | None = None
    bus_id: str | None = None
    capability: tuple[int, int] | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    used_bytes: int | None = None
    processes: tuple[GpuProcess, ...] | None = None
    uncorrected_errors: int | None = None
    xids: tuple[int, ...] = ()
    mig: bool | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaFacts:
    """The NVIDIA driver. `driver` is its release ("570.86.15"), `cuda` the newest CUDA that it serves (12, 8)."""

    status: NvmlStatus
    driver: str | None = None
    cuda: tuple[int, int] | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """The installed torch, read from its files; never imported here.

    `cuda` is the CUDA that it was built for, None for a build without. `sees` is how many CUDA devices it counted
    in a process of its own, None where it was not asked; `problem` says what went wrong there.
    """

    version: str
    cuda: tuple[int, int] | None = None
    hip: bool = False
    sees: int | None = None
    problem: str | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsFacts:
    """Limits of this process; None is "cannot tell", and `unlimited` names the ones that do not exist.

    `processes` is the user's limit of processes and threads, which does not bind a privileged user
    (`processes_bind` False). `group_processes` is the lowest `pids.max` among the control groups, `group_free`
    what it still allows.
    """

    open_files: int | None = None
    open_files_hard: int | None = None
    processes: int | None = None
    processes_bind: bool | None = None
    file_bytes: int | None = None
    group_processes: int | None = None
    group_free: int | None = None
    unlimited: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """The wall clock: seconds since 1970, and how far it moved against the monotonic clock while being looked at."""

    wall_seconds: float
    drift_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """One machine, as one process on it sees it.

    `needed_bytes` is the size of the next checkpoint: what the caller says, else that of the largest one in the
    folder. `gpus` are NVIDIA's: None where
    it cannot be told, () where there is none. `accelerators` are devices of other makers. `visible_devices` and
    `device_order` are CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER as they are set, None where they are not.
    `launched` says that a launcher (torchrun, accelerate, Slurm) started this process and hands out the GPUs.
    """

    system: str | None = None
    cores: int | None = None
    needed_bytes: int | None = None
    folder: FolderFacts | None = None
    memory: MemoryFacts = field(default_factory=MemoryFacts)
    gpus: tuple[Gpu, ...] | None = None
    nvidia: NvidiaFacts | None = None
    accelerators: tuple[str, ...] | None = None
    visible_devices: str | None = None
    device_order: str | None = None
    launched: bool = False
    torch: TorchFacts | None = None
    limits: LimitsFacts = field(default_factory=LimitsFacts)
    clock: ClockFacts | None = None
