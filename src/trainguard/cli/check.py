"""`trainguard check`: scripts, notebooks, folders and jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainguard.cli.inputs import (
    STDIN,
    STDIN_NAME,
    job_from_flags,
    make_options,
    read_job_file,
    read_settings,
    read_stdin_script,
    renamed,
)
from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.cli.panels import PATH, Command, option
from trainguard.errors import UsageError
from trainguard.findings import EXIT_USAGE, FailOn, Report, exit_code
from trainguard.report import FORMATS, Format, render
from trainguard.report.places import unreadable_reason
from trainguard.report.visible import visible
from trainguard.settings import FAIL_ON

if TYPE_CHECKING:
    from trainguard.check import Options

_PROGRESS_FROM = 50  # files; below, the result is there before a bar could be read
_NOTHING = "nothing to check: name a script, a notebook, data or a folder, or a job with --job FILE"
_NO_SCRIPT = "the options describe a job, but no script is named"
_EXAMPLE = "trainguard check train.py --flavor a10g-large --timeout 4h --with trl"
_JOB = "The job"
_RULES = "Which rules"
_FIXES = "Fixes"
_OUTPUT = "Output"


@click.command("check", cls=Command, short_help="Check scripts, jobs, data, configurations, models and checkpoints.")
@click.argument("paths", nargs=-1)
@option(
    "--job", metavar="FILE", panel=_JOB, help="A job's arguments as JSON, - for stdin. With PATHS, the job of each."
)
@option("--flavor", metavar="NAME", panel=_JOB, help="The hardware, such as a10g-large.")
@option("--timeout", metavar="TIME", panel=_JOB, help="How long it may run: 90m, 4h, or seconds.")
@option("--with", "with_", metavar="PKG", multiple=True, panel=_JOB, help="A package that it installs. Repeatable.")
@option("--env", metavar="K=V", multiple=True, panel=_JOB, help="An environment variable of the job. Repeatable.")
@option("--secret", metavar="NAME", multiple=True, panel=_JOB, help="A secret that the job gets. Repeatable.")
@option("--image", metavar="IMAGE", panel=_JOB, help="The Docker image that it runs in.")
@option("--python", metavar="VERSION", panel=_JOB, help="The Python that it runs on.")
@option("--script-arg", metavar="ARG", multiple=True, panel=_JOB, help="An argument of the script. Repeatable.")
@option(
    "--select", metavar="CODES", multiple=True, panel=_RULES, help="Ask only these: JOB002, or JOB for all of them."
)
@option("--ignore", metavar="CODES", multiple=True, panel=_RULES, help="Do not ask these.")
@option(
    "--python-engine/--no-python-engine",
    default=None,
    panel=_RULES,
    help="Whether to ask the PY rules, which read the script as Python. On by default.",
)
@option("--config", type=PATH, metavar="FILE", panel=_RULES, help="Settings: a pyproject.toml with [tool.trainguard].")
@option("--isolated", is_flag=True, panel=_RULES, help="Go by no settings file.")
@option("--fix", is_flag=True, panel=_FIXES, help="Make the safe fixes in the files, and show them as a diff.")
@option("--diff", is_flag=True, panel=_FIXES, help="Show what --fix would change, and write nothing.")
@option("--format", "output_format", type=click.Choice(FORMATS), default="text", panel=_OUTPUT, help="How to print.")
@option("--output", type=PATH, metavar="FILE", panel=_OUTPUT, help="Write to a file, not to stdout.")
@option(
    "--fail-on", type=click.Choice(FAIL_ON), panel=_OUTPUT, help="Exit with 1 from this severity on. error by default."
)
@option("--color", type=click.Choice(COLORS), default="auto", panel=_OUTPUT, help="Whether to colour text.")
def command(
    *,
    paths: tuple[str, ...],
    job: str | None,
    output_format: Format,
    output: Path | None,
    fail_on: FailOn | None,
    color: Color,
    config: Path | None,
    isolated: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    python_engine: bool | None,
    fix: bool,
    diff: bool,
    **job_flags: Any,
) -> int:
    """Check training scripts, and the jobs that will run them, before they are submitted.

    PATHS are scripts, notebooks, folders and job JSON files; - reads a script from stdin. Without a job,
    only the rules that need none are asked, and the output says which were not. Training files, configurations
    of guarded runs, model folders and checkpoint folders are checked too where they are named.

    \b
    Examples:
      trainguard check train.py
      trainguard check train.py --flavor a10g-large --timeout 4h --with trl
      trainguard check --job job.json --format json
      trainguard check . --format sarif --output trainguard.sarif
      trainguard check train.py --diff
      trainguard check train.jsonl models/base output/checkpoint-500
      cat train.py | trainguard check - --flavor h200 --timeout 8h
    """
    if not paths and job is None:
        start = _NO_SCRIPT if any(job_flags.values()) else _NOTHING
        raise UsageError(f"{start}; for example\n  {_EXAMPLE}")
    if job == STDIN and STDIN in paths:
        raise UsageError("stdin cannot be both the script (PATH -) and the job (--job -)")
    first = next((Path(name) for name in [*paths, job or STDIN] if name != STDIN), None)
    settings = read_settings(config, isolated=isolated, first_path=first)
    options = make_options(settings, select=select, ignore=ignore, python_engine=python_engine)
    given = job_from_flags(job_flags)

    job_read = read_job_file(job) if job is not None else None
    script = read_stdin_script() if STDIN in paths else None  # once: a second check would find stdin empty

    def check() -> list[Report]:
        if job_read is not None:
            return _check_job_file(job_read, paths, script, given, options)
        return _check_names(paths, script, {**job_from_flags(settings.job), **given} or None, options)

    reports = check()
    failed = False
    if fix or diff:
        from trainguard.cli.fixes import fix_and_show

        outcome = fix_and_show(
            reports, write_files=not diff, color=color, to_stderr=output_format != "text" and output is None
        )
        failed = bool(outcome.failed)
        if outcome.files and not diff:
            reports = check()
    _print(reports, output_format, output, color)
    code = exit_code(reports, fail_on or settings.fail_on)
    return max(code, EXIT_USAGE) if failed else code


def _check_job_file(
    job: tuple[Any, Path | None, str],
    names: Sequence[str],
    script: str | None,
    flags: Mapping[str, Any],
    options: Options,
) -> list[Report]:
    from trainguard.check import check_job

    arguments, folder, shown = job
    if names:
        if isinstance(arguments, list):
            raise UsageError(f"--job {shown} holds several jobs, PATHS needs one; check the jobs without PATHS")
        if arguments.get("command"):
            raise UsageError(f"--job {shown} has a command of its own; check it without PATHS")
        around = {key: value for key, value in arguments.items() if key != "script"}
        return _check_names(names, script, {**around, **flags}, options)
    if flags:
        arguments = [{**a, **flags} for a in arguments] if isinstance(arguments, list) else {**arguments, **flags}
    return check_job(arguments, base_folder=folder, name=shown, options=options)


def _check_names(
    names: Sequence[str], script: str | None, arguments: Mapping[str, Any] | None, options: Options
) -> list[Report]:
    """Checks the files that are named, and the `script` from stdin."""
    from trainguard.check import check_paths

    reports: list[Report] = []
    if script is not None:
        reports += _check_stdin(script, arguments, options)
    if paths := [Path(name) for name in names if name != STDIN]:
        with _Progress() as progress:
            reports += check_paths(paths, arguments=arguments, options=options, on_progress=progress)
    return reports


def _check_stdin(source: str, arguments: Mapping[str, Any] | None, options: Options) -> list[Report]:
    import tempfile

    from trainguard.check import check_paths

    suffix = ".ipynb" if source.lstrip().startswith("{") and '"cells"' in source else ".py"
    with tempfile.TemporaryDirectory(prefix="trainguard-") as folder:
        path = Path(folder) / f"stdin{suffix}"
        path.write_text(source, encoding="utf-8", newline="")
        return renamed(check_paths([path], arguments=arguments, options=options), {str(path): STDIN_NAME})


def _print(reports: Sequence[Report], output_format: Format, output: Path | None, color: Color) -> None:
    to_terminal = output is None and sys.stdout.isatty()
    text = render(
        reports,
        output_format,
        color=use_color(color, sys.stdout) and (output is None or color == "always"),
        width=text_width(sys.stdout) if to_terminal else None,
        **(_sarif_details() if output_format == "sarif" else {}),
    )
    write(text, output)
    if output_format == "text" and to_terminal:
        return
    for report in reports:
        if report.unreadable is not None:
            print(visible(f"error: {report.subject}: {unreadable_reason(report)}"), file=sys.stderr)
    for origin, message in dict.fromkeys((e.origin, e.message) for report in reports for e in report.errors):
        print(visible(f"error: {origin} failed inside trainguard: {message}"), file=sys.stderr)


def _sarif_details() -> dict[str, Any]:
    from trainguard import __version__
    from trainguard.report.rule_page import rule_info, short_page
    from trainguard.rules.registry import discover

    rules = [rule_info(rule, page=short_page(rule)) for rule in discover().rules]
    return {"rules": rules, "version": __version__}


class _Progress:
    """A bar on stderr, for many files and only on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Callable[[int, int, str], None]:
        return self._advance

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _advance(self, done: int, total: int, _name: str) -> None:
        if total <= _PROGRESS_FROM or not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("checking", total=total)
        self._bar.update(self._task, completed=done)
