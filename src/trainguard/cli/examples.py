"""Runs a rule on its own examples, so that its page shows what the tool really prints."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.cli.inputs import renamed
from trainguard.findings import Report
from trainguard.report.rule_page import rule_page
from trainguard.rules._example_files import write_files

if TYPE_CHECKING:
    from trainguard.check import Options
    from trainguard.rules.base import Example, Rule

_SCRIPT = "train.py"
_JOB = "job.json"
# Of the arguments of a check, those that name something in the example's folder.
_PATHS = {"path", "source", "base", "tokenizer", "eval_path", "folder"}


def page(rule: Rule) -> str:
    """The documentation page of `rule`, with the findings of a check of each INVALID example."""
    return rule_page(rule, [check_example(rule, example) for example in rule.INVALID])


def check_example(rule: Rule, example: Example) -> list[Report]:
    """The reports about `example`, asked of this rule alone."""
    from trainguard.check import Options, check_job, check_paths

    options = Options(select=(rule.code,))
    with tempfile.TemporaryDirectory(prefix="trainguard-") as name:
        folder = Path(name)
        write_files(example.files, folder)
        if "script" not in rule.kinds:
            with contextlib.chdir(folder):
                return _check_material(rule, example, options)
        if example.batch:
            return check_job([dict(job) for job in example.batch], base_folder=folder, name=_JOB, options=options)
        if example.script is None:
            return check_job(dict(example.job or {}), base_folder=folder, name=_JOB, options=options)
        script = folder / _SCRIPT
        script.write_text(example.script, encoding="utf-8")
        reports = check_paths([script], arguments=example.job, options=options)
        return renamed(reports, {str(script): _SCRIPT})


def _check_material(rule: Rule, example: Example, options: Options) -> list[Report]:
    """An example of what goes into a run, in the current folder."""
    from trainguard.facts.machine.records import MachineFacts
    from trainguard.material import check_kind, report_on
    from trainguard.rules.base import Subject

    if example.machine is not None:
        return [report_on(Subject(kind="machine", machine=MachineFacts(**example.machine)), "machine", options)]
    arguments: dict[str, Any] = {
        key: Path(value) if key in _PATHS and isinstance(value, str) else value for key, value in example.check.items()
    }
    return check_kind(example.kind or min(rule.kinds), arguments, options)
