"""Asks rules about subjects: which are asked, what they say, and what happens when one fails."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

from trainguard.facts.job import read_job, with_pep723
from trainguard.findings import Finding, InternalError, Severity
from trainguard.rules.base import Need, Rule, Subject

# What a user adds so that a rule can speak, by what it needs.
_REMEDIES: Mapping[Need, str] = {
    "script": "a script that can be read",
    "job": "a job",
    "dependencies": "the declared dependencies",
    "batch": "several jobs at once",
    "data": "training data that can be read",
    "config": "a configuration that can be read",
    "model": "a model folder that can be read",
    "checkpoint": "checkpoints",
    "machine": "a look at the machine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which rules are asked, and how severe they are.

    `select` and `ignore` hold codes or prefixes of codes ("JOB", "JOB002"); an empty `select` means
    all, and `ignore` wins. `per_file_ignores` maps globs to codes. `python_engine` False leaves the PY
    rules out.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    python_engine: bool = True

    def wants(self, rule: Rule, path: str | None = None) -> bool:
        if rule.area == "python" and not self.python_engine:
            return False
        if self.select and not rule.code.startswith(self.select):
            return False
        return not rule.code.startswith((*self.ignore, *self._ignored_for(path)) or ("-",))

    def _ignored_for(self, path: str | None) -> tuple[str, ...]:
        if path is None or not self.per_file_ignores:
            return ()
        globs = self.per_file_ignores.items()
        return tuple(
            code for glob, codes in globs if fnmatch(path, glob) or fnmatch(path, f"*/{glob}") for code in codes
        )


@dataclass(slots=True)
class Answers:
    """What the rules said about one subject."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[InternalError] = field(default_factory=list)
    not_asked: dict[str, str] = field(default_factory=dict)

    def add(self, other: Answers) -> None:
        known = set(self.findings)
        self.findings += [finding for finding in other.findings if finding not in known]
        self.errors += [error for error in other.errors if error not in self.errors]
        for code, reason in other.not_asked.items():
            self.not_asked.setdefault(code, reason)


def ask(rules: Iterable[Rule], subject: Subject, options: Options) -> Answers:
    """Asks each rule. One that raises becomes an internal error; the others still speak."""
    answers = Answers()
    without_job = _without_job(subject)
    for rule in rules:
        missing = _missing(rule, subject, without_job)
        if missing is not None:
            answers.not_asked[rule.code] = _REMEDIES[missing]
            continue
        about = without_job if subject.job is None and without_job and "dependencies" in rule.needs else subject
        try:
            answers.findings += [_with_severity(finding, options) for finding in rule.check(about)]
        except Exception as error:  # a rule's fault must not hide what the others see
            message = f"{rule.code} failed: {type(error).__name__}: {error}"
            origin = type(rule).__module__
            answers.errors.append(InternalError(origin=origin, message=message, traceback=traceback.format_exc()))
    return answers


def _missing(rule: Rule, subject: Subject, without_job: Subject | None) -> Need | None:
    if subject.kind != "script":
        return next((need for need in _OTHER_FACTS if need in rule.needs and _lacks(subject, need)), None)
    if "batch" in rule.needs:
        return None if subject.batch else "batch"
    if "script" in rule.needs and subject.script is None:
        return "script"
    if "job" in rule.needs and subject.job is None:
        return "job"
    if "dependencies" in rule.needs and without_job is None:
        return None if subject.job is not None and subject.dependencies_stated else "dependencies"
    return None


_OTHER_FACTS: Mapping[Need, str] = {
    "config": "config",
    "data": "data",
    "model": "model",
    "checkpoint": "checkpoints",
    "machine": "machine",
}


def _lacks(subject: Subject, need: Need) -> bool:
    return getattr(subject, _OTHER_FACTS[need]) is None


def _without_job(subject: Subject) -> Subject | None:
    """For a script whose PEP 723 block declares dependencies: the job that an installer would make of it."""
    script = subject.script
    if subject.job is not None or script is None or script.pep723 is None or script.pep723.dependencies is None:
        return None
    job = replace(read_job({"script": script.text}), script_kind="inline")
    return replace(subject, job=with_pep723(job, script.pep723))


def _with_severity(finding: Finding, options: Options) -> Finding:
    severity = options.severities.get(finding.code or "")
    return replace(finding, severity=severity) if severity is not None else finding
