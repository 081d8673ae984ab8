"""Which program a list of words starts, once its wrappers are taken off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainguard.libraries.launchers import FLAGS, LAUNCHER_MODULES, PROCESS_OPTIONS

Launcher: TypeAlias = Literal[
    "python", "accelerate", "torchrun", "deepspeed", "trl", "axolotl", "llamafactory", "swift", "tune", "autotrain",
    "litgpt", "other",
]  # fmt: skip

_PYTHON = re.compile(r"(?:python|pypy|ipython)[0-9.]*(?:\.exe)?")
_PYTHON_OPTIONS_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_WITH_SUBCOMMAND: dict[str, Launcher] = {
    "trl": "trl",
    "axolotl": "axolotl",
    "llamafactory-cli": "llamafactory",
    "lmf": "llamafactory",
    "swift": "swift",
    "megatron": "swift",
    "tune": "tune",
    "autotrain": "autotrain",
    "litgpt": "litgpt",
}
_DISTRIBUTED: dict[str, Launcher] = {
    "accelerate": "accelerate",
    "accelerate-launch": "accelerate",
    "torchrun": "torchrun",
    "deepspeed": "deepspeed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One program that is started, with the wrappers (`uv run`, `env`, `nohup`, `bash -c`) taken off.

    `processes` is how many processes the launcher starts on the machine, None where it was not told and takes every
    GPU it finds (accelerate, deepspeed, trl, `--nproc_per_node=gpu`) or is not known. `script_path` is the file or
    URL that runs, `module` the name after `-m`, `inline_source` the program's text where the command carries it:
    `python -c`, a heredoc, base64, or a file that the command itself wrote. `failure_ignored` says that the command
    goes on as if nothing had happened when this program fails (`|| true`).
    """

    program: str
    argv: tuple[str, ...]
    launcher: Launcher
    subcommand: str | None = None
    processes: int | None = None
    script_path: str | None = None
    module: str | None = None
    inline_source: str | None = None
    reads_stdin: bool = False
    script_args: tuple[str, ...] = ()
    failure_ignored: bool = False


def read_launch(words: Sequence[str], *, failure_ignored: bool = False) -> Launch:
    """The launch that `words`, the program first, describe. `inline_source` holds a `-c` program only."""
    name = program_name(words[0])
    arguments = tuple(words[1:])
    if name in _DISTRIBUTED:
        return _distributed(words, _DISTRIBUTED[name], arguments, failure_ignored)
    if name in _WITH_SUBCOMMAND:
        launcher = _WITH_SUBCOMMAND[name]
        return Launch(
            program=name,
            argv=tuple(words),
            launcher=launcher,
            subcommand=next((word for word in arguments if not word.startswith("-")), None),
            processes=_processes(launcher, arguments),
            script_args=arguments[1:],
            failure_ignored=failure_ignored,
        )
    if _PYTHON.fullmatch(name):
        return _python(words, arguments, failure_ignored)
    script = next((word for word in arguments if word.endswith((".sh", ".py"))), None)
    return Launch(
        program=name,
        argv=tuple(words),
        launcher="other",
        subcommand=next((word for word in arguments if not word.startswith("-")), None),
        script_path=script if name in ("bash", "sh", "zsh", "dash", "source", ".") else _own_path(words[0]),
        failure_ignored=failure_ignored,
    )


def program_name(word: str) -> str:
    """The name of a program without its folder."""
    return re.split(r"[/\\]", word)[-1]


def is_python(word: str) -> bool:
    return _PYTHON.fullmatch(program_name(word)) is not None


def skip_options(arguments: Sequence[str], flags: frozenset[str]) -> int:
    """The index of the first argument that is neither an option nor the value of one."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-") and arguments[position] != "-":
        option = arguments[position]
        if option == "--":
            return position + 1
        position += 1 if "=" in option or option in flags else 2
    return min(position, len(arguments))


def _own_path(word: str) -> str | None:
    return word if word.endswith((".sh", ".py")) else None


def _python(words: Sequence[str], arguments: tuple[str, ...], failure_ignored: bool) -> Launch:
    position = 0
    source = module = path = None
    reads_stdin = False
    while position < len(arguments):
        argument = arguments[position]
        cluster = re.fullmatch(r"-[bBdEhiIOPqRsSuvVx]*([cm])(.*)", argument, re.DOTALL)
        if argument == "-" or not argument.startswith("-"):
            path, reads_stdin = (None, True) if argument == "-" else (argument, False)
            position += 1
            break
        if cluster and not argument.startswith("--"):
            value = cluster[2] or (arguments[position + 1] if position + 1 < len(arguments) else "")
            position += 1 if cluster[2] else 2
            source, module = (value, None) if cluster[1] == "c" else (None, value)
            break
        position += 2 if argument in _PYTHON_OPTIONS_WITH_VALUE else 1
    else:
        reads_stdin = not any(argument in ("-V", "--version", "-h", "--help") for argument in arguments)
    rest = arguments[position:]
    if module is not None and module in LAUNCHER_MODULES:
        return read_launch((*LAUNCHER_MODULES[module], *rest), failure_ignored=failure_ignored)
    return Launch(
        program=program_name(words[0]),
        argv=tuple(words),
        launcher="python",
        processes=1,
        script_path=path,
        module=module,
        inline_source=source,
        reads_stdin=reads_stdin,
        script_args=rest,
        failure_ignored=failure_ignored,
    )


def _distributed(words: Sequence[str], launcher: Launcher, arguments: tuple[str, ...], failure_ignored: bool) -> Launch:
    subcommand = None
    if program_name(words[0]) == "accelerate":
        subcommand = arguments[0] if arguments else None
        if subcommand != "launch":  # config, env, estimate-memory, test, merge-weights: they start no script
            return Launch(
                program="accelerate",
                argv=tuple(words),
                launcher="other",
                subcommand=subcommand,
                failure_ignored=failure_ignored,
            )
        arguments = arguments[1:]
    start = skip_options(arguments, FLAGS[launcher])
    options, rest = arguments[:start], arguments[start:]
    target = rest[0] if rest else None
    is_module = any(option in ("-m", "--module") for option in options)
    return Launch(
        program=program_name(words[0]),
        argv=tuple(words),
        launcher=launcher,
        subcommand=subcommand,
        processes=_processes(launcher, options),
        script_path=None if is_module else target,
        module=target if is_module else None,
        script_args=rest[1:],
        failure_ignored=failure_ignored,
    )


def _processes(launcher: Launcher, options: Sequence[str]) -> int | None:
    names = PROCESS_OPTIONS.get(launcher, ())
    value = None
    for position, option in enumerate(options):
        name, equals, given = option.partition("=")
        if name in names:
            value = given if equals else next(iter(options[position + 1 : position + 2]), "")
    if value is None:
        return 1 if launcher == "torchrun" else None  # torch 2.15, distributed/run.py: --nproc-per-node is "1"
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
