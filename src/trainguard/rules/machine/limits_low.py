"""SYS011: limits of open files, processes and file sizes that a run meets."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import LimitsFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import counted, size

# Linux starts processes with 1,024 (include/uapi/linux/fs.h, INR_OPEN_CUR), which every training library lives with;
# torch keeps a descriptor for each tensor that a worker hands over (torch.multiprocessing, "file_descriptor").
_OPEN_FILES = 1024
# torch, OpenMP and the tokenizers start a thread for each core, and each worker of a DataLoader does it again.
_THREADS_PER_CORE = 4
_MIN_THREADS = 64

_FILES = (
    "a process may hold {limit} at once, and workers that hand over batches need one for each tensor (RuntimeError: "
    "Too many open files); raise it: ulimit -n {better}"
)
_PROCESSES = (
    "{whose} allows {limit} in all{free}, and the libraries start several threads for each of the {cores}; raise "
    "it{how}"
)
_SIZE = (
    "a file may be {limit} at most (ulimit -f), and the next checkpoint takes {needed}: the process is killed when it "
    "passes the limit; raise it: ulimit -f unlimited"
)


class LimitsLow(Rule):
    """Limits of open files, processes or file sizes that are too low for training.

    *What it does*

    Looks at this process's limits (`ulimit`) and at `pids.max` of its control groups: fewer than 1,024 open files,
    room for fewer than four threads a core, a largest file that is smaller than the next checkpoint.

    *Why it costs you*

    "Too many open files" and "Resource temporarily unavailable" come in the middle of an epoch, out of a worker.

    *Example*

    ```sh
    ulimit -n 256
    ```

    *Use instead*

    ```sh
    ulimit -n 65536
    ```
    """

    code = "SYS011"
    name = "limits-low"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(machine={"limits": LimitsFacts(open_files=1024, processes=4096, processes_bind=True), "cores": 8}),
        Example(
            machine={"limits": LimitsFacts(group_processes=100, group_free=90), "cores": 4},
            why="A small container with few cores.",
        ),
        Example(
            machine={"limits": LimitsFacts(open_files=20000, processes=10, processes_bind=False)},
            why="The limit of processes does not bind root.",
        ),
    )
    INVALID = (
        Example(
            machine={"limits": LimitsFacts(open_files=256, open_files_hard=4096)},
            findings=((None, _FILES.format(limit="256 files", better=4096)),),
        ),
        Example(
            machine={"limits": LimitsFacts(group_processes=100, group_free=20), "cores": 16},
            findings=(
                (
                    None,
                    _PROCESSES.format(
                        whose="the control group",
                        limit="100 processes and threads",
                        free=" and has room for 20",
                        cores="16 cores",
                        how=" (docker run --pids-limit)",
                    ),
                ),
            ),
        ),
        Example(
            machine={"limits": LimitsFacts(file_bytes=2 * 10**9), "needed_bytes": 16 * 10**9},
            findings=((None, _SIZE.format(limit="2.0 GB", needed="16.0 GB")),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        if machine is None:
            return
        limits, needed = machine.limits, machine.needed_bytes
        if limits.open_files is not None and limits.open_files < _OPEN_FILES:
            better = min(limits.open_files_hard or 65536, 65536)
            if better <= limits.open_files:
                better = 65536  # beyond the hard limit, which an administrator has to raise first
            message = _FILES.format(limit=counted(limits.open_files, "file"), better=better)
            yield self.finding(message, fix=f"ulimit -n {better}", evidence={"open_files": limits.open_files})
        cores = machine.cores or 1
        wanted = max(_MIN_THREADS, _THREADS_PER_CORE * cores)
        many = counted(cores, "core")
        if limits.group_free is not None and limits.group_processes is not None and limits.group_free < wanted:
            message = _PROCESSES.format(
                whose="the control group",
                limit=f"{limits.group_processes:,} processes and threads",
                free=f" and has room for {limits.group_free:,}",
                cores=many,
                how=" (docker run --pids-limit)",
            )
            yield self.finding(message, evidence={"pids_max": limits.group_processes, "free": limits.group_free})
        elif limits.processes is not None and limits.processes_bind and limits.processes < wanted:
            message = _PROCESSES.format(
                whose="this user's limit",
                limit=f"{limits.processes:,} processes and threads",
                free="",
                cores=many,
                how=" (ulimit -u)",
            )
            yield self.finding(message, evidence={"processes": limits.processes})
        if limits.file_bytes is not None and needed is not None and limits.file_bytes < needed:
            message = _SIZE.format(limit=size(limits.file_bytes), needed=size(needed))
            yield self.finding(message, evidence={"file_bytes": limits.file_bytes, "needed_bytes": needed})
