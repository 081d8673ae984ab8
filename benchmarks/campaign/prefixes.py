"""The power cut at every prefix of what a save did: whatever was said to be verified must be whole on each disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainguard.drills.process._cuts import newest_said
from trainguard.drills.process._daemon import newest_verified
from trainguard.drills.process._power import CUTS, after_power_cut, write_to

_ROOT = 1
_EVENTS = ("out", "trainguard", "events.jsonl")
# A save of the stand-in is 60 to 100 operations, one of the real trainer some hundreds: of a longer one every second
# (third, …) prefix is looked at, so that one look takes seconds.
_MOST_PREFIXES = 120


class Prefixes:
    """Looks at each save once. `looked_at` counts the disks that were made and read."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._last: object = None
        self.looked_at = 0

    def look_at(self, log: Sequence[tuple[Any, ...]], seed: int) -> list[str]:
        """What was lost at which prefix of the newest save in `log`, as sentences; nothing where it has no whole one
        or where that was looked at already."""
        span = newest_save(log)
        if span is None or self._last is log[span[1] - 1]:
            return []
        self._last = log[span[1] - 1]
        first, last = span
        broken = []
        for upto in range(first, last + 1, 1 + (last - first) // _MOST_PREFIXES):
            said = newest_said(_bytes(after_power_cut(log, upto, "kept"), _EVENTS))
            for cut in CUTS:
                nodes = after_power_cut(log, upto, cut, seed)
                whole = self._newest(nodes)
                self.looked_at += 1
                if whole < said:
                    words = f"the power went after operation {upto - first} of {last - first} of a save ({cut})"
                    broken.append(f"{words}: step {said} was verified, and {whole} is the newest that is whole")
        return broken

    def _newest(self, nodes: dict[int, Any]) -> int:
        number = nodes[_ROOT].entries.get(b"out")
        if number is None:
            return 0
        shutil.rmtree(self._scratch, ignore_errors=True)
        write_to(self._scratch, {**nodes, _ROOT: nodes[number]})
        return newest_verified(self._scratch)


def newest_save(log: Sequence[tuple[Any, ...]]) -> tuple[int, int] | None:
    """The operations of the newest save that came to its end: from the step's own line in the events to the line that
    says that it is verified."""
    end = _last(log, len(log), b'"verified"')
    if end is None:
        return None
    begin = _last(log, end, b'"metrics"')
    return (begin, end + 1) if begin is not None else None


def _last(log: Sequence[tuple[Any, ...]], before: int, word: bytes) -> int | None:
    for place in range(before - 1, -1, -1):
        entry = log[place]
        if entry[0] == "write" and b'"event"' in entry[3][:200] and word in entry[3][:200]:
            return place
    return None


def _bytes(nodes: dict[int, Any], path: Sequence[str]) -> bytes:
    number: int | None = _ROOT
    for name in path:
        number = nodes[number].entries.get(name.encode()) if number is not None else None
    return bytes(nodes[number].content) if number is not None else b""
