"""Row 26: there is no GPU, and the run has not asked for the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside
from trainguard.drills.machine._driver import drivers


class NoGpu(Drill):
    number = 26
    area = "machine"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A driver's library that says that no driver is loaded; asked with and without the CPU asked for."""
        environment = drivers(scratch, "raise NVMLError(9)")
        on_cpu = ask_inside(guard, [], environment={**environment, "CUDA_VISIBLE_DEVICES": ""})
        return Outcome(
            findings=ask_inside(guard, [], environment={**environment, "CUDA_VISIBLE_DEVICES": None}),
            values={"on_cpu": Outcome(findings=on_cpu)},
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "SYS006", severity="warn", says=["no GPU", "driver is not loaded", "CPU"])
        if outcome.values["on_cpu"].of("SYS006"):
            yield "SYS006 was raised though CUDA_VISIBLE_DEVICES= asks for the CPU"
