"""A third set of ends: common ones, and what could be taken for them. Written after both others were mended."""

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

THIRD: list[Case] = []


def case(*given: object, **known: object) -> None:
    THIRD.append(make_case(*given, **known))  # type: ignore[arg-type]


case(
    "oom in the optimizer's first step",
    "gpu-oom",
    "RUN010",
    TQDM,
    *tb(
        OOM,
        OWN,
        TRAINER,
        "/opt/venv/lib/python3.11/site-packages/torch/optim/adamw.py:230:_init_group:state['exp_avg'] = torch.zeros_like(",
    ),
    phase="train",
    step=1,
)
case("oom while the checkpoint gathers weights", "gpu-oom", "RUN010", *tb(OOM, SAVE), phase="save", step=100)
case("oom with an old progress bar drawn after it", "gpu-oom", "RUN010", TQDM, *tb(OOM, OWN), TQDM, phase="train")
case(
    "key of a table is a message",
    "code",
    "RUN022",
    *tb(
        "KeyError: 'RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB'",
        "/srv/app/label.py:8:label:return CLASSES[text]",
    ),
    phase="tokenize",
)
case(
    "a number is a message",
    {"code", "data"},
    "RUN022",
    *tb(
        "ValueError: could not convert string to float: 'OSError: [Errno 28] No space left on device'",
        "/srv/app/label.py:8:label:return float(text)",
    ),
    phase="tokenize",
    **ROOMY,
)
case(
    "assertion shows a row",
    {"code", "data"},
    "",
    *tb("AssertionError: {'text': 'MemoryError'}", "/srv/app/label.py:8:label:assert 'label' in row, row"),
    phase="tokenize",
)
case(
    "SIGKILL in the middle of a printed traceback",
    "killed",
    "RUN012",
    "Traceback (most recent call last):",
    '  File "/srv/app/train.py", line 61, in main',
    signal=9,
    oom_kills=0,
)
case(
    "peak beyond the limit, cgroup counted 3",
    "ram-oom",
    "RUN011",
    signal=9,
    oom_kills=3,
    peak_rss_bytes=70 * GIB,
    memory_limit_bytes=64 * GIB,
)
case(
    "137 of a shell, kernel names python",
    "ram-oom",
    "RUN011",
    exit_code=137,
    kernel=(
        "[8.1] Memory cgroup out of memory: Killed process 4242 (pt_main_thread) total-vm:1kB, anon-rss:1kB, file-rss:0kB",
    ),
)
case(
    "SIGTERM with 143, steps all done but not saved",
    {"preempted"},
    "RUN012",
    exit_code=143,
    planned_steps=10,
    own_steps=10,
)
case(
    "own run stops at SIGTERM with 75",
    "preempted",
    "RUN012",
    "stopped: asked to stop",
    exit_code=75,
    planned_steps=10,
    own_steps=4,
)
case("75 after pause was asked", "stopped", "", exit_code=75, asked_by="pause")
case(
    "hang, process then segfaulted while stacks were written",
    "hang",
    "RUN008",
    signal=11,
    asked_by="hang",
    silent_seconds=700.0,
)
case("cancelled while the disk was full", "stopped", "", exit_code=1, asked_by="cancel", disk_free_bytes=0)
case(
    "drain asked, but the run had crashed by its own NameError",
    {"code", "stopped"},
    "",
    *tb("NameError: name 'x' is not defined"),
    exit_code=1,
    asked_by="drain",
)
case(
    "KeyError of a column in the user's map",
    {"code", "data"},
    "",
    *tb("KeyError: 'messages'", "/srv/app/train.py:20:to_text:return apply(row['messages'])"),
    phase="tokenize",
)
case(
    "TypeError of a renamed argument",
    {"code", "config"},
    "",
    *tb("TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'"),
    phase="load",
)
case(
    "TypeError of an argument of the configuration",
    {"code", "config"},
    "",
    *tb("TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'evaluation_strategy'"),
    phase="load",
)
case(
    "bitsandbytes missing",
    "config",
    "",
    *tb(
        "ImportError: Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install -U bitsandbytes>=0.46.1`"
    ),
    phase="load",
)
case(
    "package metadata",
    "config",
    "",
    *tb("importlib.metadata.PackageNotFoundError: No package metadata was found for bitsandbytes"),
    phase="load",
)
case(
    "model folder missing",
    "config",
    "",
    *tb(
        "OSError: ./models/base does not appear to have a file named config.json. Checkout 'https://huggingface.co/./models/base/tree/main' for available files."
    ),
    phase="load",
)
case(
    "repo id is a path",
    "config",
    "",
    *tb(
        "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/base'. Use `repo_type` argument if needed."
    ),
    phase="load",
)
case(
    "trust_remote_code asked on a terminal",
    "config",
    "",
    *tb(
        "ValueError: The repository acme/x contains custom code which must be executed to correctly load the model. You can inspect the repository content at https://hf.co/acme/x.\nPlease pass the argument `trust_remote_code=True` to allow custom code to be run."
    ),
    phase="load",
)
case(
    "peft: target modules",
    "config",
    "",
    *tb(
        "ValueError: Target modules {'q_prj'} not found in the base model. Please check the target modules and try again."
    ),
    phase="load",
)
case(
    "eval strategy without data",
    {"config", "code"},
    "",
    *tb(
        "ValueError: You have set `args.eval_strategy` to steps but you didn't pass an `eval_dataset` to `Trainer`. Either set `args.eval_strategy` to `no` or pass an `eval_dataset`."
    ),
    phase="load",
)
case(
    "save and eval steps do not agree",
    {"config", "code"},
    "",
    *tb(
        "ValueError: --load_best_model_at_end requires the saving steps to be a round multiple of the evaluation steps, but found 500, which is not a round multiple of 200."
    ),
    phase="load",
)
case(
    "pad token missing",
    {"config", "code"},
    "",
    *tb(
        "ValueError: Asking to pad but the tokenizer does not have a padding token. Please select a token to use as `pad_token` `(tokenizer.pad_token = tokenizer.eos_token e.g.)` or add a new pad token via `tokenizer.add_special_tokens({'pad_token': '[PAD]'})`."
    ),
    phase="tokenize",
)
case(
    "different devices",
    "code",
    "RUN022",
    *tb(
        "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
        OWN,
        TRAINER,
    ),
    phase="train",
    step=0,
)
case(
    "gradient checkpointing twice",
    "code",
    "RUN022",
    *tb(
        "RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed).",
        OWN,
        TRAINER,
        BACKWARD,
    ),
    phase="train",
    step=0,
)
case(
    "in-place",
    "code",
    "RUN022",
    *tb(
        "RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation: [torch.FloatTensor [64]]",
        BACKWARD,
    ),
    phase="train",
    step=0,
)
case(
    "DDP unused parameters",
    "code",
    "RUN022",
    *tb(
        "RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that your module has parameters that were not used in producing loss."
    ),
    phase="train",
    step=1,
)
case(
    "torch.load refuses a pickle",
    {"config", "code"},
    "",
    *tb(
        "_pickle.UnpicklingError: Weights only load failed. This file can still be loaded, to do so you have two options"
    ),
    phase="load",
)
case(
    "resume of an optimizer of another size",
    {"config", "code"},
    "",
    *tb("ValueError: loaded state dict contains a parameter group that doesn't match the size of optimizer's group"),
    phase="load",
)
case(
    "dataset worker's UnicodeDecodeError, rethrown",
    {"data", "code"},
    "",
    *tb(
        "UnicodeDecodeError: Caught UnicodeDecodeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File \"/srv/app/data.py\", line 9, in __getitem__\n    return raw.decode()\nUnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        LOADER,
    ),
    phase="train",
    step=9,
)
case(
    "hub down while the model card is pushed at the end",
    "network",
    "",
    *tb(
        "requests.exceptions.ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        SAVE,
    ),
    phase="save",
)
case(
    "dns once, retried, then a full disk",
    "disk-full",
    "RUN025|SYS001",
    "'(MaxRetryError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded",
    "Retrying in 1s [Retry 1/5].",
    *tb("OSError: [Errno 28] No space left on device"),
    disk_free_bytes=4096,
    phase="save",
)
case(
    "EIO of a data file while the output is whole",
    "disk-error",
    "SYS003",
    *tb("OSError: [Errno 5] Input/output error: '/data/train.arrow'"),
    phase="train",
    step=5,
    **ROOMY,
)
case(
    "a checkpoint's save fails for room by needed bytes",
    "disk-full",
    "RUN025|SYS001",
    *tb("RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 5373952 vs 5373844", SAVE),
    phase="save",
    disk_free_bytes=GIB,
    needed_bytes=3 * GIB,
    inodes_free=10,
)
case(
    "inodes zero, mkdir",
    "disk-full",
    "SYS002|RUN025|SYS001",
    *tb("OSError: [Errno 28] No space left on device: 'checkpoint-4'"),
    inodes_free=0,
    disk_free_bytes=9 * GIB,
)
case(
    "Xid 31 of another process, this one misses an argument",
    "code",
    "RUN022",
    *tb("TypeError: forward() missing 1 required positional argument: 'input_ids'"),
    kernel=("NVRM: Xid (PCI:0000:65:00): 31, pid=999, name=other, Ch 00000008, MMU Fault",),
)
case(
    "CUDA assert, then NCCL noise of the others",
    {"code", "data"},
    "",
    *(
        f"[rank1]: {line}"
        for line in tb("torch.AcceleratorError: CUDA error: device-side assert triggered\n" + "\n".join(ASYNC), OWN)
    ),
    "[rank0]:[E1102 03:14:12.1 ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1)",
    *tb("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "),
)
case(
    "loss becomes nan and the user's loop raises",
    "not-finite",
    "RUN001|RUN002",
    STEP,
    *tb(
        "RuntimeError: Loss is nan at step 400",
        "/srv/app/loop.py:80:step:raise RuntimeError(f'Loss is {loss} at step {step}')",
    ),
    phase="train",
    step=400,
)
case(
    "lightning's detect",
    "not-finite",
    "RUN001|RUN002",
    *tb("ValueError: The loss returned in `training_step` is nan."),
    phase="train",
    step=4,
)
case(
    "exit 0 without a step, streaming data were empty",
    "ended-early",
    "RUN015|RUN026",
    "There were no batches",
    exit_code=0,
    planned_steps=10,
    own_steps=0,
)
case("exit 0 and nothing known at all", None, "", exit_code=0)
case(
    "exit 1 after the trainer's summary, upload failed",
    {None, "network"},
    "",
    "{'train_runtime': 9.1, 'train_loss': 1.44}",
    *tb(
        "requests.exceptions.ConnectionError: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))"
    ),
    exit_code=1,
    planned_steps=9,
    own_steps=9,
    result_saved=True,
)
case(
    "SIGSEGV at exit before the result was saved",
    "code",
    "RUN022",
    signal=11,
    planned_steps=9,
    own_steps=9,
    result_saved=False,
)
case(
    "KeyboardInterrupt within torchrun",
    {"killed", "preempted"},
    "RUN012",
    *tb("KeyboardInterrupt", OWN),
    *tb("torch.distributed.elastic.multiprocessing.api.SignalException: Process 139 got signal: 2"),
    exit_code=1,
)
case("npm-like unknown code 42", "unknown", "", "bye", exit_code=42)
case("SIGPIPE", {"killed", "unknown"}, "RUN012", signal=13)

# The first score of this set: 45 of 50.
THIRD_WRONG_FIRST = (
    "key of a table is a message",
    "a number is a message",
    "repo id is a path",
    "trust_remote_code asked on a terminal",
    "lightning's detect",
)
