"""Row 36: a micro-batch that does not fit into the GPU's memory, as the file before has shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.process._daemon import BATCH, finish, look, start_daemon, write_folder
from trainguard.drills.process._observed import findings_of
from trainguard.findings import Finding

_FIRST, _SECOND = "a.jsonl", "b.jsonl"
_FITS = BATCH // 2


class BatchTooLarge(Drill):
    number = 36
    area = "gpu"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Half the micro-batch fits. The first file finds out by running out of memory; the second is told before its
        first step. Without the guard nobody remembers, and nothing is told."""
        write_folder(scratch, {_FIRST: 12, _SECOND: 12}, faults=[{"what": "oom", "fits": _FITS, "step": 2}])
        if not guard.guarding:
            return Outcome()
        code = finish(start_daemon(scratch))
        seen = look(scratch)
        ids = {file["name"]: file["id"] for file in seen["files"]}
        second = [event for event in seen["events"] if event["file_id"] == ids.get(_SECOND)]
        findings = tuple(
            finding for each in findings_of(second) if (finding := Finding.from_dict(each)).code not in guard.ignored
        )
        values = {
            "code": code,
            "files": {file["name"]: (file["state"], file["attempts"]) for file in seen["files"]},
            "second": second,
            "rows": [row for file, _, row in seen["seen"] if file.startswith(f"{ids.get(_SECOND)}-")],
        }
        return Outcome(findings=findings, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        says = [f"batch_size = {_FITS}", "gradient_accumulation = 2", f"effective batch at {BATCH}"]
        yield from missing(outcome, "JOB017", severity="warn", says=says, evidence={"fitting_batch_size": _FITS})
        if "files" not in outcome.values:
            return
        if outcome.values["code"] != 0:
            yield f"the daemon ended with {outcome.values['code']}"
        expected = {_FIRST: ("done", 2), _SECOND: ("done", 1)}
        if outcome.values["files"] != expected:
            yield f"the files ended as {outcome.values['files']}, expected {expected} (state, attempts)"
        if outcome.values["rows"] != list(range(12)):
            yield f"of the second file the rows {outcome.values['rows']} were trained, expected each once and in order"
        yield from self._told_before(outcome.values["second"])

    def _told_before(self, events: list[dict[str, Any]]) -> Iterator[str]:
        kinds = [
            "JOB017" if (event["data"].get("finding") or {}).get("code") == "JOB017" else event["kind"]
            for event in events
        ]
        if "JOB017" in kinds and "first-step" in kinds and kinds.index("JOB017") > kinds.index("first-step"):
            yield "JOB017 was said after the first step, which is too late"
