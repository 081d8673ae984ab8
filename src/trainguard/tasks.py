"""From what is to be checked to tasks: which scripts a submission runs, with which arguments, in which job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from trainguard.asking import Answers
from trainguard.errors import UnreadableInputError
from trainguard.facts.api import ApiFacts
from trainguard.facts.job import JobFacts, read_job, with_pep723
from trainguard.facts.script import ScriptFacts
from trainguard.facts.source import Source, read_source, text_source
from trainguard.findings import Report
from trainguard.inputs import Input
from trainguard.rules.base import Subject

# Scripts that one command starts; every rule reads each of them.
_MAX_LAUNCHES = 20


@dataclass(slots=True, kw_only=True)
class Task:
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
        api = ApiFacts(script, job, stated=stated)
        return Subject(script=script, job=job, api=api, script_file=self.script_file, dependencies_stated=stated)

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


def tasks_of_input(found: Input, arguments: Mapping[str, object] | None) -> Iterator[Task]:
    name = str(found.path)
    if found.error is not None:
        yield Task(name=name, unreadable=found.error)
    elif found.is_job:
        jobs = found.job if isinstance(found.job, list) else [found.job]
        merged = [{**job, **arguments} if arguments and isinstance(job, Mapping) else job for job in jobs]
        content = merged if isinstance(found.job, list) else merged[0]
        yield from tasks_of_job(content, found.path.parent, name)
    else:
        try:
            yield script_task(read_source(found.path), arguments, name=name, from_file=True)
        except UnreadableInputError as error:
            yield Task(name=name, unreadable=str(error))


def script_task(source: Source, arguments: Mapping[str, object] | None, *, name: str, from_file: bool = False) -> Task:
    """A script with, if `arguments` are given, the job that runs it."""
    task = Task(name=name, sources=[source], arguments=[None], from_file=from_file)
    if arguments is not None:
        task.job = replace(read_job({**arguments, "script": source.text}), script_kind="inline")
        task.arguments = [task.job.script_args or ()]
        task.script_file = "found"
        task.from_flags = True
    return task


def tasks_of_job(arguments: object, base_folder: Path | None, name: str) -> list[Task]:
    if not isinstance(arguments, list):
        return [job_task(arguments, base_folder, name)]
    names = [f"{name}[{index}]" for index in range(len(arguments))]
    return [job_task(job, base_folder, each) for job, each in zip(arguments, names, strict=True)]


def job_task(arguments: object, base_folder: Path | None, name: str) -> Task:
    job = read_job(arguments)
    task = Task(name=name, job=job, notes=list(job.problems))
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


def _add_script(task: Task, job: JobFacts, base_folder: Path | None, name: str) -> None:
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


def _add_command(task: Task, job: JobFacts, base_folder: Path | None, name: str) -> None:
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


def take_inline_metadata(task: Task) -> None:
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
