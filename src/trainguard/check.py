"""Picks the facts to read and the rules to ask: the one door to a check, for the CLI and for harnesses."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from trainguard.asking import Answers, Options, ask
from trainguard.errors import EngineError, UnreadableInputError
from trainguard.facts.diagnostics import Diagnostic, diagnose_each
from trainguard.facts.job import JobFacts, read_job, with_pep723
from trainguard.facts.script import DEFAULT_PYTHON, ScriptFacts
from trainguard.facts.source import Source, read_source, text_source
from trainguard.findings import Finding, InternalError, Report
from trainguard.inputs import Input, find_inputs
from trainguard.rules.base import Rule, Subject
from trainguard.rules.registry import discover
from trainguard.suppression import read_suppressions

__all__ = [
    "Options",
    "check_job",
    "check_paths",
    "check_script",
    "check_training_script_save_pattern",
    "run_preflight_checks",
    "run_preflight_checks_batch",
]

Progress = Callable[[int, int, str], None]

# Scripts read together: enough to make one run of the Python engine worth it, few enough to stay small.
_CHUNK = 64
# Scripts that one command starts; every rule reads each of them.
_MAX_LAUNCHES = 20
_FIRST = ("JOB001", "JOB002", "JOB003", "JOB004", "JOB005")


@dataclass(slots=True, kw_only=True)
class _Task:
    """One subject under way: its sources, what the job says of them, and what the rules have answered."""

    name: str
    sources: list[Source] = field(default_factory=list)
    arguments: list[tuple[str, ...] | None] = field(default_factory=list)
    job: JobFacts | None = None
    script_file: Literal["found", "missing"] | None = None
    from_file: bool = False
    from_flags: bool = False
    answers: Answers = field(default_factory=Answers)
    notes: list[str] = field(default_factory=list)
    unreadable: str | None = None

    def subject(self, script: ScriptFacts | None = None) -> Subject:
        """What the rules are asked about. Flags that name no package do not say that there are none."""
        job = self.job
        stated = not self.from_flags or (job is not None and (job.dependencies_given or job.image_given))
        return Subject(script=script, job=job, script_file=self.script_file, dependencies_stated=stated)

    def report(self) -> Report:
        texts = {key: text for source in self.sources for key, text in source.texts().items()}
        return Report(
            subject=self.name,
            findings=tuple(sorted(self.answers.findings)),
            errors=tuple(self.answers.errors),
            not_asked=self.answers.not_asked,
            notes=tuple(self.notes),
            unreadable=self.unreadable,
            sources=texts,
        )


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
        tasks: list[_Task] = []
        for offset, found in enumerate(inputs[start : start + _CHUNK]):
            if on_progress is not None:
                on_progress(start + offset, len(inputs), str(found.path))
            tasks.extend(_tasks_of_input(found, arguments))
        reports.extend(_run(tasks, options))
    if on_progress is not None and inputs:
        on_progress(len(inputs), len(inputs), "")
    return reports


def check_job(
    arguments: object, *, base_folder: Path | None = None, name: str = "job", options: Options = Options()
) -> list[Report]:
    """Checks one submission, or a list of them as one batch.

    A script that is named by path is looked for in `base_folder`, by default the current folder.
    """
    return _run(_tasks_of_job(arguments, base_folder, name), options)


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
    return list(_run([_script_task(read, arguments, name=read.path or "script")], Options())[0].findings)


def check_training_script_save_pattern(script: str) -> str | None:
    """The former one-line check, kept for its callers: a coloured line by the words of the text alone."""
    if "from_pretrained" not in script:
        return None
    if "push_to_hub" not in script:
        warning = "WARNING: No model save detected in this script. Ensure this is intentional."
        return f"\n\033[91m{warning}\033[0m"
    return "\n\033[92mModel will be pushed to hub after training.\033[0m"


# -- from inputs to tasks ----------------------------------------------------------


def _tasks_of_input(found: Input, arguments: Mapping[str, object] | None) -> Iterator[_Task]:
    name = str(found.path)
    if found.error is not None:
        yield _Task(name=name, unreadable=found.error)
    elif found.is_job:
        jobs = found.job if isinstance(found.job, list) else [found.job]
        merged = [{**job, **arguments} if arguments and isinstance(job, Mapping) else job for job in jobs]
        content = merged if isinstance(found.job, list) else merged[0]
        yield from _tasks_of_job(content, found.path.parent, name)
    else:
        try:
            yield _script_task(read_source(found.path), arguments, name=name, from_file=True)
        except UnreadableInputError as error:
            yield _Task(name=name, unreadable=str(error))


def _script_task(
    source: Source, arguments: Mapping[str, object] | None, *, name: str, from_file: bool = False
) -> _Task:
    """A script with, if `arguments` are given, the job that runs it."""
    task = _Task(name=name, sources=[source], arguments=[None], from_file=from_file)
    if arguments is not None:
        task.job = replace(read_job({**arguments, "script": source.text}), script_kind="inline")
        task.arguments = [task.job.script_args or ()]
        task.script_file = "found"
        task.from_flags = True
    return task


def _tasks_of_job(arguments: object, base_folder: Path | None, name: str) -> list[_Task]:
    if not isinstance(arguments, list):
        return [_job_task(arguments, base_folder, name)]
    names = [f"{name}[{index}]" for index in range(len(arguments))]
    return [_job_task(job, base_folder, each) for job, each in zip(arguments, names, strict=True)]


def _job_task(arguments: object, base_folder: Path | None, name: str) -> _Task:
    job = read_job(arguments)
    task = _Task(name=name, job=job, notes=list(job.problems))
    if not isinstance(arguments, Mapping):
        task.job, task.notes = None, []
        task.unreadable = f"{name}: not a job: expected a JSON object with `script` or `command`"
        return task
    if not job.checked:
        task.job = None
        task.notes.append(f"operation {job.operation!r} starts no job, so there is nothing to check")
        return task
    _add_script(task, job, base_folder, name)
    _add_command(task, job, base_folder, name)
    return task


def _add_script(task: _Task, job: JobFacts, base_folder: Path | None, name: str) -> None:
    if job.script is None:
        return
    if job.script_kind == "inline":
        task.sources.append(text_source(job.script, f"{name}:script" if base_folder is not None else None))
        task.arguments.append(job.script_args or ())
    elif job.script_kind == "path":
        path = (base_folder or Path()) / job.script
        if not _is_file(path):
            task.script_file = "missing"
            return
        task.script_file = "found"
        try:
            task.sources.append(read_source(path))
            task.arguments.append(job.script_args or ())
            task.from_file = True
        except UnreadableInputError as error:
            task.unreadable = str(error)


def _add_command(task: _Task, job: JobFacts, base_folder: Path | None, name: str) -> None:
    """The scripts that a Docker command carries, or runs from beside the job file."""
    launches = job.command.launches if job.command is not None else ()
    different = {(each.inline_source, each.script_path, each.script_args): each for each in launches}
    for launch in islice(different.values(), _MAX_LAUNCHES):
        if launch.inline_source is not None:
            task.sources.append(
                text_source(launch.inline_source, f"{name}:command" if base_folder is not None else None)
            )
            task.arguments.append(launch.script_args)
        elif base_folder is not None and launch.script_path and _is_file(base_folder / launch.script_path):
            try:
                task.sources.append(read_source(base_folder / launch.script_path))
                task.arguments.append(launch.script_args)
            except UnreadableInputError as error:
                task.notes.append(str(error))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


# -- from tasks to reports -----------------------------------------------------------


def _run(tasks: list[_Task], options: Options) -> list[Report]:
    registry = discover()
    rules = [rule for rule in registry.rules if options.wants(rule)]
    plain = [rule for rule in rules if rule.area != "python" and "batch" not in rule.needs]
    python = [rule for rule in rules if rule.area == "python"]
    for task in tasks:
        _take_inline_metadata(task)
    with _engine(tasks if python else []) as engine:
        subjects = [subject for task in tasks for subject in _ask_plain(task, plain, options)]
        _ask_batch(tasks, subjects, [rule for rule in rules if "batch" in rule.needs], options)
        for task in tasks:
            _ask_python(task, python, engine, options)
    codes = registry.by_code().keys()
    for task in tasks:
        task.answers.errors[:0] = registry.errors
        _suppress(task, codes, options)
    return [task.report() for task in tasks]


def _take_inline_metadata(task: _Task) -> None:
    """Merges the script's PEP 723 block into its job; a table `[tool.hf-jobs]` makes one where there is none."""
    for source, arguments in islice(zip(task.sources, task.arguments, strict=True), 1):
        block = ScriptFacts(source, arguments=arguments).pep723
        if block is None:
            return
        if task.job is None and task.from_file and block.hf_jobs:
            task.job = replace(read_job({"script": source.text}), script_kind="inline")
            task.script_file = "found"
            task.arguments = [()]
        if task.job is not None:
            task.job = with_pep723(task.job, block, use_hf_jobs_table=task.from_file)
            if task.job.from_script:
                taken = ", ".join(sorted(name.removesuffix("_name") for name in _shown(task.job.from_script)))
                task.notes.append(f"taken from the script's [tool.hf-jobs] table: {taken}")


def _shown(names: frozenset[str]) -> set[str]:
    return {name for name in names if not name.endswith(("_given", "_raw", "_error", "_values"))} - {"flavor"}


def _ask_plain(task: _Task, rules: list[Rule], options: Options) -> list[Subject]:
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


def _ask_batch(tasks: list[_Task], subjects: list[Subject], rules: list[Rule], options: Options) -> None:
    if len(tasks) < 2 or not rules:
        return
    batch = tuple(subject for subject in subjects if subject.job is not None)
    if len(batch) < 2:
        return
    answers = ask(rules, Subject(batch=batch), options)
    first = next(task for task in tasks if task.job is not None)
    first.answers.add(answers)


class _Engine:
    """One run of the Python engine over the scripts of all tasks, under way while the other rules are asked."""

    def __init__(self, tasks: list[_Task], pool: ThreadPoolExecutor | None) -> None:
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
def _engine(tasks: list[_Task]) -> Iterator[_Engine]:
    if not any(task.sources for task in tasks):
        yield _Engine([], None)
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield _Engine(tasks, pool)


def _ask_python(task: _Task, rules: list[Rule], engine: _Engine, options: Options) -> None:
    if not rules:
        return
    version = task.job.python_version if task.job is not None else DEFAULT_PYTHON
    for source, arguments in zip(task.sources, task.arguments, strict=True):
        script = ScriptFacts(source, arguments=arguments, python_version=version)
        try:
            script.set_diagnostics(engine.diagnostics(source.text, version))
        except Exception as error:  # the engine's fault must not hide what the other rules see
            message = f"the Python engine failed: {error}"
            failed = InternalError(origin="facts.diagnostics", message=message, traceback=traceback.format_exc())
            task.answers.errors.append(failed)
            return
        task.answers.add(ask(rules, task.subject(script), options))


def _suppress(task: _Task, known: Any, options: Options) -> None:
    """Takes out what the script's comments or the settings for its path switch off."""
    registry = discover().by_code()
    for source in task.sources:
        script = ScriptFacts(source)
        suppressions = read_suppressions(script, known)
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


def _advisory_task(arguments: Any) -> _Task:
    try:
        return _job_task(arguments, None, "job")
    except Exception as error:
        message = f"the arguments cannot be read: {type(error).__name__}: {error}"
        task = _Task(name="job")
        task.answers.errors.append(InternalError(origin="facts.job", message=message))
        return task


def _advice(report: Report) -> list[Finding]:
    def order(finding: Finding) -> tuple[int, Finding]:
        return (_FIRST.index(finding.code) if finding.code in _FIRST else len(_FIRST), finding)

    findings = sorted(report.findings, key=order)
    return findings + [Finding("warn", f"trainguard: {e.message}; its findings are missing") for e in report.errors]
