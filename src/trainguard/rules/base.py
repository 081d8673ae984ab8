"""What a rule is: one class in one file, with its examples beside it.

A rule reads facts and yields findings. It opens no file, asks no network and knows no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from trainguard.facts.api import ApiFacts
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.findings import Evidence, Finding, Fix, Location, Severity

Need: TypeAlias = Literal["script", "job", "dependencies", "batch"]
Area: TypeAlias = Literal["job", "api", "python", "config", "data", "model", "checkpoint", "machine", "security"]

DOCS_URL = "docs/rules/{code}.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The facts that a rule is asked about. What a rule `needs` is there; the rest may be None.

    `script` is what the script is; `job` how and where it runs; `api` the training libraries at
    the versions that the job will have, there whenever `script` or `job` is; `script_file` whether a script that the
    job names by path is there; `dependencies_stated` is False where only some options of a job were given
    on a command line and its packages were not among them; `batch` the subjects of the jobs that are
    submitted together, for rules about several jobs (such a rule is asked once, with `script` and `job` None).
    """

    script: ScriptFacts | None = None
    job: JobFacts | None = None
    api: ApiFacts | None = None
    script_file: Literal["found", "missing"] | None = None
    dependencies_stated: bool = True
    batch: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A script and/or job, as a test of a rule and as documentation of it.

    `script` is put into `job["script"]` where a job is given; `job` None asks the rule without a job,
    as `trainguard check train.py` does. `files` are other files beside the script, name to text.
    `findings` are the exact messages expected, as (line or None, message) pairs; empty for VALID.
    """

    script: str | None = None
    job: Mapping[str, Any] | None = None
    findings: tuple[tuple[int | None, str], ...] = ()
    why: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    batch: tuple[Mapping[str, Any], ...] = ()


class Rule:
    """Base of all rules. A subclass sets the class variables and writes `check`.

    The docstring has the headings *What it does*, *Why it costs you*, *Example* and *Use instead*.
    `needs` names the facts without which the rule has nothing to say: "script" (a script that could be
    read), "job" (a submission or flags that describe one), "dependencies" (a job, or a PEP 723 block),
    "batch" (several jobs).
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    area: ClassVar[Area]
    needs: ClassVar[frozenset[Need]] = frozenset({"script"})
    VALID: ClassVar[tuple[Example, ...]]
    INVALID: ClassVar[tuple[Example, ...]]

    def check(self, subject: Subject) -> Iterable[Finding]:
        """The findings of this rule about `subject`, none where it cannot tell."""
        raise TypeError(f"{type(self).__name__} does not define check, so it has nothing to say of {subject}")

    def finding(
        self,
        message: str,
        *,
        where: Location | None = None,
        fix: str | Fix | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> Finding:
        """A finding of this rule: its code, name, severity and documentation page filled in."""
        return Finding(
            severity=self.severity,
            message=message,
            code=self.code,
            name=self.name,
            where=where,
            fix=Fix(fix) if isinstance(fix, str) else fix,
            evidence=Evidence(evidence or {}),
            docs=DOCS_URL.format(code=self.code),
        )
