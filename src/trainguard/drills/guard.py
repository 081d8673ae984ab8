"""The guard as a drill asks it: the public checks, and the same with some codes switched off.

A drill that passes without its guard proves nothing. `Guard.off` ignores the codes and, in place of the choice of a
checkpoint, of the callback and of `trainguard train`, does what the Trainer does alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.findings import Finding

if TYPE_CHECKING:
    from trainguard.drills.forking import Ran
    from trainguard.findings import Report
    from trainguard.signals.samples import Method
    from trainguard.signals.watching import Watcher


@dataclass(frozen=True, slots=True)
class Guard:
    """Asks trainguard about data, models, checkpoints, configurations, the machine, scripts and runs.

    `ignored` are the codes that are switched off. `choosing` False switches off the choice of a verified checkpoint,
    `guarding` False the callback and `trainguard train`: a run is then the stock Trainer's.
    """

    ignored: tuple[str, ...] = ()
    choosing: bool = True
    guarding: bool = True

    @classmethod
    def off(cls, codes: tuple[str, ...]) -> Guard:
        return cls(ignored=codes, choosing=False, guarding=False)

    def data(self, path: Path, **options: Any) -> tuple[Finding, ...]:
        return self._ask("data", {"path": path, **options})

    def model(self, path: Path, **options: Any) -> tuple[Finding, ...]:
        return self._ask("model", {"path": path, **options})

    def checkpoint(self, path: Path, **options: Any) -> tuple[Finding, ...]:
        return self._ask("checkpoint", {"path": path, **options})

    def config(self, source: Path | Mapping[str, Any]) -> tuple[Finding, ...]:
        return self._ask("config", {"source": source})

    def machine(self, *, folder: Path | None = None, needed_bytes: int | None = None) -> tuple[Finding, ...]:
        return self._ask("machine", {"folder": folder, "needed_bytes": needed_bytes})

    def latest_checkpoint(self, output_dir: Path) -> Path | None:
        """The checkpoint to resume from. Switched off: the highest number, as `get_last_checkpoint` chooses it
        (transformers 5.23, trainer_utils.py)."""
        if self.choosing:
            from trainguard import latest_verified_checkpoint

            return latest_verified_checkpoint(output_dir)
        found = [path for path in output_dir.iterdir() if re.fullmatch(r"checkpoint-\d+", path.name) and path.is_dir()]
        return max(found, key=lambda path: int(path.name.partition("-")[2]), default=None)

    def script(self, path: Path) -> tuple[Finding, ...]:
        from trainguard.check import Options, check_paths

        return _findings_of(check_paths([path], options=Options(ignore=self.ignored)))

    # A run in progress. What trains has `guarded` among its arguments: without it, it is the stock Trainer's.

    def watcher(self, *, method: Method = "sft", declared: Mapping[str, Any]) -> Watcher:
        """What looks at a run's records, from within or from outside."""
        from trainguard.signals.samples import Run
        from trainguard.signals.watching import Watcher

        return Watcher(Run(method=method, declared=declared), off=self.ignored)

    def watch(
        self, records: Iterable[Mapping[str, Any]], *, method: Method = "sft", declared: Mapping[str, Any]
    ) -> tuple[Finding, ...]:
        watcher = self.watcher(method=method, declared=declared)
        found = tuple(finding for record in records for finding in watcher.feed(record))
        for error in watcher.errors:
            raise RuntimeError(f"{error.origin} failed inside trainguard: {error.message}\n{error.traceback}")
        return found

    def run(self, function: Callable[..., Any], folder: Path, *, gpu: bool = False, **arguments: Any) -> Ran:
        """Runs a function that trains, `function(guarded=..., **arguments)`, in a process of its own in `folder`."""
        from trainguard.drills.forking import run_forked

        return run_forked(function, {"guarded": self.guarding, **arguments}, folder, gpu=gpu)

    def _ask(self, kind: Any, arguments: dict[str, Any]) -> tuple[Finding, ...]:
        from trainguard.check import Options
        from trainguard.material import check_kind

        return _findings_of(check_kind(kind, arguments, Options(ignore=self.ignored)))


def _findings_of(reports: Iterable[Report]) -> tuple[Finding, ...]:
    reports = list(reports)
    for report in reports:
        for error in report.errors:
            raise RuntimeError(f"{error.origin} failed inside trainguard: {error.message}\n{error.traceback}")
    return tuple(finding for report in reports for finding in report.findings)
