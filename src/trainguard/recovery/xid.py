"""What the NVIDIA driver's Xid numbers mean: the application's fault, or the GPU's.

Source: NVIDIA, "XID Errors" (docs.nvidia.com/deploy/xid-errors), release r555 and later, table "Xid Messages" and the
catalogue of recovery actions. The driver prints `NVRM: Xid (PCI:0000:65:00): 79, pid=4711, name=python, GPU has fallen
off the bus.` into the kernel's log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

Meaning = Literal["application", "gpu", "report"]


class Xid(Struct, frozen=True, kw_only=True):
    """One number. `application`: a faulty program as a rule. `gpu`: the GPU needs a reset, a reboot or a replacement.
    `report`: the driver notes something that does not end a run by itself."""

    number: int
    meaning: Meaning
    name: str
    todo: str


_LINE = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f:.]+)\): (\d{1,4})\b")
_RESET = "reset the GPU (nvidia-smi --gpu-reset), or reboot"
_ROWS: tuple[tuple[int, Meaning, str, str], ...] = (
    (8, "application", "GPU stopped processing", "look at the program's kernels"),
    (13, "application", "graphics engine exception", "an index out of range as a rule: CUDA_LAUNCH_BLOCKING=1"),
    (31, "application", "GPU memory page fault", "an illegal address as a rule: run compute-sanitizer"),
    (32, "report", "invalid or corrupted push buffer stream", "a driver's or a bus's fault where it comes back"),
    (38, "gpu", "driver firmware error", _RESET),
    (43, "application", "GPU stopped processing", "the program's own fault; the GPU is healthy"),
    (45, "report", "preemptive cleanup after earlier errors", "look at the Xid before it; also after a kill"),
    (46, "gpu", "GPU stopped processing", _RESET),
    (48, "gpu", "double bit ECC error", _RESET),
    (61, "gpu", "internal micro-controller breakpoint", _RESET),
    (62, "gpu", "internal micro-controller halt", _RESET),
    (63, "report", "row remapped or page retired", "takes effect with the next reset"),
    (64, "gpu", "row remapping or page retirement failed", _RESET),
    (68, "report", "video processor exception", "not of training"),
    (69, "application", "graphics engine class error", "look at the program's kernels"),
    (74, "gpu", "NVLink error", f"{_RESET}; check the NVLink connections where it comes back"),
    (79, "gpu", "GPU has fallen off the bus", "reboot the machine; check power, heat and seating"),
    (92, "report", "high rate of single-bit ECC errors", "run the field diagnostic when the machine is free"),
    (94, "gpu", "contained ECC error", f"start again; {_RESET} when the machine is free"),
    (95, "gpu", "uncontained ECC error", _RESET),
    (109, "gpu", "context switch timeout", _RESET),
    (110, "gpu", "security fault", "reboot the machine"),
    (119, "gpu", "GSP RPC timeout", _RESET),
    (120, "gpu", "GSP error", _RESET),
    (121, "report", "corrected C2C NVLink error", "reset when the machine is free"),
    (122, "gpu", "SPI PMU RPC read failure", _RESET),
    (123, "gpu", "SPI PMU RPC write failure", _RESET),
    (136, "gpu", "link training failed", _RESET),
    (137, "application", "NVLink fault of a remote address", "an illegal address as a rule"),
    (140, "gpu", "unrecovered ECC error", _RESET),
    (143, "gpu", "GPU initialization error", _RESET),
    *((number, "gpu", "NVLink error", _RESET) for number in range(144, 151)),
    (154, "report", "recovery action changed", "the line itself names what to do"),
)
XIDS: Mapping[int, Xid] = {row[0]: Xid(number=row[0], meaning=row[1], name=row[2], todo=row[3]) for row in _ROWS}


def xids(kernel: Sequence[str]) -> list[Xid]:
    """The Xids of these lines, oldest first. A number that is not known is a report: it decides nothing."""
    found = []
    for line in kernel:
        match = _LINE.search(line)
        if match is None:
            continue
        number = int(match[2])
        unknown = Xid(number=number, meaning="report", name="not known here", todo="look it up in NVIDIA's XID Errors")
        found.append(XIDS.get(number, unknown))
    return found


def worst(kernel: Sequence[str], meaning: Meaning) -> Xid | None:
    """The first Xid of a meaning: later ones are its consequences as a rule."""
    return next((each for each in xids(kernel) if each.meaning == meaning), None)
