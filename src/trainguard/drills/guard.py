"""The guard as a drill asks it: the public checks, and the same with some codes switched off.

A drill that passes without its guard proves nothing. `Guard.off` ignores the codes and, in place of the choice of a
checkpoint, does what the Trainer does alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.findings import Finding


@dataclass(frozen=True, slots=True)
class Guard:
    """Asks trainguard about data, models, checkpoints, configurations and the machine.

    `ignored` are the codes that are switched off; `choosing` False switches off the choice of a verified checkpoint.
    """

    ignored: tuple[str, ...] = ()
    choosing: bool = True

    @classmethod
    def off(cls, codes: tuple[str, ...]) -> Guard:
        return cls(ignored=codes, choosing=False)

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

    def _ask(self, kind: Any, arguments: dict[str, Any]) -> tuple[Finding, ...]:
        from trainguard.check import Options
        from trainguard.material import check_kind

        reports = check_kind(kind, arguments, Options(ignore=self.ignored))
        for report in reports:
            for error in report.errors:
                raise RuntimeError(f"{error.origin} failed inside trainguard: {error.message}\n{error.traceback}")
        return tuple(finding for report in reports for finding in report.findings)
