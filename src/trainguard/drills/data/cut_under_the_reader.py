"""Beyond the catalogue: someone cuts the file short while it is being read. A mapped file would kill the reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.data._rows import line, numbered
from trainguard.drills.guard import Guard

_FILE_BYTES = 200_000_000


class CutUnderTheReader(Drill):
    number = 101
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The file loses its second half as soon as the reader has told of its first progress."""
        path = scratch / "train.jsonl"
        block = "".join(line(row) + "\n" for row in numbered(20_000)).encode()
        with path.open("wb") as file:
            for _ in range(_FILE_BYTES // len(block) + 1):
                file.write(block)
        told: list[int] = []

        def cut(done: int, total: int) -> None:
            if not told and done < total:
                os.truncate(path, total // 4)
            told.append(done)

        return Outcome(findings=guard.data(path, on_progress=cut), values={"told": len(told)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA020", says=["train.jsonl"])
        if outcome.values["told"] < 2:
            yield "the file was read before it could be cut"
