"""Beyond the catalogue: weights are cut short while their bytes are being read. A mapped file would kill the reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.model._folders import write_model

_ROWS = 500_000


class CutUnderTheReader(Drill):
    number = 102
    area = "model"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Of 16 MB of weights three quarters are gone after the first progress of a deep reading."""
        folder = write_model(scratch / "model", rows=_ROWS)
        path = folder / "model.safetensors"
        told: list[int] = []

        def cut(done: int, total: int) -> None:
            if not told and done < total:
                os.truncate(path, total // 4)
            told.append(done)

        findings = guard.model(folder, deep=True, on_progress=cut)
        was_cut = path.stat().st_size < _ROWS * 16
        return Outcome(findings=findings, values={"was_cut": was_cut})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "MODEL002", says=["model.safetensors"])
        yield from surplus(outcome, "MODEL002")
        if not outcome.values["was_cut"]:
            yield "the file was read before it could be cut"
