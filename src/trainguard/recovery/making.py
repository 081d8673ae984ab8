"""Puts a Failure together: its sentence, its fingerprint, and the numbers that the policies need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from trainguard.recovery.by_finding import Said
from trainguard.recovery.reading import Raised, short_path
from trainguard.recovery.records import Evidence, Failure, Kind, Phase

_MOST = 500  # characters of a sentence
_PHASES = frozenset(get_args(Phase))
# What may be gone when it is tried again: somebody else's doing, or the machine's.
TRANSIENT: frozenset[Kind] = frozenset(
    {
        "stopped",
        "preempted",
        "killed",
        "ram-oom",
        "gpu-oom",
        "gpu-lost",
        "disk-full",
        "disk-error",
        "mount-gone",
        "hang",
        "network",
        "ended-early",
        "internal",
        "unknown",
    }
)
_DURING: Mapping[str, str] = {
    "load": " while loading",
    "tokenize": " while tokenizing",
    "train": " while training",
    "evaluate": " while evaluating",
    "save": " while saving",
}
_UNITS = {"bytes": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# torch 2.13, c10/cuda/CUDACachingAllocator.cpp.
_SIZES: Mapping[str, re.Pattern[str]] = {
    "tried_bytes": re.compile(r"Tried to allocate ([\d.]+) ([KMG]iB|bytes)"),
    "total_bytes": re.compile(r"total capacity of ([\d.]+) ([KMG]iB|bytes)"),
    "free_bytes": re.compile(r"of which ([\d.]+) ([KMG]iB|bytes) is free"),
    "own_bytes": re.compile(r"this process has ([\d.]+) ([KMG]iB|bytes) memory in use"),
    "allocated_bytes": re.compile(r"([\d.]+) ([KMG]iB|bytes) is allocated by PyTorch"),
    "unused_bytes": re.compile(r"([\d.]+) ([KMG]iB|bytes) is reserved by PyTorch but unallocated"),
}


def make(
    evidence: Evidence,
    kind: Kind,
    code: str,
    why: str,
    source: str,
    *,
    said: Said | None = None,
    raised: Raised | None = None,
    phase: Phase | None = None,
    data: Mapping[str, Any] | None = None,
) -> Failure:
    """The failure. `raised` is the exception that ended it, `phase` what a message says of when it was."""
    step = said.step if said is not None and said.step is not None else evidence.step
    during = _phase(evidence, said, phase)
    known: dict[str, Any] = {**(dict(said.evidence) if said is not None else {}), **dict(data or {})}
    if kind == "gpu-oom":
        known = {**(sizes(raised.words) if raised is not None else {}), **known}
    if said is not None and said.asked:
        known["asked"] = True
    if evidence.step is not None and evidence.own_steps is not None:
        known["step_before"] = max(0, evidence.step - evidence.own_steps)
    if kind in ("not-finite", "divergence"):
        since = known.get("since_step")
        known["planned_steps"] = evidence.planned_steps
        known["onset"] = since if isinstance(since, int) and kind == "divergence" else step
    place = _place(kind, known, raised)
    known["place"] = place
    return Failure(
        kind=kind,
        code=code,
        why=_sentence(why, said, during, step),
        fingerprint=f"{place}:{during}:{step if step is not None else '-'}",
        phase=during,
        step=step,
        transient=kind in TRANSIENT,
        source=source,
        data={key: value for key, value in known.items() if value is not None},
    )


def _phase(evidence: Evidence, said: Said | None, told: Phase | None) -> Phase:
    said_phase = said.evidence.get("phase") if said is not None else None
    if isinstance(said_phase, str) and said_phase in _PHASES and said_phase != "unknown":
        return said_phase  # type: ignore[return-value]
    if evidence.phase in _PHASES and evidence.phase not in ("unknown", "idle"):
        return evidence.phase
    if told is not None:
        return told
    return "train" if evidence.own_steps else "unknown"


def _place(kind: Kind, known: Mapping[str, Any], raised: Raised | None) -> str:
    """What is the same when the same fault comes back, wherever in the data: the kind, and the line of code."""
    name = raised.type if raised is not None else known.get("exception")
    if kind not in ("code", "unknown", "config", "data", "internal") or not name:
        extra = known.get("signal") or known.get("xid")
        return f"{kind}/{extra}" if extra else kind
    if raised is not None and raised.frame is not None:
        return f"{kind}/{name}@{raised.frame.short}"
    if known.get("file"):
        return f"{kind}/{name}@{short_path(str(known['file']))}:{known.get('line')}"
    return f"{kind}/{name}"


def _sentence(why: str, said: Said | None, phase: Phase, step: int | None) -> str:
    words = " ".join(why.split())
    if len(words) > _MOST:
        words = f"{words[:_MOST]}…"
    if said is not None:
        return words  # a finding says when by itself
    at = f" at step {step:,}" if step is not None else ""
    return f"{words}{_DURING.get(phase, '')}{at}"


def sizes(words: str) -> dict[str, int]:
    """The sizes that torch names when a GPU has no room, in bytes."""
    found = {}
    for name, pattern in _SIZES.items():
        match = pattern.search(words)
        if match is not None:
            try:
                found[name] = round(float(match[1]) * _UNITS[match[2]])
            except ValueError:
                continue
    return found
