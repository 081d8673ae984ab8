"""Ends of training runs as they are met in the field, labelled by someone who had not read the classifier.

Each is (name, evidence, kinds that are honest answers, prefixes of codes that are). None among the kinds: a success.
The words are those of the programs named in the case; `judge_real.py` has outputs of real processes, verbatim.
"""

# ruff: noqa: E501
from __future__ import annotations

from typing import Any, TypeAlias

from tests.recovery.judge_real import REAL
from trainguard.recovery.records import Evidence

Case: TypeAlias = tuple[str, Evidence, frozenset[str | None], tuple[str, ...]]

GIB = 2**30
CASES: list[Case] = []
ASYNC = (
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.",
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1",
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
)
TQDM = " 37%|###7      | 370/1000 [12:31<21:19,  2.03s/it]"
STEP = "{'loss': 1.8342, 'grad_norm': 0.91, 'learning_rate': 1.2e-05, 'epoch': 0.37}"
OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.11 GiB "
    "of which 1.08 GiB is free. Including non-PyTorch memory, this process has 78.02 GiB memory in use. Of the "
    "allocated memory 74.51 GiB is allocated by PyTorch, and 2.47 GiB is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid "
    "fragmentation.  See documentation for Memory Management  "
    "(https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
)


def tb(last: str, *frames: str) -> tuple[str, ...]:
    """A traceback of Python 3.11 with frames "file:line:function:code"."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames or ("/srv/app/train.py:88:<module>:main()", "/srv/app/train.py:61:main:trainer.train()"):
        path, line, function, code = frame.split(":", 3)
        lines += [f'  File "{path}", line {line}, in {function}', f"    {code}"]
    return (*lines, *last.split("\n"))


def make_case(name: str, kinds: str | set[str | None] | None, code: str, /, *tail: str, **known: Any) -> Case:
    """`code` has prefixes parted by a bar; exit code 1 where no end is given."""
    honest = frozenset(kinds) if isinstance(kinds, set) else frozenset({kinds})
    if "signal" not in known:
        known.setdefault("exit_code", 1)
    return name, Evidence(tail=tail, **known), honest, tuple(code.split("|"))


def case(*given: Any, **known: Any) -> None:
    """Adds one."""
    CASES.append(make_case(*given, **known))


HUB = "/opt/venv/lib/python3.11/site-packages/huggingface_hub/utils/_http.py:402:hf_raise_for_status:response.raise_for_status()"
TRAINER = "/opt/venv/lib/python3.11/site-packages/transformers/trainer.py:2555:_inner_training_loop:tr_loss_step = self.training_step(model, inputs, num_items_in_batch)"
BACKWARD = "/opt/venv/lib/python3.11/site-packages/torch/autograd/graph.py:829:_engine_run_backward:return Variable._execution_engine.run_backward("
LOADER = (
    "/opt/venv/lib/python3.11/site-packages/torch/utils/data/dataloader.py:1482:_next_data:idx, data = self._get_data()"
)
OWN = "/srv/app/train.py:61:main:trainer.train()"

# --- GPU memory -------------------------------------------------------------------------------------------------------
case("oom torch 2.5+", "gpu-oom", "RUN010", STEP, TQDM, *tb(OOM, OWN, TRAINER, BACKWARD), phase="train", step=370)
case(
    "oom torch 2.0 cuda.OutOfMemoryError",
    "gpu-oom",
    "RUN010",
    *tb(
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 23.69 GiB total capacity; 22.51 GiB already allocated; 13.69 MiB free; 22.74 GiB reserved in total by PyTorch) If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation.",
        OWN,
        TRAINER,
    ),
)
case(
    "oom torch 1.7 RuntimeError",
    "gpu-oom",
    "RUN010",
    *tb(
        "RuntimeError: CUDA out of memory. Tried to allocate 352.00 MiB (GPU 0; 10.76 GiB total capacity; 9.27 GiB already allocated; 69.44 MiB free; 9.53 GiB reserved in total by PyTorch)",
        OWN,
    ),
)
case(
    "oom torch 0.4 THC",
    "gpu-oom",
    "RUN010",
    "THCudaCheck FAIL file=/pytorch/aten/src/THC/generic/THCStorage.cu line=58 error=2 : out of memory",
    *tb("RuntimeError: cuda runtime error (2) : out of memory at /pytorch/aten/src/THC/generic/THCStorage.cu:58"),
)
case(
    "context creation while another process holds the GPU",
    {"gpu-oom", "config"},
    "RUN010|SYS008",
    *tb(
        "RuntimeError: CUDA error: out of memory\n" + "\n".join(ASYNC),
        "/srv/app/train.py:12:<module>:torch.zeros(1).cuda()",
    ),
    phase="load",
)
case(
    "AcceleratorError oom torch 2.8+",
    {"gpu-oom"},
    "RUN010|SYS008",
    *tb(
        "torch.AcceleratorError: CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.\n"
        + "\n".join(ASYNC)
    ),
)
case(
    "HIP oom",
    "gpu-oom",
    "RUN010",
    *tb(
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 63.98 GiB of which 0 bytes is free. Of the allocated memory 62.90 GiB is allocated by PyTorch, and 210.13 MiB is reserved by PyTorch but unallocated."
    ),
)
case(
    "MPS oom",
    "gpu-oom",
    "RUN010",
    *tb(
        "RuntimeError: MPS backend out of memory (MPS allocated: 17.89 GB, other allocations: 214.31 MB, max allowed: 18.13 GB). Tried to allocate 256.00 MB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may cause system failure)."
    ),
)
case(
    "XPU oom",
    "gpu-oom",
    "RUN010",
    *tb(
        "torch.OutOfMemoryError: XPU out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 15.91 GiB. Of the allocated memory 15.11 GiB is allocated by PyTorch."
    ),
)
case(
    "cublas handle cannot be made",
    "gpu-oom",
    "RUN010",
    *tb("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", OWN, TRAINER),
)
case(
    "bitsandbytes prints and dies",
    "gpu-oom",
    "RUN010",
    TQDM,
    "Error out of memory at line 380 in file /mmfs1/gscratch/zlab/timdettmers/git/bitsandbytes/csrc/pythonInterface.c",
)
case(
    "NCCL cannot allocate",
    "gpu-oom",
    "RUN010",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3384, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.21.5\nncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'"
    ),
)
case(
    "jax RESOURCE_EXHAUSTED",
    "gpu-oom",
    "RUN010",
    *tb(
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes."
    ),
)
case(
    "accelerate find_executable_batch_size gives up",
    "gpu-oom",
    "RUN010",
    *tb(
        "RuntimeError: No executable batch size found, reached zero.",
        '/opt/venv/lib/python3.11/site-packages/accelerate/utils/memory.py:177:decorator:raise RuntimeError("No executable batch size found, reached zero.")',
    ),
)
case(
    "oom wrapped in a RuntimeError by 'from'",
    "gpu-oom",
    "RUN010",
    *tb(OOM, OWN, BACKWARD),
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    *tb(
        "RuntimeError: training failed at step 370",
        '/srv/app/train.py:70:main:raise RuntimeError(f"training failed at step {step}") from error',
    ),
)
case(
    "oom, then the handler has a NameError of its own",
    {"gpu-oom", "code"},
    "RUN010|RUN022",
    *tb(OOM, OWN, BACKWARD),
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    *tb(
        "NameError: name 'gc' is not defined. Did you forget to import 'gc'?", "/srv/app/train.py:66:main:gc.collect()"
    ),
)
case(
    "rank 3 oom, the others time out",
    "gpu-oom",
    "RUN010",
    "[rank3]: " + "Traceback (most recent call last):",
    '[rank3]:   File "/srv/app/train.py", line 61, in main',
    "[rank3]:     trainer.train()",
    "[rank3]: " + OOM,
    "[rank0]:[E1102 03:14:12.100 ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8812, OpType=ALLREDUCE, NumelIn=26216960, NumelOut=26216960, Timeout(ms)=600000) ran for 600033 milliseconds before timing out.",
    "[rank0]:[E1102 03:14:12.112 ProcessGroupNCCL.cpp:1785] [PG ID 0 PG GUID 0 Rank 0] Exception (either an error or timeout) detected by watchdog at work: 8812, last enqueued NCCL work: 8812, last completed NCCL work: 8811.",
    "terminate called after throwing an instance of 'c10::DistBackendError'",
    "W1102 03:14:13.000 139 torch/distributed/elastic/multiprocessing/api.py:900] Sending process 141 closing signal SIGTERM",
    "E1102 03:14:13.912 139 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: 1) local_rank: 3 (pid: 144) of binary: /opt/venv/bin/python",
    *tb(
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
        "/opt/venv/bin/torchrun:8:<module>:sys.exit(main())",
    ),
    "============================================================",
    "train.py FAILED",
    "------------------------------------------------------------",
    "Failures:",
    "  <NO_OTHER_FAILURES>",
    "Root Cause (first observed failure):",
    "[0]:",
    "  time      : 2026-11-02_03:14:13",
    "  host      : node7",
    "  rank      : 3 (local_rank: 3)",
    "  exitcode  : 1 (pid: 144)",
    "  error_file: <N/A>",
    "  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html",
    "============================================================",
    phase="train",
    step=8811,
)
case(
    "two ranks' tracebacks interleaved line by line",
    "gpu-oom",
    "RUN010",
    "Traceback (most recent call last):",
    "Traceback (most recent call last):",
    '  File "/srv/app/train.py", line 61, in main',
    '  File "/srv/app/train.py", line 61, in main',
    "    trainer.train()",
    "    trainer.train()",
    OOM,
    OOM.replace("GPU 0", "GPU 1"),
    phase="train",
)
case(
    "oom seen by vLLM at start",
    {"gpu-oom", "config"},
    "",
    *tb(
        "ValueError: Free memory on device (5.12/79.11 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    ),
    phase="load",
)
case(
    "vLLM no cache blocks",
    {"gpu-oom", "config"},
    "",
    *tb(
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine."
    ),
    phase="load",
)
case(
    "model dispatched partly to the CPU for want of GPU memory",
    {"gpu-oom", "config"},
    "",
    *tb(
        "ValueError: Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM to fit the quantized model. If you want to dispatch the model on the CPU or the disk while keeping these modules in 32-bit, you need to set `llm_int8_enable_fp32_cpu_offload=True` and pass a custom `device_map` to `from_pretrained`."
    ),
    phase="load",
)
case(
    "oom in evaluation",
    "gpu-oom",
    "RUN010",
    *tb(
        OOM,
        OWN,
        "/opt/venv/lib/python3.11/site-packages/transformers/trainer.py:4500:evaluation_loop:all_preds.add(logits)",
    ),
    phase="evaluate",
    step=500,
)
case(
    "own run says RUN010",
    "gpu-oom",
    "RUN010",
    "error: RUN010",
    findings=({"code": "RUN010", "severity": "error", "message": "the GPU ran out of memory while training"},),
    phase="train",
    step=12,
)
case(
    "trap: the batch that ran out was skipped; the end is a NameError",
    "code",
    "RUN022",
    "| WARNING: ran out of memory in one batch: CUDA out of memory. Tried to allocate 1.20 GiB; skipping batch",
    STEP,
    TQDM,
    *tb("NameError: name 'best_loss' is not defined", "/srv/app/train.py:91:main:print(best_loss)"),
)
case(
    "trap: oom caught, batch halved, then success",
    None,
    "",
    *tb(OOM, OWN),
    "retrying with batch size 4",
    STEP,
    "Training completed.",
    exit_code=0,
    planned_steps=100,
    own_steps=100,
)
case(
    "trap: sample text printed from the data names an OOM",
    "code",
    "RUN022",
    "Sample 0: <|user|> my run dies with 'RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB', what now? <|assistant|> Lower the batch size.",
    *tb("KeyError: 'labels'", "/srv/app/train.py:40:collate:return batch['labels']"),
)
case(
    "trap: a whole traceback is a training example",
    "code",
    "RUN022",
    "example 17:",
    "Traceback (most recent call last):",
    '  File "x.py", line 3, in <module>',
    "    a = torch.zeros(1 << 40, device='cuda')",
    "RuntimeError: CUDA out of memory. Tried to allocate 4096.00 GiB (GPU 0; 23.69 GiB total capacity)",
    "",
    "---",
    STEP,
    *tb("TypeError: compute_loss() got an unexpected keyword argument 'num_items_in_batch'", TRAINER),
)
case(
    "trap: triton out of resource is shared memory of a kernel",
    {"code", "config"},
    "",
    *tb(
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 131072, Hardware limit: 101376. Reducing block sizes or `num_stages` may help."
    ),
)
case(
    "trap: only a hint to the allocator in a warning",
    "code",
    "RUN022",
    "UserWarning: PYTORCH_CUDA_ALLOC_CONF is deprecated, use PYTORCH_ALLOC_CONF instead (out of memory fragmentation settings)",
    *tb("AttributeError: 'NoneType' object has no attribute 'shape'"),
)

# --- memory of the machine --------------------------------------------------------------------------------------------
KERNEL_OOM = "Memory cgroup out of memory: Killed process 4242 (python) total-vm:98213456kB, anon-rss:66812344kB, file-rss:81232kB, shmem-rss:12kB, UID:0 pgtables:141232kB oom_score_adj:0"
case("SIGKILL with oom_kill of the control group", "ram-oom", "RUN011", TQDM, signal=9, oom_kills=1)
case("SIGKILL with the kernel's line", "ram-oom", "RUN011", STEP, signal=9, kernel=(KERNEL_OOM,))
case(
    "SIGKILL, global oom, old kernel's words",
    "ram-oom",
    "RUN011",
    signal=9,
    kernel=(
        "Out of memory: Kill process 4242 (python) score 934 or sacrifice child",
        "Killed process 4242 (python) total-vm:98213456kB, anon-rss:66812344kB, file-rss:0kB",
    ),
)
case(
    "SIGKILL and oom_kill 0",
    "killed",
    "RUN012",
    STEP,
    signal=9,
    oom_kills=0,
    peak_rss_bytes=2 * GIB,
    memory_limit_bytes=64 * GIB,
)
case("SIGKILL, nothing known", "killed", "RUN012", STEP, signal=9)
case(
    "SIGKILL at 99.9 % of the limit, no counters",
    {"ram-oom", "killed"},
    "RUN011|RUN012",
    signal=9,
    peak_rss_bytes=int(63.95 * GIB),
    memory_limit_bytes=64 * GIB,
)
case("container 137 without memory evidence", "killed", "RUN012", STEP, exit_code=137)
case("container 137 with oom_kill", "ram-oom", "RUN011", STEP, exit_code=137, oom_kills=2)
case(
    "shell prints Killed",
    "killed",
    "RUN012",
    TQDM,
    "run.sh: line 12:  4242 Killed                  python train.py --config c.yaml",
    exit_code=137,
    oom_kills=0,
)
case(
    "shell prints Getoetet",
    "killed",
    "RUN012",
    "run.sh: Zeile 12:  4242 Get\\xf6tet                python train.py",
    exit_code=137,
)
case(
    "MemoryError",
    "ram-oom",
    "RUN011",
    *tb("MemoryError", "/srv/app/prepare.py:20:load:rows = [json.loads(line) for line in stream]"),
)
case(
    "numpy cannot allocate",
    "ram-oom",
    "RUN011",
    *tb(
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 89.4 GiB for an array with shape (12000000000,) and data type float64"
    ),
)
case(
    "old numpy cannot allocate",
    "ram-oom",
    "RUN011",
    *tb(
        "numpy.core._exceptions.MemoryError: Unable to allocate 17.9 GiB for an array with shape (60000, 40000) and data type float64"
    ),
)
case(
    "torch CPU allocator old words",
    "ram-oom",
    "RUN011",
    *tb(
        "RuntimeError: [enforce fail at CPUAllocator.cpp:64] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 137438953472 bytes. Error code 12 (Cannot allocate memory)"
    ),
)
case(
    "fork refused",
    "ram-oom",
    "RUN011|SYS004",
    *tb(
        "OSError: [Errno 12] Cannot allocate memory",
        "/usr/lib/python3.11/multiprocessing/popen_fork.py:66:_launch:self.pid = os.fork()",
    ),
)
case(
    "bad_alloc",
    "ram-oom",
    "RUN011",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "  what():  std::bad_alloc",
    signal=6,
)
case(
    "arrow malloc",
    "ram-oom",
    "RUN011",
    *tb(
        "pyarrow.lib.ArrowMemoryError: malloc of size 34359738368 failed",
        "/opt/venv/lib/python3.11/site-packages/datasets/table.py:60:_memory_mapped:pa_table.combine_chunks()",
    ),
)
case(
    "slurmstepd oom_kill event",
    "ram-oom",
    "RUN011",
    "slurmstepd: error: Detected 1 oom_kill event in StepId=88123.batch. Some of the step tasks have been OOM Killed.",
    exit_code=137,
)
case(
    "srun task out of memory",
    "ram-oom",
    "RUN011",
    "srun: error: node17: task 0: Out Of Memory",
    "srun: Terminating StepId=88123.0",
    exit_code=1,
)
case(
    "systemd-oomd",
    "ram-oom",
    "RUN011",
    signal=9,
    kernel=(
        "systemd-oomd[612]: Killed /user.slice/user-1000.slice/session-4.scope due to memory used (66412552192) / total (67358576640) and swap used (8123412480) / total (8589930496) being more than 90.00%",
    ),
)
case(
    "ray kills a task for memory of the node",
    "ram-oom",
    "RUN011",
    *tb(
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\nMemory on the node (IP: 10.0.0.4, ID: 5f2c) where the task (actor ID: 0e2) was running was 61.02GB / 64.00GB (0.953), which exceeds the memory usage threshold of 0.95."
    ),
)
case(
    "DataLoader worker killed for memory",
    "ram-oom",
    "RUN011",
    *tb("RuntimeError: DataLoader worker (pid 4251) is killed by signal: Killed. ", LOADER),
    oom_kills=1,
)
case(
    "DataLoader worker killed, nothing known of memory",
    {"killed", "ram-oom", "unknown"},
    "RUN011|RUN012|RUN022",
    *tb("RuntimeError: DataLoader worker (pid 4251) is killed by signal: Killed. ", LOADER),
)
case(
    "DataLoader exited unexpectedly, oom_kill 1",
    "ram-oom",
    "RUN011",
    *tb("RuntimeError: DataLoader worker (pid(s) 4251, 4252) exited unexpectedly", LOADER),
    oom_kills=1,
)
case(
    "workers out of shared memory",
    {"ram-oom", "config", "disk-full"},
    "RUN011|SYS",
    "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
    *tb(
        "RuntimeError: DataLoader worker (pid 4251) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.",
        LOADER,
    ),
)
case(
    "torchrun child killed by the kernel for memory",
    "ram-oom",
    "RUN011",
    "E1102 03:14:13.912 139 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: -9) local_rank: 1 (pid: 4242) of binary: /opt/venv/bin/python",
    *tb("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
    "train.py FAILED",
    "Root Cause (first observed failure):",
    "  exitcode  : -9 (pid: 4242)",
    "  traceback : Signal 9 (SIGKILL) received by PID 4242",
    oom_kills=1,
    kernel=(KERNEL_OOM,),
)
case(
    "torchrun child killed, oom_kill 0",
    {"killed"},
    "RUN012",
    "E1102 03:14:13.912 139 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: -9) local_rank: 1 (pid: 4242) of binary: /opt/venv/bin/python",
    *tb("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
    "  exitcode  : -9 (pid: 4242)",
    "  traceback : Signal 9 (SIGKILL) received by PID 4242",
    oom_kills=0,
)
case(
    "trap: another process of the group was killed; this one has a NameError",
    "code",
    "RUN022",
    STEP,
    *tb("NameError: name 'metrics' is not defined"),
    oom_kills=1,
)
case(
    "trap: a child was killed for memory and the run went on to its end",
    None,
    "",
    "tokenizer worker died, started again",
    "Training completed.",
    exit_code=0,
    oom_kills=1,
    planned_steps=50,
    own_steps=50,
    result_saved=True,
)
case(
    "trap: the kernel killed the database, not the run",
    {"killed"},
    "RUN012",
    STEP,
    signal=9,
    oom_kills=0,
    kernel=(
        "Out of memory: Killed process 911 (postgres) total-vm:8213456kB, anon-rss:6812344kB, file-rss:812kB, shmem-rss:12kB, UID:106 pgtables:141232kB oom_score_adj:0",
    ),
)
case(
    "trap: MemoryError caught, later a ZeroDivisionError",
    "code",
    "RUN022",
    *tb("MemoryError"),
    "falling back to streaming",
    STEP,
    *tb("ZeroDivisionError: division by zero", "/srv/app/train.py:99:main:print(total / count)"),
)
case(
    "trap: 'Killed' in a chat example",
    "code",
    "RUN022",
    "assistant: the log only says 'Killed', which means the OOM killer: Out of memory: Killed process 1 (python)",
    *tb("IndexError: list index out of range"),
)

# --- GPU lost ---------------------------------------------------------------------------------------------------------
XID = "NVRM: Xid (PCI:0000:65:00): {}"
CUDA_UNKNOWN = tb("RuntimeError: CUDA error: unknown error\n" + "\n".join(ASYNC), OWN, TRAINER)
case(
    "Xid 79",
    "gpu-lost",
    "RUN013",
    *CUDA_UNKNOWN,
    kernel=(XID.format("79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."),),
    gpu_answers=False,
)
case(
    "Xid 79, only a SIGABRT",
    "gpu-lost",
    "RUN013",
    signal=6,
    kernel=(XID.format("79, pid=4242, GPU has fallen off the bus."),),
)
case(
    "Xid 48 double-bit ECC",
    "gpu-lost",
    "RUN013",
    *tb("RuntimeError: CUDA error: uncorrectable ECC error encountered\n" + "\n".join(ASYNC)),
    kernel=(
        XID.format(
            "48, pid=4242, name=python, An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer at partition 5, subpartition 0."
        ),
    ),
)
case(
    "Xid 94 contained ECC",
    "gpu-lost",
    "RUN013",
    *tb("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered"),
    kernel=(XID.format("94, pid=4242, name=python, Contained: SM (0x1). RST: No, D-RST: No"),),
)
case(
    "Xid 119 GSP timeout",
    "gpu-lost",
    "RUN013",
    *CUDA_UNKNOWN,
    kernel=(
        XID.format(
            "119, pid=4242, name=python, Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20802a02 0x4)."
        ),
    ),
)
case(
    "Xid 13 with an illegal access",
    {"gpu-lost", "code"},
    "RUN013|RUN022",
    *tb("RuntimeError: CUDA error: an illegal memory access was encountered\n" + "\n".join(ASYNC), OWN),
    kernel=(
        XID.format(
            "13, pid=4242, name=python, Graphics SM Warp Exception on (GPC 3, TPC 1, SM 0): Out Of Range Address"
        ),
    ),
)
case(
    "Xid 31 with an illegal access",
    {"gpu-lost", "code"},
    "RUN013|RUN022",
    *tb("RuntimeError: CUDA error: an illegal memory access was encountered", OWN),
    kernel=(
        XID.format(
            "31, pid=4242, name=python, Ch 00000008, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_3 faulted @ 0x7f3e_a1200000. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ"
        ),
    ),
)
case(
    "illegal access, no kernel log",
    {"gpu-lost", "code"},
    "RUN013|RUN022",
    *tb("torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n" + "\n".join(ASYNC)),
)
case(
    "unspecified launch failure",
    "gpu-lost",
    "RUN013",
    *tb("RuntimeError: CUDA error: unspecified launch failure\n" + "\n".join(ASYNC)),
)
case(
    "launch timed out",
    "gpu-lost",
    "RUN013",
    *tb("RuntimeError: CUDA error: the launch timed out and was terminated\n" + "\n".join(ASYNC)),
)
case("lost GPU, no kernel log", "gpu-lost", "RUN013", *tb("RuntimeError: CUDA error: GPU is lost"), gpu_answers=False)
case(
    "cublas execution failed",
    "gpu-lost",
    "RUN013",
    *tb(
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb, m, n, k, &falpha, a, CUDA_R_16BF, lda, b, CUDA_R_16BF, ldb, &fbeta, c, CUDA_R_16BF, ldc, compute_type, CUBLAS_GEMM_DEFAULT_TENSOR_OP)`"
    ),
)
case(
    "bitsandbytes illegal access",
    {"gpu-lost", "code"},
    "RUN013|RUN022",
    "Error an illegal memory access was encountered at line 276 in file /src/csrc/ops.cu",
)
case(
    "ROCm memory access fault",
    {"gpu-lost", "code"},
    "RUN013|RUN022",
    "Memory access fault by GPU node-1 (Agent handle: 0x55d1c2a0) on address 0x7f2e00000000. Reason: Page not present or supervisor privilege.",
    signal=6,
)
case(
    "HIP hardware exception",
    "gpu-lost",
    "RUN013",
    ":0:rocdevice.cpp            :2984: 8123423412 us: [pid:4242 tid:0x7f1] Callback: Queue 0x7f1a00000000 aborting with error : HSA_STATUS_ERROR_EXCEPTION: An HSAIL operation resulted in a hardware exception. code: 0x1016",
    signal=6,
)
case(
    "NCCL sees a lost GPU",
    "gpu-lost",
    "RUN013",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.20.5\nncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 719 'unspecified launch failure'"
    ),
)
case(
    "device-side assert of an index",
    {"code", "data"},
    "RUN022|RUN013|DATA",
    "/pytorch/aten/src/ATen/native/cuda/Indexing.cu:1290: indexSelectLargeIndex: block: [212,0,0], thread: [0,0,0] Assertion `srcIndex < srcSelectDimSize` failed.",
    *tb("RuntimeError: CUDA error: device-side assert triggered\n" + "\n".join(ASYNC)),
)
case(
    "old device-side assert 59",
    {"code", "data"},
    "RUN022|RUN013|DATA",
    "/pytorch/aten/src/THCUNN/ClassNLLCriterion.cu:105: void cunn_ClassNLLCriterion_updateOutput_kernel(): block: [0,0,0], thread: [3,0,0] Assertion `t >= 0 && t < n_classes` failed.",
    *tb(
        "RuntimeError: cuda runtime error (59) : device-side assert triggered at /pytorch/aten/src/THC/generic/THCTensorMath.cu:24"
    ),
)
case(
    "GPU gone while the process only says exit 1",
    "gpu-lost",
    "RUN013",
    TQDM,
    gpu_answers=False,
    kernel=(XID.format("79, GPU has fallen off the bus."),),
)
case(
    "busy or unavailable",
    {"gpu-lost", "config", "gpu-oom"},
    "",
    *tb("RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable\n" + "\n".join(ASYNC)),
    phase="load",
)
case(
    "no GPU in the container",
    {"config", "gpu-lost"},
    "SYS006|SYS013",
    *tb(
        "RuntimeError: No CUDA GPUs are available",
        "/opt/venv/lib/python3.11/site-packages/torch/cuda/__init__.py:319:_lazy_init:torch._C._cuda_init()",
    ),
    phase="load",
    gpu_answers=None,
)
case(
    "driver older than the runtime",
    "config",
    "SYS",
    *tb(
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver."
    ),
    phase="load",
)
case(
    "driver/library mismatch after an update",
    {"config", "gpu-lost"},
    "SYS|RUN013",
    *tb(
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 803: system has unsupported display driver / cuda driver combination"
    ),
    phase="load",
)
case(
    "no kernel image",
    {"config", "code"},
    "",
    *tb("RuntimeError: CUDA error: no kernel image is available for execution on the device\n" + "\n".join(ASYNC)),
    phase="load",
)
case(
    "trap: Xid 43 is what a user's end looks like; the run has a KeyError",
    "code",
    "RUN022",
    *tb("KeyError: 'input_ids'"),
    kernel=(XID.format("43, pid=4242, name=python, Ch 00000010"),),
)
case(
    "trap: Xid 45 follows from the kernel's kill for memory",
    "ram-oom",
    "RUN011",
    signal=9,
    oom_kills=1,
    kernel=(KERNEL_OOM, XID.format("45, pid=4242, name=python, Ch 00000010")),
)
case(
    "trap: Xid 63 is a row remapped for later",
    "code",
    "RUN022",
    *tb("AttributeError: 'dict' object has no attribute 'loss'"),
    kernel=(
        XID.format(
            "63, pid='<unknown>', name=<unknown>, Row Remapper: New row (0x00000000abc00a) marked for remapping, reset gpu to activate."
        ),
    ),
)
case(
    "trap: Xid in the log of a run that ended well",
    None,
    "",
    "Training completed.",
    exit_code=0,
    kernel=(XID.format("13, pid=911, name=Xorg, Graphics Exception: ESR 0x404490=0x80000001"),),
    planned_steps=9,
    own_steps=9,
)
case(
    "trap: advice to compile with device-side assertions on an OOM",
    "gpu-oom",
    "RUN010",
    *tb("torch.AcceleratorError: CUDA error: out of memory\n" + "\n".join(ASYNC)),
    phase="train",
    step=4,
)
case(
    "trap: NVML warning, then a ValueError of code",
    {"code"},
    "RUN022",
    "UserWarning: Can't initialize NVML",
    *tb("ValueError: too many values to unpack (expected 2)"),
)

# --- disks ------------------------------------------------------------------------------------------------------------
SAVE = "/opt/venv/lib/python3.11/site-packages/transformers/trainer.py:3300:_save_optimizer_and_scheduler:torch.save(self.optimizer.state_dict(), os.path.join(output_dir, OPTIMIZER_NAME))"
FULL = {"disk_free_bytes": 0, "needed_bytes": 3 * GIB, "inodes_free": 10**6}
ROOMY = {"disk_free_bytes": 800 * GIB, "needed_bytes": 3 * GIB, "inodes_free": 10**8}
case(
    "ENOSPC",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 28] No space left on device: '/srv/out/checkpoint-400/trainer_state.json'", SAVE),
    phase="save",
    **FULL,
)
case(
    "torch.save on a full disk never says ENOSPC",
    "disk-full",
    "RUN025|SYS001",
    *tb("RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 5373952 vs 5373844", SAVE),
    phase="save",
    **FULL,
)
case(
    "torch.save chained",
    "disk-full",
    "RUN025|SYS001",
    *tb(
        "RuntimeError: [enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing file data/7: file write failed",
        SAVE,
    ),
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    *tb("RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 5373952 vs 5373844", SAVE),
    phase="save",
    **FULL,
)
case(
    "safetensors on a full disk",
    "disk-full",
    "RUN025|SYS001",
    *tb(
        "safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)",
        SAVE,
    ),
    phase="save",
    **FULL,
)
case(
    "out of inodes",
    "disk-full",
    "SYS002|RUN025|SYS001",
    *tb("OSError: [Errno 28] No space left on device: '/srv/out/checkpoint-400'"),
    disk_free_bytes=500 * GIB,
    inodes_free=0,
    needed_bytes=GIB,
    phase="save",
)
case(
    "quota",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 122] Disk quota exceeded: '/home/ana/out/checkpoint-400/model.safetensors'"),
    phase="save",
    **ROOMY,
)
case(
    "quota, rust's words",
    "disk-full",
    "RUN025|SYS001",
    *tb(
        'safetensors_rust.SafetensorError: Error while serializing: IoError(Os { code: 122, kind: FilesystemQuotaExceeded, message: "Disk quota exceeded" })'
    ),
    phase="save",
    **ROOMY,
)
case(
    "full cache disk, roomy output disk",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 28] No space left on device: '/root/.cache/huggingface/hub/tmp8f2'"),
    phase="load",
    **ROOMY,
)
case(
    "arrow's full disk inside a DatasetGenerationError",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    *tb(
        "datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset",
        '/opt/venv/lib/python3.11/site-packages/datasets/builder.py:1900:_prepare_split_single:raise DatasetGenerationError("An error occurred while generating the dataset") from e',
    ),
    phase="tokenize",
    **FULL,
)
case(
    "sqlite full",
    "disk-full",
    "RUN025|SYS001",
    *tb(
        "sqlite3.OperationalError: database or disk is full",
        "/opt/venv/lib/python3.11/site-packages/trackio/sqlite_storage.py:300:log:conn.execute(sql)",
    ),
    **FULL,
)
case(
    "full disk, message localised",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 28] Auf dem Ger\\xe4t ist kein Speicherplatz mehr verf\\xfcgbar: '/srv/out/checkpoint-40'"),
    phase="save",
    **FULL,
)
case("mapping on a full disk dies by SIGBUS", {"disk-full", "code", "unknown", "ram-oom"}, "", signal=7, **FULL)
case(
    "trap: ENOSPC of inotify watches is no full disk",
    {"config", "code", "unknown"},
    "",
    *tb(
        "OSError: [Errno 28] inotify watch limit reached",
        "/opt/venv/lib/python3.11/site-packages/watchdog/observers/inotify_c.py:95:__init__:Inotify._raise_error()",
    ),
    **ROOMY,
)
case(
    "trap: wandb could not write its log, the end is a KeyError",
    "code",
    "RUN022",
    "wandb: WARNING A disk error: [Errno 28] No space left on device: '/root/.config/wandb/x', offline",
    STEP,
    *tb("KeyError: 'eval_loss'"),
    **ROOMY,
)
case(
    "trap: the disk is nearly full, but the end is a NameError",
    "code",
    "RUN022",
    STEP,
    *tb("NameError: name 'np' is not defined"),
    phase="train",
    disk_free_bytes=GIB,
    needed_bytes=3 * GIB,
)
case(
    "trap: a data row says No space left on device",
    {"code"},
    "RUN022",
    "{'text': 'OSError: [Errno 28] No space left on device: /dev/sda1'}",
    *tb("IndexError: list index out of range", "/srv/app/train.py:33:collate:return row['messages'][1]"),
    **ROOMY,
)
case(
    "EIO",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 5] Input/output error: '/srv/out/checkpoint-40/optimizer.pt'"),
    phase="save",
    **ROOMY,
)
case(
    "EIO with the kernel's line",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 5] Input/output error"),
    kernel=(
        "blk_update_request: I/O error, dev sda, sector 123456 op 0x1:(WRITE)",
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm python: reading directory lblock 0",
    ),
    **ROOMY,
)
case(
    "read-only",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 30] Read-only file system: '/srv/out/checkpoint-40'"),
    phase="save",
    **ROOMY,
)
case(
    "stale NFS handle",
    {"disk-error", "mount-gone"},
    "SYS003|SYS012",
    *tb("OSError: [Errno 116] Stale file handle: '/nfs/out/checkpoint-40'"),
    phase="save",
)
case(
    "fuse mount dead",
    "mount-gone",
    "SYS012",
    *tb("OSError: [Errno 107] Transport endpoint is not connected: '/mnt/bucket/out'"),
    mount_gone=True,
)
case(
    "mount gone, words unhelpful",
    "mount-gone",
    "SYS012",
    *tb("FileNotFoundError: [Errno 2] No such file or directory: '/mnt/out/checkpoint-40/model.safetensors'"),
    mount_gone=True,
)
case(
    "mount gone, SIGKILL after a hang",
    {"mount-gone", "hang"},
    "SYS012|RUN008",
    signal=9,
    asked_by="hang",
    silent_seconds=900.0,
    mount_gone=True,
)
case(
    "not permitted",
    {"disk-error", "config"},
    "SYS003",
    *tb("PermissionError: [Errno 13] Permission denied: '/srv/out/checkpoint-40'"),
    phase="save",
    **ROOMY,
)
case(
    "text file busy / locked",
    {"disk-error", "config", "code", "unknown"},
    "",
    *tb(
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "/srv/app/train.py:9:lock:fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    ),
    **ROOMY,
)

# --- numbers ----------------------------------------------------------------------------------------------------------
case(
    "own run: NaN",
    "not-finite",
    "RUN001",
    findings=({"code": "RUN001", "severity": "error", "message": "loss is NaN at step 120", "step": 120},),
    step=120,
    phase="train",
)
case(
    "own run: inf",
    "not-finite",
    "RUN002",
    findings=({"code": "RUN002", "severity": "error", "message": "loss is inf at step 120", "step": 120},),
    step=120,
    phase="train",
)
case(
    "own run: divergence",
    "divergence",
    "RUN003",
    findings=({"code": "RUN003", "severity": "error", "message": "the loss rose from 1.2 to 9.4 and stays"},),
    step=900,
    phase="train",
)
case(
    "anomaly mode",
    "not-finite",
    "RUN001|RUN002",
    *tb("RuntimeError: Function 'LogSoftmaxBackward0' returned nan values in its 0th output.", OWN, TRAINER, BACKWARD),
    phase="train",
    step=7,
)
case(
    "clip_grad_norm non-finite",
    "not-finite",
    "RUN001|RUN002",
    *tb(
        "RuntimeError: The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped. To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=7,
)
case(
    "deepspeed's scale at minimum",
    {"not-finite", "divergence"},
    "RUN00",
    *tb(
        "Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.",
        "/opt/venv/lib/python3.11/site-packages/deepspeed/runtime/fp16/loss_scaler.py:175:update_scale:raise Exception(",
    ),
    phase="train",
    step=31,
)
case(
    "fairseq's scale at minimum",
    {"not-finite", "divergence"},
    "RUN00",
    *tb(
        "FloatingPointError: Minimum loss scale reached (0.0001). Your loss is probably exploding. Try lowering the learning rate, using gradient clipping or increasing the batch size."
    ),
    phase="train",
    step=31,
)
case(
    "sampling from NaN",
    "not-finite",
    "RUN001|RUN002",
    *tb("RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"),
    phase="train",
    step=31,
)
case(
    "trap: NaN in a table",
    {"code", "data"},
    "RUN022|DATA",
    *tb("ValueError: cannot convert float NaN to integer", "/srv/app/prepare.py:12:label:return int(row['label'])"),
    phase="tokenize",
)
case(
    "trap: loss nan once in the log, then a NameError",
    {"code", "not-finite"},
    "RUN022|RUN001",
    "{'loss': nan, 'grad_norm': nan, 'learning_rate': 1e-05, 'epoch': 0.01}",
    STEP,
    STEP,
    STEP,
    *tb("NameError: name 'x' is not defined"),
)
case(
    "trap: nan in an eval metric of a good run",
    None,
    "",
    "{'eval_bleu': nan, 'eval_loss': 1.31}",
    "{'train_runtime': 93.1, 'train_loss': 1.44, 'epoch': 1.0}",
    exit_code=0,
    planned_steps=60,
    own_steps=60,
)

# --- network and hub --------------------------------------------------------------------------------------------------
NET = "/opt/venv/lib/python3.11/site-packages/requests/adapters.py:700:send:raise ConnectionError(e, request=request)"
case(
    "hub 429",
    "network",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/api/models/meta-llama/Llama-3.2-1B (Request ID: Root=1-65)\n\nmaximum queue size reached",
        HUB,
    ),
    phase="load",
)
case(
    "hub 500",
    "network",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: 500 Server Error: Internal Server Error for url: https://huggingface.co/api/models/gpt2 (Request ID: Root=1-65)",
        HUB,
    ),
    phase="load",
)
case(
    "hub 504 old class",
    "network",
    "",
    *tb(
        "requests.exceptions.HTTPError: 504 Server Error: Gateway Time-out for url: https://huggingface.co/gpt2/resolve/main/config.json"
    ),
    phase="load",
)
case(
    "DNS",
    "network",
    "",
    *tb(
        "requests.exceptions.ConnectionError: (MaxRetryError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /gpt2/resolve/main/config.json (Caused by NameResolutionError(\\\"<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to resolve 'huggingface.co' ([Errno -3] Temporary failure in name resolution)\\\"))\"), '(Request ID: 7e)')",
        NET,
    ),
    phase="load",
)
case(
    "DNS, httpx",
    "network",
    "",
    *tb(
        "httpx.ConnectError: [Errno -2] Name or service not known",
        "/opt/venv/lib/python3.11/site-packages/httpx/_transports/default.py:118:map_httpcore_exceptions:raise mapped_exc(message) from exc",
    ),
    phase="load",
)
case(
    "read timeout",
    "network",
    "",
    *tb(
        "requests.exceptions.ReadTimeout: (ReadTimeoutError(\"HTTPSConnectionPool(host='cdn-lfs.huggingface.co', port=443): Read timed out. (read timeout=10)\"), '(Request ID: 7e)')",
        NET,
    ),
    phase="load",
)
case(
    "server hung up",
    "network",
    "",
    *tb("httpx.RemoteProtocolError: Server disconnected without sending a response."),
    phase="load",
)
case(
    "broken download",
    "network",
    "",
    *tb(
        "requests.exceptions.ChunkedEncodingError: ('Connection broken: IncompleteRead(10485760 bytes read, 4966789120 more expected)', IncompleteRead(10485760 bytes read, 4966789120 more expected))"
    ),
    phase="load",
)
case(
    "size of a download differs",
    {"network"},
    "",
    *tb(
        "OSError: Consistency check failed: file should be of size 4976698672 but has size 1254358912 (model-00001-of-00002.safetensors).\nThis is usually due to network issues while downloading the file. Please retry with `force_download=True`."
    ),
    phase="load",
)
case(
    "xet",
    "network",
    "",
    *tb(
        "RuntimeError: Data processing error: CAS service error : ReqwestMiddleware Error: Request failed after 5 retries"
    ),
    phase="load",
)
case(
    "cannot connect and not cached",
    "network",
    "",
    *tb(
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.\nCheck your internet connection or see how to run the library in offline mode at 'https://huggingface.co/docs/transformers/installation#offline-mode'.",
        "/opt/venv/lib/python3.11/site-packages/transformers/utils/hub.py:540:cached_files:raise OSError(",
    ),
    phase="load",
)
case(
    "TLS cut",
    "network",
    "",
    *tb(
        "requests.exceptions.SSLError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api/models/gpt2 (Caused by SSLError(SSLEOFError(8, '[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)')))"
    ),
    phase="load",
)
case(
    "certificate of a proxy",
    {"config", "network"},
    "",
    *tb(
        "requests.exceptions.SSLError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api/models/gpt2 (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain (_ssl.c:1006)')))"
    ),
    phase="load",
)
case(
    "401",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/whoami-v2 (Request ID: Root=1-65)\n\nInvalid user token.",
        HUB,
    ),
    phase="load",
)
case(
    "gated 403",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-65)\n\nCannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/config.json.\nAccess to model meta-llama/Llama-3.2-1B is restricted and you are not in the authorized list. Visit https://huggingface.co/meta-llama/Llama-3.2-1B to ask for access."
    ),
    phase="load",
)
case(
    "gated, as transformers says it",
    "config",
    "",
    *tb("huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-65)"),
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    *tb(
        "OSError: You are trying to access a gated repo.\nMake sure to have access to it at https://huggingface.co/meta-llama/Llama-3.2-1B.\n401 Client Error. (Request ID: Root=1-65)"
    ),
    phase="load",
)
case(
    "404",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1-65)\n\nRepository Not Found for url: https://huggingface.co/api/models/gpt22.\nPlease make sure you specified the correct `repo_id` and `repo_type`."
    ),
    phase="load",
)
case(
    "no such model",
    "config",
    "",
    *tb(
        "OSError: lama-3 is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\nIf this is a private repository, make sure to pass a token having permission to this repo either by logging in with `hf auth login` or by passing `token=<your_token>`"
    ),
    phase="load",
)
case(
    "revision",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.RevisionNotFoundError: 404 Client Error. (Request ID: Root=1-65)\n\nRevision Not Found for url: https://huggingface.co/gpt2/resolve/v9/config.json.\nInvalid rev id: v9"
    ),
    phase="load",
)
case(
    "offline mode",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.OfflineModeIsEnabled: Cannot reach https://huggingface.co/api/models/gpt2: offline mode is enabled. To disable it, please unset the `HF_HUB_OFFLINE` environment variable."
    ),
    phase="load",
)
case(
    "wandb has no key",
    "config",
    "",
    *tb("wandb.errors.errors.UsageError: api_key not configured (no-tty). call wandb.login(key=[your_api_key])"),
    phase="load",
)
case(
    "wandb lost the network",
    "network",
    "",
    *tb(
        "wandb.errors.errors.CommError: Run initialization has timed out after 90.0 sec. Please try increasing the timeout with the `init_timeout` setting: `wandb.init(settings=wandb.Settings(init_timeout=120))`."
    ),
    phase="load",
)
case(
    "S3 endpoint",
    "network",
    "",
    *tb(
        'botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL: "https://bucket.s3.eu-central-1.amazonaws.com/"'
    ),
)
case("S3 credentials", "config", "", *tb("botocore.exceptions.NoCredentialsError: Unable to locate credentials"))
case(
    "reward server refused",
    "network",
    "",
    *tb(
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='10.0.0.8', port=8000): Max retries exceeded with url: /generate/ (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused'))",
        NET,
    ),
    phase="train",
    step=90,
)
case(
    "reset by peer",
    "network",
    "",
    *tb(
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "/usr/lib/python3.11/ssl.py:1166:read:return self._sslobj.read(len, buffer)",
    ),
    phase="load",
)
case(
    "rendezvous times out",
    {"network", "config"},
    "",
    *tb(
        "torch.distributed.DistNetworkError: The client socket has timed out after 600000ms while trying to connect to (node1, 29500)."
    ),
    phase="load",
)
case(
    "NCCL remote error",
    {"network", "gpu-lost", "unknown"},
    "",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, remote process exited or there was a network error, NCCL version 2.20.5\nncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.\nLast error:\nsocketProgressOpt: Call to recv from 10.0.0.2<41234> failed : Connection reset by peer"
    ),
    phase="train",
    step=4,
)
case(
    "trap: retries of the hub worked, the end is an AttributeError",
    "code",
    "RUN022",
    "HTTP Error 429 thrown while requesting HEAD https://huggingface.co/gpt2/resolve/main/config.json",
    "Retrying in 1s [Retry 1/5].",
    STEP,
    *tb("AttributeError: 'LlamaForCausalLM' object has no attribute 'peft_confg'"),
)
case(
    "trap: Connection reset of the store is what the other rank's ValueError left",
    "code",
    "RUN022",
    *(
        f"[rank1]: {line}"
        for line in tb("ValueError: Expected input batch_size (8) to match target batch_size (7).", OWN)
    ),
    "[rank0]: Traceback (most recent call last):",
    "[rank0]: RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:38210",
    "[W1102 03:14:13.1 TCPStore.cpp:125] [c10d] recvValue failed on SocketImpl(fd=3, addr=[localhost]:41902, remote=[localhost]:29500): Connection reset by peer",
    *tb("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
)
case(
    "trap: 404 in a URL that is training data",
    "code",
    "RUN022",
    "text: 'GET /x 404 Client Error: Not Found for url: https://huggingface.co/x'",
    *tb("UnboundLocalError: cannot access local variable 'loss' where it is not associated with a value"),
)

# --- asked to end -----------------------------------------------------------------------------------------------------
case("SIGTERM of somebody", "preempted", "RUN012", STEP, signal=15)
case("drain", "stopped", "", STEP, signal=15, asked_by="drain")
case("drain, deadline over", "stopped", "", STEP, signal=9, asked_by="drain")
case(
    "drain, saved and exit 0",
    {"stopped"},
    "",
    STEP,
    exit_code=0,
    asked_by="drain",
    planned_steps=100,
    own_steps=40,
    result_saved=None,
)
case(
    "drain, but the file was just done",
    {None},
    "",
    "Training completed.",
    exit_code=0,
    asked_by="drain",
    planned_steps=100,
    own_steps=100,
    result_saved=True,
)
case("pause", "stopped", "", exit_code=143, asked_by="pause")
case("lease lost", "stopped", "", exit_code=75, asked_by="lease")
case("cancelled", "stopped", "", signal=9, asked_by="cancel")
case("hang", "hang", "RUN008", TQDM, signal=9, asked_by="hang", silent_seconds=1810.0, phase="train", step=370)
case("hang ended by SIGTERM's handler", "hang", "RUN008", TQDM, exit_code=1, asked_by="hang", silent_seconds=700.0)
case(
    "hang after a lost GPU",
    {"gpu-lost", "hang"},
    "RUN013|RUN008",
    signal=9,
    asked_by="hang",
    silent_seconds=1810.0,
    kernel=(XID.format("79, GPU has fallen off the bus."),),
    gpu_answers=False,
)
case("machine goes down", "preempted", "RUN012", signal=9, machine_going_down=True)
case("machine goes down, SIGTERM", "preempted", "RUN012", signal=15, machine_going_down=True)
case("container stopped: 143", "preempted", "RUN012", exit_code=143)
case(
    "slurm time limit",
    "preempted",
    "RUN012",
    "slurmstepd: error: *** JOB 88123 ON node17 CANCELLED AT 2026-11-02T04:00:01 DUE TO TIME LIMIT ***",
    signal=15,
)
case(
    "slurm preemption, killed",
    "preempted",
    "RUN012",
    "slurmstepd: error: *** STEP 88123.0 ON node17 CANCELLED AT 2026-11-02T04:00:01 DUE TO PREEMPTION ***",
    signal=9,
)
case(
    "torchrun got SIGTERM",
    "preempted",
    "RUN012",
    "W1102 04:00:01.000 139 torch/distributed/elastic/agent/server/api.py:719] Received Signals.SIGTERM death signal, shutting down workers",
    *tb("torch.distributed.elastic.multiprocessing.api.SignalException: Process 139 got signal: 15"),
)
case("Ctrl-C", {"killed", "preempted", "stopped"}, "", *tb("KeyboardInterrupt", OWN, TRAINER), signal=2)
case(
    "Ctrl-C as exit 130",
    {"killed", "preempted", "stopped"},
    "",
    "^C",
    *tb("KeyboardInterrupt", OWN, TRAINER),
    exit_code=130,
)
case("terminal closed", {"killed", "preempted"}, "RUN012", signal=1)
case(
    "SIGUSR1 of a scheduler unhandled", {"killed", "preempted", "unknown"}, "RUN012", "User defined signal 1", signal=10
)
case("CPU time limit", {"killed", "preempted", "config", "unknown"}, "", signal=24)
case(
    "asked to drain while the run had just lost its GPU memory",
    {"gpu-oom", "stopped"},
    "",
    *tb(OOM, OWN),
    exit_code=1,
    asked_by="drain",
    phase="train",
    step=8,
)
case(
    "trap: SIGTERM in the text, code in truth",
    "code",
    "RUN022",
    "Received SIGTERM handler registered",
    *tb("TypeError: '<' not supported between instances of 'NoneType' and 'int'"),
)
case(
    "trap: time limit of an earlier job in the log file, this end is an OOM",
    "gpu-oom",
    "RUN010",
    "slurmstepd: error: *** JOB 88001 ON node17 CANCELLED AT 2026-11-01T04:00:01 DUE TO TIME LIMIT ***",
    "resuming from checkpoint-300",
    STEP,
    *tb(OOM, OWN),
    phase="train",
)
case(
    "NCCL watchdog alone",
    {"hang", "network", "gpu-lost"},
    "",
    STEP,
    "[rank0]:[E1102 03:14:12.100 ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8812, OpType=ALLREDUCE, NumelIn=26216960, NumelOut=26216960, Timeout(ms)=600000) ran for 600033 milliseconds before timing out.",
    "[rank0]:[E1102 03:14:12.2 ProcessGroupNCCL.cpp:681] [Rank 0] Some NCCL operations have failed or timed out. Due to the asynchronous nature of CUDA kernels, subsequent GPU operations might run on corrupted/incomplete data.",
    "[rank0]:[E1102 03:14:12.2 ProcessGroupNCCL.cpp:695] [Rank 0] To avoid data inconsistency, we are taking the entire process down.",
    "terminate called after throwing an instance of 'c10::DistBackendError'",
    signal=6,
    phase="train",
)
case(
    "old NCCL watchdog",
    {"hang", "network", "gpu-lost"},
    "",
    "[E ProcessGroupNCCL.cpp:587] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1807885 milliseconds before timing out.",
    "terminate called after throwing an instance of 'std::runtime_error'",
    exit_code=134,
    phase="train",
)

# --- data -------------------------------------------------------------------------------------------------------------
case(
    "template: roles must alternate",
    "data",
    "",
    *tb(
        "jinja2.exceptions.TemplateError: Conversation roles must alternate user/assistant/user/assistant/...",
        "<template>:1:top-level template code:{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}",
    ),
    phase="tokenize",
)
case(
    "template: a row without content",
    "data",
    "",
    *tb(
        "jinja2.exceptions.UndefinedError: 'dict object' has no attribute 'content'",
        "<template>:3:top-level template code:{{ message['content'] }}",
    ),
    phase="tokenize",
)
case(
    "template: its own syntax",
    {"config", "code"},
    "",
    *tb("jinja2.exceptions.TemplateSyntaxError: unexpected '}'", "<unknown>:1:template:{{ bos }"),
    phase="tokenize",
)
case(
    "template: none set",
    {"config"},
    "",
    *tb(
        "ValueError: Cannot use chat template functions because tokenizer.chat_template is not set and no template argument was passed! For information about writing templates and setting the tokenizer.chat_template attribute, please see the documentation at https://huggingface.co/docs/transformers/main/en/chat_templating"
    ),
    phase="tokenize",
)
case(
    "datasets CastError",
    "data",
    "",
    *tb(
        "datasets.table.CastError: Couldn't cast\nmessages: string\nto\n{'text': Value('string')}\nbecause column names don't match"
    ),
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    *tb(
        "datasets.exceptions.DatasetGenerationCastError: An error occurred while generating the dataset\n\nAll the data files must have the same columns, but at some point there are 1 new columns ({'messages'}) and 1 missing columns ({'text'})."
    ),
    phase="load",
)
case(
    "JSON type changes",
    "data",
    "",
    *tb("pyarrow.lib.ArrowInvalid: JSON parse error: Column(/text) changed from string to object in row 3"),
    phase="load",
)
case(
    "own json.loads of a cut line",
    {"data", "code"},
    "",
    *tb(
        "json.decoder.JSONDecodeError: Unterminated string starting at: line 1 column 10 (char 9)",
        "/srv/app/prepare.py:8:<listcomp>:rows = [json.loads(line) for line in open(path)]",
    ),
    phase="load",
)
case(
    "own read of bytes that are not UTF-8",
    {"data", "code"},
    "",
    *tb(
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 12: invalid continuation byte",
        "/srv/app/prepare.py:8:<listcomp>:rows = [json.loads(line) for line in open(path, encoding='utf-8')]",
    ),
    phase="load",
)
case(
    "parquet magic",
    "data",
    "",
    *tb(
        "pyarrow.lib.ArrowInvalid: Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file."
    ),
    phase="load",
)
case(
    "no rows left",
    {"data", "ended-early"},
    "",
    *tb(
        "ValueError: num_samples should be a positive integer value, but got num_samples=0",
        "/opt/venv/lib/python3.11/site-packages/torch/utils/data/sampler.py:143:__init__:raise ValueError(",
    ),
    phase="load",
)
case(
    "gzip cut",
    "data",
    "",
    *tb(
        "EOFError: Compressed file ended before the end-of-stream marker was reached",
        "/usr/lib/python3.11/gzip.py:507:read:raise EOFError(",
    ),
    phase="load",
)
case(
    "image cannot be read",
    "data",
    "",
    *tb("PIL.UnidentifiedImageError: cannot identify image file <_io.BytesIO object at 0x7f2>"),
    phase="train",
    step=44,
)
case(
    "own run: DATA002",
    "data",
    "DATA002",
    findings=({"code": "DATA002", "severity": "error", "message": "line 4 is no JSON"},),
    exit_code=1,
    phase="load",
)
case(
    "embedding index out of range on CPU",
    {"code", "data"},
    "",
    *tb(
        "IndexError: index out of range in self",
        "/opt/venv/lib/python3.11/site-packages/torch/nn/functional.py:2551:embedding:return torch.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)",
    ),
    phase="train",
    step=3,
)
case(
    "trap: json.loads of a configuration file",
    {"config", "code"},
    "",
    *tb(
        "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 14 column 3 (char 402)",
        "/opt/venv/lib/python3.11/site-packages/transformers/training_args.py:1800:__post_init__:self.deepspeed = json.load(open('ds_config.json'))",
    ),
    phase="load",
)
case(
    "trap: a JSON answer of a dead server",
    {"network", "code"},
    "",
    *tb(
        "requests.exceptions.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "/srv/app/reward.py:20:ask:return response.json()",
    ),
    phase="train",
    step=90,
)
case(
    "trap: DATA warnings, the end is an ImportError",
    {"config", "code"},
    "",
    *tb("ModuleNotFoundError: No module named 'flash_attn'"),
    findings=({"code": "DATA008", "severity": "warn", "message": "12 examples are over max_length"},),
    phase="load",
)

# --- code and configuration -------------------------------------------------------------------------------------------
case("NameError", "code", "RUN022", STEP, *tb("NameError: name 'evaluate_model' is not defined"))
case(
    "UnboundLocalError", "code", "RUN022", *tb("UnboundLocalError: local variable 'loss' referenced before assignment")
)
case(
    "RecursionError",
    "code",
    "RUN022",
    *tb("RecursionError: maximum recursion depth exceeded while calling a Python object"),
)
case(
    "AssertionError without words",
    "code",
    "RUN022",
    *tb("AssertionError", "/srv/app/train.py:50:step:assert labels.shape == logits.shape[:2]"),
)
case(
    "shapes",
    "code",
    "RUN022",
    *tb("RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x4096 and 2048x2048)", OWN, TRAINER),
    phase="train",
    step=0,
)
case(
    "dtypes",
    "code",
    "RUN022",
    *tb("RuntimeError: expected scalar type Half but found Float", OWN, TRAINER),
    phase="train",
    step=0,
)
case(
    "graph gone",
    "code",
    "RUN022",
    *tb("RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn", OWN, TRAINER, BACKWARD),
    phase="train",
    step=0,
)
case(
    "padding missing",
    {"code", "data", "config"},
    "",
    *tb(
        "ValueError: Unable to create tensor, you should probably activate truncation and/or padding with 'padding=True' 'truncation=True' to have batched tensors with the same length. Perhaps your features (`labels` in this case) have excessive nesting (inputs type `list` where type `int` is expected)."
    ),
)
case(
    "pickling",
    "code",
    "RUN022",
    *tb(
        "AttributeError: Can't pickle local object 'main.<locals>.collate'",
        "/usr/lib/python3.11/multiprocessing/reduction.py:60:dump:ForkingPickler(file, protocol).dump(obj)",
    ),
)
case(
    "pickling, 3.12+",
    "code",
    "RUN022",
    *tb(
        "_pickle.PicklingError: Can't pickle <function <lambda> at 0x7f1>: attribute lookup <lambda> on __main__ failed"
    ),
)
case(
    "SyntaxError",
    "code",
    "RUN022|PY",
    '  File "/srv/app/train.py", line 12',
    "    def main(:",
    "             ^",
    "SyntaxError: invalid syntax",
)
case(
    "module missing",
    {"config", "code"},
    "",
    *tb("ModuleNotFoundError: No module named 'peft'", "/srv/app/train.py:3:<module>:from peft import LoraConfig"),
)
case(
    "libcudart missing",
    {"config"},
    "",
    *tb("ImportError: libcudart.so.12: cannot open shared object file: No such file or directory"),
    phase="load",
)
case(
    "GLIBCXX",
    {"config", "code"},
    "",
    *tb(
        "ImportError: /lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /opt/venv/lib/python3.11/site-packages/flash_attn_2_cuda.so)"
    ),
    phase="load",
)
case(
    "CPU wheel of torch",
    "config",
    "",
    *tb(
        "AssertionError: Torch not compiled with CUDA enabled",
        '/opt/venv/lib/python3.11/site-packages/torch/cuda/__init__.py:310:_lazy_init:raise AssertionError("Torch not compiled with CUDA enabled")',
    ),
    phase="load",
)
case(
    "bf16 on an old GPU",
    "config",
    "",
    *tb(
        "ValueError: Your setup doesn't support bf16/gpu. You need to assign use_cpu if you want to train the model on CPU."
    ),
    phase="load",
)
case(
    "flash attention missing",
    {"config"},
    "",
    *tb(
        "ImportError: FlashAttention2 has been toggled on, but it cannot be used due to the following error: the package flash_attn seems to be not installed. Please refer to the documentation of https://huggingface.co/docs/transformers/perf_infer_gpu_one#flashattention-2 to install Flash Attention 2."
    ),
    phase="load",
)
case(
    "argparse",
    {"config", "code"},
    "",
    "usage: train.py [-h] --config CONFIG",
    "train.py: error: unrecognized arguments: --lerning-rate 1e-4",
    exit_code=2,
)
case("command not found", "config", "", "/bin/sh: 1: accelerate: not found", exit_code=127)
case("not executable", "config", "", "bash: ./train.sh: Permission denied", exit_code=126)
case(
    "shared library missing at exec",
    "config",
    "",
    "python: error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file: No such file or directory",
    exit_code=127,
)
case(
    "pydantic",
    {"config", "code"},
    "",
    *tb(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for DeepSpeedZeroConfig\nstage\n  Input should be less than or equal to 3 [type=less_than_equal, input_value=4, input_type=int]"
    ),
    phase="load",
)
case(
    "deepspeed and Trainer disagree",
    {"config", "code"},
    "",
    *tb(
        "ValueError: Please correct the following DeepSpeed config values that mismatch TrainingArguments values:\n- ds train_micro_batch_size_per_gpu=2 vs hf per_device_train_batch_size=4\nThe easiest method is to set these DeepSpeed config values to 'auto'."
    ),
    phase="load",
)
case(
    "model type unknown to this transformers",
    "config",
    "",
    *tb(
        "ValueError: The checkpoint you are trying to load has model type `qwen9` but Transformers does not recognize this architecture. This could be because of an issue with the checkpoint, or because your version of Transformers is out of date."
    ),
    phase="load",
)
case(
    "weights do not fit the model",
    {"config", "code"},
    "",
    *tb(
        "RuntimeError: Error(s) in loading state_dict for LlamaForCausalLM:\n\tsize mismatch for model.embed_tokens.weight: copying a param with shape torch.Size([32000, 4096]) from checkpoint, the shape in current model is torch.Size([32001, 4096])."
    ),
    phase="load",
)
case(
    "safetensors header",
    {"config", "disk-error"},
    "",
    *tb(
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered"
    ),
    phase="load",
)
case(
    "too many open files",
    {"config", "code"},
    "SYS011|RUN022",
    *tb("OSError: [Errno 24] Too many open files: '/srv/data/shard-00113.parquet'"),
)
case("threads refused", {"config", "ram-oom", "code"}, "", *tb("RuntimeError: can't start new thread"))
case("segfault without a word", "code", "RUN022", STEP, signal=11)
case(
    "segfault, shell's 139",
    "code",
    "RUN022",
    "run.sh: line 3:  4242 Segmentation fault      (core dumped) python train.py",
    exit_code=139,
)
case(
    "Fatal Python error",
    "code",
    "RUN022",
    "Fatal Python error: Segmentation fault",
    "",
    "Thread 0x00007f1 (most recent call first):",
    '  File "/srv/app/kernels.py", line 40 in forward',
    signal=11,
)
case(
    "bus error core dumped",
    {"unknown", "code", "ram-oom", "disk-full"},
    "",
    "run.sh: line 3:  4242 Bus error               (core dumped) python train.py",
    exit_code=135,
)
case("illegal instruction", {"config", "code"}, "", signal=4, phase="load")
case(
    "abort with a CHECK",
    "code",
    "RUN022",
    "F0000 00:00:1730516052.1 4242 tensor.cc:412] Check failed: dtype() == expected_dtype (1 vs. 9)",
    "*** Check failure stack trace: ***",
    signal=6,
)
case(
    "port in use",
    {"config", "code", "network", "unknown"},
    "",
    *tb(
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use"
    ),
    phase="load",
)
case(
    "two rank's same NameError",
    "code",
    "RUN022",
    *(f"[rank0]: {line}" for line in tb("NameError: name 'foo' is not defined")),
    *(f"[rank1]: {line}" for line in tb("NameError: name 'foo' is not defined")),
    *tb("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
)
case(
    "rich's traceback",
    "code",
    "RUN022",
    "╭───────────────────── Traceback (most recent call last) ─────────────────────╮",
    "│ /srv/app/train.py:61 in main                                                 │",
    "│ ❱ 61 │   trainer.fit()                                                       │",
    "╰──────────────────────────────────────────────────────────────────────────────╯",
    "AttributeError: 'SFTTrainer' object has no attribute 'fit'",
)
case(
    "exception group",
    "code",
    "RUN022",
    "  + Exception Group Traceback (most recent call last):",
    '  |   File "/srv/app/reward.py", line 9, in score',
    "  |     async with asyncio.TaskGroup() as group:",
    "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
    "  +-+---------------- 1 ----------------",
    "    | Traceback (most recent call last):",
    '    |   File "/srv/app/reward.py", line 14, in one',
    "    |     return len(answer)",
    "    | TypeError: object of type 'NoneType' has no len()",
    "    +------------------------------------",
)
case(
    "tail cut in the middle of a traceback",
    "code",
    "RUN022",
    "    return forward_call(*args, **kwargs)",
    '  File "/srv/app/model.py", line 210, in forward',
    "    hidden = self.norm(hidden)",
    "TypeError: LayerNorm.forward() missing 1 required positional argument: 'input'",
)
case(
    "not UTF-8 around",
    "code",
    "RUN022",
    "\\xff\\xfe\\x00 progr\\xe8s: 10%",
    *tb("KeyError: 'r\\xe9ponse'", "/srv/app/train.py:77:main:print(metrics['r\\xe9ponse'])"),
    phase="train",
)
case(
    "atexit noise after the error",
    "code",
    "RUN022",
    *tb("NameError: name 'x' is not defined"),
    "wandb: ",
    "wandb: Run history: loss ▁▂▃",
    "wandb: Find logs at: ./wandb/run-2026/logs",
    "[rank0]:[W1102 ProcessGroupNCCL.cpp:1496] Warning: WARNING: destroy_process_group() was not called before program exit, which can leak resources.",
)
case(
    "ignored exception in __del__ after the real one",
    "code",
    "RUN022",
    *tb("ValueError: lr must be positive, got -1", "/srv/app/train.py:20:<module>:main()"),
    "Exception ignored in: <function Worker.__del__ at 0x7f>",
    *tb("MemoryError", "/srv/app/w.py:2:__del__:self.close()"),
)

# --- ends without a fault, and without a word -------------------------------------------------------------------------
case(
    "success",
    None,
    "",
    "{'train_runtime': 93.1, 'train_loss': 1.44, 'epoch': 1.0}",
    exit_code=0,
    planned_steps=60,
    own_steps=60,
    result_saved=True,
)
case("success, nothing counted", None, "", "done", exit_code=0)
case(
    "success with errors in the log",
    None,
    "",
    "ERROR: could not upload metrics: 503 Server Error",
    *tb("ValueError: bad sample 17"),
    "skipped one sample",
    "Training completed.",
    exit_code=0,
    planned_steps=60,
    own_steps=60,
)
case(
    "success with warnings found",
    None,
    "",
    exit_code=0,
    planned_steps=60,
    own_steps=60,
    findings=({"code": "RUN004", "severity": "warn", "message": "the loss did not fall"},),
)
case("ended early", "ended-early", "RUN026", "done", exit_code=0, planned_steps=100, own_steps=63)
case("no step at all", "ended-early", "RUN015|RUN026", "done", exit_code=0, planned_steps=100, own_steps=0)
case(
    "teardown crash after the result stood",
    {None, "code"},
    "",
    "{'train_runtime': 93.1, 'train_loss': 1.44, 'epoch': 1.0}",
    signal=11,
    planned_steps=60,
    own_steps=60,
    result_saved=True,
)
case("exit 1 without a word", "unknown", "", exit_code=1)
case("exit 1 after progress only", "unknown", "", STEP, TQDM, exit_code=1)
case("exit 255", "unknown", "", exit_code=255)
case("sys.exit with words", {"unknown", "code", "config"}, "", "Error: please set DATA_DIR", exit_code=1)
case(
    "own run: wrong usage",
    "config",
    "CFG|RUN|SYS",
    "error: CFG003 unknown key lerning_rate",
    findings=({"code": "CFG003", "severity": "error", "message": "unknown key lerning_rate"},),
    exit_code=2,
)
case(
    "own run: warn findings and a real traceback",
    "code",
    "RUN022",
    *tb("KeyError: 'prompt'", "/srv/app/own.py:3:go:return row['prompt']"),
    findings=(
        {"code": "SYS001", "severity": "warn", "message": "the disk is low"},
        {"code": "RUN022", "severity": "error", "message": "KeyError: 'prompt'"},
    ),
)
case(
    "own run: an OOM that was recovered long ago, now a NaN",
    "not-finite",
    "RUN001",
    findings=(
        {"code": "RUN023", "severity": "info", "message": "recovered"},
        {"code": "RUN001", "severity": "error", "message": "loss is NaN", "step": 44},
    ),
)
case(
    "own run: disk full on save",
    "disk-full",
    "RUN025",
    findings=({"code": "RUN025", "severity": "error", "message": "no space for checkpoint-40"},),
    phase="save",
    **FULL,
)
case(
    "own run: internal error",
    {"internal"},
    "",
    "error: trainguard itself failed: AssertionError; please report it with trainguard/failure.txt",
    *tb("AssertionError", "/opt/venv/lib/python3.11/site-packages/trainguard/train/saving.py:40:save:assert verified"),
    exit_code=3,
)

for _name, _output, _known, _kinds, _code in REAL:
    case(f"real: {_name}", _kinds, _code, *_output.split("\n"), **_known)

# The first score, before anybody had seen both: 251 of 298. Of the 47, 34 were the classifier's mistakes (mended since),
# 9 labels were too narrow (widened), and 4 cases gave findings as no run writes them (mended).
FIRST_WRONG_CLASSIFIER = (
    "oom torch 0.4 THC",
    "bitsandbytes prints and dies",
    "jax RESOURCE_EXHAUSTED",
    "oom seen by vLLM at start",
    "vLLM no cache blocks",
    "old numpy cannot allocate",
    "slurmstepd oom_kill event",
    "ray kills a task for memory of the node",
    "DataLoader exited unexpectedly, oom_kill 1",
    "bitsandbytes illegal access",
    "HIP hardware exception",
    "driver/library mismatch after an update",
    "arrow's full disk inside a DatasetGenerationError",
    "sqlite full",
    "full disk, message localised",
    "clip_grad_norm non-finite",
    "fairseq's scale at minimum",
    "size of a download differs",
    "xet",
    "wandb has no key",
    "wandb lost the network",
    "S3 endpoint",
    "S3 credentials",
    "slurm preemption, killed",
    "template: a row without content",
    "template: none set",
    "no rows left",
    "gzip cut",
    "image cannot be read",
    "SyntaxError",
    "rich's traceback",
    "tail cut in the middle of a traceback",
    "ignored exception in __del__ after the real one",
    "real: ddp_dies",
)
FIRST_WRONG_LABEL = (
    "no GPU in the container",
    "SIGUSR1 of a scheduler unhandled",
    "own json.loads of a cut line",
    "own read of bytes that are not UTF-8",
    "port in use",
    "real: hub_offline",
    "real: jsonl_own",
    "real: portused",
    "real: utf8",
)
FIRST_WRONG_EVIDENCE = (
    "own run: NaN",
    "own run: inf",
    "own run: an OOM that was recovered long ago, now a NaN",
    "own run: internal error",
)
