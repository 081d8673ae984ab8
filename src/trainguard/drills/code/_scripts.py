"""An exception of a user's code, twice: in scripts that are checked before they run, and in a run that it ends."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import OUTPUT, names, own_code, train, write_run
from trainguard.findings import Finding, Severity

_AT = 5  # the micro-batch in which a run ends; checkpoint-4 has been saved then


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script, and what `code` is to say of its `line` before it runs; then it raises there, or in `raised_in`."""

    code: str
    text: str
    line: int
    raised_in: int | None = None
    says: tuple[str, ...] = ()
    severity: Severity = "error"


class CodeDrill(Drill):
    """`raises` is the exception, `scripts` are such that raise it, each told of before, and `own` is the text of a
    module whose `go(batch)` raises it in line `own_line` while a run trains; empty where the catalogue has no RUN022.
    """

    area = "code"
    needs = frozenset({"trl"})
    raises: ClassVar[str]
    scripts: ClassVar[tuple[Script, ...]]
    own: ClassVar[str] = ""
    own_line: ClassVar[int] = 0

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        write_run(scratch)
        values: dict[str, Any] = {"really": {}, "said": {}}
        findings: list[Finding] = []
        for script in self.scripts:
            path = scratch / f"{script.code.lower()}.py"
            path.write_text(script.text, encoding="utf-8")
            said = guard.script(path)
            findings += said
            values["said"][script.code] = Outcome(findings=said)
            values["really"][script.code] = guard.run(really, scratch, script=path.name).value
        if self.own:
            ran = train(guard, scratch, fault=own_code(scratch, self.own, at=_AT))
            findings += ran.findings
            failure = scratch / OUTPUT / "trainguard/failure.txt"
            values |= {
                "code": ran.code,
                "names": names(scratch),
                "latest": guard.latest_checkpoint(scratch / OUTPUT),
                "traceback": failure.read_text(encoding="utf-8") if failure.is_file() else "",
            }
        return Outcome(findings=tuple(findings), values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        for script in self.scripts:
            code = script.code
            said = outcome.values["said"][code]
            yield from missing(said, code, severity=script.severity, says=script.says, line=script.line)
            seen, line = outcome.values["really"][code], script.raised_in or script.line
            if (seen["raised"], seen["line"]) != (self.raises, line):
                yield (
                    f"the script of {code} raises {seen['raised']} in line {seen['line']} when it is run, expected "
                    f"{self.raises} in line {line}"
                )
        if self.own:
            yield from self._ended_well(outcome)

    def _ended_well(self, outcome: Outcome) -> Iterator[str]:
        """What is wrong with the end of the run: named, with its line and traceback, and nothing lost."""
        values = outcome.values
        yield from missing(outcome, "RUN022", says=[self.raises, "own.py", "checkpoint-4"], line=self.own_line)
        if values["code"] != 1:
            yield f"the run ended with exit code {values['code']}, expected 1"
        if self.raises not in values["traceback"] or "own.py" not in values["traceback"]:
            yield "failure.txt does not hold the traceback"
        latest = values["latest"]
        if latest is None or latest.name != "checkpoint-4" or values["names"] != ["checkpoint-2", "checkpoint-4"]:
            yield f"checkpoint-2 and checkpoint-4 were to stand; there are {values['names']}, the newest is {latest}"


def really(*, guarded: bool, script: str) -> dict[str, Any]:  # noqa: ARG001 - scripts run without a guard
    """In the fork: runs a script; what it raised, and in which of its own lines."""
    sys.argv = [script]
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(script)]
        return {"raised": type(error).__name__, "line": lines[-1] if lines else None}
    return {"raised": None, "line": None}
