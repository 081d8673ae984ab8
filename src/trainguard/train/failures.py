"""What an exception of this process means for a run: which code, in which phase, and what to change.

Exceptions are told by their type's name and their words, so that nothing has to be imported to classify one.
"""

from __future__ import annotations

import errno
import os
import re
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from trainguard.findings import Finding, Location
from trainguard.signals.codes import run_finding
from trainguard.signals.samples import Phase
from trainguard.train.events import FOLDER
from trainguard.train.space import DiskFullError, chain, is_disk_full

FAILURE = "failure.txt"
_MOST_TEXT = 500  # characters of an exception's message in a finding
# A traceback of torch and transformers has 20 to 60 frames; a recursion is cut by traceback itself.
_MOST_TRACEBACK = 20_000

# torch 2.13, c10/cuda/CUDACachingAllocator.cpp; the words of HIP and MPS are the same but for the name. cuBLAS and
# cuDNN allocate for themselves.
_GPU_OOM = re.compile(
    r"(?:CUDA|HIP|XPU) out of memory|MPS backend out of memory|CUDA error: out of memory|"
    r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
)
# torch 2.13, c10/core/impl/alloc_cpu.cpp; numpy's _ArrayMemoryError is a MemoryError.
_RAM_OOM = re.compile(
    r"DefaultCPUAllocator: (?:can't|not enough) (?:allocate )?memory|Cannot allocate memory|out of shared memory"
)
# NVIDIA, "CUDA Runtime API", cudaError: errors after which the context is gone for the whole process. Xid 79 is the
# driver's number for a GPU that fell off the bus.
_GPU_LOST = re.compile(
    r"device-side assert triggered|unspecified launch failure|illegal memory access|"
    r"illegal instruction was encountered|misaligned address|uncorrectable ECC|fallen off the bus|"
    r"GPU is lost|no longer accessible|"
    r"CUDA error: (?:unknown error|an? (?:illegal|hardware))|device kernel image is invalid|"
    r"CUBLAS_STATUS_EXECUTION_FAILED|NCCL .*unhandled cuda error"
)
# Whole: torch ends every CUDA error with a hint about "device-side assertions" (c10/cuda/CUDAException.cpp).
_ASSERT = re.compile(r"device-side assert triggered")
_SIZES = {
    "tried_bytes": re.compile(r"Tried to allocate ([\d.]+) ([KMG]iB|bytes)"),
    "total_bytes": re.compile(r"total capacity of ([\d.]+) ([KMG]iB|bytes)"),
    "free_bytes": re.compile(r"of which ([\d.]+) ([KMG]iB|bytes) is free"),
    "allocated_bytes": re.compile(r"([\d.]+) ([KMG]iB|bytes) is allocated by PyTorch"),
    "unused_bytes": re.compile(r"([\d.]+) ([KMG]iB|bytes) is reserved by PyTorch but unallocated"),
}
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DOING: Mapping[str, str] = {
    "load": "while the model was loaded",
    "tokenize": "while the data was tokenized",
    "train": "while training",
    "evaluate": "while evaluating",
    "save": "while a checkpoint was saved",
}
_GPU_ADVICE: Mapping[str, str] = {
    "load": 'the weights do not fit: load fewer bits (precision = "bf16", method = "qlora"), or take a larger GPU',
    "evaluate": "halve eval.batch_size",
    "save": "save on the CPU: a copy of the weights does not fit beside the training; halve batch_size and double "
    "gradient_accumulation",
}
_TRAIN_ADVICE = "halve batch_size and double gradient_accumulation, which leaves the effective batch as it is"


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of code of a traceback."""

    path: str
    line: int
    function: str


def classify_exception(
    error: BaseException,
    phase: Phase = "unknown",
    *,
    step: int | None = None,
    kept: Path | None = None,
    output_dir: Path | None = None,
    batch_size: int | None = None,
    gradient_accumulation: int | None = None,
) -> Finding:
    """The finding about an exception that ended a run: RUN010, RUN011, RUN013, RUN025, else RUN022.

    `phase` is what the run was doing, `kept` the last checkpoint that verifies, `output_dir` where it writes, whose
    disk is looked at. Never raises.
    """
    for each in chain(error):
        if isinstance(each, DiskFullError):
            return each.finding
    words = "\n".join(_words(each) for each in chain(error))
    names = {f"{type(each).__module__}.{type(each).__qualname__}" for each in chain(error)}
    doing = _DOING.get(phase, "")
    common = {"phase": phase, "exception": type(error).__name__, "kept": kept.name if kept is not None else None}
    stands = f"; {kept.name} stands, verified" if kept is not None else ""
    if _GPU_OOM.search(words) or any(name.startswith("torch.") and "OutOfMemoryError" in name for name in names):
        return _gpu_oom(words, phase, step, stands, {**common}, batch_size, gradient_accumulation)
    number = next((each.errno for each in chain(error) if isinstance(each, OSError)), None)
    if number == errno.ENOMEM or any(isinstance(each, MemoryError) for each in chain(error)) or _RAM_OOM.search(words):
        return _ram_oom(words, phase, step, stands, common)
    if _GPU_LOST.search(words):
        advice = (
            "a device-side assert is an index out of range as a rule, such as a token or label id beyond the "
            "vocabulary: run once more with CUDA_LAUNCH_BLOCKING=1 to see where"
            if _ASSERT.search(words)
            else "resume in a new process; where it comes back, look for Xid errors in the kernel log"
        )
        message = f"the GPU failed {doing}: {_short(words)}{stands}; {advice}".replace("  ", " ")
        return run_finding("RUN013", message, step=step, fix=advice, evidence=common)
    if _is_disk_full(error, output_dir):
        advice = "free room on the file system, or keep fewer checkpoints with save.keep"
        message = f"the disk is full {doing}: {_short(words)}{stands}; {advice}".replace("  ", " ")
        return run_finding("RUN025", message, step=step, fix=advice, evidence=common)
    return _uncaught(error, doing, step, stands, common)


# Unused memory below this is no cause of anything.
_WORTH_TELLING = 100 * 2**20


def _gpu_oom(
    words: str,
    phase: str,
    step: int | None,
    stands: str,
    evidence: dict[str, Any],
    batch_size: int | None,
    gradient_accumulation: int | None,
) -> Finding:
    if phase == "tokenize":
        # Rows become tokens on the CPU; what the GPU lacks room for meanwhile are the weights, which move there now.
        phase, evidence = "load", {**evidence, "phase": "load"}
    sizes = {name: size for name, pattern in _SIZES.items() if (size := _size(pattern, words)) is not None}
    tried, unused, free = sizes.get("tried_bytes"), sizes.get("unused_bytes"), sizes.get("free_bytes")
    advice = _GPU_ADVICE.get(phase, _TRAIN_ADVICE)
    if advice == _TRAIN_ADVICE and batch_size is not None and gradient_accumulation is not None:
        advice = (
            f"batch_size = {batch_size // 2} and gradient_accumulation = {gradient_accumulation * 2} leave the "
            "effective batch as it is"
            if batch_size > 1 and batch_size % 2 == 0
            else 'batch_size is 1 already: turn on gradient_checkpointing, or take method = "lora"'
            if batch_size == 1
            else _TRAIN_ADVICE
        )
    if tried is not None and unused is not None and unused > max(tried + (free or 0), _WORTH_TELLING):
        gib = unused / 2**30
        # torch 2.13 reads PYTORCH_ALLOC_CONF, and the older name as well, which older releases know alone.
        advice = (
            f"{advice}; {gib:.1f} GiB are reserved and unused, so set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
        )
    wanted = f" ({_amounts(sizes)})" if sizes else ""
    message = f"out of GPU memory {_DOING.get(phase, '')}{wanted}{stands}; {advice}".replace("  ", " ")
    return run_finding("RUN010", message, step=step, fix=advice, evidence={**evidence, **sizes})


def _ram_oom(words: str, phase: str, step: int | None, stands: str, evidence: Mapping[str, Any]) -> Finding:
    advice = (
        "give the container more /dev/shm, or set dataloader_num_workers to 0"
        if "shared memory" in words
        else "load the model in fewer bits, or take a machine with more memory"
        if phase == "load"
        else "use fewer dataset and dataloader processes, or a machine with more memory"
    )
    said = f": {_short(words)}" if words.strip() else ""
    message = f"out of system memory {_DOING.get(phase, '')}{said}{stands}; {advice}".replace("  ", " ")
    return run_finding("RUN011", message, step=step, fix=advice, evidence=evidence)


def _uncaught(error: BaseException, doing: str, step: int | None, stands: str, evidence: Mapping[str, Any]) -> Finding:
    frame = user_frame(error.__traceback__)
    name = type(error).__name__
    at = f" at {frame.path}:{frame.line} in {frame.function}" if frame is not None else ""
    said = f"{name}: {_short(_words(error))}" if _words(error) else name
    message = f"{said}{at}{' ' + doing if doing else ''}{stands}; the traceback is in {FOLDER}/{FAILURE}"
    finding = run_finding(
        "RUN022",
        message,
        step=step,
        evidence={
            **evidence,
            "message": _words(error)[:_MOST_TEXT],
            "file": frame.path if frame is not None else None,
            "line": frame.line if frame is not None else None,
            "function": frame.function if frame is not None else None,
        },
    )
    if frame is None:
        return finding
    return Finding(
        severity=finding.severity,
        message=finding.message,
        code=finding.code,
        name=finding.name,
        where=Location(path=frame.path, line=frame.line),
        evidence=finding.evidence,
        step=finding.step,
        docs=finding.docs,
    )


def user_frame(trace: TracebackType | None) -> Frame | None:
    """The innermost line that belongs to no installed package, else the innermost of all; None without a traceback."""
    frames = [Frame(each.f_code.co_filename, line, each.f_code.co_name) for each, line in traceback.walk_tb(trace)]
    own = [frame for frame in frames if not _is_library(frame.path)]
    return own[-1] if own else frames[-1] if frames else None


_LIBRARY_FOLDERS = tuple(
    {
        os.path.realpath(folder) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (folder := sysconfig.get_paths().get(name))
    }
    | {os.path.realpath(Path(__file__).parent.parent) + os.sep}
)


def _is_library(path: str) -> bool:
    if path.startswith("<"):
        return True
    return os.path.realpath(path).startswith(_LIBRARY_FOLDERS) or "site-packages" in path or "dist-packages" in path


def keep(error: BaseException, output_dir: Path, finding: Finding) -> Path | None:
    """Appends the traceback to `trainguard/failure.txt`; its path, None where it could not be written."""
    path = output_dir / FOLDER / FAILURE
    when = datetime.now(UTC).isoformat(timespec="seconds")
    text = "".join(traceback.format_exception(error))
    if len(text) > _MOST_TRACEBACK:
        half = _MOST_TRACEBACK // 2
        text = f"{text[:half]}\n… {len(text) - _MOST_TRACEBACK:,} characters left out …\n{text[-half:]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{when} {finding.code} {finding.message}\n\n{text}\n")
    except OSError:
        return None
    return path


def _is_disk_full(error: BaseException, output_dir: Path | None) -> bool:
    named = (each.filename for each in chain(error) if isinstance(each, OSError))
    place = next((Path(each) for each in named if isinstance(each, str)), output_dir)
    try:
        return is_disk_full(error, place if place is not None else Path.cwd())
    except Exception:  # an exception whose words cannot be read, or a place that cannot be looked at
        return False


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception's own __str__ may fail
        return ""


def _short(words: str) -> str:
    line = " ".join(words.split("\n", 1)[0].split())
    return line if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]}…"


def _size(pattern: re.Pattern[str], words: str) -> int | None:
    found = pattern.search(words)
    return round(float(found[1]) * _UNITS[found[2]]) if found is not None else None


def _amounts(sizes: Mapping[str, int]) -> str:
    names = {"tried_bytes": "asked for", "free_bytes": "free", "total_bytes": "in all"}
    return ", ".join(f"{sizes[key] / 2**30:.2f} GiB {name}" for key, name in names.items() if key in sizes)
