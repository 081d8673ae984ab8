"""Runs drills in scratch folders."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from trainguard.drills.base import Drill
from trainguard.drills.guard import Guard
from trainguard.drills.needs import unmet

Verdict: TypeAlias = Literal["passed", "failed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a drill went. `why` are the reasons for "failed" and "not run"; `kept` the scratch folder, where kept."""

    drill: Drill
    verdict: Verdict
    seconds: float = 0.0
    why: tuple[str, ...] = ()
    kept: Path | None = None


def run_drills(
    drills: Iterable[Drill],
    *,
    keep: bool = False,
    guard: Guard | None = None,
    on_start: Callable[[Drill], None] | None = None,
) -> Iterator[Result]:
    """Runs the drills one after the other. What a drill raises is a failure of it."""
    for drill in drills:
        if on_start is not None:
            on_start(drill)
        yield run_drill(drill, keep=keep, guard=guard)


def run_drill(drill: Drill, *, keep: bool = False, guard: Guard | None = None) -> Result:
    """Runs one drill in a folder of its own, which is removed afterwards unless `keep`."""
    lacks = unmet(drill.needs)
    if lacks is not None:
        return Result(drill=drill, verdict="not run", why=(lacks,))
    with _scratch(drill, keep=keep) as scratch:
        started = time.monotonic()
        try:
            why = tuple(drill.expect(drill.provoke(scratch, guard or Guard())))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            why = (f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})",)
        seconds = time.monotonic() - started
    verdict: Verdict = "failed" if why else "passed"
    return Result(drill=drill, verdict=verdict, seconds=seconds, why=why, kept=scratch if keep else None)


@contextmanager
def _scratch(drill: Drill, *, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"trainguard-drill-{drill.number}-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
