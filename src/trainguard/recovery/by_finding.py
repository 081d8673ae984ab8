"""What the run's own findings say of how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from trainguard.recovery.records import Kind

# Errors that a run says and survives: it goes on, and whether it mended shows in how it ends (train/actions.py).
SURVIVED = frozenset({"RUN008", "RUN025", "RUN026", "CKPT005"})
# Errors after which a clean exit is none: the guard has ended the loop, whatever the script did then.
STOPPING = frozenset({"RUN001", "RUN002", "RUN003", "RUN015", "RUN016", "RUN017", "RUN026"})
_STOPPED = re.compile(r"\bstopped: ((?:RUN|CKPT)\d{3})\b")

_BY_CODE: Mapping[str, Kind] = {
    "RUN001": "not-finite",
    "RUN002": "not-finite",
    "RUN003": "divergence",
    "RUN008": "hang",
    "RUN010": "gpu-oom",
    "RUN011": "ram-oom",
    "RUN012": "killed",
    "RUN013": "gpu-lost",
    "RUN015": "data",
    "RUN016": "config",
    "RUN017": "data",
    "RUN022": "code",
    "RUN025": "disk-full",
    "RUN026": "ended-early",
    "SYS001": "disk-full",
    "SYS002": "disk-full",
    "SYS003": "disk-error",
    "SYS004": "ram-oom",
    "SYS006": "gpu-lost",
    "SYS008": "gpu-lost",
    "SYS009": "unknown",
    "SYS012": "mount-gone",
    "SYS013": "config",
}
_BY_AREA: Mapping[str, Kind] = {"DATA": "data", "CFG": "config", "MODEL": "config", "CKPT": "config", "SYS": "config"}
# What nobody who is not asked can change about a folder; other errors of a write may pass.
_PERMISSION = frozenset({"EACCES", "EPERM"})


class Said(Struct, frozen=True, kw_only=True):
    """A finding that tells how the run ended, and what it means. `asked` is a warning that the user made stop a run."""

    kind: Kind
    code: str
    message: str
    step: int | None
    evidence: dict[str, Any]
    asked: bool = False


def last_words(findings: Sequence[Any], lines: Sequence[str]) -> Said | None:
    """The finding with which the run ended: the one that its last line names, else the last error."""
    plain = [each for each in findings if isinstance(each, Mapping) and isinstance(each.get("code"), str)]
    named = next((found[1] for line in reversed(lines[-20:]) if (found := _STOPPED.search(line))), None)
    for each in reversed(plain):
        if each["code"] == named:
            return _said(each, asked=each.get("severity") != "error" and named not in _BY_CODE)
    errors = [each for each in plain if each.get("severity") == "error"]
    return _said(errors[-1], asked=False) if errors else None


def _said(finding: Mapping[str, Any], *, asked: bool) -> Said:
    code = str(finding["code"])
    step, evidence = finding.get("step"), finding.get("evidence")
    evidence = dict(evidence) if isinstance(evidence, Mapping) else {}
    message = str(finding.get("message", ""))
    return Said(
        kind="ended-early" if asked else _kind(code, evidence, message, step),
        code=code,
        message=message,
        step=step if isinstance(step, int) and not isinstance(step, bool) else None,
        evidence=evidence,
        asked=asked,
    )


def _kind(code: str, evidence: Mapping[str, Any], message: str, step: object) -> Kind:
    if code in ("RUN001", "RUN002") and step is None:
        return "config"  # weights that are not finite before the first step (train/soundness.py): the model's fault
    # Every CUDA error of torch ends in "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions." (torch
    # 2.13, c10/cuda/CUDAException.cpp), so the word alone says nothing.
    if code == "RUN013" and "device-side assert triggered" in message:
        return "code"  # an index out of range, which comes back on every GPU
    if code == "RUN015":
        return _zero_steps(evidence)
    if code == "RUN017" and ("padding" in evidence or "pad_token_id" in evidence):
        return "config"  # the tokenizer's padding hides the labels of every file (train/labels.py)
    if code == "SYS003" and (evidence.get("errno") in _PERMISSION or "ermission" in message):
        return "config"
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    area = re.match(r"[A-Z]+", code)
    return _BY_AREA.get(area[0] if area else "", "code")


def _zero_steps(evidence: Mapping[str, Any]) -> Kind:
    """RUN015 of a configuration that asks for none, of a loop that ended at once, and of data without a batch."""
    if "planned_steps" in evidence:
        return "ended-early"
    return "config" if "max_steps" in evidence or "num_train_epochs" in evidence else "data"
