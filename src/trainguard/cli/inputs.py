"""From flags, files and settings to what `trainguard.check` takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.errors import UsageError
from trainguard.findings import Finding, Location, Report
from trainguard.settings import (
    Settings,
    find_settings_file,
    load_settings,
    refuse_unknown_codes,
    refuse_unknown_settings_codes,
)

if TYPE_CHECKING:
    from trainguard.check import Options

STDIN = "-"
STDIN_NAME = "<stdin>"

# The command line's short names and the hub client's for the same arguments of a submission.
_ARGUMENT_OF: Mapping[str, str] = {
    "flavor": "hardware_flavor",
    "with": "dependencies",
    "with_": "dependencies",
    "secret": "secrets",
    "script_arg": "script_args",
}


def read_settings(config: Path | None, *, isolated: bool, first_path: Path | None) -> Settings:
    """The settings to go by: `config`, or the nearest above the first path, or none with `isolated`."""
    if isolated:
        return Settings()
    if config is not None:
        return load_settings(config)
    start = first_path if first_path is not None and first_path.exists() else Path.cwd()
    found = find_settings_file(start if start.is_dir() else start.parent)
    return load_settings(found) if found is not None else Settings()


def make_options(
    settings: Settings, *, select: Sequence[str] = (), ignore: Sequence[str] = (), python_engine: bool | None = None
) -> Options:
    """Settings and flags together: `select` replaces that of the settings, `ignore` adds to theirs.

    Raises UsageError for a code that no rule has.
    """
    from trainguard.check import Options
    from trainguard.rules.registry import discover

    selected, ignored = _codes(select), _codes(ignore)
    named = (selected, ignored, settings.select, settings.ignore, settings.severities, settings.per_file_ignores)
    registry = discover() if any(named) else None  # every rule there is, which takes longer than most checks
    # A code that is not known may be that of a rule file that is broken: exit code 3 says so.
    if registry is not None and not registry.errors:
        known = registry.by_code().keys()
        refuse_unknown_codes(selected, known, origin="--select")
        refuse_unknown_codes(ignored, known, origin="--ignore")
        refuse_unknown_settings_codes(settings, known)
    return Options(
        select=selected or settings.select,
        ignore=(*settings.ignore, *ignored),
        severities=dict(settings.severities),
        per_file_ignores=dict(settings.per_file_ignores),
        python_engine=settings.python_engine if python_engine is None else python_engine,
    )


def _codes(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for value in values for code in value.split(",") if code.strip())


def job_from_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a submission, under the hub client's names. What was not given is left out.

    Raises UsageError for an `--env` without a name.
    """
    arguments = {_ARGUMENT_OF.get(key, key): value for key, value in flags.items() if value not in (None, (), [], {})}
    for key, option in (("env", "--env"), ("secrets", "--secret")):
        if key in arguments and not isinstance(arguments[key], Mapping):
            arguments[key] = dict(_assignment(text, option) for text in arguments[key])
    for key in ("dependencies", "script_args"):
        if key in arguments:
            arguments[key] = list(arguments[key])
    return arguments


def _assignment(text: str, option: str) -> tuple[str, str]:
    # `NAME` alone stands for the submitter's own variable, as for `hf jobs run --env`.
    name, equals, value = text.partition("=")
    if not name.strip():
        raise UsageError(f"{option} {text!r} has no name; write {option} NAME=VALUE, or {option} NAME")
    return name.strip(), value if equals else f"${name.strip()}"


def read_job_file(name: str) -> tuple[Any, Path | None, str]:
    """The JSON of a job file or of stdin ("-"): arguments, the folder its paths are relative to, its name.

    Raises UsageError where it cannot be read, is not JSON, or is neither an object nor a list of objects.
    """
    text, shown = _read_text(name, "--job")
    try:
        arguments = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--job {shown}: line {error.lineno} column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise UsageError(f"--job {shown}: is not usable JSON: {error}") from None
    jobs = arguments if isinstance(arguments, list) else [arguments]
    if not jobs or not all(isinstance(job, dict) for job in jobs):
        raise UsageError(f"--job {shown}: expected the arguments of a job as a JSON object, or a list of them")
    return arguments, (Path.cwd() if name == STDIN else Path(name).parent), shown


def read_stdin_script() -> str:
    """The script on stdin, as UTF-8. Raises UsageError where it is not."""
    return _read_text(STDIN, "PATH")[0]


def _read_text(name: str, argument: str) -> tuple[str, str]:
    shown = STDIN_NAME if name == STDIN else name
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
        return data.decode("utf-8-sig"), shown
    except OSError as error:
        raise UsageError(f"{argument} {shown}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{argument} {shown}: is not UTF-8 text (byte {error.start})") from None


def renamed(reports: Sequence[Report], names: Mapping[str, str]) -> list[Report]:
    """`reports` with other names for their files, for text that has none of its own."""
    return [
        replace(
            report,
            subject=names.get(report.subject, report.subject),
            findings=tuple(_renamed_finding(finding, names) for finding in report.findings),
            sources={(names.get(path or "", path), cell): text for (path, cell), text in report.sources.items()},
        )
        for report in reports
    ]


def _renamed_finding(finding: Finding, names: Mapping[str, str]) -> Finding:
    fix = finding.fix
    if fix is not None:
        where = _renamed_location(fix.where, names) if fix.where is not None else None
        edits = tuple(replace(edit, where=_renamed_location(edit.where, names)) for edit in fix.edits)
        fix = replace(fix, where=where, edits=edits)
    where = _renamed_location(finding.where, names) if finding.where is not None else None
    return replace(finding, where=where, fix=fix)


def _renamed_location(where: Location, names: Mapping[str, str]) -> Location:
    return replace(where, path=names.get(where.path, where.path)) if where.path is not None else where
