# ruff: noqa: E501 - messages stand as they are printed
"""Attempts as they end in practice, each with what it was. What a person who reads the evidence would say.

`SET_ASIDE` are those by which nothing was tuned: every third by the hash of its name.
"""

from __future__ import annotations

import hashlib
from typing import Any

from trainguard.recovery.records import Evidence

GIB = 2**30
HOME = "/home/u/project"
SITE = "/opt/venv/lib/python3.11/site-packages"


def trace(last: str, *frames: tuple[str, int, str], prefix: str = "") -> tuple[str, ...]:
    """A traceback that ends in `last` (which may have several lines)."""
    places = frames or ((f"{HOME}/train.py", 41, "main"), (f"{SITE}/transformers/trainer.py", 1480, "train"))
    lines = ["Traceback (most recent call last):"]
    for path, line, name in places:
        lines += [f'  File "{path}", line {line}, in {name}', "    something(x)"]
    return tuple(f"{prefix}{line}" for line in [*lines, *last.split("\n")])


def finding(
    code: str, message: str = "said", /, *, severity: str = "error", step: int | None = None, **evidence: Any
) -> Any:
    plain: dict[str, Any] = {"code": code, "severity": severity, "message": message}
    if step is not None:
        plain["step"] = step
    if evidence:
        plain["evidence"] = evidence
    return plain


STEPS = (
    "{'loss': '2.1', 'grad_norm': '1.2', 'learning_rate': '1e-05', 'epoch': '0.1'}",
    " 10%|█         | 10/100 [00:10<01:30,  1.00s/it]",
)
OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB "
    "of which 1.12 GiB is free. Including non-PyTorch memory, this process has 22.51 GiB memory in use. Of the allocated "
    "memory 21.03 GiB is allocated by PyTorch, and 1.02 GiB is reserved by PyTorch but unallocated. If reserved but "
    "unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
ROW_OOM = (
    '{"messages": [{"role": "user", "content": "What does torch.OutOfMemoryError: CUDA out of memory. Tried to allocate '
    '2.00 GiB mean?"}, {"role": "assistant", "content": "Your GPU is full."}]}'
)
WORKER = (f"{SITE}/torch/utils/data/_utils/worker.py", 349, "_worker_loop")
KERNEL_OOM = (
    "[86520.112] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/a,task_memcg=/a,"
    "task=python,pid=4711,uid=0",
    "[86520.113] Memory cgroup out of memory: Killed process 4711 (python) total-vm:58720256kB, anon-rss:33554432kB",
)
KERNEL_CHROME = ("[86520.113] Out of memory: Killed process 999 (chrome) total-vm:8720256kB, anon-rss:3554432kB",)
DONE: dict[str, Any] = {"planned_steps": 100, "own_steps": 100}
PART: dict[str, Any] = {"planned_steps": 100, "own_steps": 10, "step": 10, "phase": "train"}
CAUSE = ("", "The above exception was the direct cause of the following exception:", "")
CONTEXT = ("", "During handling of the above exception, another exception occurred:", "")

Row = tuple[str, str | None, dict[str, Any]]
ROWS: tuple[Row, ...] = (
    # -- success
    ("clean", None, {"exit_code": 0}),
    ("clean-full", None, {"exit_code": 0, **DONE}),
    ("clean-oom-row", None, {"exit_code": 0, **DONE, "tail": (ROW_OOM,)}),
    (
        "clean-oom-caught",
        None,
        {"exit_code": 0, **DONE, "tail": ("WARNING CUDA out of memory, retry with half the batch",)},
    ),
    ("clean-trace-survived", None, {"exit_code": 0, **DONE, "tail": (*trace(OOM), *STEPS)}),
    ("clean-oom-kill-of-helper", None, {"exit_code": 0, **DONE, "oom_kills": 1}),
    ("clean-disk-full", None, {"exit_code": 0, **DONE, "disk_free_bytes": 0}),
    ("clean-warned", None, {"exit_code": 0, **DONE, "findings": (finding("RUN005", severity="warn"),)}),
    ("clean-drained-late", None, {"exit_code": 0, **DONE, "asked_by": "drain"}),
    ("early-stopping", None, {"exit_code": 0, **PART, "tail": ("{'train_runtime': '12.3', 'train_loss': '1.2'}",)}),
    ("all-done-errors-stand", None, {"exit_code": 1, **DONE, "result_saved": True, "findings": (finding("RUN008"),)}),
    ("clean-lib-traceback", None, {"exit_code": 0, "tail": trace("KeyError: 'x'")}),
    # -- asked for
    ("drain-75", "stopped", {"exit_code": 75, "asked_by": "drain", **PART}),
    ("drain-term", "stopped", {"signal": 15, "asked_by": "drain", **PART}),
    ("drain-killed", "stopped", {"signal": 9, "asked_by": "drain", **PART}),
    ("pause-0", "stopped", {"exit_code": 0, "asked_by": "pause", **PART}),
    ("lease-lost", "stopped", {"signal": 9, "asked_by": "lease", **PART}),
    ("cancelled", "stopped", {"exit_code": 1, "asked_by": "cancel", **PART}),
    ("drain-but-crashed", "code", {"exit_code": 1, "asked_by": "drain", "tail": trace("KeyError: 'x'"), **PART}),
    ("hang", "hang", {"signal": 9, "asked_by": "hang", "silent_seconds": 900.0, **PART}),
    ("hang-on-mount", "mount-gone", {"signal": 9, "asked_by": "hang", "mount_gone": True, **PART}),
    ("hang-of-gpu", "gpu-lost", {"signal": 9, "asked_by": "hang", "gpu_answers": False, **PART}),
    (
        "hang-xid",
        "gpu-lost",
        {"signal": 9, "asked_by": "hang", "kernel": ("NVRM: Xid (PCI:0000:65:00): 119, pid=1, name=python, Timeout",)},
    ),
    ("term-outside", "preempted", {"signal": 15, **PART}),
    ("term-shell", "preempted", {"exit_code": 143, **PART}),
    ("term-handled", "preempted", {"exit_code": 75, **PART}),
    ("shutdown", "preempted", {"signal": 9, "machine_going_down": True, **PART}),
    ("ctrl-c", "killed", {"exit_code": 130, "tail": trace("KeyboardInterrupt"), **PART}),
    ("ctrl-c-1", "killed", {"exit_code": 1, "tail": trace("KeyboardInterrupt"), **PART}),
    ("hangup", "killed", {"signal": 1, **PART}),
    (
        "fenced",
        "stopped",
        {"exit_code": 75, "tail": ("a newer daemon has this file (fence 7, ours is 6): stops",), **PART},
    ),
    (
        "slurm-preempted",
        "preempted",
        {
            "exit_code": 1,
            "tail": ("slurmstepd: error: *** JOB 12 ON n7 CANCELLED AT 2026-11-22T08:00:00 DUE TO PREEMPTION ***",),
        },
    ),
    (
        "torchrun-term",
        "preempted",
        {
            "exit_code": 1,
            "tail": trace("torch.distributed.elastic.multiprocessing.api.SignalException: Process 4711 got signal: 15"),
        },
    ),
    # -- kills and memory
    ("kill", "killed", {"signal": 9, **PART}),
    (
        "kill-137",
        "killed",
        {"exit_code": 137, "tail": ("bash: line 1:  4711 Killed                  python train.py",), **PART},
    ),
    ("kill-high-rss", "killed", {"signal": 9, "peak_rss_bytes": 60 * GIB, "memory_limit_bytes": 64 * GIB, **PART}),
    ("kill-oom-zero", "killed", {"signal": 9, "oom_kills": 0, **PART}),
    ("kill-other-oom", "killed", {"signal": 9, "kernel": KERNEL_CHROME, **PART}),
    ("kill-zero-and-log", "killed", {"signal": 9, "oom_kills": 0, "kernel": KERNEL_OOM, **PART}),
    ("kill-row-oom", "killed", {"signal": 9, "tail": (ROW_OOM,), **PART}),
    ("kill-after-survived", "killed", {"signal": 9, "tail": (*trace(OOM), *STEPS), **PART}),
    ("power-loss", "killed", {**PART}),
    ("power-loss-with-finding", "killed", {"findings": (finding("RUN025"),), **PART}),
    ("oom-cgroup", "ram-oom", {"signal": 9, "oom_kills": 1, **PART}),
    ("oom-kernel-log", "ram-oom", {"signal": 9, "kernel": KERNEL_OOM, **PART}),
    ("oom-kernel-137", "ram-oom", {"exit_code": 137, "kernel": KERNEL_OOM, **PART}),
    (
        "oom-main-thread",
        "ram-oom",
        {"signal": 9, "kernel": ("Out of memory: Killed process 7 (pt_main_thread) total-vm:1kB",), **PART},
    ),
    (
        "oom-worker",
        "ram-oom",
        {
            "exit_code": 1,
            "oom_kills": 1,
            "tail": trace("RuntimeError: DataLoader worker (pid 9) is killed by signal: Killed. "),
            **PART,
        },
    ),
    (
        "worker-killed-by-person",
        "killed",
        {
            "exit_code": 1,
            "oom_kills": 0,
            "tail": trace("RuntimeError: DataLoader worker (pid 9) is killed by signal: Killed. "),
            **PART,
        },
    ),
    ("memory-error", "ram-oom", {"exit_code": 1, "tail": trace("MemoryError"), **PART}),
    (
        "numpy-memory",
        "ram-oom",
        {
            "exit_code": 1,
            "tail": trace("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB for an array"),
            **PART,
        },
    ),
    (
        "cpu-allocator",
        "ram-oom",
        {
            "exit_code": 1,
            "tail": trace(
                "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)"
            ),
        },
    ),
    (
        "map-died",
        "ram-oom",
        {
            "exit_code": 1,
            "phase": "tokenize",
            "tail": trace(
                "RuntimeError: One of the subprocesses has abruptly died during map operation.To debug the error, disable multiprocessing."
            ),
        },
    ),
    ("fork-enomem", "ram-oom", {"exit_code": 1, "tail": trace("OSError: [Errno 12] Cannot allocate memory")}),
    (
        "shm",
        "ram-oom",
        {
            "exit_code": 1,
            "tail": trace(
                "RuntimeError: DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit."
            ),
        },
    ),
    (
        "shm-sigbus",
        "ram-oom",
        {
            "signal": 7,
            "tail": (
                "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
            ),
        },
    ),
    (
        "bad-alloc",
        "ram-oom",
        {
            "signal": 6,
            "tail": ("terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc"),
        },
    ),
    ("run011", "ram-oom", {"exit_code": 1, "findings": (finding("RUN011", phase="load"),)}),
    ("oom-kills-but-keyerror", "code", {"exit_code": 1, "oom_kills": 1, "tail": trace("KeyError: 'text'"), **PART}),
    (
        "slurm-oom",
        "ram-oom",
        {
            "exit_code": 1,
            "tail": (
                "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch. Some of the step tasks have been OOM Killed.",
            ),
        },
    ),
    ("manager-gone", "ram-oom", {"exit_code": 1, "oom_kills": 2, "tail": trace("EOFError"), **PART}),
    # -- GPU memory
    ("gpu-oom-finding", "gpu-oom", {"exit_code": 1, "findings": (finding("RUN010", step=10, phase="train"),), **PART}),
    ("gpu-oom-log", "gpu-oom", {"exit_code": 1, "tail": (*STEPS, *trace(OOM)), **PART}),
    ("gpu-oom-rank", "gpu-oom", {"exit_code": 1, "tail": trace(OOM, prefix="[rank1]: "), **PART}),
    (
        "gpu-oom-torchrun",
        "gpu-oom",
        {
            "exit_code": 1,
            "tail": (
                *trace(OOM, prefix="[rank0]: "),
                "E1122 08:00:00.1 4711 site-packages/torch/distributed/elastic/multiprocessing/api.py:882] failed (exitcode: 1)",
                *trace(
                    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n====\ntrain.py FAILED\n----\nFailures:\n  <NO_OTHER_FAILURES>\n----\nRoot Cause (first observed failure):\n[0]:\n  exitcode  : 1 (pid: 4712)\n===="
                ),
            ),
        },
    ),
    (
        "gpu-oom-old",
        "gpu-oom",
        {
            "exit_code": 1,
            "tail": trace(
                "RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.78 GiB total capacity; 14.56 GiB already allocated; 11.75 MiB free)"
            ),
        },
    ),
    (
        "gpu-oom-cublas",
        "gpu-oom",
        {
            "exit_code": 1,
            "tail": trace("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        },
    ),
    (
        "gpu-oom-mps",
        "gpu-oom",
        {"exit_code": 1, "tail": trace("RuntimeError: MPS backend out of memory (MPS allocated: 17.91 GB)")},
    ),
    (
        "gpu-oom-in-handler",
        "gpu-oom",
        {
            "exit_code": 1,
            "tail": (*trace(OOM), *CONTEXT, *trace("UnboundLocalError: cannot access local variable 'loss'")),
        },
    ),
    (
        "gpu-oom-with-closing-bar",
        "gpu-oom",
        {"exit_code": 1, "tail": (*STEPS, *trace(OOM), " 10%|█         | 10/100 [00:11<01:39,  1.10s/it]"), **PART},
    ),
    ("gpu-oom-full-disk", "gpu-oom", {"exit_code": 1, "disk_free_bytes": 0, "tail": trace(OOM)}),
    (
        "gpu-oom-wandb-after",
        "gpu-oom",
        {
            "exit_code": 1,
            "tail": (
                *trace(OOM),
                "wandb: You can sync this run to the cloud by running:",
                "wandb: wandb sync run-1",
                "wandb: Find logs at: ./wandb/run-1/logs",
            ),
        },
    ),
    (
        "gpu-oom-old-xid",
        "gpu-oom",
        {"exit_code": 1, "tail": trace(OOM), "kernel": ("NVRM: Xid (PCI:0000:65:00): 63, pid=1, Row Remapper",)},
    ),
    # -- GPU
    (
        "run013",
        "gpu-lost",
        {
            "exit_code": 1,
            "findings": (finding("RUN013", "the GPU failed while training: CUDA error: unspecified launch failure"),),
            **PART,
        },
    ),
    (
        "run013-assert",
        "code",
        {
            "exit_code": 1,
            "findings": (finding("RUN013", "the GPU failed: CUDA error: device-side assert triggered"),),
            **PART,
        },
    ),
    # Every CUDA error of torch speaks of device-side assertions in its last line.
    (
        "dsa-hint",
        "gpu-lost",
        {
            "exit_code": 1,
            "findings": (
                finding(
                    "RUN013",
                    "the GPU failed while training: CUDA error: unspecified launch failure. Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
                ),
            ),
            **PART,
        },
    ),
    (
        "device-assert",
        "code",
        {
            "exit_code": 1,
            "tail": (
                "/pytorch/aten/src/ATen/native/cuda/Indexing.cu:1422: indexSelectLargeIndex: block: [1,0,0], thread: [0,0,0] Assertion `srcIndex < srcSelectDimSize` failed.",
                *trace(
                    "RuntimeError: CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some other API call."
                ),
            ),
            **PART,
        },
    ),
    (
        "illegal",
        "gpu-lost",
        {
            "exit_code": 1,
            "tail": trace("torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
            **PART,
        },
    ),
    (
        "xid79",
        "gpu-lost",
        {
            "exit_code": 1,
            "tail": trace("RuntimeError: CUDA error: unknown error"),
            "kernel": ("NVRM: Xid (PCI:0000:65:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",),
        },
    ),
    (
        "xid31",
        "code",
        {
            "exit_code": 1,
            "tail": trace("torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
            "kernel": ("NVRM: Xid (PCI:0000:65:00): 31, pid=4711, name=python, Ch 00000008, intr 00000000. MMU Fault",),
            **PART,
        },
    ),
    (
        "xid48-silent",
        "gpu-lost",
        {
            "signal": 6,
            "kernel": (
                "NVRM: Xid (PCI:0000:65:00): 48, pid=4711, An uncorrectable double bit error (DBE) has been detected",
            ),
        },
    ),
    (
        "xid45-after-kill",
        "killed",
        {"signal": 9, "kernel": ("NVRM: Xid (PCI:0000:65:00): 45, pid=4711, name=python, Ch 00000010",), **PART},
    ),
    (
        "xid-and-keyerror",
        "code",
        {
            "exit_code": 1,
            "tail": trace("KeyError: 'x'"),
            "kernel": ("NVRM: Xid (PCI:0000:65:00): 94, pid=1, Contained",),
            **PART,
        },
    ),
    ("no-gpus", "gpu-lost", {"exit_code": 1, "tail": trace("RuntimeError: No CUDA GPUs are available")}),
    (
        "probe-silent",
        "gpu-lost",
        {"signal": 6, "gpu_answers": False, "tail": ("terminate called without an active exception",)},
    ),
    (
        "ecc",
        "gpu-lost",
        {"exit_code": 1, "tail": trace("RuntimeError: CUDA error: uncorrectable ECC error encountered")},
    ),
    (
        "old-driver",
        "config",
        {
            "exit_code": 1,
            "tail": trace("RuntimeError: The NVIDIA driver on your system is too old (found version 11040)."),
        },
    ),
    (
        "kernel-image",
        "config",
        {
            "exit_code": 1,
            "tail": trace("RuntimeError: CUDA error: no kernel image is available for execution on the device"),
        },
    ),
    (
        "no-cuda-build",
        "config",
        {"exit_code": 1, "tail": trace("AssertionError: Torch not compiled with CUDA enabled")},
    ),
    (
        "nccl-watchdog",
        "hang",
        {
            "signal": 6,
            "tail": (
                "[rank0]:[E1122 08:00:00.1 ProcessGroupNCCL.cpp:632] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=42, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600014 milliseconds before timing out.",
                "terminate called after throwing an instance of 'c10::DistBackendError'",
            ),
            **PART,
        },
    ),
    # -- disk
    (
        "enospc",
        "disk-full",
        {
            "exit_code": 1,
            "disk_free_bytes": 4096,
            "tail": trace("OSError: [Errno 28] No space left on device: 'out/x'"),
            **PART,
        },
    ),
    (
        "enospc-inodes",
        "disk-full",
        {
            "exit_code": 1,
            "disk_free_bytes": 50 * GIB,
            "inodes_free": 0,
            "tail": trace("OSError: [Errno 28] No space left on device"),
            **PART,
        },
    ),
    (
        "writer-full",
        "disk-full",
        {
            "exit_code": 1,
            "disk_free_bytes": 0,
            "tail": trace(
                "RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 4718592 vs 4718484"
            ),
            **PART,
        },
    ),
    (
        "writer-needed",
        "disk-full",
        {
            "exit_code": 1,
            "disk_free_bytes": GIB,
            "needed_bytes": 20 * GIB,
            "phase": "save",
            "tail": trace(
                "RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 4718592 vs 4718484"
            ),
        },
    ),
    (
        "writer-not-full",
        "disk-error",
        {
            "exit_code": 1,
            "disk_free_bytes": 500 * GIB,
            "inodes_free": 10**6,
            "tail": trace(
                "RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 4718592 vs 4718484"
            ),
        },
    ),
    ("run025", "disk-full", {"exit_code": 1, "findings": (finding("RUN025", step=10),), **PART}),
    ("sys001", "disk-full", {"exit_code": 1, "findings": (finding("SYS001"),)}),
    (
        "full-disk-keyerror",
        "code",
        {"exit_code": 1, "disk_free_bytes": 0, "tail": trace("KeyError: 'messages'"), **PART},
    ),
    ("full-disk-silent", "disk-full", {"exit_code": 1, "disk_free_bytes": 0}),
    ("full-sigbus", "disk-full", {"signal": 7, "disk_free_bytes": 0, **PART}),
    (
        "safetensors-full",
        "disk-full",
        {
            "exit_code": 1,
            "disk_free_bytes": 100,
            "tail": trace(
                "safetensors._safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)"
            ),
        },
    ),
    ("eio", "disk-error", {"exit_code": 1, "tail": trace("OSError: [Errno 5] Input/output error: 'out/x'"), **PART}),
    (
        "read-only",
        "disk-error",
        {"exit_code": 1, "tail": trace("OSError: [Errno 30] Read-only file system: 'out/x'"), **PART},
    ),
    (
        "stale",
        "mount-gone",
        {"exit_code": 1, "tail": trace("OSError: [Errno 116] Stale file handle: '/mnt/x'"), **PART},
    ),
    (
        "mount-gone-notfound",
        "mount-gone",
        {
            "exit_code": 1,
            "mount_gone": True,
            "tail": trace("FileNotFoundError: [Errno 2] No such file or directory: '/mnt/x'"),
        },
    ),
    ("mount-gone-data020", "mount-gone", {"exit_code": 1, "mount_gone": True, "findings": (finding("DATA020"),)}),
    ("mount-gone-keyerror", "code", {"exit_code": 1, "mount_gone": True, "tail": trace("KeyError: 'x'"), **PART}),
    (
        "kernel-io",
        "disk-error",
        {
            "exit_code": 1,
            "kernel": ("I/O error, dev nvme0n1, sector 123456 op 0x1:(WRITE) flags 0x800",),
            "tail": trace("OSError: [Errno 5] Input/output error"),
        },
    ),
    ("denied", "config", {"exit_code": 1, "tail": trace("PermissionError: [Errno 13] Permission denied: 'out'")}),
    ("sys003-eacces", "config", {"exit_code": 1, "findings": (finding("SYS003", errno="EACCES"),)}),
    # -- losses
    ("run001", "not-finite", {"exit_code": 1, "findings": (finding("RUN001", step=12, weights_finite=False),), **PART}),
    ("run002", "not-finite", {"exit_code": 1, "findings": (finding("RUN002", step=12),), **PART}),
    ("run003", "divergence", {"exit_code": 1, "findings": (finding("RUN003", step=90, since_step=60),), **PART}),
    (
        "run003-warned-then-code",
        "code",
        {
            "exit_code": 1,
            "findings": (
                finding("RUN003", severity="warn", step=5),
                finding("RUN022", "KeyError: 'x'", exception="KeyError", message="'x'", file="/a/b.py", line=3),
            ),
            **PART,
        },
    ),
    ("run001-before", "config", {"exit_code": 1, "findings": (finding("RUN001", weights_finite=False),)}),
    (
        "run001-script-exit-0",
        "not-finite",
        {"exit_code": 0, "findings": (finding("RUN001", step=12, weights_finite=False),), **PART},
    ),
    ("loss-nan-script", "not-finite", {"exit_code": 1, "tail": (*STEPS, "Loss is nan, stopping training"), **PART}),
    (
        "multinomial",
        "not-finite",
        {
            "exit_code": 1,
            "tail": trace("RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"),
            **PART,
        },
    ),
    (
        "stopped-by-action",
        "ended-early",
        {
            "exit_code": 1,
            "findings": (finding("RUN005", severity="warn", step=9),),
            "tail": ('{"event": "end", "code": 1, "words": "stopped: RUN005 validation loss rises"}',),
            **PART,
        },
    ),
    # -- data
    ("data002", "data", {"exit_code": 1, "findings": (finding("DATA002"),)}),
    ("run015-data", "data", {"exit_code": 1, "findings": (finding("RUN015", "nothing of the data is left"),)}),
    ("run015-config", "config", {"exit_code": 1, "findings": (finding("RUN015", max_steps=0, num_train_epochs=0),)}),
    ("run017", "data", {"exit_code": 1, "findings": (finding("RUN017", examples=8, tokens=100, counted=0),)}),
    (
        "arrow-json",
        "data",
        {
            "exit_code": 1,
            "tail": (
                *trace("pyarrow.lib.ArrowInvalid: JSON parse error: Invalid value. in row 0"),
                *CAUSE,
                *trace("datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset"),
            ),
        },
    ),
    (
        "generation-disk",
        "disk-full",
        {
            "exit_code": 1,
            "disk_free_bytes": 0,
            "tail": (
                *trace("OSError: [Errno 28] No space left on device"),
                *CAUSE,
                *trace("datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset"),
            ),
        },
    ),
    (
        "roles",
        "data",
        {
            "exit_code": 1,
            "tail": trace(
                "jinja2.exceptions.TemplateError: Conversation roles must alternate user/assistant/user/assistant/..."
            ),
        },
    ),
    # -- configuration
    ("usage", "config", {"exit_code": 2, "tail": ("error: trainguard.toml: no such file",)}),
    (
        "argparse",
        "config",
        {
            "exit_code": 2,
            "tail": ("usage: train.py [-h] [--lr LR]", "train.py: error: unrecognized arguments: --learning-rat 1e-5"),
        },
    ),
    (
        "taken",
        "unknown",
        {
            "exit_code": 2,
            "tail": ("error: out: another process trains into this folder; wait for it, or take another output_dir",),
        },
    ),
    (
        "internal",
        "internal",
        {"exit_code": 3, "tail": ("error: trainguard itself failed (KeyError: 'x'). This is a bug: please report it",)},
    ),
    ("cfg", "config", {"exit_code": 1, "findings": (finding("CFG005"),)}),
    ("model", "config", {"exit_code": 1, "findings": (finding("MODEL002"),)}),
    ("ckpt006", "config", {"exit_code": 1, "findings": (finding("CKPT006"),)}),
    ("import", "config", {"exit_code": 1, "tail": trace("ModuleNotFoundError: No module named 'flash_attn'")}),
    ("not-found", "config", {"exit_code": 127, "tail": ("bash: line 1: accelerate: command not found",)}),
    (
        "no-script",
        "config",
        {"exit_code": 2, "tail": ("python: can't open file '/a/trian.py': [Errno 2] No such file or directory",)},
    ),
    (
        "no-model",
        "config",
        {
            "exit_code": 1,
            "tail": (
                *trace("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error."),
                *CAUSE,
                *trace(
                    "OSError: no/such is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'"
                ),
            ),
        },
    ),
    (
        "gated",
        "config",
        {
            "exit_code": 1,
            "tail": (
                *trace("huggingface_hub.errors.GatedRepoError: 403 Client Error."),
                *CAUSE,
                *trace("OSError: You are trying to access a gated repo."),
            ),
        },
    ),
    (
        "offline",
        "config",
        {
            "exit_code": 1,
            "tail": (
                *trace(
                    "huggingface_hub.errors.OfflineModeIsEnabled: Cannot reach https://huggingface.co: offline mode is enabled."
                ),
                *CAUSE,
                *trace(
                    "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files."
                ),
            ),
        },
    ),
    (
        "header",
        "config",
        {
            "exit_code": 1,
            "phase": "load",
            "tail": trace(
                "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: header too small"
            ),
        },
    ),
    ("sigill", "config", {"signal": 4}),
    (
        "bf16",
        "config",
        {
            "exit_code": 1,
            "tail": trace(
                "ValueError: Your setup doesn't support bf16/gpu. You need to assign use_cpu if you want to train the model on CPU."
            ),
        },
    ),
    (
        "denied-after-reset",
        "config",
        {
            "exit_code": 1,
            "tail": (
                *trace("ConnectionResetError: [Errno 104] Connection reset by peer"),
                *CAUSE,
                *trace("PermissionError: [Errno 13] Permission denied: 'cache'"),
            ),
        },
    ),
    # -- network
    (
        "503",
        "network",
        {
            "exit_code": 1,
            "tail": trace(
                "huggingface_hub.errors.HfHubHTTPError: Server error '503 Service Unavailable' for url 'https://huggingface.co/api'"
            ),
        },
    ),
    (
        "429",
        "network",
        {
            "exit_code": 1,
            "tail": trace(
                "huggingface_hub.errors.HfHubHTTPError: \n\n429 Too Many Requests: you have reached your 'api' rate limit.\nRetry after 55 seconds"
            ),
        },
    ),
    ("dns", "network", {"exit_code": 1, "tail": trace("httpx.ConnectError: [Errno -2] Name or service not known")}),
    (
        "unreachable",
        "network",
        {
            "exit_code": 1,
            "tail": (
                *trace("httpx2.ConnectError: [Errno 101] Network is unreachable"),
                *CAUSE,
                *trace(
                    "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub"
                ),
                *CAUSE,
                *trace(
                    "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files."
                ),
            ),
        },
    ),
    (
        "read-timeout",
        "network",
        {
            "exit_code": 1,
            "tail": trace(
                "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='huggingface.co', port=443): Read timed out. (read timeout=10)"
            ),
        },
    ),
    ("reset", "network", {"exit_code": 1, "tail": trace("ConnectionResetError: [Errno 104] Connection reset by peer")}),
    (
        "401",
        "config",
        {
            "exit_code": 1,
            "tail": trace(
                "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/repos/create"
            ),
        },
    ),
    (
        "run022-network",
        "network",
        {
            "exit_code": 1,
            "findings": (
                finding(
                    "RUN022",
                    "ConnectionError: Couldn't reach",
                    exception="ConnectionError",
                    message="Couldn't reach 'a/b' on the Hub (ConnectTimeout)",
                    file="/x/y.py",
                    line=1,
                ),
            ),
        },
    ),
    (
        "gloo",
        "network",
        {
            "exit_code": 1,
            "tail": trace(
                "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.7]:34511"
            ),
            **PART,
        },
    ),
    (
        "network-survived",
        "code",
        {
            "exit_code": 1,
            "tail": (
                *trace("ConnectionResetError: [Errno 104] Connection reset by peer"),
                *STEPS,
                *trace("KeyError: 'x'"),
            ),
            **PART,
        },
    ),
    # -- code
    ("keyerror", "code", {"exit_code": 1, "tail": trace("KeyError: 'messages'"), **PART}),
    ("recursion", "code", {"exit_code": 1, "tail": trace("RecursionError: maximum recursion depth exceeded"), **PART}),
    (
        "zerodivision",
        "code",
        {
            "exit_code": 1,
            "findings": (
                finding(
                    "RUN022",
                    "ZeroDivisionError: division by zero",
                    exception="ZeroDivisionError",
                    message="division by zero",
                    file="/a/train.py",
                    line=3,
                ),
            ),
            **PART,
        },
    ),
    (
        "worker-keyerror",
        "code",
        {
            "exit_code": 1,
            "tail": (
                *trace("KeyError: Caught KeyError in DataLoader worker process 0."),
                *[
                    line.replace("Traceback", "Original Traceback")
                    for line in trace("KeyError: 'text'", WORKER, (f"{HOME}/data.py", 9, "__getitem__"))
                ],
            ),
            **PART,
        },
    ),
    (
        "segfault",
        "code",
        {
            "exit_code": 139,
            "tail": ("Fatal Python error: Segmentation fault", "", "Current thread 0x1 (most recent call first):"),
            **PART,
        },
    ),
    ("segfault-signal", "code", {"signal": 11, **PART}),
    ("keyerror-after-row", "code", {"exit_code": 1, "tail": (ROW_OOM, *trace("KeyError: 'x'"), ROW_OOM), **PART}),
    ("keyerror-naming-oom", "code", {"exit_code": 1, "tail": trace("KeyError: 'CUDA out of memory'"), **PART}),
    (
        "torchrun-segv",
        "code",
        {
            "exit_code": 1,
            "tail": (
                *trace("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
                "====",
                "train.py FAILED",
                "----",
                "Root Cause (first observed failure):",
                "[0]:",
                "  exitcode  : -11 (pid: 4712)",
                "  traceback : Signal 11 (SIGSEGV) received by PID 4712",
            ),
            **PART,
        },
    ),
    (
        "torchrun-kill",
        "killed",
        {
            "exit_code": 1,
            "tail": (
                *trace("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
                "====",
                "Root Cause (first observed failure):",
                "[0]:",
                "  exitcode  : -9 (pid: 4712)",
                "  traceback : Signal 9 (SIGKILL) received by PID 4712",
            ),
            **PART,
        },
    ),
    (
        "torchrun-kill-oom",
        "ram-oom",
        {
            "exit_code": 1,
            "oom_kills": 1,
            "tail": (
                *trace("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
                "====",
                "Root Cause (first observed failure):",
                "[0]:",
                "  exitcode  : -9 (pid: 4712)",
            ),
            **PART,
        },
    ),
    (
        "assertion-caught-oom",
        "code",
        {
            "exit_code": 1,
            "tail": (
                "WARNING: CUDA out of memory. Tried to allocate 2.00 GiB, skipping this batch",
                *STEPS,
                *trace("AssertionError: expected 3"),
            ),
            **PART,
        },
    ),
    # -- ended early, unknown
    ("early", "ended-early", {"exit_code": 0, **PART}),
    ("run026", "ended-early", {"exit_code": 1, "findings": (finding("RUN026"),), **PART}),
    ("silent-1", "unknown", {"exit_code": 1}),
    ("silent-255", "unknown", {"exit_code": 255, "tail": ("bye",)}),
    ("row-then-1", "unknown", {"exit_code": 1, "tail": (ROW_OOM,)}),
    (
        "row-trace",
        "unknown",
        {
            "exit_code": 1,
            "tail": (
                '{"text": "Traceback (most recent call last):\\n  File \\"a.py\\", line 1, in <module>\\nMemoryError"}',
            ),
        },
    ),
    ("exit-3-foreign", "unknown", {"exit_code": 3, "tail": ("done with status 3",)}),
    ("warned-oom-exit-1", "unknown", {"exit_code": 1, "tail": ("I read about CUDA out of memory once", *STEPS)}),
)


def is_set_aside(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0


def evidence(given: dict[str, Any]) -> Evidence:
    return Evidence(**given)
