"""Row 19: weights in the format of older releases, which a Trainer still resumes from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._real_run import NEWEST, real_run
from trainguard.drills.guard import Guard

_CONVERT = """
import sys, torch
from safetensors.torch import load_file
torch.save(load_file(sys.argv[1]), sys.argv[2])
"""
_DEADLINE_SECONDS = 120.0


class OutdatedFormat(Drill):
    number = 19
    area = "checkpoint"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The weights of a real checkpoint, saved by torch as pytorch_model.bin in place of safetensors."""
        output = real_run(scratch)
        old, new = output / NEWEST / "pytorch_model.bin", output / NEWEST / "model.safetensors"
        command = [sys.executable, "-c", _CONVERT, str(new), str(old)]
        subprocess.run(command, capture_output=True, check=True, timeout=_DEADLINE_SECONDS)
        saved = new.stat()
        os.utime(old, ns=(saved.st_atime_ns, saved.st_mtime_ns))  # as old as the rest of its save
        new.unlink()
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT007", severity="warn", says=["pytorch_model.bin"])
        yield from surplus(outcome)
        latest = outcome.values["latest"]
        if latest is None or latest.name != NEWEST:
            yield f"{NEWEST} can be resumed from, and {latest.name if latest is not None else None} was chosen"
