"""Picks the facts to read and the rules to ask: the one door to a check, for the CLI and for harnesses."""

from __future__ import annotations

import gc
import itertools
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainguard.asking import Options, ask
from trainguard.errors import EngineError
from trainguard.facts.collector import collector_paused
from trainguard.facts.diagnostics import Diagnostic, diagnose_each
from trainguard.facts.script import DEFAULT_PYTHON, ScriptFacts
from trainguard.facts.source import Source, read_source, text_source
from trainguard.findings import Finding, InternalError, Report
from trainguard.inputs import Input, find_inputs
from trainguard.material import (
    checkpoint_report,
    config_reports,
    data_report,
    findings_of,
    machine_report,
    model_report,
    reports_of_material,
)
from trainguard.rules.base import Rule, Subject
from trainguard.rules.registry import discover
from trainguard.suppression import read_suppressions
from trainguard.tasks import Task, job_task, script_task, take_inline_metadata, tasks_of_input, tasks_of_job

__all__ = [
    "Options",
    "check_checkpoint",
    "check_config",
    "check_data",
    "check_job",
    "check_model",
    "check_paths",
    "check_script",
    "check_training_script_save_pattern",
    "checkpoint_report",
    "config_reports",
    "data_report",
    "machine_report",
    "model_report",
    "run_preflight_checks",
    "run_preflight_checks_batch",
]

Progress = Callable[[int, int, str], None]

# Scripts read together: enough to make one run of the Python engine worth it, few enough to stay small.
_CHUNK = 160
_FIRST = ("JOB001", "JOB002", "JOB003", "JOB004", "JOB005")


# -- the public functions --------------------------------------------------------


def check_paths(
    paths: Sequence[Path],
    *,
    arguments: Mapping[str, object] | None = None,
    options: Options = Options(),
    on_progress: Progress | None = None,
) -> list[Report]:
    """Checks scripts, notebooks, folders and job files.

    `arguments` is a submission around each script; for job files it overrides their own. Reports come in
    the order of the paths. Never raises for an input that cannot be read: its report says so.
    """
    inputs = list(find_inputs(paths))
    reports: list[Report] = []
    for start in range(0, len(inputs), _CHUNK):
        if start:
            gc.collect()  # facts hold each other, so that those of the last chunk would stay
        reports += _reports_of(inputs, start, arguments, options, on_progress)
    if on_progress is not None and inputs:
        on_progress(len(inputs), len(inputs), "")
    return reports


def _reports_of(
    inputs: list[Input],
    start: int,
    arguments: Mapping[str, object] | None,
    options: Options,
    on_progress: Progress | None,
) -> list[Report]:
    """The reports of one chunk: scripts are read together, everything else by itself, the order is kept."""
    tasks: list[Task] = []
    places: list[list[Report] | int] = []
    for offset, found in enumerate(inputs[start : start + _CHUNK]):
        if on_progress is not None:
            on_progress(start + offset, len(inputs), str(found.path))
        if found.kind != "script":
            places.append(reports_of_material(found.kind, found.path, options))
        else:
            with collector_paused():
                new = list(tasks_of_input(found, arguments))
            tasks += new
            places.append(len(new))
    scripts = iter(_run(tasks, options) if tasks else [])
    return [
        report for place in places for report in (itertools.islice(scripts, place) if isinstance(place, int) else place)
    ]


def check_job(
    arguments: object, *, base_folder: Path | None = None, name: str = "job", options: Options = Options()
) -> list[Report]:
    """Checks one submission, or a list of them as one batch.

    A script that is named by path is looked for in `base_folder`, by default the current folder.
    """
    return _run(tasks_of_job(arguments, base_folder, name), options)


def run_preflight_checks(arguments: Any) -> list[Finding]:
    """The findings about one submission, for an approval prompt: pure, advisory, without network.

    `arguments` is the submission in any dialect (see docs/jobs.md). JOB001 to JOB005 come first, in that
    order. Never raises, whatever is passed; a rule that fails says so in a finding without a code.
    """
    return _advise([arguments])[0]


def run_preflight_checks_batch(batch: Any) -> list[list[Finding]]:
    """`run_preflight_checks` for the jobs of one submission, with the rules about several jobs.

    A finding about the batch as a whole is in the list of the first job that it concerns.
    """
    return _advise(list(batch) if isinstance(batch, list | tuple) else [batch])


def check_script(source: str | Path, *, arguments: Mapping[str, object] | None = None) -> list[Finding]:
    """The findings about a script, given as text (with a line break) or by path.

    `arguments` is the submission around it; without it only rules that need no job speak. Raises
    UnreadableInputError if the path cannot be read.
    """
    if isinstance(source, Path) or "\n" not in source:
        read = read_source(Path(source))
    else:
        read = text_source(source)
    return list(_run([script_task(read, arguments, name=read.path or "script")], Options())[0].findings)


def check_data(
    path: str | Path,
    *,
    max_length: int | None = None,
    eval_path: str | Path | None = None,
    tokenizer: str | Path | None = None,
    batch_size: int | None = None,
) -> list[Finding]:
    """The findings about training data: a file, or a folder of shards.

    `max_length` is in tokens, `batch_size` in examples per optimizer step; `tokenizer` is a folder with
    `tokenizer.json`, without which lengths are estimates; `eval_path` is the evaluation data, of which no row should
    stand in the training data. Never raises for what the file holds or for one that is not there: that is a finding.
    """
    _, report = data_report(
        Path(path),
        max_length=max_length,
        eval_path=Path(eval_path) if eval_path is not None else None,
        tokenizer=Path(tokenizer) if tokenizer is not None else None,
        batch_size=batch_size,
    )
    return findings_of(report)


def check_model(path: str | Path, *, base: str | Path | None = None, deep: bool = False) -> list[Finding]:
    """The findings about a folder with a model, a tokenizer or an adapter.

    `base` is the folder of the model that an adapter belongs to. `deep` reads every byte of the weights, without it
    their headers alone are read. Nothing is loaded, unpickled or imported.
    """
    return findings_of(model_report(Path(path), base=Path(base) if base is not None else None, deep=deep))


def check_checkpoint(path: str | Path, *, base: str | Path | None = None, deep: bool = False) -> list[Finding]:
    """The findings about a checkpoint, or about an output folder that holds checkpoints.

    `base` is the folder of the model that is being trained. `deep` compares every file with the checkpoint's manifest.
    """
    return findings_of(checkpoint_report(Path(path), base=Path(base) if base is not None else None, deep=deep))


def check_config(source: str | Path | Mapping[str, object]) -> list[Finding]:
    """The findings about the configuration of a guarded run: a path, its text (with a line break) or a mapping.

    The model, data and checkpoints that it names are looked at as far as the CFG rules need; their own findings come
    from `check_model`, `check_data` and `check_checkpoint`.
    """
    return findings_of(config_reports(source, follow=False)[0])


def check_training_script_save_pattern(script: str) -> str | None:
    """The former one-line check, kept for its callers: a coloured line by the words of the text alone."""
    if "from_pretrained" not in script:
        return None
    if "push_to_hub" not in script:
        warning = "WARNING: No model save detected in this script. Ensure this is intentional."
        return f"\n\033[91m{warning}\033[0m"
    return "\n\033[92mModel will be pushed to hub after training.\033[0m"


# -- from tasks to reports -----------------------------------------------------------


def _run(tasks: list[Task], options: Options) -> list[Report]:
    with collector_paused():
        return _checked(tasks, options)


def _checked(tasks: list[Task], options: Options) -> list[Report]:
    registry = discover("script")
    rules = [rule for rule in registry.rules if options.wants(rule)]
    plain = [rule for rule in rules if rule.area != "python" and "batch" not in rule.needs]
    python = [rule for rule in rules if rule.area == "python"]
    for task in tasks:
        take_inline_metadata(task)
    with _engine(tasks if python else []) as engine:
        subjects: list[Subject] = []
        for task in tasks:
            asked = _ask_plain(task, plain, options)
            # Scripts that are checked with the same flags are no submission; keeping their facts would take memory.
            subjects += [] if task.from_flags else asked
        _ask_batch(tasks, subjects, [rule for rule in rules if "batch" in rule.needs], options)
        for task in tasks:
            _ask_python(task, python, engine, options)
    for task in tasks:
        task.answers.errors[:0] = registry.errors
        _suppress(task, options)
    return [task.report() for task in tasks]


def _ask_plain(task: Task, rules: list[Rule], options: Options) -> list[Subject]:
    subjects = []
    version = task.job.python_version if task.job is not None else DEFAULT_PYTHON
    for source, arguments in zip(task.sources, task.arguments, strict=True):
        script = ScriptFacts(source, arguments=arguments, python_version=version)
        subject = task.subject(script)
        task.answers.add(ask(rules, subject, options))
        task.answers.findings += _cut_short(script)
        subjects.append(subject)
    if not task.sources and task.job is not None:
        subject = task.subject()
        task.answers.add(ask(rules, subject, options))
        subjects.append(subject)
    return subjects


def _cut_short(script: ScriptFacts) -> list[Finding]:
    """Says so when a script is too long to be read in full; this is no rule's fault and has no code."""
    deep = script.syntax.too_deep_at_line
    if deep is not None:
        message = "a statement is nested too deeply to be read; the rest of the script was; split it up"
        return [Finding("info", message, where=script.location(deep))]
    left_out = script.syntax.left_out
    if left_out is None:
        return []
    message = (
        f"the script has {len(script.text) / 1e6:.1f} MB, too much to be read in full: {left_out.lines:,} lines from "
        f"line {left_out.line:,} on were left out; move the data that it carries into a file"
    )
    return [Finding("info", message, where=script.location(left_out.line))]


def _ask_batch(tasks: list[Task], subjects: list[Subject], rules: list[Rule], options: Options) -> None:
    if len(tasks) < 2 or not rules:
        return
    batch = tuple(subject for subject in subjects if subject.job is not None)
    if len(batch) < 2:
        return
    answers = ask(rules, Subject(batch=batch), options)
    first = next(task for task in tasks if task.job is not None and not task.from_flags)
    first.answers.add(answers)


class _Engine:
    """One run of the Python engine over the scripts of all tasks, under way while the other rules are asked."""

    def __init__(self, tasks: list[Task], pool: ThreadPoolExecutor | None) -> None:
        by_version: dict[str, list[str]] = {}
        for task in tasks:
            version = task.job.python_version if task.job is not None else DEFAULT_PYTHON
            by_version.setdefault(version, []).extend(source.text for source in task.sources)
        self._runs = {
            version: (texts, pool.submit(diagnose_each, texts, python_version=version))
            for version, texts in by_version.items()
            if pool is not None and texts
        }

    def diagnostics(self, text: str, version: str) -> list[Diagnostic]:
        """What the engine says of a text. Raises what the engine raised."""
        texts, run = self._runs[version]
        found = run.result()[texts.index(text)]
        if isinstance(found, EngineError):
            raise found
        return found


@contextmanager
def _engine(tasks: list[Task]) -> Iterator[_Engine]:
    if not any(task.sources for task in tasks):
        yield _Engine([], None)
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield _Engine(tasks, pool)


def _ask_python(task: Task, rules: list[Rule], engine: _Engine, options: Options) -> None:
    if not rules:
        return
    version = task.job.python_version if task.job is not None else DEFAULT_PYTHON
    for source, arguments in zip(task.sources, task.arguments, strict=True):
        script = ScriptFacts(source, arguments=arguments, python_version=version)
        try:
            found = engine.diagnostics(source.text, version)
            script.set_diagnostics([each for each in found if not _is_legal_in_notebook(each, source)])
        except Exception as error:  # the engine's fault must not hide what the other rules see
            message = f"the Python engine failed: {error}"
            failed = InternalError(origin="facts.diagnostics", message=message, traceback=traceback.format_exc())
            task.answers.errors.append(failed)
            return
        task.answers.add(ask(rules, task.subject(script), options))


def _is_legal_in_notebook(diagnostic: Diagnostic, source: Source) -> bool:
    """Whether a cell may do what a script may not: await at the top level."""
    line = source.text.split("\n")[diagnostic.line - 1] if source.cell_starts else ""
    return diagnostic.kind == "syntax-error" and re.search(r"\b(await|async)\b", line) is not None


def _suppress(task: Task, options: Options) -> None:
    """Takes out what the script's comments or the settings for its path switch off."""
    registry = discover("script").by_code()
    for source in task.sources:
        if "trainguard:" not in source.text:
            continue
        # A comment may name a rule about something else than scripts: that is no misspelling.
        suppressions = read_suppressions(ScriptFacts(source), discover().by_code().keys())
        task.notes += suppressions.problems
        if suppressions.codes:
            kept = [f for f in task.answers.findings if not suppressions.covers(f, _line_in(source, f))]
            task.answers.findings = kept
    task.answers.findings = [
        finding
        for finding in task.answers.findings
        if finding.code not in registry or options.wants(registry[finding.code], task.name)
    ]


def _line_in(source: Source, finding: Finding) -> int | None:
    """The line of a finding in the whole text; a notebook's findings count lines by cell."""
    where = finding.where
    if where is None or where.line is None or where.path != source.path:
        return None
    if where.cell is None or not source.cell_starts:
        return where.line
    return source.cell_starts[source.cell_numbers.index(where.cell)] + where.line


# -- advice for a harness --------------------------------------------------------------


def _advise(batch: list[Any]) -> list[list[Finding]]:
    try:
        tasks = [_advisory_task(arguments) for arguments in batch]
        reports = _run(tasks, Options())
    except Exception as error:  # advisory: an approval prompt must come up whatever happens here
        failed = Finding("warn", f"trainguard could not check this submission: {type(error).__name__}: {error}")
        return [[failed] for _ in batch]
    return [_advice(report) for report in reports]


def _advisory_task(arguments: Any) -> Task:
    try:
        return job_task(arguments, None, "job")
    except Exception as error:
        message = f"the arguments cannot be read: {type(error).__name__}: {error}"
        task = Task(name="job")
        task.answers.errors.append(InternalError(origin="facts.job", message=message))
        return task


def _advice(report: Report) -> list[Finding]:
    def order(finding: Finding) -> tuple[int, Finding]:
        return (_FIRST.index(finding.code) if finding.code in _FIRST else len(_FIRST), finding)

    findings = sorted(report.findings, key=order)
    return findings + [Finding("warn", f"trainguard: {e.message}; its findings are missing") for e in report.errors]
