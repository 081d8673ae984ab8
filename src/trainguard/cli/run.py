"""`trainguard run`: anybody's training command, watched from outside, found out about and started again."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import COLORS, Color, use_color
from trainguard.cli.panels import PATH, Command, option
from trainguard.errors import UsageError

if TYPE_CHECKING:
    from trainguard.daemon.foreign_run import Observe
    from trainguard.findings import Finding
    from trainguard.sources.base import Record, Source

_RESTART = "When it breaks"
_KNOWN = "What is known of the run"
_OUTPUT = "Output"


@click.command(
    "run",
    cls=Command,
    short_help="Run any training command under supervision.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
@option(
    "--resume-arg",
    metavar="TEXT",
    panel=_RESTART,
    help="What to add to a restarted command; {checkpoint} is the newest checkpoint that verifies.",
)
@option(
    "--retries",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    panel=_RESTART,
    help="Attempts after the first that bring no new checkpoint.",
)
@option(
    "--retry-delay",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    panel=_RESTART,
    help="Seconds before the first new attempt; they double with each.",
)
@option(
    "--hang-seconds",
    type=click.FloatRange(min=0, min_open=True),
    panel=_RESTART,
    help="Take so long a silence for a hang. Without it: heartbeats, or half an hour without output and work.",
)
@option(
    "--stop-deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=25.0,
    show_default=True,
    panel=_RESTART,
    help="Seconds to save in when it is asked to stop.",
)
@option(
    "--output-dir",
    type=PATH,
    panel=_KNOWN,
    help="Where it saves. Without it: its own --output_dir, or what its script says.",
)
@option(
    "--declare",
    "declarations",
    metavar="NAME=VALUE",
    multiple=True,
    panel=_KNOWN,
    help="What the run has promised, such as learning_rate=2e-5, for the signals. Repeatable.",
)
@option("--ignore", metavar="CODE", multiple=True, panel=_KNOWN, help="Do not ask these signals.")
@option(
    "--state-dir",
    type=PATH,
    panel=_OUTPUT,
    help="Where the logs of the attempts go. Without it: trainguard/run in its output folder.",
)
@option(
    "--format",
    "output_format",
    type=click.Choice(("text", "json")),
    default="text",
    panel=_OUTPUT,
    help="How trainguard's own lines on stderr look.",
)
@option("--color", type=click.Choice(COLORS), default="auto", panel=_OUTPUT, help="Whether to colour text.")
def command(
    *,
    words: tuple[str, ...],
    resume_arg: str | None,
    retries: int,
    retry_delay: float,
    hang_seconds: float | None,
    stop_deadline: float,
    output_dir: Path | None,
    declarations: tuple[str, ...],
    ignore: tuple[str, ...],
    state_dir: Path | None,
    output_format: str,
    color: Color,
) -> int:
    """Run a training command, see what becomes of it, and start it again where it can go on.

    The command's output goes to stdout as ever, trainguard's own lines to stderr. Its metrics are watched in its
    output, or in the files of a GuardCallback. When it ends badly, trainguard tells why, by its exit, the kernel, the
    disk and its last words, and decides: again after a pause, again with a smaller micro-batch and more accumulation,
    or not again. A broken checkpoint is never resumed from. What cannot be guarded is said at the start.

    Exits as the command did in its last attempt (128 and the number of the signal that ended it).

    \b
    Examples:
      trainguard run -- python train.py
      trainguard run --resume-arg "--resume_from_checkpoint {checkpoint}" -- python train.py --output_dir out
      trainguard run --output-dir out --hang-seconds 1800 -- accelerate launch train.py
      trainguard run --retries 0 --format json -- torchrun --nproc_per_node=2 train.py
    """
    from trainguard.cli.run_text import JsonTeller, TextTeller
    from trainguard.daemon.foreign_command import understand
    from trainguard.daemon.foreign_run import ForeignRun, Settings

    understood = understand(
        words,
        working_directory=Path.cwd(),
        output_dir=output_dir,
        resume_arg=resume_arg,
        environment=os.environ,
    )
    teller = JsonTeller() if output_format == "json" else TextTeller(use_color(color, sys.stderr))
    run = ForeignRun(
        command=understood,
        folder=_state_folder(state_dir, understood.output_dir),
        settings=Settings(
            retries=retries,
            retry_delay_seconds=retry_delay,
            hang_seconds=hang_seconds,
            stop_deadline_seconds=stop_deadline,
        ),
        tell=teller.tell,
        observe=_observer(declarations, ignore),
        relay=_relay,
    )
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    for each in before:
        signal.signal(each, lambda *_: run.stop.set())
    try:
        return run.run()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _state_folder(given: Path | None, output_dir: Path | None) -> Path:
    """Where the attempts are kept. Raises UsageError where it cannot be made."""
    folder = given or (output_dir / "trainguard/run" if output_dir is not None else Path("trainguard-run"))
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be made ({error.strerror or error}); name another place with --state-dir"
        ) from None
    return folder


def _observer(declarations: tuple[str, ...], ignore: tuple[str, ...]) -> Observe:
    """What puts the records of an attempt to the signals."""
    from trainguard.cli.watch import codes_of_a_run
    from trainguard.cli.watch_session import Session
    from trainguard.sources.declared import from_assignments

    given, off = from_assignments(declarations), codes_of_a_run(ignore)
    sessions: list[Session] = []

    def observe(record: Record, source: Source) -> tuple[Finding, ...]:
        if not sessions:
            sessions.append(Session(source, given=given, off=off))
        sessions[0].source = source
        return sessions[0].take(record)

    return observe


def _relay(block: bytes) -> None:
    """The command's output, byte for byte. A reader that has gone away does not end a run."""
    try:
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        from trainguard.cli.output import discard_stdout

        discard_stdout()
