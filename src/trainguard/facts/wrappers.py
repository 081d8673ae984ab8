"""Programs that only run another one: `uv run`, `env`, `nohup`, `timeout`, `mpirun` and their like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainguard.facts.launches import is_python, program_name, skip_options
from trainguard.libraries.launchers import FLAGS

ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=")

# Wrappers that run the rest of their words, with those of their options that take a value.
_WRAPPERS: Mapping[str, frozenset[str]] = {
    "nohup": frozenset(), "exec": frozenset({"-a"}), "command": frozenset(), "time": frozenset({"-f", "-o"}),
    "sudo": frozenset({"-u", "-g", "-h", "-p", "-C"}), "nice": frozenset({"-n"}), "ionice": frozenset({"-c", "-n"}),
    "stdbuf": frozenset({"-o", "-e", "-i"}), "xvfb-run": frozenset({"-s", "-n"}), "setsid": frozenset(),
    "unbuffer": frozenset(), "eatmydata": frozenset(), "catchsegv": frozenset(), "builtin": frozenset(),
}  # fmt: skip
_RUNNERS = frozenset({"poetry", "pdm", "pipenv", "hatch", "pixi", "conda", "mamba", "micromamba"})
_STARTERS = frozenset({"mpirun", "mpiexec", "horovodrun", "srun", "numactl", "taskset"})
_TIMEOUT_OPTIONS = frozenset({"-s", "-k", "--signal", "--kill-after"})
_RUNNER_OPTIONS = frozenset({"-n", "-p", "--name", "--prefix", "--cwd", "-e"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrapped:
    """The words behind a wrapper, with the variables it sets (`NAME=value`) and what it installs before."""

    words: list[str]
    assignments: tuple[str, ...] = ()
    installs: tuple[tuple[str, ...], ...] = ()


def unwrap(words: Sequence[str]) -> Unwrapped | None:
    """What the wrapper in front of `words` runs, None where there is no wrapper."""
    name, rest = program_name(words[0]), list(words[1:])
    if not rest:
        return None
    if name == "env":
        return _env(rest)
    if name == "timeout":
        return Unwrapped(words=rest[_after_options(rest, _TIMEOUT_OPTIONS) + 1 :])
    if name in _STARTERS:
        start = next((i for i, word in enumerate(rest) if is_python(word) or word == "accelerate"), None)
        return None if start is None else Unwrapped(words=rest[start:])
    if name == "uvx" or (name == "uv" and rest[0] == "run"):
        return _uv(FLAGS["uvx"], rest) if name == "uvx" else _uv(FLAGS["uv run"], rest[1:])
    if name in _RUNNERS and rest[0] == "run":
        return Unwrapped(words=rest[1 + _after_options(rest[1:], _RUNNER_OPTIONS) :])
    if name in _WRAPPERS:
        return Unwrapped(words=rest[_after_options(rest, _WRAPPERS[name]) :])
    return None


def _env(rest: list[str]) -> Unwrapped:
    assignments: list[str] = []
    start = 0
    while start < len(rest) and (rest[start].startswith("-") or ASSIGNMENT.match(rest[start])):
        if ASSIGNMENT.match(rest[start]):
            assignments.append(rest[start])
        start += 2 if rest[start] in ("-u", "-C") else 1
    return Unwrapped(words=rest[start:], assignments=tuple(assignments))


def _uv(flags: frozenset[str], arguments: list[str]) -> Unwrapped:
    start = skip_options(arguments, flags | {"-m", "--module"})
    options, target = arguments[:start], arguments[start:]
    installs: list[tuple[str, ...]] = []
    for option, following in zip(options, [*options, ""][1:], strict=True):
        name, equals, given = option.partition("=")
        value = given if equals else following
        if name in ("--with", "--from", "-w"):
            installs.append(("install", *value.split(",")))
        elif name in ("--with-requirements", "--with-editable"):
            installs.append(("install", "-r" if name == "--with-requirements" else "-e", value))
    if {"-m", "--module"} & set(options):
        target = ["python", "-m", *target]
    elif target and (target[0] == "-" or target[0].startswith(("http://", "https://")) or target[0].endswith(".py")):
        target = ["python", *target]
    return Unwrapped(words=target, installs=tuple(installs))


def _after_options(words: Sequence[str], with_value: frozenset[str]) -> int:
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        position += 2 if words[position] in with_value else 1
    return min(position, len(words))
