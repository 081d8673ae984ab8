"""Runs a rule on its own examples, so that its page shows what the tool really prints."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.cli.inputs import renamed
from trainguard.findings import Report
from trainguard.report.rule_page import rule_page

if TYPE_CHECKING:
    from trainguard.rules.base import Example, Rule

_SCRIPT = "train.py"
_JOB = "job.json"


def page(rule: Rule) -> str:
    """The documentation page of `rule`, with the findings of a check of each INVALID example."""
    return rule_page(rule, [check_example(rule, example) for example in rule.INVALID])


def check_example(rule: Rule, example: Example) -> list[Report]:
    """The reports about `example`, asked of this rule alone."""
    from trainguard.check import Options, check_job, check_paths

    options = Options(select=(rule.code,))
    with tempfile.TemporaryDirectory(prefix="trainguard-") as name:
        folder = Path(name)
        for file_name, text in example.files.items():
            (folder / file_name).parent.mkdir(parents=True, exist_ok=True)
            (folder / file_name).write_text(text, encoding="utf-8")
        if example.batch:
            return check_job([dict(job) for job in example.batch], base_folder=folder, name=_JOB, options=options)
        if example.script is None:
            return check_job(dict(example.job or {}), base_folder=folder, name=_JOB, options=options)
        script = folder / _SCRIPT
        script.write_text(example.script, encoding="utf-8")
        reports = check_paths([script], arguments=example.job, options=options)
        return renamed(reports, {str(script): _SCRIPT})
