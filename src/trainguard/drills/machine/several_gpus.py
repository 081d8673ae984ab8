"""Row 27: several GPUs, most of them taken, and none is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside
from trainguard.drills.machine._driver import drivers

_GPUS = 'GPUS[:] = [{"name": "NVIDIA H200", "total": 140 * GIB, "used": used * GIB} for used in (90, 120, 3, 60)]'


class SeveralGpus(Drill):
    number = 27
    area = "machine"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Four GPUs of which the third is the emptiest; asked with none chosen and with the third chosen."""
        environment = drivers(scratch, _GPUS)
        chosen = ask_inside(guard, [], environment={**environment, "CUDA_VISIBLE_DEVICES": "2"})
        return Outcome(
            findings=ask_inside(guard, [], environment=environment), values={"chosen": Outcome(findings=chosen)}
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        says = ["4 GPUs", "CUDA_VISIBLE_DEVICES=2", "NVIDIA H200"]
        yield from missing(outcome, "SYS007", severity="info", says=says, evidence={"emptiest": 2})
        yield from surplus(outcome)
        if outcome.values["chosen"].of("SYS007"):
            yield "SYS007 was raised though a GPU is chosen"
        if outcome.values["chosen"].of("SYS008"):
            yield "SYS008 was raised about a GPU that is not chosen, or nearly empty"
