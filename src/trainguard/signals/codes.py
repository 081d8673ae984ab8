"""The codes of a run in progress: their names and severities. They are a contract.

Most are said by a signal of this room. The others are not seen in metrics: the guarded trainer says them, before the
first step or of how a process ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.findings import Evidence, Finding, Fix, Severity

RUN_CODES: Mapping[str, tuple[str, Severity]] = {
    "RUN001": ("loss-nan", "error"),
    "RUN002": ("loss-inf", "error"),
    "RUN003": ("divergence", "warn"),  # error when it does not recover
    "RUN004": ("plateau", "warn"),
    "RUN005": ("overfitting", "warn"),
    "RUN006": ("degenerate-output", "warn"),
    "RUN007": ("zero-accuracy", "warn"),
    "RUN008": ("stalled", "error"),
    "RUN009": ("slow", "warn"),
    "RUN010": ("gpu-oom", "error"),
    "RUN011": ("ram-oom", "error"),
    "RUN012": ("killed", "error"),
    "RUN013": ("gpu-lost", "error"),
    "RUN014": ("memory-growth", "warn"),
    "RUN015": ("zero-steps", "error"),
    "RUN016": ("nothing-trainable", "error"),
    "RUN017": ("labels-all-masked", "error"),
    "RUN018": ("loss-zero", "warn"),
    "RUN019": ("schedule", "warn"),
    "RUN020": ("gradient", "warn"),
    "RUN021": ("weights-unchanged", "warn"),
    "RUN022": ("uncaught-exception", "error"),
    "RUN023": ("recovered", "info"),
    "RUN024": ("data-replayed", "warn"),
    "RUN025": ("disk-full-on-save", "error"),
    "RUN026": ("ended-early", "error"),
    "RUN027": ("reward-collapse", "warn"),
}


def run_finding(
    code: str,
    message: str,
    *,
    step: int | None = None,
    severity: Severity | None = None,
    fix: str | Fix | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Finding:
    """A finding about a run: name, severity and documentation page filled in. Raises KeyError for another code."""
    name, usual = RUN_CODES[code]
    return Finding(
        severity=severity or usual,
        message=message,
        code=code,
        name=name,
        step=step,
        fix=Fix(fix) if isinstance(fix, str) else fix,
        evidence=Evidence(evidence or {}),
        docs=f"docs/signals.md#{code.lower()}",
    )
