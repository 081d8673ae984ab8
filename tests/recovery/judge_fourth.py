"""A fourth set of ends, from the sources of current releases and from public reports of failures.

Written by somebody who had not read the catalogue (recovery/messages.toml) nor the classifier. The first hundred were
scored, and then the classes were mended where they were wrong; the last forty (LATER) were only scored.
"""

# ruff: noqa: E501
from __future__ import annotations

from tests.recovery.judge_cases import ASYNC, GIB, OOM, OWN, ROOMY, SAVE, STEP, TQDM, TRAINER, Case, make_case, tb

FOURTH: list[Case] = []
LATER: list[Case] = []

LIB = "/opt/venv/lib/python3.11/site-packages"
SFT = f"{LIB}/trl/scripts/sft.py:149:main:trainer.train()"
LOAD = f"{LIB}/transformers/modeling_utils.py:4212:from_pretrained:model = cls(config, *model_args, **model_kwargs)"
DATASETS = f"{LIB}/datasets/builder.py:1858:_prepare_split_single:for key, table in generator:"
MAP = f"{LIB}/datasets/arrow_dataset.py:3673:_map_single:for i, example in iter_outputs(shard_iterable):"
WORKER = f"{LIB}/torch/utils/data/_utils/worker.py:349:_worker_loop:data = fetcher.fetch(index)"
INIT = f"{LIB}/torch/distributed/distributed_c10d.py:1771:init_process_group:store, rank, world_size = next(rendezvous_iterator)"
CHAINED = "\nThe above exception was the direct cause of the following exception:\n"


def case(*given: object, **known: object) -> None:
    FOURTH.append(make_case(*given, **known))  # type: ignore[arg-type]


# Memory of the GPU. torch 2.13 (CUDACachingAllocator.cpp), cuBLAS, cuDNN, bitsandbytes 0.49, DeepSpeed, vLLM 0.22.
case(
    "adam8bit allocates in its first step",
    "gpu-oom",
    "RUN010",
    TQDM,
    *tb(
        OOM,
        SFT,
        f"{LIB}/bitsandbytes/optim/optimizer.py:451:get_state_buffer:return torch.zeros_like(p, dtype=dtype, device=p.device)",
    ),
    phase="train",
    step=1,
)
case(
    "bitsandbytes cannot allocate by itself",
    "gpu-oom",
    "RUN010",
    TQDM,
    "Error out of memory at line 455 in file /src/csrc/pythonInterface.cpp",
    exit_code=1,
    phase="train",
    step=3,
)
case(
    "cublas handle without room",
    "gpu-oom",
    "RUN010",
    *tb("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", OWN, TRAINER),
    phase="train",
    step=1,
)
case(
    "nccl has no room for its buffers",
    "gpu-oom",
    "RUN010",
    "node7:4113:4561 [1] include/alloc.h:228 NCCL WARN Cuda failure 2 'out of memory'",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3690, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.28.9\nncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=1,
)
case(
    "triton autotuning runs out of the GPU",
    "gpu-oom",
    "RUN010",
    *tb(
        "RuntimeError: Triton Error [CUDA]: out of memory",
        OWN,
        TRAINER,
        f"{LIB}/triton/runtime/jit.py:768:run:kernel.run(grid_0, grid_1, grid_2, stream)",
    ),
    phase="train",
    step=12,
)
case(
    "vllm beside the trainer finds too little",
    {"gpu-oom", "config"},
    "",
    *tb(
        "ValueError: Free memory on device cuda:0 (9.42/79.11 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        OWN,
        f"{LIB}/trl/generation/vllm_generation.py:351:_init_vllm:self.llm = LLM(",
    ),
    phase="load",
)
case(
    "deepspeed says it on every rank",
    "gpu-oom",
    "RUN010",
    "[rank3]: Traceback (most recent call last):",
    '[rank3]:   File "/srv/app/train.py", line 61, in main',
    "[rank3]:     trainer.train()",
    "[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 15.10 GiB. GPU 3 has a total capacity of 79.11 GiB of which 5.21 GiB is free. Including non-PyTorch memory, this process has 73.89 GiB memory in use.",
    "E1009 12:01:44.113000 4410 torch/distributed/elastic/multiprocessing/api.py:984] failed (exitcode: 1) local_rank: 3 (pid: 4416) of binary: /opt/venv/bin/python",
    phase="train",
    step=9,
)
case(
    "rocm says HIP",
    "gpu-oom",
    "RUN010",
    *tb(
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 448.00 MiB. GPU 0 has a total capacity of 63.98 GiB of which 290.00 MiB is free.",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=2,
)
case(
    "mps says its own words",
    "gpu-oom",
    "RUN010",
    *tb(
        "RuntimeError: MPS backend out of memory (MPS allocated: 17.92 GiB, other allocations: 384.00 KiB, max allowed: 18.13 GiB). Tried to allocate 256.00 MiB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may cause system failure).",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=2,
)
case(
    "fsdp gathers everything to save",
    "gpu-oom",
    "RUN010",
    TQDM,
    *tb(
        OOM,
        SFT,
        SAVE,
        f"{LIB}/torch/distributed/fsdp/_state_dict_utils.py:307:_full_post_state_dict_hook:_common_unshard_post_state_dict_hook(",
    ),
    phase="save",
    step=500,
)
# Memory of the machine: kernel 6.x mm/oom_kill.c, systemd-oomd, slurm, docker, earlyoom, Ray, torch's DataLoader.
case(
    "slurm tells of its cgroup",
    "ram-oom",
    "RUN011",
    TQDM,
    "slurmstepd: error: Detected 1 oom_kill event in StepId=8812345.batch. Some of the step tasks have been OOM Killed.",
    "srun: error: gpu-a-12: task 0: Out Of Memory",
    exit_code=137,
    phase="train",
    step=210,
)
case(
    "older slurm writes it with a hyphen",
    "ram-oom",
    "RUN011",
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=191.batch cgroup. Some of your processes may have been killed by the cgroup out-of-memory handler.",
    signal=9,
    phase="tokenize",
)
case(
    "the kernel of a whole machine",
    "ram-oom",
    "RUN011",
    TQDM,
    signal=9,
    kernel=(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0-1,global_oom,task_memcg=/user.slice/user-1000.slice,task=python,pid=4242,uid=1000",
        "Out of memory: Killed process 4242 (python) total-vm:482113456kB, anon-rss:251812344kB, file-rss:1232kB, shmem-rss:512kB, UID:1000 pgtables:511232kB oom_score_adj:0",
    ),
    phase="train",
    step=77,
)
case(
    "systemd-oomd ends the scope",
    "ram-oom",
    "RUN011",
    TQDM,
    signal=9,
    kernel=(
        "systemd-oomd[812]: Killed /user.slice/user-1000.slice/user@1000.service/app.slice/run-u77.scope due to memory used (66012348416) / total (67302940672) and swap used (8589930496) / total (8589930496) being more than 90.00%",
    ),
    phase="train",
    step=77,
)
case("a counter of the group alone", "ram-oom", "RUN011", TQDM, signal=9, oom_kills=1, phase="train", step=5)
case(
    "a worker died for memory, the run says so",
    "ram-oom",
    "RUN011",
    *tb("RuntimeError: DataLoader worker (pid 5123) is killed by signal: Killed.", OWN, TRAINER),
    oom_kills=1,
    phase="train",
    step=88,
)
case(
    "pinned memory cannot be had",
    {"ram-oom", "gpu-lost", "code"},
    "",
    *tb(
        "torch.AcceleratorError: CUDA error: OS call failed or operation not supported on this OS\n" + "\n".join(ASYNC),
        OWN,
        f"{LIB}/torch/utils/data/_utils/pin_memory.py:58:pin_memory:return data.pin_memory()",
    ),
    phase="train",
    step=1,
)
case(
    "shared memory of a container",
    "ram-oom",
    "RUN011",
    "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
    *tb(
        "RuntimeError: DataLoader worker (pid 81) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=4,
)
case(
    "cannot fork",
    {"ram-oom", "config"},
    "",
    *tb(
        "OSError: [Errno 12] Cannot allocate memory",
        OWN,
        "/usr/lib/python3.11/multiprocessing/popen_fork.py:66:_launch:self.pid = os.fork()",
    ),
    phase="load",
)
case(
    "mmap of the weights",
    "ram-oom",
    "RUN011",
    *tb(
        "OSError: Cannot allocate memory (os error 12)",
        OWN,
        LOAD,
        f"{LIB}/transformers/modeling_utils.py:301:load_state_dict:with safe_open(checkpoint_file, framework='pt') as f:",
    ),
    phase="load",
)
case(
    "the default allocator of torch on the CPU",
    "ram-oom",
    "RUN011",
    *tb(
        "RuntimeError: [enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 26214400000 bytes. Error code 12 (Cannot allocate memory)",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "arrow cannot allocate",
    "ram-oom",
    "RUN011",
    *tb("pyarrow.lib.ArrowMemoryError: malloc of size 17179869184 failed", OWN, MAP),
    phase="tokenize",
)
case(
    "numpy says what it cannot allocate",
    "ram-oom",
    "RUN011",
    *tb(
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 48.2 GiB for an array with shape (6470000000,) and data type int64",
        OWN,
    ),
    phase="tokenize",
)
case(
    "rust aborts for memory",
    "ram-oom",
    "RUN011",
    "memory allocation of 34359738368 bytes failed",
    signal=6,
    phase="tokenize",
)
case(
    "C++ throws for memory",
    "ram-oom",
    "RUN011",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "  what():  std::bad_alloc",
    signal=6,
    phase="load",
)
case(
    "ray kills the worker",
    "ram-oom",
    "RUN011",
    *tb(
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\nMemory on the node (IP: 10.0.0.7, ID: 8440b94a) where the task (actor ID: 01, name=Trainer, pid=9073, memory used=51.20GB) was running was 60.80GB / 64.00GB (0.95), which exceeds the memory usage threshold of 0.95.",
        OWN,
    ),
    phase="train",
    step=3,
)

# The GPU itself: CUDA's own words (cudaGetErrorString), Xid lines, the driver's library, NCCL.
case(
    "ecc on the first use",
    "gpu-lost",
    "RUN013",
    *tb("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered\n" + "\n".join(ASYNC), OWN),
    phase="load",
)
case(
    "illegal access, told by the watchdog of nccl",
    "gpu-lost",
    "RUN013",
    TQDM,
    "[rank1]:[E927 01:22:09.110244461 ProcessGroupNCCL.cpp:2068] [PG ID 0 PG GUID 0(default_pg) Rank 1] Process group watchdog thread terminated with exception: CUDA error: an illegal memory access was encountered",
    *ASYNC,
    "terminate called after throwing an instance of 'c10::DistBackendError'",
    signal=6,
    phase="train",
    step=640,
)
case(
    "the GPU fell off the bus while it trained",
    "gpu-lost",
    "RUN013",
    *tb("torch.AcceleratorError: CUDA error: unspecified launch failure\n" + "\n".join(ASYNC), OWN, TRAINER),
    kernel=("NVRM: Xid (PCI:0000:41:00): 79, pid=4242, name=python, GPU has fallen off the bus.",),
    phase="train",
    step=640,
)
case(
    "no device any more in a new process",
    "gpu-lost",
    "RUN013",
    *tb(
        "RuntimeError: No CUDA GPUs are available",
        OWN,
        f"{LIB}/torch/cuda/__init__.py:478:_lazy_init:torch._C._cuda_init()",
    ),
    gpu_answers=False,
    phase="load",
)
case(
    "devices are busy or unavailable",
    "gpu-lost",
    "RUN013|SYS",
    *tb(
        "torch.AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable\n" + "\n".join(ASYNC),
        OWN,
    ),
    phase="load",
)
case(
    "cudnn after a fault of the device",
    {"gpu-lost", "code"},
    "RUN013",
    *tb("RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", OWN, TRAINER),
    kernel=(
        "NVRM: Xid (PCI:0000:41:00): 31, pid=4242, name=python, Ch 00000008, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0 faulted @ 0x7f1c_00000000.",
    ),
    phase="train",
    step=31,
)
case(
    "nvlink error of the driver",
    "gpu-lost",
    "RUN013",
    TQDM,
    *tb(
        "torch.AcceleratorError: CUDA error: uncorrectable NVLink error detected during the execution\n"
        + "\n".join(ASYNC),
        OWN,
        TRAINER,
    ),
    phase="train",
    step=70,
)
case(
    "the fabric manager is not up",
    {"gpu-lost", "config"},
    "",
    *tb(
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 802: system not yet initialized",
        OWN,
        f"{LIB}/torch/cuda/__init__.py:478:_lazy_init:torch._C._cuda_init()",
    ),
    phase="load",
)
case(
    "driver too old for this torch",
    "config",
    "",
    *tb(
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver.",
        OWN,
        f"{LIB}/torch/cuda/__init__.py:478:_lazy_init:torch._C._cuda_init()",
    ),
    phase="load",
)
case(
    "torch without kernels for this card",
    "config",
    "",
    *tb(
        "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device\n"
        + "\n".join(ASYNC),
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "an index beyond the vocabulary",
    {"data", "code", "config"},
    "",
    "/pytorch/aten/src/ATen/native/cuda/Indexing.cu:1553: indexSelectLargeIndex: block: [402,0,0], thread: [64,0,0] Assertion `srcIndex < srcSelectDimSize` failed.",
    *tb("torch.AcceleratorError: CUDA error: device-side assert triggered\n" + "\n".join(ASYNC), OWN, TRAINER),
    phase="train",
    step=12,
)
case(
    "kernel and library of the driver differ",
    {"config", "gpu-lost"},
    "",
    "Failed to initialize NVML: Driver/library version mismatch",
    *tb("RuntimeError: No CUDA GPUs are available", OWN),
    phase="load",
)
# Distributed.
case(
    "watchdog: a collective timed out",
    "hang",
    "RUN008",
    TQDM,
    "[rank0]:[E1101 10:11:12.113 ProcessGroupNCCL.cpp:685] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=4412, OpType=ALLREDUCE, NumelIn=12582912, NumelOut=12582912, Timeout(ms)=1800000) ran for 1800010 milliseconds before timing out.",
    "terminate called after throwing an instance of 'c10::DistBackendError'",
    signal=6,
    phase="train",
    step=4400,
)
case(
    "gloo peer gone",
    {"network", "killed", "hang"},
    "",
    *tb(
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [10.0.0.7]:43211",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=44,
)
case(
    "nccl peer gone",
    {"network", "killed", "hang"},
    "",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:2363, remote process exited or there was a network error, NCCL version 2.27.5\nncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.\nLast error:\nsocketProgress: Connection closed by remote peer ip-172-31-45-209.eu-north-1.compute.internal<32926>",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=335,
)
case(
    "store of the rendezvous never came",
    {"network", "config", "hang"},
    "",
    *tb(
        "torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 clients joined.",
        OWN,
        INIT,
    ),
    phase="load",
)
case(
    "port of the master is taken",
    {"config", "network"},
    "",
    *tb(
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use",
        OWN,
        INIT,
    ),
    phase="load",
)
case(
    "infiniband gave up",
    {"network", "gpu-lost"},
    "",
    "node3:120:188 [0] transport/net_ib.cc:1295 NCCL WARN NET/IB : Got completion from peer 10.4.0.3<40321> with status=12 opcode=0 len=0 vendor err 129 (Send)",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:2363, remote process exited or there was a network error, NCCL version 2.27.5",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=9,
)
case(
    "elastic: a child was killed by a signal",
    "killed",
    "RUN012",
    TQDM,
    "E1109 08:00:01.113000 771 torch/distributed/elastic/multiprocessing/api.py:984] failed (exitcode: -9) local_rank: 0 (pid: 780) of binary: /opt/venv/bin/python",
    *tb(
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n============================================================\ntrain.py FAILED\n------------------------------------------------------------\nRoot Cause (first observed failure):\n[0]:\n  time      : 2026-11-09_08:00:01\n  rank      : 0 (local_rank: 0)\n  exitcode  : -9 (pid: 780)\n  error_file: <N/A>\n  traceback : Signal 9 (SIGKILL) received by PID 780\n============================================================",
        f"{LIB}/torch/distributed/run.py:936:main:run(args)",
    ),
    phase="train",
    step=70,
)
case(
    "elastic: the agent was asked to end",
    "preempted",
    "RUN012",
    TQDM,
    *tb(
        "torch.distributed.elastic.multiprocessing.api.SignalException: Process 771 got signal: 15",
        f"{LIB}/torch/distributed/run.py:936:main:run(args)",
    ),
    phase="train",
    step=70,
)

# Ended by somebody.
case(
    "slurm reaches its time limit",
    "preempted",
    "RUN012",
    TQDM,
    "slurmstepd: error: *** STEP 3495450.0 ON gpu-a-12 CANCELLED AT 2026-10-27T20:22:22 DUE TO TIME LIMIT ***",
    signal=15,
    phase="train",
    step=900,
)
case(
    "slurm preemption",
    "preempted",
    "RUN012",
    TQDM,
    "slurmstepd: error: *** JOB 3495450 ON gpu-a-12 CANCELLED AT 2026-10-27T20:22:22 DUE TO PREEMPTION ***",
    exit_code=143,
    phase="train",
    step=900,
)
case("the shell's word of SIGTERM", "preempted", "RUN012", TQDM, "Terminated", exit_code=143, phase="train", step=900)
case("the machine goes down", "preempted", "RUN012", TQDM, signal=15, machine_going_down=True, phase="train", step=12)
case("a person with kill -9", "killed", "RUN012", TQDM, signal=9, oom_kills=0, phase="train", step=12)
case(
    "ctrl-c of somebody in the terminal",
    {"killed", "preempted"},
    "RUN012",
    TQDM,
    *tb("KeyboardInterrupt", OWN, TRAINER),
    exit_code=130,
    phase="train",
    step=12,
)
case(
    "time limit of CPU seconds",
    {"killed", "config"},
    "RUN012|SYS011",
    TQDM,
    "CPU time limit exceeded (core dumped)",
    signal=24,
    phase="train",
    step=12,
)
case(
    "drained by trainguard, though the log is ugly",
    "stopped",
    "",
    TQDM,
    *tb(OOM, OWN),
    asked_by="drain",
    exit_code=0,
    phase="train",
    step=12,
    planned_steps=50,
    own_steps=12,
)
case("cancelled by trainguard", "stopped", "", TQDM, signal=9, asked_by="cancel", phase="train", step=12)
case(
    "ended by trainguard for a hang",
    "hang",
    "RUN008",
    TQDM,
    signal=9,
    asked_by="hang",
    silent_seconds=1900.0,
    phase="train",
    step=12,
)
# Crashes of native code.
case(
    "segmentation fault in a worker's library",
    {"code", "unknown"},
    "",
    "Fatal Python error: Segmentation fault",
    "",
    "Current thread 0x00007f1c5a7fc640 (most recent call first):",
    f'  File "{LIB}/tokenizers/__init__.py", line 83 in encode_batch',
    signal=11,
    phase="tokenize",
)
case(
    "glibc found a broken heap",
    {"code", "unknown"},
    "",
    "malloc(): corrupted top size",
    signal=6,
    phase="train",
    step=9,
)
case("double free", {"code", "unknown"}, "", "free(): double free detected in tcache 2", signal=6, phase="save", step=9)
case(
    "an illegal instruction, as the shell says it",
    {"config", "code", "unknown"},
    "",
    "Illegal instruction (core dumped)",
    signal=4,
    phase="load",
)
case("a silent segfault", {"code", "unknown"}, "", TQDM, signal=11, phase="train", step=99)

# The disk.
case(
    "no space, by safetensors",
    "disk-full",
    "RUN025|SYS001",
    *tb(
        "safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)",
        OWN,
        SAVE,
    ),
    disk_free_bytes=0,
    needed_bytes=3 * GIB,
    inodes_free=10**6,
    phase="save",
    step=100,
)
case(
    "no space, by torch's writer",
    "disk-full",
    "RUN025|SYS001",
    *tb("RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 4121344 vs 4121238", OWN, SAVE),
    disk_free_bytes=4096,
    needed_bytes=3 * GIB,
    inodes_free=10**6,
    phase="save",
    step=100,
)
case(
    "arrow's cache has no room",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device", OWN, MAP),
    disk_free_bytes=800 * GIB,
    needed_bytes=3 * GIB,
    inodes_free=10**8,
    phase="tokenize",
)
case(
    "datasets sees too little room before it begins",
    "disk-full",
    "",
    *tb(
        "OSError: Not enough disk space. Needed: 90.11 GiB (download: 40.01 GiB, generated: 50.10 GiB, post-processed: Unknown size)",
        OWN,
        f"{LIB}/datasets/builder.py:856:download_and_prepare:raise OSError(",
    ),
    phase="load",
)
case(
    "hub sees too little room in its cache",
    "disk-full",
    "",
    f"{LIB}/huggingface_hub/file_download.py:801: UserWarning: Not enough free disk space to download the file. The expected file size is: 4976.70 MB. The target location /root/.cache/huggingface/hub only has 1201.11 MB free disk space.",
    *tb("OSError: [Errno 28] No space left on device", OWN, LOAD),
    phase="load",
)
case(
    "quota of a user",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 122] Disk quota exceeded: '/home/me/out/checkpoint-100/optimizer.pt'", OWN, SAVE),
    **ROOMY,
    phase="save",
    step=100,
)
case(
    "input/output error of a disk",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 5] Input/output error: '/data/out/checkpoint-100/model.safetensors'", OWN, SAVE),
    **ROOMY,
    phase="save",
    step=100,
)
case(
    "read-only after an error of the file system",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 30] Read-only file system: '/data/out/checkpoint-100'", OWN, SAVE),
    **ROOMY,
    phase="save",
    step=100,
)
case(
    "stale handle",
    {"disk-error", "mount-gone"},
    "SYS",
    *tb("OSError: [Errno 116] Stale file handle: '/data/out/checkpoint-100/trainer_state.json'", OWN, SAVE),
    phase="save",
    step=100,
)
case(
    "the endpoint is not connected",
    "mount-gone",
    "SYS012",
    *tb("OSError: [Errno 107] Transport endpoint is not connected: '/mnt/bucket/out'", OWN, SAVE),
    mount_gone=True,
    phase="save",
    step=100,
)
case(
    "the share is away",
    "mount-gone",
    "SYS012",
    TQDM,
    *tb(
        "FileNotFoundError: [Errno 2] No such file or directory: '/mnt/nas/out/checkpoint-100/optimizer.pt'", OWN, SAVE
    ),
    mount_gone=True,
    phase="save",
    step=100,
)
case(
    "not my folder",
    {"disk-error", "config"},
    "SYS003",
    *tb("PermissionError: [Errno 13] Permission denied: '/data/out/checkpoint-100'", OWN, SAVE),
    **ROOMY,
    phase="save",
    step=100,
)

# The network. huggingface_hub 1.x speaks through httpx, requests elsewhere; botocore for S3; TRL's client of vLLM.
case(
    "httpx: no name resolution",
    "network",
    "",
    *tb("httpx.ConnectError: [Errno -3] Temporary failure in name resolution", OWN, LOAD),
    phase="load",
)
case(
    "httpx: read timed out",
    "network",
    "",
    *tb("httpx.ReadTimeout: The read operation timed out", OWN, LOAD),
    phase="load",
)
case(
    "hub: nothing in the cache either",
    "network",
    "",
    *tb(
        "httpx.ConnectError: [Errno 101] Network is unreachable",
        f"{LIB}/httpx/_transports/default.py:118:map_httpcore_exceptions:raise mapped_exc(message) from exc",
    ),
    CHAINED,
    *tb(
        "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache. Please check your connection and try again or make sure your Internet connection is on.",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "hub: 503",
    "network",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: Server error '503 Service Unavailable' for url 'https://huggingface.co/api/models/org/model' (Request ID: Root=1-68)",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "hub: 429",
    "network",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/org/model/resolve/main/config.json",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "s3: endpoint away",
    "network",
    "",
    *tb(
        'botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL: "https://bucket.s3.eu-central-1.amazonaws.com/data.jsonl"',
        OWN,
    ),
    phase="load",
)
case(
    "s3: slow down",
    "network",
    "",
    *tb(
        "botocore.exceptions.ClientError: An error occurred (SlowDown) when calling the PutObject operation (reached max retries: 4): Please reduce your request rate.",
        OWN,
        "/srv/app/upload.py:31:push:s3.upload_file(path, BUCKET, key)",
    ),
    phase="save",
    step=100,
)
case(
    "s3: closed before an answer",
    "network",
    "",
    *tb(
        'botocore.exceptions.ConnectionClosedError: Connection was closed before we received a valid response from endpoint URL: "https://bucket.s3.amazonaws.com/x".',
        OWN,
    ),
    phase="save",
    step=100,
)
case(
    "s3: no credentials",
    "config",
    "",
    *tb("botocore.exceptions.NoCredentialsError: Unable to locate credentials", OWN),
    phase="load",
)
case(
    "vllm's server goes away in the middle",
    "network",
    "",
    *tb(
        "requests.exceptions.ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        SFT,
        f"{LIB}/trl/generation/vllm_client.py:502:update_named_param:response = self.session.post(",
    ),
    phase="train",
    step=300,
)
case(
    "vllm's server is not up",
    "network",
    "",
    *tb(
        "ConnectionError: The vLLM server can't be reached at http://10.0.0.7:8000 after 240.0 seconds. Make sure the server is running by running `trl vllm-serve`.",
        SFT,
        f"{LIB}/trl/generation/vllm_client.py:190:check_server:raise ConnectionError(",
    ),
    phase="load",
)
case(
    "tls handshake cut",
    "network",
    "",
    *tb(
        "requests.exceptions.SSLError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /org/m/resolve/main/config.json (Caused by SSLError(SSLEOFError(8, '[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)')))",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "wandb cannot be reached",
    {"network", "code"},
    "",
    *tb(
        "wandb.errors.errors.CommError: Run initialization has timed out after 90.0 sec. Please try increasing the timeout with the `init_timeout` setting: `wandb.init(settings=wandb.Settings(init_timeout=120))`.",
        OWN,
        TRAINER,
    ),
    phase="load",
)
case(
    "incomplete download",
    "network",
    "",
    *tb(
        "OSError: Consistency check failed: file should be of size 4976698672 but has size 2415919104 (model-00001-of-00004.safetensors).\nThis is usually due to network issues while downloading the file. Please retry with `force_download=True`.",
        OWN,
        LOAD,
    ),
    phase="load",
)

# Configuration, model, machine.
case(
    "gated repository",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-67)\n\nCannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.\nAccess to model meta-llama/Llama-3.1-8B is restricted and you are not in the authorized list. Visit https://huggingface.co/meta-llama/Llama-3.1-8B to ask for access.",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "truncated weights",
    "config",
    "",
    *tb(
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "bitsandbytes without its library",
    "config",
    "",
    *tb(
        "RuntimeError: \n        CUDA Setup failed despite GPU being available. Please run the following command to get more information:\n\n        python -m bitsandbytes",
        OWN,
        f"{LIB}/bitsandbytes/cextension.py:85:<module>:lib = get_native_library()",
    ),
    phase="load",
)
case(
    "peft finds no layer",
    "config",
    "",
    *tb(
        "ValueError: Target modules {'query_key_value'} not found in the base model. Please check the target modules and try again.",
        OWN,
        f"{LIB}/peft/tuners/tuners_utils.py:1071:inject_adapter:raise ValueError(error_msg)",
    ),
    phase="load",
)
case(
    "flash attention is not there",
    "config",
    "",
    *tb(
        "ImportError: FlashAttention2 has been toggled on, but it cannot be used due to the following error: the package flash_attn seems to be not installed.",
        OWN,
        LOAD,
    ),
    phase="load",
)
case(
    "bf16 on an old card",
    "config",
    "",
    *tb(
        "ValueError: Your setup doesn't support bf16/gpu. You need to assign use_cpu if you want to train the model on CPU.",
        OWN,
        f"{LIB}/transformers/training_args.py:1671:__post_init__:raise ValueError(",
    ),
    phase="load",
)
case(
    "the module is not installed",
    "config",
    "",
    *tb("ModuleNotFoundError: No module named 'deepspeed'", "/srv/app/train.py:3:<module>:import deepspeed"),
    phase="load",
)
case(
    "nvcc is missing for deepspeed",
    "config",
    "",
    *tb(
        "deepspeed.ops.op_builder.builder.MissingCUDAException: CUDA_HOME does not exist, unable to compile CUDA op(s)",
        OWN,
    ),
    phase="load",
)
case(
    "eval without data",
    "config",
    "",
    *tb(
        "ValueError: You have set `args.eval_strategy` to steps but you didn't pass an `eval_dataset` to `Trainer`. Either set `args.eval_strategy` to `no` or pass an `eval_dataset`. ",
        OWN,
        f"{LIB}/transformers/trainer.py:684:__init__:raise ValueError(",
    ),
    phase="load",
)
case(
    "argparse does not know an option",
    "config",
    "",
    "usage: train.py [-h] [--lr LR]",
    "train.py: error: unrecognized arguments: --learnig_rate 1e-4",
    exit_code=2,
)
case(
    "another model in the checkpoint",
    "config",
    "",
    *tb(
        "RuntimeError: Error(s) in loading state_dict for Qwen3ForCausalLM:\n\tsize mismatch for model.embed_tokens.weight: copying a param with shape torch.Size([151936, 1024]) from checkpoint, the shape in current model is torch.Size([151680, 1024]).",
        OWN,
        LOAD,
    ),
    phase="load",
)
# Data.
case(
    "bad JSON in the file",
    "data",
    "",
    *tb(
        "pyarrow.lib.ArrowInvalid: JSON parse error: Missing a closing quotation mark in string. in row 411",
        f"{LIB}/pyarrow/error.pxi:92:pyarrow.lib.check_status:raise convert_status(status)",
    ),
    CHAINED,
    *tb("datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset", OWN, DATASETS),
    phase="load",
)
case(
    "columns differ between files",
    "data",
    "",
    *tb(
        "datasets.exceptions.DatasetGenerationCastError: An error occurred while generating the dataset\n\nAll the data files must have the same columns, but at some point there are 1 new columns ({'lang'})",
        OWN,
        DATASETS,
    ),
    phase="load",
)
case(
    "a parquet file cut short",
    "data",
    "",
    *tb(
        "pyarrow.lib.ArrowInvalid: Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.",
        OWN,
        DATASETS,
    ),
    phase="load",
)
case(
    "bytes that are no UTF-8",
    "data",
    "",
    *tb("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte", OWN, DATASETS),
    phase="load",
)
case(
    "roles that the template refuses",
    "data",
    "",
    *tb(
        "jinja2.exceptions.TemplateError: Conversation roles must alternate user/assistant/user/assistant/...",
        OWN,
        MAP,
        f"{LIB}/transformers/utils/chat_template_utils.py:451:render_jinja_template:rendered_chat = compiled_template.render(",
    ),
    phase="tokenize",
)
# Numbers.
case(
    "deepspeed's loss scale at its minimum",
    "not-finite",
    "RUN001|RUN002",
    TQDM,
    "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 2, reducing to 1",
    *tb("Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.", OWN, TRAINER),
    phase="train",
    step=382,
)
case(
    "anomaly detection of autograd",
    "not-finite",
    "RUN001|RUN002",
    *tb("RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.", OWN, TRAINER),
    phase="train",
    step=31,
)
case(
    "sampling from nan in GRPO",
    "not-finite",
    "RUN001|RUN002",
    *tb(
        "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0",
        SFT,
        f"{LIB}/transformers/generation/utils.py:2880:_sample:next_tokens = torch.multinomial(probs, num_samples=1).squeeze(1)",
    ),
    phase="train",
    step=31,
)
# Code, and ends without an exception.
case(
    "a shape that does not fit",
    "code",
    "RUN022",
    *tb(
        "RuntimeError: The size of tensor a (2048) must match the size of tensor b (4096) at non-singleton dimension 3",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=7,
)
case(
    "an exception of a worker is the script's own",
    "code",
    "RUN022",
    *tb(
        "KeyError: Caught KeyError in DataLoader worker process 3.\nOriginal Traceback (most recent call last):\n  File \"/srv/app/data.py\", line 12, in __getitem__\n    return self.rows[index]['text']\nKeyError: 'text'",
        OWN,
        TRAINER,
        WORKER,
    ),
    phase="train",
    step=7,
)
case(
    "reward function divides by nothing",
    "code",
    "RUN022",
    *tb("ZeroDivisionError: division by zero", SFT, "/srv/app/rewards.py:9:score:return hits / len(words)"),
    phase="train",
    step=7,
)
case(
    "clean but early",
    "ended-early",
    "RUN026",
    TQDM,
    STEP,
    exit_code=0,
    planned_steps=500,
    own_steps=120,
    phase="train",
    step=120,
)
case("all done", None, "", TQDM, STEP, exit_code=0, planned_steps=500, own_steps=500, result_saved=True)
case(
    "all done with warnings that look like faults",
    None,
    "",
    "[W1101 ProcessGroupNCCL.cpp:1553] Warning: WARNING: destroy_process_group() was not called before program exit, which can leak resources.",
    "Connection reset by peer (retry 1 of 5)",
    STEP,
    exit_code=0,
    planned_steps=500,
    own_steps=500,
    result_saved=True,
)


def later(*given: object, **known: object) -> None:
    LATER.append(make_case(*given, **known))  # type: ignore[arg-type]


# Forty more, scored only. The first twelve were drawn at random from the `raise` statements of the libraries.
later(
    "weights of a GPU on a machine without",
    "config",
    "",
    *tb(
        "RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU.",
        OWN,
        f"{LIB}/torch/serialization.py:634:_validate_device:raise RuntimeError(",
    ),
    phase="load",
)
later(
    "evaluation does not fit while the batch is searched",
    "gpu-oom",
    "RUN010",
    *tb(
        "RuntimeError: Evaluation hit an out-of-memory error. `auto_find_batch_size` only adjusts the training batch size, reduce `per_device_eval_batch_size` instead.",
        OWN,
        f"{LIB}/transformers/trainer.py:3307:_evaluate:raise RuntimeError(",
    ),
    phase="evaluate",
    step=100,
)
later(
    "an example without a conversation",
    {"data", "code"},
    "",
    *tb(
        "KeyError: \"Invalid keys in the example: {'text', 'messages_2'}\"",
        OWN,
        MAP,
        f"{LIB}/trl/data_utils.py:190:apply_chat_template:raise KeyError(",
    ),
    phase="tokenize",
)
later(
    "device map over several processes",
    {"config", "code"},
    "",
    *tb(
        "ValueError: You can't train a model that has been loaded with `device_map='auto'` in any distributed mode. Please rerun your script specifying `--num_processes=1` or by launching with `python {myscript.py}`.",
        OWN,
        f"{LIB}/accelerate/accelerator.py:1478:prepare:raise ValueError(",
    ),
    phase="load",
)
later(
    "another form of saved dataset",
    {"config", "data"},
    "",
    *tb(
        "FileNotFoundError: No such file: '/data/set/dataset_info.json' found. Expected to load a `Dataset` object, but got a `DatasetDict`. Please use either `datasets.load_from_disk` or `DatasetDict.load_from_disk` instead.",
        OWN,
        f"{LIB}/datasets/arrow_dataset.py:2045:load_from_disk:raise FileNotFoundError(",
    ),
    phase="load",
)
later(
    "context parallelism asks for a newer torch",
    "config",
    "",
    *tb(
        "ValueError: FSDP2-based Context parallelism is only available in PyTorch 2.6.0 and later versions. Please upgrade your PyTorch version.",
        OWN,
        f"{LIB}/accelerate/utils/dataclasses.py:2239:__post_init__:raise ValueError(",
    ),
    phase="load",
)
later(
    "batches of unequal size in one dispatch",
    "code",
    "RUN022",
    *tb(
        "RuntimeError: You can't use batches of different size with `dispatch_batches=True` or when using an `IterableDataset`.either pass `dispatch_batches=False` and have each process fetch its own batch  or pass `split_batches=True`.",
        OWN,
        TRAINER,
        f"{LIB}/accelerate/data_loader.py:844:_fetch_batches:raise RuntimeError(",
    ),
    phase="train",
    step=9,
)
later(
    "what is no processing class",
    {"config", "code"},
    "",
    *tb(
        "TypeError: The `processing_class` must be either a `PreTrainedTokenizerBase` or a `ProcessorMixin`",
        OWN,
        f"{LIB}/trl/trainer/kto_trainer.py:662:__init__:raise TypeError(",
    ),
    phase="load",
)
later(
    "zero inference without stage 3",
    {"config", "code"},
    "",
    *tb(
        "ValueError: ZeRO inference only makes sense with ZeRO Stage 3 - please adjust your config",
        OWN,
        f"{LIB}/transformers/integrations/deepspeed.py:650:deepspeed_init:raise ValueError(",
    ),
    phase="load",
)
later(
    "no columns of a file are asked for",
    {"config", "code"},
    "",
    *tb(
        "ValueError: columns must list at least one column when given.",
        OWN,
        f"{LIB}/datasets/packaged_modules/fastq/fastq.py:215:_get_columns:raise ValueError(",
    ),
    phase="load",
)
later(
    "a storage that is none",
    {"config", "code", "data"},
    "",
    *tb(
        "AssertionError: Unknown typename for persistent_load, expected 'storage' but got 'module'",
        OWN,
        f"{LIB}/torch/serialization.py:2172:persistent_load:raise AssertionError(",
    ),
    phase="load",
)
later(
    "a scaler that found nothing to check",
    {"code"},
    "RUN022",
    *tb(
        "AssertionError: No inf checks were recorded prior to update.",
        OWN,
        TRAINER,
        f"{LIB}/torch/amp/grad_scaler.py:526:update:raise AssertionError(reason)",
    ),
    phase="train",
    step=1,
)
# From public reports.
later(
    "invalid device ordinal",
    {"config", "gpu-lost"},
    "",
    "[rank6]: Traceback (most recent call last):",
    '[rank6]:   File "/srv/app/train.py", line 281, in <module>',
    "[rank6]:     train()",
    f'[rank6]:   File "{LIB}/accelerate/state.py", line 790, in set_device',
    "[rank6]:     torch.cuda.set_device(self.device)",
    "[rank6]: torch.AcceleratorError: CUDA error: invalid device ordinal",
    *(f"[rank6]: {each}" for each in ASYNC),
    phase="load",
)
later(
    "the launch timed out in native code",
    "gpu-lost",
    "RUN013",
    "terminate called after throwing an instance of 'c10::AcceleratorError'",
    "  what():  CUDA error: the launch timed out and was terminated",
    *ASYNC,
    signal=6,
    phase="train",
    step=90,
)
later(
    "misaligned address",
    "gpu-lost",
    "RUN013",
    *tb("torch.AcceleratorError: CUDA error: misaligned address\n" + "\n".join(ASYNC), OWN, TRAINER),
    phase="train",
    step=90,
)
later(
    "initialization after a fork",
    {"code", "config"},
    "",
    *tb(
        "RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' start method",
        OWN,
        MAP,
    ),
    phase="tokenize",
)
later(
    "nothing to train on a frozen model",
    {"code", "config"},
    "",
    *tb(
        "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
        SFT,
        TRAINER,
        f"{LIB}/torch/autograd/graph.py:829:_engine_run_backward:return Variable._execution_engine.run_backward(",
    ),
    phase="train",
    step=0,
)
later(
    "a worker ended without a word",
    {"code", "killed", "ram-oom", "unknown"},
    "",
    *tb(
        "RuntimeError: DataLoader worker (pid 1166833) exited unexpectedly with exit code 1. Details are lost due to multiprocessing. Rerunning with num_workers=0 may give better error trace.",
        f"{LIB}/torch/utils/data/_utils/signal_handling.py:73:handler:_error_if_any_worker_fails()",
    ),
    CHAINED,
    *tb("RuntimeError: DataLoader worker (pid(s) 1166833) exited unexpectedly", OWN, TRAINER),
    phase="train",
    step=12,
)
later(
    "worker timeout",
    {"hang", "code"},
    "",
    *tb("RuntimeError: DataLoader timed out after 120 seconds", OWN, TRAINER),
    phase="train",
    step=12,
)
later(
    "too many open files in workers",
    "config",
    "SYS011",
    *tb(
        "RuntimeError: received 0 items of ancdata",
        OWN,
        TRAINER,
        f"{LIB}/torch/multiprocessing/reductions.py:560:rebuild_storage_fd:fd = df.detach()",
    ),
    phase="train",
    step=300,
)
later(
    "open files by errno",
    "config",
    "SYS011",
    *tb("OSError: [Errno 24] Too many open files: '/data/shards/0412.jsonl'", OWN),
    phase="train",
    step=300,
)
later(
    "inotify and the like are no disk",
    {"config", "code"},
    "",
    *tb("OSError: [Errno 28] inotify watch limit reached", OWN),
    **ROOMY,
    phase="load",
)
later(
    "threads cannot be made",
    {"config", "ram-oom"},
    "",
    *tb("RuntimeError: can't start new thread", OWN, TRAINER),
    phase="train",
    step=3,
)
later(
    "openblas cannot make threads",
    {"config", "ram-oom", "code"},
    "",
    "OpenBLAS blas_thread_init: pthread_create failed for thread 63 of 64: Resource temporarily unavailable",
    *tb("KeyboardInterrupt", OWN),
    exit_code=1,
    phase="load",
)
later(
    "vllm's engine is dead",
    {"network", "code", "gpu-lost", "unknown"},
    "",
    *tb(
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.",
        SFT,
    ),
    phase="train",
    step=44,
)
later(
    "evicted for scratch space",
    {"preempted", "disk-full"},
    "",
    TQDM,
    "Pod ephemeral local storage usage exceeds the total limit of containers 5Gi.",
    signal=15,
    phase="train",
    step=44,
)
later("docker stop", "preempted", "RUN012", TQDM, exit_code=143, phase="train", step=44)
later("container killed, group has no count", "killed", "RUN012", TQDM, "Killed", exit_code=137, phase="train", step=44)
later(
    "spot notice, then SIGTERM",
    "preempted",
    "RUN012",
    TQDM,
    "2026-11-02T03:04:05Z instance-action: terminate",
    signal=15,
    phase="train",
    step=44,
)
later(
    "azure storage is busy",
    "network",
    "",
    *tb(
        "azure.core.exceptions.ServiceRequestError: <urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
        OWN,
    ),
    phase="load",
)
later(
    "gcs is away",
    "network",
    "",
    *tb(
        "google.api_core.exceptions.ServiceUnavailable: 503 GET https://storage.googleapis.com/storage/v1/b/bucket: Service Unavailable",
        OWN,
    ),
    phase="load",
)
later(
    "aws token has run out",
    "config",
    "",
    *tb(
        "botocore.exceptions.ClientError: An error occurred (ExpiredToken) when calling the PutObject operation: The provided token has expired.",
        OWN,
    ),
    phase="save",
    step=44,
)
later(
    "hub token is wrong",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/whoami-v2\nInvalid user token.",
        OWN,
        LOAD,
    ),
    phase="load",
)
later(
    "weights with other words for a cut",
    {"config", "network"},
    "",
    *tb("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge", OWN, LOAD),
    phase="load",
)
later(
    "a pickle that torch refuses",
    "config",
    "",
    *tb(
        "_pickle.UnpicklingError: Weights only load failed. This file can still be loaded, to do so you have two options, do those steps only if you trust the source of the checkpoint.",
        OWN,
        f"{LIB}/torch/serialization.py:1554:load:raise pickle.UnpicklingError(_get_wo_message(str(e))) from None",
    ),
    phase="load",
)
later(
    "loss is nan, by the script's own check",
    "not-finite",
    "RUN001|RUN002",
    TQDM,
    *tb(
        "ValueError: Loss is NaN at step 381",
        "/srv/app/train.py:141:check:raise ValueError(f'Loss is NaN at step {step}')",
    ),
    phase="train",
    step=381,
)
later(
    "grad norm is not finite",
    "not-finite",
    "RUN001|RUN002",
    *tb(
        "RuntimeError: The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=3,
)
later(
    "json with a lone brace",
    "data",
    "",
    *tb(
        "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 1 column 4411 (char 4410)",
        "/srv/app/train.py:88:<module>:main()",
        f"{LIB}/datasets/packaged_modules/json/json.py:153:_generate_tables:examples = [ujson_loads(line) for line in batch.splitlines()]",
    ),
    phase="load",
)
later(
    "an assertion of the script",
    "code",
    "RUN022",
    *tb("AssertionError", "/srv/app/train.py:77:collate:assert len(rows) == 8"),
    phase="train",
    step=5,
)
later(
    "words of the script, and exit code 1",
    {"code", "config", "unknown"},
    "",
    "refusing to train: 3 of 12 shards are empty",
    exit_code=1,
    phase="load",
)

# What was not called by its name at first: 12 of FOURTH, of which four labels were too narrow, and 6 of LATER.
FOURTH_WRONG_FIRST = (
    "illegal access, told by the watchdog of nccl",
    "port of the master is taken",
    "infiniband gave up",
    "datasets sees too little room before it begins",
    "s3: slow down",
    "nvcc is missing for deepspeed",
    "eval without data",
    "bytes that are no UTF-8",
)
FOURTH_WRONG_LABEL = (
    "devices are busy or unavailable",  # the GPU is taken or not to be had: SYS006 says it as well
    "cudnn after a fault of the device",  # Xid 31 is as a rule a fault of the program (NVIDIA, Xid catalogue)
    "time limit of CPU seconds",  # a limit of the machine
    "not my folder",  # somebody must set the rights
)
LATER_WRONG_FIRST = (
    "weights of a GPU on a machine without",
    "evaluation does not fit while the batch is searched",
    "another form of saved dataset",
    "threads cannot be made",
    "openblas cannot make threads",
    "gcs is away",
)
# OpenBLAS sends SIGINT to its own process when it has no threads, so that it looks like somebody's Ctrl-C.
STILL_WRONG = ("openblas cannot make threads",)
