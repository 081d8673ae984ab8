"""`trainguard watch`: a run by the metrics that it leaves, live or once."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import click

from trainguard.cli.output import COLORS, Color, discard_stdout, text_width, use_color, write
from trainguard.cli.panels import PATH, Command, option
from trainguard.errors import UsageError
from trainguard.findings import FailOn, exit_code
from trainguard.report.visible import visible
from trainguard.settings import FAIL_ON

if TYPE_CHECKING:
    from trainguard.cli.watch_session import Session
    from trainguard.cli.watch_text import Display
    from trainguard.signals.samples import Method
    from trainguard.sources.base import Source

Output: TypeAlias = Literal["text", "json"]
_METHODS = ("sft", "dpo", "grpo", "kto", "reward", "pretrain")  # signals.samples.METHODS
_NOTHING = (
    "no run to watch: name a Trainer's output folder, a log, a Trackio project or TensorBoard events; for example\n"
    "  trainguard watch output"
)
_EMPTY = (
    "holds no metrics yet, neither the Trainer's ({'loss': ..., 'learning_rate': ...}) nor JSON lines with a loss; "
    "wait for them with --follow, or name where the run writes"
)
_RUN = "The run"
_HOW = "How to watch"
_OUTPUT = "Output"
_PAGE_SECONDS = 30  # between two versions of the HTML page while following
_WAIT_SECONDS = 2.0


@click.command("watch", cls=Command, short_help="Watch a run by its metrics: live table, findings, verdict.")
@click.argument("source", required=False, metavar="SOURCE")
@option("--once", is_flag=True, panel=_HOW, help="Judge what is there now, and end with a verdict.")
@option("--follow", is_flag=True, panel=_HOW, help="Wait for a SOURCE that is not there yet, and go on after its end.")
@option(
    "--method",
    type=click.Choice(_METHODS),
    panel=_RUN,
    help="How the model is trained. Told from the names of the metrics if not given.",
)
@option(
    "--declare",
    "declarations",
    metavar="KEY=VALUE",
    multiple=True,
    panel=_RUN,
    help="What the run has promised, such as max_steps=1000 or expects_think=true. Repeatable.",
)
@option(
    "--config", type=PATH, metavar="FILE", panel=_RUN, help="The run's configuration: what it promises, thresholds."
)
@option(
    "--ignore", metavar="CODES", multiple=True, panel=_RUN, help="Do not ask these: RUN005, or several with commas."
)
@option(
    "--format",
    "output_format",
    type=click.Choice(get_args(Output)),
    default="text",
    panel=_OUTPUT,
    help="How to print.",
)
@option(
    "--html", type=PATH, metavar="FILE", panel=_OUTPUT, help="Write a page with the curves and the findings on them."
)
@option(
    "--fail-on",
    type=click.Choice(FAIL_ON),
    default="error",
    panel=_OUTPUT,
    help="Exit with 1 from this severity on. error by default.",
)
@option("--color", type=click.Choice(COLORS), default="auto", panel=_OUTPUT, help="Whether to colour text.")
def command(
    *,
    source: str | None,
    once: bool,
    follow: bool,
    method: Method | None,
    declarations: tuple[str, ...],
    config: Path | None,
    ignore: tuple[str, ...],
    output_format: Output,
    html: Path | None,
    fail_on: FailOn,
    color: Color,
) -> int:
    """Watch a run by the metrics that it leaves, and say what is wrong with it as soon as they show it.

    SOURCE is a Trainer's output folder or one of its checkpoints, a log file with the Trainer's lines, JSON lines,
    TensorBoard event files, a Trackio project (PROJECT or PROJECT/RUN), or - for stdin. It is followed until the run
    ends; Ctrl-C ends watching with the verdict so far. Nothing is written there, and the run is left alone.

    \b
    Examples:
      trainguard watch output
      trainguard watch output --once --fail-on warn
      trainguard watch train.log --declare max_steps=1000 --html run.html
      trainguard watch my-project/run-3
      trainguard watch runs --once --format json
      python train.py 2>&1 | trainguard watch -
    """
    if source is None:
        raise UsageError(_NOTHING)
    if once and follow:
        raise UsageError("--once ends with what is there, --follow waits for more: leave one out")
    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        what = "is a folder" if html.is_dir() else "its folder is not there"
        raise UsageError(f"--html {html}: {what}; name a file such as run.html")
    session = _session(source, follow=follow, method=method, declarations=declarations, config=config, ignore=ignore)
    if once:
        _read_once(session)
    else:
        _follow(session, output_format=output_format, html=html, color=color, forever=follow)
    if html is not None:
        _write_page(session, html)
    _print_verdict(session, output_format, color=color, lines=not once)
    return exit_code([session.view.report()], fail_on)


def _session(
    text: str,
    *,
    follow: bool,
    method: Method | None,
    declarations: tuple[str, ...],
    config: Path | None,
    ignore: tuple[str, ...],
) -> Session:
    from trainguard.cli.watch_session import Session
    from trainguard.sources.declared import from_assignments

    given: dict[str, Any] = {}
    thresholds: Any = {}
    if config is not None:
        from trainguard.cli.watch_declared import declared_by, read_run_config, thresholds_by

        run = read_run_config(config)
        given, thresholds = declared_by(run), thresholds_by(run)
    given |= from_assignments(declarations)
    off = codes_of_a_run(ignore)
    source = _source(text, wait=follow)
    return Session(source, method=method, given=given, thresholds=thresholds, off=off)


def codes_of_a_run(ignore: tuple[str, ...]) -> list[str]:
    """The codes of --ignore. Raises UsageError for one that no run has."""
    from trainguard.signals.codes import RUN_CODES

    codes = [code.strip().upper() for each in ignore for code in each.split(",") if code.strip()]
    for code in codes:
        if code not in RUN_CODES:
            raise UsageError(f"--ignore {code}: is no code of a run; they are RUN001 to {max(RUN_CODES)}")
    return codes


def _source(text: str, *, wait: bool) -> Source:
    from trainguard.sources.recognise import recognise

    told = False
    while True:
        try:
            return recognise(text, stdin=_stdin() if text == "-" else 0)
        except UsageError as error:
            if not wait:
                raise
            if not told:
                print(visible(f"waiting: {error}"), file=sys.stderr)
                told = True
            time.sleep(_WAIT_SECONDS)


def _stdin() -> int:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        raise UsageError("stdin is closed; name a file, or pipe the run's output here") from None


def _read_once(session: Session) -> None:
    from trainguard.sources.following import read_once

    source = session.source
    try:
        for record in read_once(source):
            session.take(record)
    except KeyboardInterrupt:
        source.note("reading was interrupted")
    finally:
        source.close()
    session.finish()
    _refuse_nothing(session)


def _refuse_nothing(session: Session) -> None:
    if not session.view.records and not session.view.findings:
        raise UsageError(f"{session.source.name}: {_EMPTY}")


def _follow(session: Session, *, output_format: Output, html: Path | None, color: Color, forever: bool) -> None:
    """Shows the run until it ends, Ctrl-C is pressed, or nobody reads the output any more."""
    from trainguard.sources.following import follow

    source, view = session.source, session.view
    page_at = time.monotonic() + _PAGE_SECONDS
    polls = 0
    try:
        with _display(session, output_format, color) as display:
            for record in follow(source, until_end=not forever):
                if record is not None:
                    found = session.take(record)
                    display.record(record)
                    if found:
                        display.found(found)
                    continue
                polls += 1
                session.tidy()
                if polls == 1 and not forever and source.kind != "stdin":
                    _refuse_nothing(session)
                display.polled()
                if html is not None and time.monotonic() >= page_at:
                    _write_page(session, html, refresh_seconds=_PAGE_SECONDS)
                    page_at = time.monotonic() + _PAGE_SECONDS
            display.found(session.finish())
    except KeyboardInterrupt:
        session.finish()
    except BrokenPipeError:
        discard_stdout()
        session.finish()
    finally:
        source.close()
    if source.ended and not view.records:
        _refuse_nothing(session)


def _display(session: Session, output_format: Output, color: Color) -> Display:
    from trainguard.cli.watch_text import JsonLines, Lines, Table

    colored = use_color(color, sys.stdout)
    if output_format == "json":
        return JsonLines()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Table(session.view, color=colored, unicode=_takes_blocks())
    return Lines(session.view, color=colored)


def _print_verdict(session: Session, output_format: Output, *, color: Color, lines: bool) -> None:
    """The whole report once; after lines that said it all, the last line alone."""
    view = session.view
    if output_format == "json":
        from trainguard.report.run_json import last_line, render_run_json

        write(last_line(view) if lines else render_run_json(view))
        return
    from trainguard.report.run_text import render_run_text, verdict

    colored = use_color(color, sys.stdout)
    if lines and not sys.stdout.isatty():
        write(verdict(view, color=colored) + "\n")
        return
    write(render_run_text(view, color=colored, width=text_width(sys.stdout), unicode=_takes_blocks()))


def _write_page(session: Session, path: Path, *, refresh_seconds: int | None = None) -> None:
    """Puts a new version of the page in the place of the old one, whole at every instant."""
    from trainguard import __version__
    from trainguard.report.run_html import render_run_html

    text = render_run_html(session.view, version=__version__, refresh_seconds=refresh_seconds)
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise UsageError(f"--html {path}: cannot be written: {error.strerror or error}") from None


def _takes_blocks() -> bool:
    try:
        "▁█→·".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
