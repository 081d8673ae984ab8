"""What a rule is: one class in one file, with its examples beside it.

A rule reads facts and yields findings. It opens no file, asks no network and knows no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from trainguard.facts.api import ApiFacts
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.findings import Evidence, Finding, Fix, Location, Severity
from trainguard.rules._example_files import Recipe

if TYPE_CHECKING:
    from trainguard.facts.checkpoint.records import CheckpointsFacts
    from trainguard.facts.config.records import ConfigFacts
    from trainguard.facts.data.records import DataFacts
    from trainguard.facts.machine.records import MachineFacts
    from trainguard.facts.model.records import ModelFacts

# What a subject is: a script with its job, or one of the things that go into a run.
Kind: TypeAlias = Literal["script", "data", "config", "model", "checkpoint", "machine"]
Need: TypeAlias = Literal["script", "job", "dependencies", "batch", "data", "config", "model", "checkpoint", "machine"]
Area: TypeAlias = Literal["job", "api", "python", "config", "data", "model", "checkpoint", "machine", "security"]

KINDS_BESIDE_SCRIPTS: frozenset[Kind] = frozenset({"data", "config", "model", "checkpoint", "machine"})

DOCS_URL = "docs/rules/{code}.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The facts that a rule is asked about. What a rule `needs` is there; the rest may be None.

    `script` is what the script is; `job` how and where it runs; `api` the training libraries at
    the versions that the job will have, there whenever `script` or `job` is; `script_file` whether a script that the
    job names by path is there; `dependencies_stated` is False where only some options of a job were given
    on a command line and its packages were not among them; `batch` the subjects of the jobs that are
    submitted together, for rules about several jobs (such a rule is asked once, with `script` and `job` None).
    A subject of another `kind` than "script" has the facts of its kind; that of a configuration also those of what
    it names, as far as they could be read (`tokenizer` where that is another folder than the model's).
    """

    kind: Kind = "script"

    script: ScriptFacts | None = None
    job: JobFacts | None = None
    api: ApiFacts | None = None
    script_file: Literal["found", "missing"] | None = None
    dependencies_stated: bool = True
    batch: tuple[Subject, ...] = ()
    data: DataFacts | None = None
    config: ConfigFacts | None = None
    model: ModelFacts | None = None
    tokenizer: ModelFacts | None = None
    checkpoints: CheckpointsFacts | None = None
    machine: MachineFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A script and/or job, as a test of a rule and as documentation of it.

    `script` is put into `job["script"]` where a job is given; `job` None asks the rule without a job,
    as `trainguard check train.py` does. `files` are other files beside the script, name to text.
    For a subject that is no script, `files` are what is checked (text, or a recipe of `_example_files`), and `check`
    the keyword arguments of that kind's check, with paths relative to the example's folder; `machine` are fields of
    `MachineFacts`; `kind` says what kind of check it is where the rule has several.
    `findings` are the exact messages expected, as (line or None, message) pairs; empty for VALID.
    """

    script: str | None = None
    job: Mapping[str, Any] | None = None
    findings: tuple[tuple[int | None, str], ...] = ()
    why: str = ""
    files: Mapping[str, str | Recipe] = field(default_factory=dict)
    batch: tuple[Mapping[str, Any], ...] = ()
    check: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] | None = None
    kind: Kind | None = None


class Rule:
    """Base of all rules. A subclass sets the class variables and writes `check`.

    The docstring has the headings *What it does*, *Why it costs you*, *Example* and *Use instead*.
    `needs` names the facts without which the rule has nothing to say: "script" (a script that could be
    read), "job" (a submission or flags that describe one), "dependencies" (a job, or a PEP 723 block),
    "batch" (several jobs), or the facts of another kind of subject ("data", "config", "model", "checkpoint",
    "machine"). A rule is asked about subjects of the kind that its area names; one of the area "security" about
    those of the kinds that it needs.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    area: ClassVar[Area]
    needs: ClassVar[frozenset[Need]] = frozenset({"script"})
    VALID: ClassVar[tuple[Example, ...]]
    INVALID: ClassVar[tuple[Example, ...]]

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of subjects that this rule is asked about."""
        if self.area in KINDS_BESIDE_SCRIPTS:
            return frozenset({self.area})
        return frozenset(KINDS_BESIDE_SCRIPTS & self.needs) or frozenset({"script"})

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
