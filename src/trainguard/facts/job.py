"""What a submitted job is: every dialect of the submitters' arguments in one record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from trainguard.facts.command import CommandFacts, read_command
from trainguard.facts.declared import Declared, declared_distributions
from trainguard.facts.duration import DEFAULT_TIMEOUT_SECONDS, parse_timeout
from trainguard.facts.job_values import read_flag, read_mapping, read_names, read_text, read_texts, script_kind
from trainguard.facts.pep723 import Pep723
from trainguard.facts.python_version import effective_python_version
from trainguard.facts.requirements import Requirement, parse_requirements
from trainguard.facts.volumes import Volume, read_volumes
from trainguard.libraries.flavors import DEFAULT_FLAVOR, Flavor, find_flavor

__all__ = ["Declared", "JobFacts", "ScriptKind", "Volume", "declared_distributions", "read_job", "with_pep723"]

ScriptKind: TypeAlias = Literal["inline", "url", "path", "command"]

# The operations that start a job: `hf_jobs` of huggingface/ml-intern ("run", "scheduled run"), and the
# verbs of the hub's command line (`hf jobs run`, `hf jobs uv run`, `hf jobs scheduled [uv] run`).
_RUN_OPERATIONS = frozenset(
    {"run", "uv run", "uv", "create", "submit", "run job", "run uv job", "scheduled run", "scheduled uv run",
     "schedule run", "schedule", "scheduled uv", "create scheduled job", "create scheduled uv job"}
)  # fmt: skip
# huggingface_hub 2.4.0, utils/_auth.py; ml-intern sets the last one beside HF_TOKEN.
_TOKENS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"})
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL|AUTH", re.IGNORECASE)
DEFAULT_SCRIPT_IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # huggingface_hub 2.4.0, DEFAULT_UV_IMAGE
DEFAULT_DOCKER_IMAGE = "python:3.12"  # docs/hub/jobs-configuration.md; ml-intern's default too


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """A submission, normalised. What was not given has its default, and `..._given` says so.

    Seconds, gigabytes and US dollars. `checked` is False for operations that start nothing (logs,
    cancel, ...). `script_kind` is "command" where the script is a program's name (`uv run trl sft`), whose
    facts are then in `command`; in Docker mode `command` holds those of the given command.
    `timeout_seconds` is None where the timeout cannot be parsed, and `timeout_error` says why.
    `problems` are arguments of a wrong type, which are otherwise taken as not given.
    """

    operation: str = "run"
    checked: bool = True
    script: str | None = None
    script_kind: ScriptKind | None = None
    script_args: tuple[str, ...] | None = None
    command_raw: str | tuple[str, ...] | None = None
    command: CommandFacts | None = None
    image: str | None = None
    image_given: bool = False
    dependencies: tuple[Requirement, ...] = ()
    dependencies_given: bool = False
    python: str | None = None
    requires_python: str | None = None
    flavor_name: str | None = DEFAULT_FLAVOR
    flavor: Flavor | None = None
    flavor_given: bool = False
    timeout_raw: object = None
    timeout_given: bool = False
    timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS
    timeout_error: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    secret_values: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_injected: bool = False
    schedule: str | None = None
    volumes: tuple[Volume, ...] = ()
    trackio_space_id: str | None = None
    trackio_project: str | None = None
    remote: bool = True
    name: str | None = None
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    pep723: Pep723 | None = None
    from_script: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @cached_property
    def python_version(self) -> str:
        """The minor version that the job will run, such as "3.12"."""
        return effective_python_version(self.python, self.requires_python, self.image)

    @property
    def docker_mode(self) -> bool:
        return self.command_raw is not None

    @property
    def scheduled(self) -> bool:
        return self.schedule is not None or self.operation.startswith("schedule")

    @property
    def has_token(self) -> bool:
        """Whether the job can authenticate to the hub, by its secrets, its environment or its command."""
        set_by_command = self.command.env.keys() if self.command is not None else set()
        logs_in = self.command is not None and self.command.logs_in
        return self.token_injected or logs_in or not _TOKENS.isdisjoint({*self.secrets, *self.env, *set_by_command})


def read_job(arguments: object) -> JobFacts:
    """The job that `arguments` describe, whatever they are: wrong types end up in `problems`."""
    if not isinstance(arguments, Mapping):
        return JobFacts(checked=False, problems=(f"the arguments are a {type(arguments).__name__}, not a mapping",))
    given: dict[str, Any] = {key: value for key, value in arguments.items() if isinstance(key, str)}
    problems: list[str] = []
    operation = _operation(given)
    facts: dict[str, Any] = {"operation": operation, "checked": operation in _RUN_OPERATIONS}
    facts |= _program(given, problems)
    facts |= _machine(given, problems)
    facts |= _environment(given, problems)
    facts["name"] = read_text(given, ("name",), problems)
    facts["namespace"] = read_text(given, ("namespace",), problems)
    facts["labels"] = read_mapping(given.get("labels"), "labels", problems)
    facts["schedule"] = read_text(given, ("schedule",), problems)
    facts["volumes"], unread = read_volumes(given.get("volumes", given.get("volume")))
    return JobFacts(**facts, problems=(*problems, *unread))


def _operation(given: Mapping[str, Any]) -> str:
    operation = given.get("operation")
    if operation is None or operation == "":
        return "scheduled run" if given.get("schedule") else "run"
    return " ".join(operation.lower().replace("_", " ").split()) if isinstance(operation, str) else "unknown"


def _program(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    script = read_text(given, ("script",), problems)
    script_args = read_texts(given.get("script_args"), "script_args", problems)
    kind = script_kind(script) if script is not None else None
    command_raw = _command(given, problems)
    dependencies: tuple[Requirement, ...] = ()
    for key in ("dependencies", "with"):
        requirements, unread = parse_requirements(given.get(key))
        dependencies += requirements
        problems.extend(unread)
    image = read_text(given, ("image",), problems)
    command: CommandFacts | None = None
    if command_raw is not None:
        command = read_command(command_raw, _plain_env(given))
    elif kind == "command" and script is not None:
        command = read_command((script, *(script_args or ())))
    return {
        "script": script,
        "script_kind": kind,
        "script_args": script_args,
        "command_raw": command_raw,
        "command": command,
        "image": image or (DEFAULT_DOCKER_IMAGE if command_raw is not None else DEFAULT_SCRIPT_IMAGE),
        "image_given": image is not None,
        "dependencies": dependencies,
        "dependencies_given": any(given.get(key) is not None for key in ("dependencies", "with")),
        "python": _python(given, problems),
    }


def _command(given: Mapping[str, Any], problems: list[str]) -> str | tuple[str, ...] | None:
    command = given.get("command")
    if isinstance(command, str):
        return str.__str__(command) if command.strip() else None
    return read_texts(command, "command", problems) or None


def _plain_env(given: Mapping[str, Any]) -> Mapping[str, str]:
    """The variables that may be written out where the command names them: none that can hold a secret.

    Older hub clients (huggingface_hub before 1.0) ship the script in a secret named `UV_SCRIPT_ENCODED`.
    """
    secrets = read_mapping(given.get("secrets"), "secrets", [])
    env = read_mapping(given.get("env"), "env", [])
    shipped = {name: value for name, value in secrets.items() if name.endswith("_ENCODED")}
    return {**shipped, **{name: value for name, value in env.items() if not _SECRET_NAME.search(name)}}


def _python(given: Mapping[str, Any], problems: list[str]) -> str | None:
    value = given.get("python")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}"[:20] if abs(value) < 100 else None  # 3.12 written as a number
    return read_text(given, ("python",), problems)


def _machine(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    keys = ("hardware_flavor", "flavor", "hardware")
    name = read_text(given, keys, problems)
    wrong_type = name is None and any(given.get(key) not in (None, "") for key in keys)
    local = read_flag(given.get("local")) or given.get("backend") == "local" or name == "local"
    remote = read_flag(given.get("remote"), default=True) and not local
    flavor_name = None if wrong_type else name or DEFAULT_FLAVOR
    return {
        "flavor_name": flavor_name,
        "flavor": find_flavor(flavor_name) if flavor_name else None,
        "flavor_given": name is not None or wrong_type,
        "remote": remote,
        **_timeout(given.get("timeout")),
    }


def _timeout(value: object) -> dict[str, Any]:
    facts: dict[str, Any] = {"timeout_raw": value, "timeout_given": value is not None and value != ""}
    # The client leaves a falsy timeout out, 0 included, and the server's default holds.
    if value is None or value == "" or (isinstance(value, int | float) and value == 0 and value is not False):
        return facts
    try:
        return {**facts, "timeout_seconds": parse_timeout(value)}
    except ValueError as error:
        return {**facts, "timeout_seconds": None, "timeout_error": str(error)}


def _environment(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    env = dict(read_mapping(given.get("env"), "env", problems))
    space_id = read_text(given, ("trackio_space_id",), problems)
    project = read_text(given, ("trackio_project",), problems)
    if space_id:
        env.setdefault("TRACKIO_SPACE_ID", space_id)
    if project:
        env.setdefault("TRACKIO_PROJECT", project)
    names, values = read_names(given.get("secrets"), "secrets", problems)
    return {
        "env": MappingProxyType(env),
        "secrets": names,
        "secret_values": MappingProxyType(dict(values)),
        "token_injected": read_flag(given.get("token_injected")),
        "trackio_space_id": space_id,
        "trackio_project": project,
    }


def with_pep723(job: JobFacts, pep723: Pep723 | None, *, use_hf_jobs_table: bool = False) -> JobFacts:
    """The job with what the script's own block adds: dependencies, Python and, where `use_hf_jobs_table`
    (the hub's command line reads it, its Python API does not), the table `[tool.hf-jobs]`.

    Arguments that were given win; `env`, `secrets`, `labels` and `volumes` are merged entry by entry.
    `from_script` names what came from the table.
    """
    if pep723 is None:
        return job
    requirements, _ = parse_requirements(pep723.dependencies)
    job = replace(
        job,
        pep723=pep723,
        dependencies=(*job.dependencies, *(r for r in requirements if r not in job.dependencies)),
        dependencies_given=job.dependencies_given or pep723.dependencies is not None,
        requires_python=pep723.requires_python,
    )
    return _with_table(job, pep723.hf_jobs) if use_hf_jobs_table and pep723.hf_jobs else job


def _with_table(job: JobFacts, table: Mapping[str, Any]) -> JobFacts:
    script = read_job({key: value for key, value in table.items() if key not in ("script", "command", "operation")})
    taken: dict[str, Any] = {}
    if script.image_given and not job.image_given:
        taken |= {"image": script.image, "image_given": True}
    if script.flavor_given and not job.flavor_given:
        taken |= {"flavor_name": script.flavor_name, "flavor": script.flavor, "flavor_given": True}
    if script.timeout_given and not job.timeout_given:
        taken |= {
            "timeout_raw": script.timeout_raw,
            "timeout_given": True,
            "timeout_seconds": script.timeout_seconds,
            "timeout_error": script.timeout_error,
        }
    for key in ("python", "name", "namespace"):
        if getattr(job, key) is None and (value := getattr(script, key)) is not None:
            taken[key] = value
    for key in ("env", "labels", "secret_values"):
        if added := {k: v for k, v in getattr(script, key).items() if k not in getattr(job, key)}:
            taken[key] = MappingProxyType({**added, **getattr(job, key)})
    if script.secrets - job.secrets:
        taken["secrets"] = script.secrets | job.secrets
    mounted = {volume.mount_path for volume in job.volumes}
    if volumes := tuple(volume for volume in script.volumes if volume.mount_path not in mounted):
        taken["volumes"] = (*volumes, *job.volumes)
    return replace(job, **taken, problems=(*job.problems, *script.problems), from_script=frozenset(taken))
