"""Row 29: many small allocations fragment the GPU's memory, which is told from a leak."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard

_DECLARED = {"max_steps": 1000, "logging_steps": 10, "gpu_memory_gb": 24.0}
_POINTS = 30


class Fragmentation(Drill):
    number = 29
    area = "gpu"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:  # noqa: ARG002 - the records are all that it takes
        """The records of three runs of 24 GB: reserved memory climbs alone, allocated memory does too, neither."""
        said = {name: guard.watch(_records(*climbs), declared=_DECLARED) for name, climbs in _CLIMBS.items()}
        return Outcome(
            findings=said["fragmented"],
            values={"leak": Outcome(findings=said["leak"]), "steady": Outcome(findings=said["steady"])},
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(
            outcome, "RUN014", severity="warn", says=["fragmented", "expandable_segments:True", "24 GB are full"]
        )
        leak = outcome.values["leak"]
        yield from (
            f"for the leak, {each}"
            for each in missing(leak, "RUN014", severity="warn", says=["kept from step to step"])
        )
        if any("expandable_segments" in f"{finding.message} {finding.fix}" for finding in leak.of("RUN014")):
            yield "for the leak, RUN014 proposes expandable_segments, which does not help"
        if outcome.values["steady"].of("RUN014"):
            yield "RUN014 was said of memory that does not grow"
        # 16 GB and 0.1 GB more every 10 steps: 24 GB are reached at step 800 or so.
        for finding in outcome.of("RUN014"):
            forecast = finding.evidence.get("full_at_step")
            if not isinstance(forecast, int | float) or not 700 <= forecast <= 900:
                yield f"the forecast is step {forecast}, expected about 800"


# GB allocated and reserved that come with each record.
_CLIMBS = {"fragmented": (0.0, 0.1), "leak": (0.1, 0.1), "steady": (0.0, 0.0)}


def _records(allocated: float, reserved: float) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [{"event": "start", "t": 0.0}]
    for point in range(1, _POINTS + 1):
        ripple = 0.01 * (point % 3)
        records.append(
            {
                "step": 10 * point,
                "t": 20.0 * point,
                "loss": 2.0 - 0.01 * point + ripple,
                "memory_gb": 12.0 + allocated * point + ripple,
                "memory_reserved_gb": 16.0 + reserved * point + ripple,
            }
        )
    return records
