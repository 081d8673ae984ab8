"""What is known of an attempt that ended, what it was, and what is to be done."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

Kind: TypeAlias = Literal[
    "stopped",  # asked to stop by trainguard itself (drain, pause, lease lost): no failure
    "preempted",  # asked to stop from outside: SIGTERM of a scheduler, a spot machine, a shutdown
    "killed",  # SIGKILL of a person or another program
    "ram-oom",  # the kernel's kill for memory, or MemoryError
    "gpu-oom",
    "gpu-lost",  # Xid, fallen off the bus, sticky CUDA errors
    "disk-full",
    "disk-error",  # EIO, read-only, stale handle
    "mount-gone",
    "not-finite",  # NaN or infinity
    "divergence",
    "hang",
    "data",  # the training file's own fault
    "config",  # the configuration's, the model's or the machine's fault: no file would train
    "code",  # an exception of code
    "network",  # hub and network errors
    "ended-early",  # a clean exit with fewer steps than planned
    "internal",  # trainguard's own fault
    "unknown",
]
Phase: TypeAlias = Literal["load", "tokenize", "train", "evaluate", "save", "idle", "unknown"]
Act: TypeAlias = Literal["retry", "rollback", "pause", "hold", "quarantine", "fail", "stop"]


class Evidence(Struct, frozen=True, kw_only=True):
    """All that is known of an attempt that ended. None where it could not be told.

    `exit_code` and `signal` as waitpid gives them (one of both). `asked_by` says who ended it, where it was trainguard:
    "drain", "pause", "hang", "lease", "cancel". `tail` are the last lines of its output, `findings` those that the run
    itself wrote (`Finding.to_dict()`), oldest first. `oom_kills` is how many times the kernel killed in the attempt's
    control group for memory while it ran, `group_peak_bytes` the most that this group took. `kernel` are lines of the
    kernel's log of that time. Steps are global steps. `disk_free_bytes` is that of the output folder, `needed_bytes`
    what its next checkpoint takes. `planned_steps` and `own_steps` count this file's steps; `result_saved` says that
    its `final` stands. `not_started` is the errno for which its process could not even be started.
    """

    exit_code: int | None = None
    signal: int | None = None
    asked_by: str | None = None
    tail: tuple[str, ...] = ()
    findings: tuple[dict[str, Any], ...] = ()
    traceback: str | None = None
    phase: Phase = "unknown"
    step: int | None = None
    seconds: float | None = None
    silent_seconds: float | None = None
    oom_kills: int | None = None
    peak_rss_bytes: int | None = None
    group_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    kernel: tuple[str, ...] = ()
    disk_free_bytes: int | None = None
    needed_bytes: int | None = None
    inodes_free: int | None = None
    mount_gone: bool = False
    gpu_answers: bool | None = None
    planned_steps: int | None = None
    own_steps: int | None = None
    machine_going_down: bool = False
    result_saved: bool | None = None
    not_started: int | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """What an attempt ended with. `fingerprint` is equal for the same fault at the same place; `code` is a RUN, DATA,
    CFG, SYS or CKPT code; `why` one sentence with the numbers; `source` what decided it."""

    kind: Kind
    code: str
    why: str
    fingerprint: str
    phase: Phase = "unknown"
    step: int | None = None
    transient: bool = False
    source: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt that ended. Steps are global steps; `verified_step` is the newest verified checkpoint's at its
    end."""

    number: int
    started: float
    ended: float
    first_step: int | None = None
    last_step: int | None = None
    verified_step: int | None = None
    failure: Failure | None = None
    act: Act | None = None
    changes: dict[str, Any] = field(default_factory=dict)


class History(Struct, frozen=True, kw_only=True):
    """The attempts at one file, oldest first, and what was changed for it so far.

    `changes` are configuration fields with another value than the user's (`batch_size`, `gradient_accumulation`);
    `skipped` the windows of this file's own steps that were left out, each [first, last]. Of a file that a person has
    released, `released_after` is the number of the last attempt before that, and `skipped_before` how many windows
    had been left out by then: budgets count what came after it.
    """

    attempts: tuple[Attempt, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[tuple[int, int], ...] = ()
    released_after: int | None = None
    skipped_before: int = 0


class Limits(Struct, frozen=True, kw_only=True):
    """What the user has set: `guard.retries`, `guard.retry_delay_seconds`, and the run's own sizes.

    `step_before` is the global step at which this file begins, `eval_batch_size` None where it is `batch_size`.
    """

    retries: int = 3
    retry_delay_seconds: float = 10.0
    rollbacks: int = 3
    batch_size: int = 1
    gradient_accumulation: int = 1
    eval_batch_size: int | None = None
    step_before: int | None = None
    save_steps: int | None = None
    can_resume: bool = True
    can_change_batch: bool = True
    can_skip_data: bool = True


class Decision(Struct, frozen=True, kw_only=True):
    """What to do next with a file.

    `retry`: again after `delay_seconds`, from the newest verified checkpoint, with `changes`. `rollback`: the same, but
    from the newest verified checkpoint before global step `before_step`, leaving out `skip` (this file's own steps,
    first and last). `pause`: not this file's fault; nothing is tried until `wait_for` is met, then as retry. `hold`: a
    person must look. `quarantine`, `fail`: put aside with the reason. `stop`: nothing failed, the file goes on waiting.

    A pause with `deadline_seconds` becomes a hold when what it waits for is not there by then; without one, and without
    `wait_for`, it lasts until a person resumes. `changes` are whole values of configuration fields by dotted name.
    `counts` False: the attempt does not use up the retry budget. `advice` is what a person can change.
    """

    act: Act
    why: str
    policy: str
    delay_seconds: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)
    before_step: int | None = None
    skip: tuple[int, int] | None = None
    wait_for: Literal["disk", "mount", "gpu", "network", "start"] | None = None
    deadline_seconds: float | None = None
    counts: bool = True
    advice: str | None = None
