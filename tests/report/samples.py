"""Reports with everything in them that a format can stumble over."""

from __future__ import annotations

from trainguard.findings import Evidence, Finding, Fix, InternalError, Location, Report

HOSTILE = "a|b `c` <b>d</b> @everyone 100%\n::error::pwned\r\x1b[31m [x](1) {0} *e* \ud800"
SOURCE = "import trl\ntoken = 'hf_abcdefghijklmnopqrstuvwxyz'\ntrainer.train()\n"


def finding(line: int | None = 3, message: str = "the job is killed", **other: object) -> Finding:
    where = Location("src/train.py", line, 1, line, 8) if line is not None else None
    values = {"code": "JOB002", "name": "default-timeout", "where": where, "fix": "set timeout to 4h", **other}
    return Finding("warn", message, **values)  # type: ignore[arg-type]


def report(*findings: Finding, **other: object) -> Report:
    values = {"subject": "src/train.py", "sources": {("src/train.py", None): SOURCE}, **other}
    return Report(findings=findings, **values)  # type: ignore[arg-type]


EVERYTHING = [
    report(
        finding(),
        finding(None),
        finding(2, "a token", code="JOB012", name="secret-in-plain-text"),
        Finding("info", HOSTILE, where=Location("dir with space/é#?.py", 1), fix=Fix(HOSTILE)),
        Finding("error", "bare", evidence=Evidence({"ratio": float("nan"), "sizes": (1, 2), "limit": float("inf")})),
        Finding("warn", "in a cell", where=Location("run.ipynb", 3, 1, 3, 4, 2)),
        Finding("warn", "in a job", where=Location("job.json[1]:script", 7, 2)),
        errors=(InternalError(origin="trainguard.rules.job.broken", message="ZeroDivisionError: x"),),
        not_asked={"JOB003": "a job", "JOB004": "a job", "JOB005": "a job", "JOB018": "several jobs at once"},
        notes=("the table [tool.hf-jobs] is taken",),
    ),
    Report(subject="/abs/gone.py", unreadable="/abs/gone.py: cannot be read: No such file or directory"),
    Report(subject="clean.py"),
]
