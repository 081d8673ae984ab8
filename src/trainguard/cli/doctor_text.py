"""The checklist of `trainguard doctor`: what was looked at, its value, and how it stands."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from trainguard.facts.machine.records import FolderFacts, Gpu, LimitsFacts, MachineFacts
from trainguard.findings import Report
from trainguard.report.text import render_findings
from trainguard.report.visible import visible
from trainguard.rules.machine._words import counted, size

Status: TypeAlias = Literal["ok", "note", "warning", "problem", "cannot tell"]

_COLORS: dict[Status, str] = {
    "ok": "\x1b[32m",
    "note": "\x1b[36m",
    "warning": "\x1b[1;33m",
    "problem": "\x1b[1;31m",
    "cannot tell": "\x1b[2m",
}
_RESET = "\x1b[0m"
_BY_SEVERITY: dict[str, Status] = {"error": "problem", "warn": "warning", "info": "note"}
_WORST: tuple[Status, ...] = ("problem", "warning", "note")
# Xid errors after which the application has to be restarted or the GPU reset: a page fault or an error of the
# application (13, 31) is the program's fault, these are the hardware's (NVIDIA, "XID Errors", the catalogue).
_GRAVE_XIDS = frozenset({48, 61, 62, 63, 64, 74, 79, 94, 95, 119, 120, 140})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the checklist. `codes` are the rules that judge it."""

    thing: str
    status: Status
    value: str
    codes: tuple[str, ...] = ()


def checklist(machine: MachineFacts, report: Report) -> list[Row]:
    """Everything that was looked at, in the order in which a run would meet it."""
    rows = []
    for thing, value, codes, own in _things(machine):
        found = {_BY_SEVERITY[finding.severity] for finding in report.findings if finding.code in codes}
        worst = next((status for status in _WORST if status in found), None)
        status: Status = worst or own or ("cannot tell" if value is None else "ok")
        rows.append(Row(thing=thing, status=status, value=value or "cannot tell", codes=codes))
    return rows


_Thing: TypeAlias = tuple[str, str | None, tuple[str, ...], Status | None]


def _things(machine: MachineFacts) -> Iterator[_Thing]:
    cores = f", {counted(machine.cores, 'core')}" if machine.cores else ""
    yield "system", f"{machine.system}{cores}" if machine.system else None, (), None
    if machine.folder is not None:
        yield from _folder(machine.folder, machine.needed_bytes)
    yield from _memory(machine)
    yield from _gpus(machine)
    yield from _limits(machine.limits)
    clock = machine.clock
    shown = None
    if clock is not None:
        shown = dt.datetime.fromtimestamp(max(clock.wall_seconds, 0), dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield "clock", shown, ("SYS010",), None


def _folder(folder: FolderFacts, needed: int | None) -> Iterator[_Thing]:
    yield "folder", _mount(folder), ("SYS012",), None
    needs = f"; the next checkpoint takes {size(needed)}" if needed is not None else ""
    free = None
    if folder.free_bytes is not None and folder.total_bytes is not None:
        free = f"{size(folder.free_bytes)} of {size(folder.total_bytes)} free{needs}"
    yield "disk space", free, ("SYS001",), None
    inodes = f"room for {counted(folder.free_inodes, 'file')}" if folder.free_inodes is not None else None
    if inodes is None and folder.free_bytes is not None:
        inodes = "no fixed number of files"
    yield "inodes", inodes, ("SYS002",), None
    yield "writing", _writing(folder), ("SYS003",), None
    if folder.lock is not None:
        pid = f" by process {folder.lock.pid}" if folder.lock.pid is not None else ""
        yield "lock", f"held{pid}" if folder.lock.held else "left by a run that is gone", ("SYS009",), None


def _mount(folder: FolderFacts) -> str:
    where = f" ({folder.filesystem} on {folder.mount_point})" if folder.filesystem is not None else ""
    silent = ": does not answer" if folder.answered is False else ""
    return f"{folder.path}{where}{silent}"


def _writing(folder: FolderFacts) -> str | None:
    probe = folder.write
    if folder.problem is not None:
        return folder.problem
    if probe is None:
        return "did not end in time" if folder.stuck_at is not None else None
    if not probe.written:
        return f"a test file failed: {probe.message or probe.error}"
    left = f"; {probe.left_behind} could not be removed again" if probe.left_behind is not None else ""
    return f"a test file was written and synced{left}"


def _memory(machine: MachineFacts) -> Iterator[_Thing]:
    memory = machine.memory
    shown = None
    if memory.available_bytes is not None and memory.total_bytes is not None:
        shown = f"{size(memory.available_bytes)} of {size(memory.total_bytes)} available"
        if memory.limit_bytes is not None and memory.limit_free_bytes is not None:
            shown += f"; the control group allows {size(memory.limit_free_bytes)} of {size(memory.limit_bytes)}"
    yield "memory", shown, ("SYS004",), None
    swap = None
    if memory.swap_total_bytes == 0:
        swap = "none"
    elif memory.swap_total_bytes is not None and memory.swap_used_bytes is not None:
        swap = f"{size(memory.swap_used_bytes)} of {size(memory.swap_total_bytes)} in use"
        if memory.swap_in_bytes_per_second is not None and memory.swap_out_bytes_per_second is not None:
            rates = memory.swap_in_bytes_per_second, memory.swap_out_bytes_per_second
            swap += f"; {size(rates[0])}/s in, {size(rates[1])}/s out"
    yield "swap", swap, ("SYS005",), None


def _gpus(machine: MachineFacts) -> Iterator[_Thing]:
    gpus, nvidia = machine.gpus, machine.nvidia
    if gpus is None:
        reasons = {
            "no-binding": "an NVIDIA driver is there; to ask it: pip install nvidia-ml-py",
            "version-mismatch": "the driver and its library are of different releases",
        }
        said = (reasons.get(nvidia.status) or nvidia.message or None) if nvidia is not None else None
        yield "GPU", said, ("SYS006", "SYS013"), "cannot tell"
    elif not gpus:
        others = ", ".join(machine.accelerators or ())
        yield "GPU", f"none of NVIDIA's; {others}" if others else "none", ("SYS006",), None
    for gpu in gpus or ():
        yield f"GPU {gpu.index}", _gpu(gpu), ("SYS006", "SYS007", "SYS008"), "warning" if _ill(gpu) else None
    if gpus and nvidia is not None:
        serves = f", serves CUDA {nvidia.cuda[0]}.{nvidia.cuda[1]}" if nvidia.cuda is not None else ""
        yield "driver", f"{nvidia.driver}{serves}" if nvidia.driver else None, ("SYS013",), None
    if gpus:
        shown = machine.visible_devices
        yield "CUDA_VISIBLE_DEVICES", "not set" if shown is None else repr(shown), ("SYS007",), None
    torch = machine.torch
    if torch is None:
        yield "torch", "not installed here", (), "cannot tell"
        return
    build = f"for CUDA {torch.cuda[0]}.{torch.cuda[1]}" if torch.cuda else "for ROCm" if torch.hip else "without CUDA"
    sees = f"; sees {counted(torch.sees, 'GPU')}" if torch.sees is not None else ""
    problem = f"; {torch.problem}" if torch.problem else "; gave no answer in time" if torch.timed_out else ""
    own: Status | None = "warning" if problem and not torch.sees else None
    yield "torch", f"{torch.version} {build}{sees}{problem}", ("SYS013",), own


def _gpu(gpu: Gpu) -> str:
    parts = [gpu.name or "unknown"]
    if gpu.capability is not None:
        parts.append(f"compute capability {gpu.capability[0]}.{gpu.capability[1]}")
    if gpu.free_bytes is not None and gpu.total_bytes is not None:
        parts.append(f"{size(gpu.free_bytes)} of {size(gpu.total_bytes)} free")
    if gpu.processes:
        parts.append("1 process" if len(gpu.processes) == 1 else f"{len(gpu.processes)} processes")
    if gpu.mig:
        parts.append("divided (MIG)")
    if gpu.uncorrected_errors:
        parts.append(f"{counted(gpu.uncorrected_errors, 'memory error')} that ECC could not mend since the last boot")
    if gpu.xids:
        parts.append(f"Xid errors in the kernel's log: {', '.join(map(str, gpu.xids))}")
    if gpu.problem is not None:
        parts.append(gpu.problem)
    return ", ".join(parts)


def _ill(gpu: Gpu) -> bool:
    return bool(gpu.uncorrected_errors) or not _GRAVE_XIDS.isdisjoint(gpu.xids)


def _limits(limits: LimitsFacts) -> Iterator[_Thing]:
    files = limits.open_files
    shown = [f"{files:,} open files"] if files is not None else []
    if "open_files" in limits.unlimited:
        shown.append("any number of open files")
    if limits.group_processes is not None and limits.group_free is not None:
        shown.append(f"{limits.group_free:,} of {limits.group_processes:,} processes left in the control group")
    elif limits.processes is not None and limits.processes_bind:
        shown.append(f"{limits.processes:,} processes for this user")
    if limits.file_bytes is not None:
        shown.append(f"files of {size(limits.file_bytes)} at most")
    yield "limits", ", ".join(shown) or None, ("SYS011",), None


def as_text(report: Report, rows: list[Row], *, color: bool, width: int | None) -> str:
    """The checklist as a table, the findings below it, and a line that sums up."""
    left = max(len(row.status) for row in rows)
    middle = max(len(row.thing) for row in rows)
    lines = []
    for row in rows:
        status = f"{_COLORS[row.status]}{row.status:<{left}}{_RESET}" if color else f"{row.status:<{left}}"
        indent = left + middle + 4
        value = visible(row.value)
        if width is not None:
            value = textwrap.fill(value, max(width - indent, 30), subsequent_indent=" " * indent)
        lines.append(f"{status}  {row.thing:<{middle}}  {value}")
    blocks = ["\n".join(lines)]
    if found := render_findings(report, color=color, width=width):
        blocks.append(found)
    return "\n\n".join([*blocks, _summary(report)]) + "\n"


def _summary(report: Report) -> str:
    counts = [
        counted(number, noun)
        for number, noun in (
            (report.count("error"), "problem"),
            (report.count("warn"), "warning"),
            (report.count("info"), "note"),
        )
        if number
    ]
    return f"{', '.join(counts)}." if counts else "Nothing stands in the way of a run."


def as_document(machine: MachineFacts, report: Report, rows: list[Row]) -> dict[str, Any]:
    """The checklist, the report and the facts, for programs."""
    return {
        "version": 1,
        "checklist": [asdict(row) for row in rows],
        "report": report.to_dict(),
        "machine": _plain(asdict(machine)),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    return value
