"""A second set of ends, written after the first was mended and before it was scored: what the mending did not see."""

# ruff: noqa: E501
from __future__ import annotations

from tests.recovery.judge_cases import (
    ASYNC,
    BACKWARD,
    GIB,
    LOADER,
    OOM,
    OWN,
    ROOMY,
    SAVE,
    STEP,
    TQDM,
    TRAINER,
    Case,
    make_case,
    tb,
)

HELD_OUT: list[Case] = []


def case(*given: object, **known: object) -> None:
    HELD_OUT.append(make_case(*given, **known))  # type: ignore[arg-type]


case(
    "deepspeed oom on rank 5 behind a launcher's prefix",
    "gpu-oom",
    "RUN010",
    "node2: [rank5]: " + "Traceback (most recent call last):",
    'node2: [rank5]:   File "/srv/app/train.py", line 61, in main',
    "node2: [rank5]:     trainer.train()",
    "node2: [rank5]: " + OOM,
    "[2026-11-02 03:14:13,000] [INFO] [launch.py:335:sigkill_handler] Killing subprocess 4242",
    "[2026-11-02 03:14:13,900] [ERROR] [launch.py:341:sigkill_handler] ['/opt/venv/bin/python', '-u', 'train.py'] exits with return code = 1",
    phase="train",
)
case(
    "paged optimizer has no room",
    "gpu-oom",
    "RUN010",
    *tb("RuntimeError: CUDA driver error: out of memory", OWN, TRAINER),
    phase="train",
    step=1,
)
case(
    "cusolver has no room",
    "gpu-oom",
    "RUN010",
    *tb("torch._C._LinAlgError: cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    phase="train",
    step=1,
)
case(
    "triton's CUDA oom",
    "gpu-oom",
    "RUN010",
    *tb("RuntimeError: Triton Error [CUDA]: out of memory", OWN),
    phase="train",
    step=1,
)
case(
    "tensorflow's words of a reward model",
    {"gpu-oom", "code"},
    "",
    *tb(
        "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor with shape[8,4096,4096] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc"
    ),
)
case(
    "sglang in another process died of oom",
    {"gpu-oom", "code", "network"},
    "",
    *tb("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB.", OWN),
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    *tb("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"),
)
case(
    "oom, and wandb's summary after it",
    "gpu-oom",
    "RUN010",
    *tb(OOM, OWN, BACKWARD),
    "wandb: ",
    "wandb: You can sync this run to the cloud by running:",
    "wandb: wandb sync /srv/wandb/offline-run",
    "wandb: Find logs at: wandb/offline-run/logs",
    phase="train",
)
case(
    "oom inside an ExceptionGroup",
    "gpu-oom",
    "RUN010",
    "  + Exception Group Traceback (most recent call last):",
    '  |   File "/srv/app/t.py", line 9, in score',
    "  |     async with asyncio.TaskGroup() as group:",
    "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
    "  +-+---------------- 1 ----------------",
    "    | Traceback (most recent call last):",
    '    |   File "/srv/app/t.py", line 14, in one',
    "    |     return model(x)",
    "    | " + OOM,
    "    +------------------------------------",
)
case(
    "oom under rich",
    "gpu-oom",
    "RUN010",
    "╭───────────────────── Traceback (most recent call last) ─────────────────────╮",
    "│ /srv/app/train.py:61 in main                                                 │",
    "│                                                                              │",
    "│   58 │                                                                       │",
    "│ ❱ 61 │   trainer.train()                                                     │",
    "╰──────────────────────────────────────────────────────────────────────────────╯",
    OOM,
)
case(
    "trap: an answer of the model during training quotes a traceback, then a KeyError",
    "code",
    "RUN022",
    "generated: Traceback (most recent call last):",
    '  File "a.py", line 1, in <module>',
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB",
    "reward: 0.0",
    *tb("KeyError: 'advantages'", "/srv/app/grpo.py:31:loss:return inputs['advantages']"),
)
case(
    "trap: oom in a try of compile, trained on, then killed",
    "killed",
    "RUN012",
    *tb(OOM, OWN),
    "falling back to eager",
    STEP,
    TQDM,
    signal=9,
    oom_kills=0,
)
case(
    "trap: text of an OOM in a ValueError of the user",
    {"code"},
    "RUN022",
    *tb(
        "ValueError: expected one of ['CUDA out of memory', 'timeout'], got 'x'",
        "/srv/app/label.py:4:label:raise ValueError(",
    ),
)
case(
    "kernel killed python, oom score line and SIGKILL",
    "ram-oom",
    "RUN011",
    STEP,
    signal=9,
    kernel=(
        "python invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=kubepods,mems_allowed=0-1,oom_memcg=/kubepods/pod1,task_memcg=/kubepods/pod1/c,task=python,pid=4242,uid=0",
    ),
)
case(
    "OOM-killed child of accelerate launch",
    "ram-oom",
    "RUN011",
    *tb(
        "subprocess.CalledProcessError: Command '['/opt/venv/bin/python', 'train.py']' died with <Signals.SIGKILL: 9>.",
        "/opt/venv/lib/python3.11/site-packages/accelerate/commands/launch.py:800:simple_launcher:raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)",
    ),
    oom_kills=1,
)
case(
    "killed child of accelerate launch, oom_kill 0",
    "killed",
    "RUN012",
    *tb(
        "subprocess.CalledProcessError: Command '['/opt/venv/bin/python', 'train.py']' died with <Signals.SIGKILL: 9>.",
        "/opt/venv/lib/python3.11/site-packages/accelerate/commands/launch.py:800:simple_launcher:raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)",
    ),
    oom_kills=0,
)
case(
    "segfault of a child of accelerate launch",
    "code",
    "RUN022",
    *tb(
        "subprocess.CalledProcessError: Command '['/opt/venv/bin/python', 'train.py']' died with <Signals.SIGSEGV: 11>.",
        "/opt/venv/lib/python3.11/site-packages/accelerate/commands/launch.py:800:simple_launcher:raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)",
    ),
)
case(
    "accelerate launch repeats its child's exit after the child's KeyError",
    "code",
    "RUN022",
    *tb("KeyError: 'prompt'", "/srv/app/train.py:33:row:return row['prompt']"),
    *tb(
        "subprocess.CalledProcessError: Command '['/opt/venv/bin/python', 'train.py']' returned non-zero exit status 1.",
        "/opt/venv/lib/python3.11/site-packages/accelerate/commands/launch.py:800:simple_launcher:raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)",
    ),
)
case(
    "accelerate launch repeats its child's exit after the child's OOM",
    "gpu-oom",
    "RUN010",
    *tb(OOM, OWN),
    *tb(
        "subprocess.CalledProcessError: Command '['/opt/venv/bin/python', 'train.py']' returned non-zero exit status 1.",
        "/opt/venv/lib/python3.11/site-packages/accelerate/commands/launch.py:800:simple_launcher:raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)",
    ),
    phase="train",
)
case(
    "java heap of a tokenizer service",
    {"ram-oom", "code", "unknown"},
    "",
    'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space',
)
case("rust allocation failed", "ram-oom", "RUN011", "memory allocation of 34359738368 bytes failed", signal=6)
case(
    "pandas cannot allocate",
    "ram-oom",
    "RUN011",
    *tb(
        "numpy.exceptions.MemoryError: Unable to allocate 30.2 GiB for an array with shape (500, 8100000) and data type object"
    ),
)
case(
    "tokenizers worker pool broke, oom_kill 1",
    "ram-oom",
    "RUN011",
    *tb(
        "concurrent.futures.process.BrokenProcessPool: A process in the process pool was terminated abruptly while the future was running or pending."
    ),
    oom_kills=1,
    phase="tokenize",
)
case(
    "worker segfault",
    "code",
    "RUN022",
    *tb("RuntimeError: DataLoader worker (pid 4251) is killed by signal: Segmentation fault. ", LOADER),
)
case(
    "worker aborted by SIGTERM of the group",
    {"preempted", "killed", "code", "unknown"},
    "",
    *tb("RuntimeError: DataLoader worker (pid 4251) is killed by signal: Terminated. ", LOADER),
)
case(
    "worker's IndexError, rethrown",
    "code",
    "RUN022",
    *tb(
        'IndexError: Caught IndexError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/worker.py", line 351, in _worker_loop\n    data = fetcher.fetch(index)\n  File "/srv/app/data.py", line 20, in __getitem__\n    return self.rows[i]\nIndexError: list index out of range',
        LOADER,
    ),
)
case(
    "worker's MemoryError, rethrown",
    "ram-oom",
    "RUN011",
    *tb(
        'MemoryError: Caught MemoryError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File "/srv/app/data.py", line 20, in __getitem__\n    return bytearray(10 ** 12)\nMemoryError',
        LOADER,
    ),
)
case(
    "worker's EIO, rethrown",
    "disk-error",
    "SYS003",
    *tb(
        "OSError: Caught OSError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n  File \"/srv/app/data.py\", line 20, in __getitem__\n    return open(path).read()\nOSError: [Errno 5] Input/output error: '/data/a.json'",
        LOADER,
    ),
    **ROOMY,
)
case(
    "Xid 74 NVLink",
    "gpu-lost",
    "RUN013",
    *tb(
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, unhandled cuda error"
    ),
    kernel=(
        "NVRM: Xid (PCI:0000:65:00): 74, pid=4242, name=python, NVLink: fatal error detected on link 2(0x10000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)",
    ),
)
case(
    "Xid 109",
    "gpu-lost",
    "RUN013",
    *tb("torch.AcceleratorError: CUDA error: unspecified launch failure"),
    kernel=(
        "NVRM: Xid (PCI:0000:65:00): 109, pid=4242, name=python, Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x2c019",
    ),
)
case(
    "hardware stack error",
    {"gpu-lost", "code"},
    "RUN013",
    *tb("torch.AcceleratorError: CUDA error: hardware stack error\n" + "\n".join(ASYNC)),
)
case(
    "invalid argument is code",
    {"code", "gpu-lost"},
    "",
    *tb("torch.AcceleratorError: CUDA error: invalid argument\n" + "\n".join(ASYNC)),
)
case(
    "nvidia-smi of the script says GPU lost",
    {"gpu-lost"},
    "RUN013",
    *tb("pynvml.NVMLError_GpuIsLost: GPU is lost"),
    gpu_answers=False,
)
case(
    "device ordinal too large",
    {"config", "gpu-lost"},
    "SYS0",
    *tb("torch.AcceleratorError: CUDA error: invalid device ordinal\n" + "\n".join(ASYNC)),
    phase="load",
)
case(
    "nvcc not found for a kernel",
    "config",
    "",
    *tb(
        "OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.",
        "/opt/venv/lib/python3.11/site-packages/torch/utils/cpp_extension.py:2780:_join_cuda_home:raise OSError(",
    ),
    phase="load",
    **ROOMY,
)
case(
    "bnb built without CUDA",
    "config",
    "",
    *tb(
        "RuntimeError: \n        CUDA Setup failed despite GPU being available. Please run the following command to get more information:\n\n        python -m bitsandbytes"
    ),
    phase="load",
)
case(
    "ENOSPC in /tmp while the output has room",
    "disk-full",
    "RUN025|SYS001",
    *tb("OSError: [Errno 28] No space left on device: '/var/tmp/tmpa1b2'"),
    **ROOMY,
)
case(
    "no usable temporary directory",
    {"disk-full", "disk-error", "config"},
    "",
    *tb("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/srv']"),
)
case(
    "file too large",
    {"disk-full", "disk-error", "config"},
    "",
    *tb("OSError: [Errno 27] File too large: '/srv/out/checkpoint-4/model.safetensors'", SAVE),
    phase="save",
    **ROOMY,
)
case(
    "name too long",
    {"code", "config", "data"},
    "",
    *tb("OSError: [Errno 36] File name too long: '" + "x" * 260 + "'"),
    **ROOMY,
)
case(
    "lustre: cannot send after shutdown",
    "mount-gone",
    "SYS012",
    *tb("OSError: [Errno 108] Cannot send after transport endpoint shutdown: '/lustre/out/checkpoint-4'"),
    phase="save",
    **ROOMY,
)
case(
    "CIFS: host is down",
    "mount-gone",
    "SYS012",
    *tb("OSError: [Errno 112] Host is down: '/mnt/share/out'"),
    phase="save",
)
case(
    "structure needs cleaning",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 117] Structure needs cleaning: '/srv/out/checkpoint-4'"),
    phase="save",
    **ROOMY,
)
case(
    "remote I/O error",
    {"disk-error", "mount-gone"},
    "SYS",
    *tb("OSError: [Errno 121] Remote I/O error: '/srv/out/checkpoint-4'"),
    phase="save",
    **ROOMY,
)
case(
    "hub 503 in httpx's words",
    "network",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: Server error '503 Service Unavailable' for url 'https://huggingface.co/api/models/gpt2' (Request ID: Root=1-65)\nFor more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/503"
    ),
    phase="load",
)
case(
    "hub 401 in httpx's words",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: Client error '401 Unauthorized' for url 'https://huggingface.co/api/whoami-v2' (Request ID: Root=1-65)"
    ),
    phase="load",
)
case(
    "hub 416",
    {"network", "config", "code"},
    "",
    *tb(
        "huggingface_hub.errors.HfHubHTTPError: 416 Client Error: Requested Range Not Satisfiable for url: https://cdn-lfs.huggingface.co/x"
    ),
    phase="load",
)
case(
    "hub push refused while saving",
    {"config", "network"},
    "",
    *tb(
        'huggingface_hub.errors.HfHubHTTPError: 403 Forbidden: You don\'t have the rights to create a model under the namespace "acme".',
        SAVE,
    ),
    phase="save",
)
case(
    "dataset not found",
    {"config", "data"},
    "",
    *tb(
        "datasets.exceptions.DatasetNotFoundError: Dataset 'acme/nope' doesn't exist on the Hub or cannot be accessed."
    ),
    phase="load",
)
case(
    "aiohttp",
    "network",
    "",
    *tb(
        "aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 10.0.0.8:8000 ssl:default [Connect call failed ('10.0.0.8', 8000)]"
    ),
    phase="train",
    step=3,
)
case(
    "openai judge rate limit",
    "network",
    "",
    *tb("openai.RateLimitError: Error code: 429 - {'error': {'message': 'Rate limit reached for requests'}}"),
    phase="train",
    step=3,
)
case("openai judge timeout", "network", "", *tb("openai.APITimeoutError: Request timed out."), phase="train", step=3)
case(
    "openai judge wrong key",
    "config",
    "",
    *tb("openai.AuthenticationError: Error code: 401 - {'error': {'message': 'Incorrect API key provided'}}"),
    phase="train",
    step=3,
)
case(
    "urllib",
    "network",
    "",
    *tb("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>"),
    phase="load",
)
case(
    "nltk download reset",
    "network",
    "",
    *tb("urllib.error.URLError: <urlopen error [Errno 104] Connection reset by peer>"),
    phase="load",
)
case(
    "socket timeout",
    "network",
    "",
    *tb(
        "TimeoutError: The read operation timed out",
        "/usr/lib/python3.11/ssl.py:1166:read:return self._sslobj.read(len, buffer)",
    ),
    phase="load",
)
case(
    "vLLM server of TRL not up",
    "network",
    "",
    *tb(
        "ConnectionError: The vLLM server can't be reached at http://0.0.0.0:8000 after 240.0 seconds. Make sure the server is running by running `trl vllm-serve`."
    ),
    phase="load",
)
case(
    "SIGTERM raised as SystemExit by a handler",
    {"preempted", "unknown", "stopped"},
    "",
    "Received SIGTERM, exiting",
    exit_code=143,
)
case(
    "slurm node fail",
    "preempted",
    "RUN012",
    "slurmstepd: error: *** STEP 88123.0 ON node17 CANCELLED AT 2026-11-02T04:00:01 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***",
    signal=15,
)
case(
    "kubernetes evicts: SIGTERM then SIGKILL",
    {"preempted", "killed"},
    "RUN012",
    "Received SIGTERM, saving a checkpoint",
    TQDM,
    signal=9,
    machine_going_down=True,
)
case(
    "hang asked, but SIGABRT of faulthandler first",
    "hang",
    "RUN008",
    "Fatal Python error: Aborted",
    signal=6,
    asked_by="hang",
    silent_seconds=900.0,
)
case("drain, then died of OOM killer on the way", {"stopped", "ram-oom"}, "", signal=9, asked_by="drain", oom_kills=1)
case(
    "gloo timeout alone",
    {"hang", "network"},
    "",
    *tb(
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete"
    ),
    phase="train",
    step=44,
)
case(
    "barrier timeout of a slow rank 0 that tokenizes",
    {"hang", "network"},
    "",
    *tb(
        "torch.distributed.DistBackendError: [3] is setting up NCCL communicator and retrieving ncclUniqueId from [0] via c10d key-value store by key '0', but store->get('0') got error: wait timeout after 600000ms, keys: /default_pg/0//cuda//0"
    ),
    phase="load",
)
case(
    "flight recorder's watchdog, new words",
    {"hang", "network", "gpu-lost"},
    "",
    "[rank2]:[E1102 03:14:12.1 ProcessGroupNCCL.cpp:1895] [PG ID 0 PG GUID 0(default_pg) Rank 2] Process group watchdog thread terminated with exception: [Rank 2] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8812, OpType=_ALLGATHER_BASE, NumelIn=8192, NumelOut=65536, Timeout(ms)=600000) ran for 600004 milliseconds before timing out.",
    "Exception raised from checkTimeout at ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:632 (most recent call first):",
    signal=6,
    phase="train",
)
case(
    "heartbeat monitor kills a stuck watchdog",
    {"hang", "gpu-lost", "network"},
    "",
    "[rank0]:[F1102 03:14:12.1 ProcessGroupNCCL.cpp:1557] [PG ID 0 PG GUID 0(default_pg) Rank 0] [PG ID 0 PG GUID 0(default_pg) Rank 0] Terminating the process after attempting to dump debug info, due to ProcessGroupNCCL watchdog hang.",
    signal=6,
    phase="train",
)
case(
    "template raise_exception of tool roles",
    "data",
    "",
    *tb(
        "jinja2.exceptions.TemplateError: After the optional system message, conversation roles must alternate user and assistant roles except for tool calls and results.",
        "<template>:1:top-level template code:{{ raise_exception('x') }}",
    ),
    phase="tokenize",
)
case(
    "template: no user query",
    {"data", "code"},
    "",
    *tb(
        "jinja2.exceptions.TemplateError: No user query found in messages.",
        "<template>:1:top-level template code:{{ raise_exception('x') }}",
    ),
    phase="tokenize",
)
case(
    "trl cannot tell the dataset's format",
    {"data", "code", "config"},
    "",
    *tb(
        "KeyError: 'text'",
        "/opt/venv/lib/python3.11/site-packages/trl/trainer/sft_trainer.py:1010:tokenize:return processing_class(text=example[dataset_text_field])",
    ),
    phase="tokenize",
)
case(
    "csv with ragged rows",
    "data",
    "",
    *tb("pandas.errors.ParserError: Error tokenizing data. C error: Expected 3 fields in line 17, saw 5"),
    phase="load",
)
case(
    "arrow file cut",
    "data",
    "",
    *tb("pyarrow.lib.ArrowInvalid: Tried reading schema message, was null or length 0"),
    phase="load",
)
case(
    "datasets: UTF-8",
    "data",
    "",
    *tb(
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        "/opt/venv/lib/python3.11/site-packages/datasets/packaged_modules/json/json.py:150:_generate_tables:batch = batch.decode()",
    ),
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    *tb("datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset"),
    phase="load",
)
case(
    "trap: DatasetGenerationError of a killed server",
    "network",
    "",
    *tb(
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /x"
    ),
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    *tb("datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset"),
    phase="load",
)
case(
    "IndentationError",
    "code",
    "RUN022",
    '  File "/srv/app/train.py", line 9',
    "    x = 1",
    "IndentationError: unexpected indent",
)
case(
    "thread's exception beside a main one",
    "code",
    "RUN022",
    *tb("TypeError: 'NoneType' object is not iterable", OWN),
    "Exception in thread Thread-3 (_pin_memory_loop):",
    *tb(
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/pin_memory.py:52:do_one_step:r = in_queue.get(timeout=5)",
    ),
)
case(
    "asyncio's note of a task never awaited",
    "code",
    "RUN022",
    *tb("AssertionError: bad shapes", OWN),
    "Task was destroyed but it is pending!",
    "sys:1: RuntimeWarning: coroutine 'main' was never awaited",
)
case(
    "resource tracker's warning last",
    "code",
    "RUN022",
    *tb("AttributeError: 'int' object has no attribute 'backward'", OWN),
    "/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 8 leaked semaphore objects to clean up at shutdown",
    "  warnings.warn('resource_tracker: There appear to be %d '",
)
case(
    "logging.exception then sys.exit(1)",
    "code",
    "RUN022",
    "2026-11-02 03:14:13,000 - ERROR - training failed",
    *tb("KeyError: 'advantages'", "/srv/app/grpo.py:31:loss:return inputs['advantages']"),
    exit_code=1,
)
case(
    "loguru's traceback",
    "code",
    "RUN022",
    "2026-11-02 03:14:13.000 | ERROR    | __main__:<module>:12 - An error has been caught in function '<module>', process 'MainProcess' (1), thread 'MainThread' (2):",
    "Traceback (most recent call last):",
    "",
    '> File "/srv/app/train.py", line 12, in <module>',
    "    main()",
    "    └ <function main at 0x7f>",
    "",
    '  File "/srv/app/train.py", line 9, in main',
    "    raise KeyError('x')",
    "",
    "KeyError: 'x'",
)
case(
    "python 3.13's colours",
    "code",
    "RUN022",
    "\x1b[35mTraceback (most recent call last):\x1b[0m".replace("\x1b[35m", "").replace("\x1b[0m", ""),
    '  File \x1b[35m"/srv/app/train.py"\x1b[0m, line \x1b[35m9\x1b[0m, in \x1b[35mmain\x1b[0m',
    "    \x1b[31mfoo\x1b[0m()",
    "\x1b[1;35mNameError\x1b[0m: \x1b[35mname 'foo' is not defined\x1b[0m",
)
case(
    "windows path",
    "code",
    "RUN022",
    "Traceback (most recent call last):",
    '  File "C:\\\\runs\\\\train.py", line 9, in <module>',
    "    main()",
    "ZeroDivisionError: float division by zero",
)
case(
    "exit 0, trained all, non-finite in a log line of eval",
    None,
    "",
    "{'eval_loss': inf, 'epoch': 1.0}",
    "{'train_runtime': 9.1, 'train_loss': 1.44}",
    exit_code=0,
    planned_steps=9,
    own_steps=9,
)
case(
    "exit 0 after max_steps was reached early on purpose",
    {None, "ended-early"},
    "RUN026",
    "{'train_runtime': 9.1, 'train_loss': 1.44}",
    exit_code=0,
    planned_steps=90,
    own_steps=60,
)
case("exit code 1, a lone warning", {"unknown"}, "", "FutureWarning: `tokenizer` is deprecated", exit_code=1)
case("huge row as last line", {"unknown"}, "", "{'text': '" + "CUDA out of memory. " * 50 + "'}", exit_code=1)
case("SIGTRAP of tcmalloc", {"code", "unknown"}, "", signal=5)
case("glibc's corruption", "code", "RUN022", "free(): invalid pointer", signal=6)
case(
    "glibc's stack smashing, shell code", "code", "RUN022", "*** stack smashing detected ***: terminated", exit_code=134
)
case(
    "omp: affinity of a small container",
    {"config", "code"},
    "",
    "OMP: Error #179: Function Can't set size of /tmp file failed:",
    "OMP: System error #28: No space left on device",
    signal=6,
)
case(
    "omp duplicate runtimes",
    {"config", "code"},
    "",
    "OMP: Error #15: Initializing libiomp5.so, but found libomp.so already initialized.",
    signal=6,
)
case(
    "thread limit of OpenBLAS",
    {"config", "code", "ram-oom"},
    "",
    "OpenBLAS blas_thread_init: pthread_create failed for thread 31 of 64: Resource temporarily unavailable",
    signal=11,
    peak_rss_bytes=GIB,
)

# The first score of this set: 62 of 90, chosen to be rarer than the first. All 28 were the classifier's (one label's
# evidence too: numpy has no such class, though the words tell); 25 of them had become "code", which is tried once more.
HELD_OUT_WRONG_FIRST = (
    "deepspeed oom on rank 5 behind a launcher's prefix",
    "paged optimizer has no room",
    "cusolver has no room",
    "triton's CUDA oom",
    "oom inside an ExceptionGroup",
    "OOM-killed child of accelerate launch",
    "killed child of accelerate launch, oom_kill 0",
    "accelerate launch repeats its child's exit after the child's OOM",
    "rust allocation failed",
    "pandas cannot allocate",
    "nvcc not found for a kernel",
    "bnb built without CUDA",
    "no usable temporary directory",
    "file too large",
    "lustre: cannot send after shutdown",
    "structure needs cleaning",
    "remote I/O error",
    "dataset not found",
    "aiohttp",
    "openai judge rate limit",
    "openai judge timeout",
    "openai judge wrong key",
    "socket timeout",
    "vLLM server of TRL not up",
    "heartbeat monitor kills a stuck watchdog",
    "csv with ragged rows",
    "arrow file cut",
    "loguru's traceback",
)
