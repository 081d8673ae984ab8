"""What an exception means: by code, with the place, the phase and what to change."""

from __future__ import annotations

import errno
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainguard.findings import Finding
from trainguard.signals.samples import Phase
from trainguard.train.failures import FAILURE, classify_exception, keep
from trainguard.train.space import DiskFullError, disk_full_finding

# As PyTorch 2.13 says it.
OOM = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.06 GiB is free."
    " Including non-PyTorch memory, this process has 78.03 GiB memory in use. Of the allocated memory 66.40 GiB is "
    "allocated by PyTorch, and 10.50 GiB is reserved by PyTorch but unallocated."
)


def raised(make: Callable[[], object]) -> BaseException:
    try:
        make()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def throw(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("phase", ["load", "train", "evaluate", "save"])
def test_gpu_memory_with_its_phase_and_the_numbers(phase: Phase) -> None:
    finding = classify_exception(torch.OutOfMemoryError(OOM), phase, step=7, batch_size=8, gradient_accumulation=2)
    assert (finding.code, finding.severity, finding.step) == ("RUN010", "error", 7)
    assert finding.evidence["phase"] == phase
    assert finding.evidence["tried_bytes"] == 2 * 2**30
    assert finding.evidence["unused_bytes"] == round(10.5 * 2**30)
    assert "expandable_segments" in finding.message
    advice = {
        "load": "precision",
        "train": "batch_size = 4 and gradient_accumulation = 4",
        "evaluate": "eval.batch_size",
    }
    assert advice.get(phase, "save") in finding.message


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 9.00 GiB)",
        "HIP out of memory. Tried to allocate 20.00 MiB.",
    ],
)
def test_gpu_memory_by_its_words(words: str) -> None:
    assert classify_exception(RuntimeError(words), "train").code == "RUN010"


def test_a_batch_of_one_cannot_be_halved() -> None:
    finding = classify_exception(torch.OutOfMemoryError(OOM), "train", batch_size=1, gradient_accumulation=8)
    assert "batch_size is 1 already" in finding.message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError(
            "DataLoader worker (pid 7) is killed by signal: Bus error. Dataloader's workers are out of shared memory."
        ),
    ],
)
def test_system_memory(error: Exception) -> None:
    finding = classify_exception(error, "tokenize")
    assert finding.code == "RUN011"
    assert "while the data was tokenized" in finding.message


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: an illegal memory access was encountered",
        "NVML: GPU 00000000:3B:00.0 has fallen off the bus",
    ],
)
def test_a_gpu_that_failed(words: str, tmp_path: Path) -> None:
    finding = classify_exception(RuntimeError(words), "train", kept=tmp_path / "checkpoint-40")
    assert finding.code == "RUN013"
    assert "checkpoint-40 stands, verified" in finding.message
    assert ("CUDA_LAUNCH_BLOCKING=1" in finding.message) == ("assert" in words)


# torch 2.13, c10/cuda/CUDAException.cpp: behind every CUDA error, whichever.
HINT = "\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"


def test_a_hint_about_assertions_is_none() -> None:
    lost = classify_exception(RuntimeError(f"CUDA error: an illegal memory access was encountered{HINT}"), "train")
    assert lost.code == "RUN013"
    assert "CUDA_LAUNCH_BLOCKING" not in str(lost.fix)
    wrong = classify_exception(RuntimeError(f"CUDA error: invalid argument{HINT}"), "train")
    assert wrong.code == "RUN022"


def test_a_full_disk(tmp_path: Path) -> None:
    assert classify_exception(OSError(errno.ENOSPC, "No space left on device"), "save").code == "RUN025"
    own: Finding = disk_full_finding(tmp_path, step=5, outcome="the run ends", needed_bytes=9, good=None)
    assert classify_exception(DiskFullError(own, tmp_path), "save") is own


# Rows 71 to 80 of the edge cases, as a user's script raises them.
SCRIPTS = {
    "UnboundLocalError": "def f():\n    if False:\n        x = 1\n    return x\nf()\n",
    "NameError": "undefined_name\n",
    "AttributeError": "import json\njson.no_such_function()\n",
    "KeyError": "{'text': 1}['txt']\n",
    "IndexError": "[][3]\n",
    "TypeError": "None > 0\n",
    "ValueError": "int('x')\n",
    "ZeroDivisionError": "1 / 0\n",
    "RecursionError": "def f():\n    return f()\nf()\n",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_uncaught_exceptions_name_the_line_of_the_script(name: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPTS[name])
    error = raised(lambda: runpy.run_path(str(script)))
    finding = classify_exception(error, "train")
    assert finding.code == "RUN022"
    assert finding.evidence["exception"] == name
    assert finding.where is not None
    assert finding.where.path == str(script)
    line = next(index for index, text in enumerate(SCRIPTS[name].splitlines(), 1) if _is_at_fault(name, text))
    assert finding.where.line == line


def _is_at_fault(name: str, text: str) -> bool:
    return text.strip().startswith("return") if "def f" in SCRIPTS[name] else "import" not in text


def test_a_memory_error_of_a_script_is_no_uncaught_exception(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"b'x' * {sys.maxsize}\n")
    assert classify_exception(raised(lambda: runpy.run_path(str(script)))).code == "RUN011"


def test_the_innermost_line_that_is_no_library_s(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("import json\n\n\njson.loads('{')\n")
    finding = classify_exception(raised(lambda: runpy.run_path(str(script))))
    assert (finding.where and finding.where.line) == 4


def test_a_cause_decides_where_the_wrapper_does_not() -> None:
    def fail() -> None:
        try:
            throw(torch.OutOfMemoryError(OOM))
        except torch.OutOfMemoryError as error:
            raise RuntimeError("the training loop failed") from error

    assert classify_exception(raised(fail), "train").code == "RUN010"


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error", [_Unspeakable(), Exception("\x1b[31m\x00" * 1_000), BaseExceptionGroup("g", [KeyError()])]
)
def test_hostile_exceptions_are_classified_all_the_same(error: BaseException) -> None:
    finding = classify_exception(error)
    assert finding.code == "RUN022"
    assert len(finding.message) < 1_000


def test_the_traceback_is_kept_and_a_second_one_added(tmp_path: Path) -> None:
    for words in ("first", "second"):
        error = raised(lambda words=words: throw(ValueError(words)))  # type: ignore[misc]
        path = keep(error, tmp_path, classify_exception(error))
    assert path == tmp_path / "trainguard" / FAILURE
    text = path.read_text()
    assert "ValueError: first" in text
    assert "Traceback" in text.split("ValueError: first")[1]
    (tmp_path / "file").write_text("")
    assert keep(error, tmp_path / "file", classify_exception(error)) is None
