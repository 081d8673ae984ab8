"""Row 28: the GPU falls off the bus in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.gpu._kept import kept
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import STEPS, names, own_code, train, write_run
from trainguard.recovery.records import Decision, Evidence, Failure, History, Limits

# As CUDA and torch 2.13 word it (c10/cuda/CUDAException.cpp): the context is gone with the device.
_LOST = """import torch


def go(batch):
    kind = getattr(torch, "AcceleratorError", RuntimeError)
    hint = "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."
    raise kind(f"CUDA error: unspecified launch failure\\n{hint}")
"""
# The driver's line about it in the kernel's log (NVIDIA, "XID Errors", 79).
_XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
_ADVICE = "CUDA error: unspecified launch failure"


class GpuCrash(Drill):
    number = 28
    area = "gpu"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The sixth step meets CUDA's error; what the supervisor then knows, with the driver's line in the kernel's log
        and a GPU that does not answer a new process, is put to the recovery; then the same command once more, with a
        GPU that is back."""
        write_run(scratch)
        ran = train(guard, scratch, fault=own_code(scratch, _LOST, at=6))
        values = {
            "code": ran.code,
            "names": names(scratch),
            "latest": guard.latest_checkpoint(scratch / "out"),
            "decisions": self._decided(ran.code, tuple(finding.to_dict() for finding in ran.findings)),
        }
        again = train(guard, scratch)
        return Outcome(findings=ran.findings, values=values | {"again": again.code, "end": names(scratch)[-1]})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN013", says=[_ADVICE, "while training", "new process"])
        yield from kept(outcome, "RUN013", "checkpoint-4")
        for answers, (failure, decision) in outcome.values["decisions"].items():
            if failure.kind != "gpu-lost":
                yield f"the recovery takes it for {failure.kind}, expected gpu-lost"
            elif not answers and (decision.act, decision.wait_for) != ("pause", "gpu"):
                yield f"a GPU that does not answer: {decision.act}, waiting for {decision.wait_for}; expected a pause"
            elif answers and decision.act not in ("retry", "pause"):
                yield f"a GPU that answers a new process: {decision.act}, expected another attempt"
        if outcome.values["again"] != 0 or outcome.values["end"] != f"checkpoint-{STEPS}":
            yield f"the same command ended with {outcome.values['again']} at {outcome.values['end']}"

    def _decided(self, code: int, findings: tuple[dict[str, object], ...]) -> dict[bool, tuple[Failure, Decision]]:
        """What the recovery makes of it, by whether the GPU answers a new process."""
        from trainguard.recovery.classify import classify
        from trainguard.recovery.decide import decide

        decided = {}
        for answers in (True, False):
            evidence = Evidence(
                exit_code=code, findings=findings, phase="train", step=5, kernel=(_XID,), gpu_answers=answers
            )
            failure = classify(evidence)
            if failure is None:
                raise RuntimeError("a run that ended with an error is taken for a success")
            decided[answers] = failure, decide(failure, History(), Limits())
        return decided
