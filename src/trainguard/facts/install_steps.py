"""The installations that a job makes, one after another, as its declarations and commands say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from trainguard.facts.pep723 import Pep723
from trainguard.facts.python_version import DEFAULT_PYTHON_VERSION, effective_python_version
from trainguard.facts.requirements import Requirement, parse_requirement

if TYPE_CHECKING:
    from trainguard.facts.command import CommandFacts
    from trainguard.facts.job import JobFacts
    from trainguard.facts.script import ScriptFacts

# Options of pip 26.3 and uv by which something else than the requirements decides about versions.
_DECIDING = frozenset(
    {"-c", "--constraint", "--constraints", "--override", "--overrides", "--pre", "--prerelease", "--resolution",
     "--exclude-newer-package", "--upgrade-strategy", "--upgrade-package", "-P"}
)  # fmt: skip
_OPERATORS = frozenset({"&&", "||", ";", "|"})
_DATES = ("--exclude-newer", "--uploaded-prior-to")
# Keys of `[tool.uv]` with the same effect (docs.astral.sh/uv, settings).
_DECIDING_KEYS = ("constraint-dependencies", "override-dependencies", "resolution", "prerelease",
                  "exclude-newer-package", "exclude-dependencies")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallStep:
    """One run of an installer. `unreadable` names what it installs or heeds that cannot be read, empty for nothing.

    `exclude_newer` is the last day whose releases count (`2025-03-01`), `upgrade` whether what is there is brought up
    to date, `dependencies` False for `--no-deps`. `certain` is False where it may not happen, or not in one run.
    """

    requirements: tuple[str, ...]
    unreadable: str = ""
    exclude_newer: str = ""
    upgrade: bool = False
    dependencies: bool = True
    certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All steps of a job, on its Python (`3.12`). `isolated` tells that the image's packages are out of sight.

    `declares` tells whether anything states what is installed.
    """

    steps: tuple[InstallStep, ...]
    python: str
    isolated: bool
    declares: bool


def installation(job: JobFacts | None, script: ScriptFacts | None) -> Installation:
    """The steps by which a job comes to its packages, or those of a script that is checked alone."""
    block = job.pep723 if job is not None else None
    if block is None and script is not None:
        block = script.pep723
    if job is not None and job.docker_mode and not _runs_uv(job):
        block = None  # only uv reads it
    steps: list[InstallStep] = []
    if block is not None and block.error is None:
        steps.append(_block_step(block))
    if job is not None:
        steps += _job_steps(job, block)
        python = job.python_version
    elif block is not None:
        python = effective_python_version(None, block.requires_python, None)
    else:
        python = DEFAULT_PYTHON_VERSION
    steps += _script_steps(script)
    kept = tuple(step for step in steps if step.requirements or step.unreadable)
    declares = block is not None or bool(kept) or (job is not None and (job.dependencies_given or job.image_given))
    return Installation(steps=kept, python=python, isolated=block is not None, declares=declares)


def _runs_uv(job: JobFacts) -> bool:
    return job.command is not None and re.search(r"\buv\s+run\b|\buvx\b", job.command.text) is not None


def _block_step(block: Pep723) -> InstallStep:
    latest, unreadable = _last_day(block.uv.get("exclude-newer"))
    deciding = next((key for key in _DECIDING_KEYS if key in block.uv), "")
    sources = block.uv.get("sources")
    from_sources = {parse_requirement(name).name for name in sources} if isinstance(sources, Mapping) else set()
    texts: list[str] = []
    for text in block.dependencies or ():
        requirement = parse_requirement(text)
        # `[tool.uv.sources]` says where else it comes from: a repository, a file, an index of its own.
        elsewhere = requirement.name in from_sources
        texts.append(f"{requirement.name} @ tool.uv.sources" if elsewhere and requirement.name else requirement.raw)
    return InstallStep(
        requirements=tuple(texts), unreadable=f"[tool.uv] {deciding}" if deciding else unreadable, exclude_newer=latest
    )


def _job_steps(job: JobFacts, block: Pep723 | None) -> Iterator[InstallStep]:
    latest, unreadable = _last_day(job.env.get("UV_EXCLUDE_NEWER"))
    in_block = {parse_requirement(text) for text in block.dependencies or ()} if block is not None else set()
    if job.docker_mode and job.pep723 is not None and block is None:
        in_block = {parse_requirement(text) for text in job.pep723.dependencies or ()}
    if block is not None and "exclude-newer" in block.uv and not latest:
        unreadable = "[tool.uv] exclude-newer"  # written for the block; whether it holds for the launcher's packages?
    own = tuple(_text(each) for each in job.dependencies if each not in in_block)
    if own:
        yield InstallStep(requirements=own, exclude_newer=latest, unreadable=unreadable)
    command = job.command
    if command is None or not (command.installs or command.unknown_installs):
        return
    raw = job.command_raw if job.command_raw is not None else (job.script or "", *(job.script_args or ()))
    everything = _followed(raw, job.env, layered_only=False)
    if [text for step in everything for text in step.requirements] != [_text(each) for each in command.installs]:
        yield replace(_whole_step(command), certain=False)  # it is known what, but not in how many runs
    elif block is None:
        yield from everything
    else:  # uv makes the script an environment of its own, in which only what uv is told counts
        yield from _followed(raw, job.env, layered_only=True)


def _whole_step(command: CommandFacts) -> InstallStep:
    words = command.text.split()
    return InstallStep(
        requirements=tuple(_text(each) for each in command.installs),
        unreadable=next(iter(command.unknown_installs), "") or _deciding(words),
        upgrade=not {"-U", "--upgrade"}.isdisjoint(words),
        dependencies="--no-deps" not in words,
    )


def _script_steps(script: ScriptFacts | None) -> Iterator[InstallStep]:
    if script is None or "install" not in script.text:
        return
    for command in script.commands:
        if command.installs or command.unknown_installs:
            yield replace(_whole_step(command), certain=False)


def _followed(raw: object, env: Mapping[str, str], *, layered_only: bool) -> list[InstallStep]:
    """The installations of a command, each by itself; with `layered_only` those of `uv run --with` and its like."""
    import shlex

    from trainguard.facts.install_run import InstallRun

    run = InstallRun(dict(env))
    if isinstance(raw, str):
        run.text(raw)
    elif isinstance(raw, Sequence):
        words = [str(word) for word in raw]
        if _OPERATORS.intersection(words) or (len(words) == 1 and " " in words[0]):  # as `read_command` has it
            run.text(" ".join(w if w in _OPERATORS or len(words) == 1 else shlex.quote(w) for w in words))
        else:
            run.words(words)
    return [
        _line_step(line.arguments, line.known, line.unknown) for line in run.lines if line.layered or not layered_only
    ]


def _line_step(arguments: list[str], known: Sequence[Requirement], unknown: Sequence[str]) -> InstallStep:
    latest, unreadable = "", next(iter(unknown), "") or _deciding(arguments)
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in _DATES:
            latest, problem = _last_day(value if equals else "".join(arguments[position + 1 : position + 2]))
            unreadable = unreadable or problem
    return InstallStep(
        requirements=tuple(_text(each) for each in known),
        unreadable=unreadable,
        exclude_newer=latest,
        upgrade=not {"-U", "--upgrade"}.isdisjoint(arguments),
        dependencies="--no-deps" not in arguments,
    )


def _deciding(words: Sequence[str]) -> str:
    return next((word for word in words if word.partition("=")[0] in _DECIDING), "")


def _text(requirement: Requirement) -> str:
    """The requirement as the resolver takes it: a repository whose distribution is known gets its name."""
    if requirement.url is not None and requirement.name is not None and " @ " not in requirement.raw:
        return f"{requirement.name} @ {requirement.url}"
    return requirement.raw


def _last_day(value: Any) -> tuple[str, str]:
    """The last day whose releases count, and what could not be read. uv takes a bare date to its end
    (docs.astral.sh/uv, exclude-newer); of a time, the day counts unless it is the day's first moment."""
    if value is None or value == "":
        return "", ""
    text = str(value).strip()
    match = re.match(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?))?", text)
    try:
        day = date.fromisoformat(match[1]) if match else None
    except ValueError:
        day = None
    if day is None or match is None:
        return "", f"exclude-newer {text[:40]}"
    if match[2] is not None and set(match[2]) <= {"0", ":"}:
        day -= timedelta(days=1)
    return day.isoformat(), ""
