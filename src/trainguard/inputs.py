"""From paths to what is to be checked: scripts, notebooks, folders, job files, and what goes into a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.errors import UnreadableInputError
from trainguard.recognition import kind_of_broken_json, kind_of_content, kind_of_name, kinds_of_folder
from trainguard.rules.base import Kind

_SCRIPT_SUFFIXES = {".py", ".ipynb", ".pyw"}
_SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"}
# A JSON file found in a folder is taken for a job if it says what runs, and one thing more about the job.
_PROGRAM_KEYS = {"script", "command"}
_JOB_KEYS = {
    "hardware_flavor",
    "flavor",
    "hardware",
    "timeout",
    "dependencies",
    "with",
    "image",
    "secrets",
    "operation",
}
_MODEL_PARTS = {"model_type", "architectures", "peft_type", "tokenizer_class", "bos_token_id", "weight_map"}
_WHAT_IS_CHECKED = "a script, a notebook, a job, data, a configuration or weights"
_MAX_JOB_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One thing to check: a script's path, a job file with its content, a path of another kind, or one that is none."""

    path: Path
    kind: Kind = "script"
    job: Any = None
    is_job: bool = False
    error: str | None = None


def find_inputs(paths: Sequence[Path]) -> Iterator[Input]:
    """What the paths name, each once and in order.

    A folder that is training data, a model or checkpoints is taken as that. Every other one is walked for scripts and
    job files alone: what data lies in a project may be meant for anything.
    """
    seen: set[tuple[Path, Kind]] = set()
    for path in paths:
        if _is_folder(path):
            if kinds := kinds_of_folder(path):
                group = [Input(path=path, kind=kind) for kind in kinds]
                yield from (found for found in group if (path, found.kind) not in seen)
                seen.update((path, kind) for kind in kinds)
                continue
            walked = list(_walk(path))
            in_jobs = {script for found in walked if found.is_job for script in _scripts_of(found)}
            group = [found for found in walked if found.path not in in_jobs]
        else:
            group = [_single(path)]
        for found in group:
            if (found.path, found.kind) not in seen:
                seen.add((found.path, found.kind))
                yield found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _scripts_of(found: Input) -> Iterator[Path]:
    """The scripts that a job file runs from beside it: they are checked with their job, not once more alone."""
    for job in found.job if isinstance(found.job, list) else [found.job]:
        script = job.get("script") if isinstance(job, Mapping) else None
        if isinstance(script, str) and "\n" not in script and script.endswith(tuple(_SCRIPT_SUFFIXES)):
            yield found.path.parent / script


def _single(path: Path) -> Input:
    if (kind := kind_of_name(path)) is not None:
        return Input(path=path, kind=kind)
    if path.suffix != ".json":
        if path.suffix in _SCRIPT_SUFFIXES or not path.suffix:
            return Input(path=path)
        return Input(path=path, error=f"{path}: {path.suffix} is no suffix of {_WHAT_IS_CHECKED}")
    try:
        content = read_job_file(path)
    except UnreadableInputError as error:
        kind = kind_of_broken_json(path)
        return Input(path=path, kind=kind) if kind is not None else Input(path=path, error=str(error))
    kind = kind_of_content(content)
    if kind is not None:
        return Input(path=path, kind=kind)
    if isinstance(content, Mapping) and content and not (_PROGRAM_KEYS | _JOB_KEYS) & content.keys():
        return Input(path=path, error=f"{path}: holds neither a job nor a configuration{_hint(path, content)}")
    return Input(path=path, job=content, is_job=True)


def _hint(path: Path, content: Mapping[str, Any]) -> str:
    part_of = "model" if _MODEL_PARTS & content.keys() else "checkpoint" if "global_step" in content else None
    return (
        f"; it is a part of a {part_of}: trainguard check {path.parent}"
        if part_of
        else f" ({_WHAT_IS_CHECKED} can be checked)"
    )


def _walk(folder: Path) -> Iterator[Input]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Input(path=folder, error=f"{folder}: cannot be read: {error.strerror or error}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            is_environment = (entry / "pyvenv.cfg").exists()
            if entry.name not in _SKIPPED_FOLDERS and not entry.is_symlink() and not is_environment:
                yield from _walk(entry)
        elif entry.suffix in _SCRIPT_SUFFIXES:
            yield Input(path=entry)
        elif entry.suffix == ".json" and (job := _job_in_folder(entry)) is not None:
            yield Input(path=entry, job=job, is_job=True)


def _job_in_folder(path: Path) -> Any | None:
    try:
        content = read_job_file(path)
    except UnreadableInputError:
        return None  # data, settings, … : only what looks like a job was asked for
    jobs = content if isinstance(content, list) else [content]
    return content if jobs and all(_looks_like_job(job) for job in jobs) else None


def _looks_like_job(job: object) -> bool:
    return isinstance(job, Mapping) and bool(_PROGRAM_KEYS & job.keys()) and bool(_JOB_KEYS & job.keys())


def read_job_file(path: Path) -> Any:
    """The JSON of a job file. Raises UnreadableInputError naming the path, line and column."""
    try:
        if path.stat().st_size > _MAX_JOB_BYTES:
            raise UnreadableInputError(f"{path}: larger than {_MAX_JOB_BYTES // 2**20} MiB; this is no job file")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UnreadableInputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise UnreadableInputError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableInputError(f"{path}: not JSON: {error}") from error
