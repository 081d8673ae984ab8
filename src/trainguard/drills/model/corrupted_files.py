"""Row 12: weights that are cut off, lie about their sizes, or are something else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.model._folders import write_model

_NAME = "model.safetensors"
# Headers and sizes are a few kilobytes; the rest is the patience of a busy machine.
_MAX_SECONDS = 5.0


class CorruptedFiles(Drill):
    number = 12
    area = "model"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """One sound folder and four broken ones."""
        sound = write_model(scratch / "sound")
        cut, shifted, html, short = (write_model(scratch / name) for name in ("cut", "shifted", "html", "short"))
        os.truncate(cut / _NAME, (cut / _NAME).stat().st_size - 10)
        content = (shifted / _NAME).read_bytes()
        (shifted / _NAME).write_bytes(content.replace(b'"data_offsets": [0, 512]', b'"data_offsets": [0, 256]', 1))
        (html / _NAME).write_text("<!DOCTYPE html><title>504 Gateway Time-out</title>\n" * 20)
        (short / _NAME).write_bytes(b"\x10\x00")
        started = time.monotonic()
        found = {folder.name: Outcome(findings=guard.model(folder)) for folder in (cut, shifted, html, short)}
        seconds = time.monotonic() - started
        return Outcome(findings=guard.model(sound), values={"broken": found, "seconds": seconds})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from surplus(outcome)
        for name, each in outcome.values["broken"].items():
            for lack in missing(each, "MODEL002", says=[_NAME]):
                yield f"{name}: {lack}"
        if outcome.values["seconds"] > _MAX_SECONDS:
            yield f"four folders took {outcome.values['seconds']:.1f} s"
