"""`trainguard run`: anybody's training command, watched from outside, found out about and started again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import COLORS, Color, use_color
from trainguard.cli.panels import PATH, Command, option
from trainguard.errors import UsageError

if TYPE_CHECKING:
    from trainguard.daemon.foreign_output import Standard
    from trainguard.daemon.foreign_run import ForeignRun, Observe
    from trainguard.findings import Finding
    from trainguard.sources.base import Record, Source

_STATE = "trainguard-run"
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
    "--from-start",
    "may_begin_anew",
    is_flag=True,
    panel=_RESTART,
    help="Start a command that cannot resume again from its beginning, though it may write over what it has saved.",
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
    help="Where the logs of the attempts go. Without it: trainguard-run here, in a folder for each output folder.",
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
    may_begin_anew: bool,
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

    The command keeps its terminal, its input, and its output on stdout and stderr, byte for byte; trainguard's own
    lines go to stderr. Its metrics are watched in its output, or in the files of a GuardCallback. When it ends badly,
    trainguard tells why, by its exit, the kernel, the disk and its last words, and decides: again after a pause, again
    with a smaller micro-batch and more accumulation, or not again. What cannot be guarded is said at the start.

    A restart goes on from the newest checkpoint that verifies: by --resume-arg, by the option that the script's own
    parser has for it (found in its text: HfArgumentParser, TrlParser, argparse), by the script itself, or by the
    variable TRAINGUARD_CHECKPOINT, which is set for it. What would begin anew over what it has saved is not started
    again, unless with --from-start. The first attempt is the command as it is given; with --resume-arg it goes on from
    a checkpoint that is there.

    SIGTERM and SIGHUP reach the command as SIGTERM, Ctrl-C as SIGINT; it has --stop-deadline seconds then, and a second
    Ctrl-C ends it at once. After that nothing is started again.

    Exits as the command did in its last attempt: its own code, 128 and the number of the signal that ended it, 126 or
    127 where it could not be started. Before a first attempt 2 is wrong usage. Every event is a line of JSON in
    events.jsonl of the state folder, whatever --format says; the last one is "done" with the command's code.

    \b
    Examples:
      trainguard run -- python train.py
      trainguard run --resume-arg "--resume_from_checkpoint {checkpoint}" -- python train.py --output_dir out
      trainguard run -- trl sft --config sft.yaml
      trainguard run --output-dir out --hang-seconds 1800 -- accelerate launch train.py
      trainguard run --retries 0 --format json -- torchrun --nproc_per_node=2 train.py
    """
    from trainguard.cli.run_text import JsonTeller, Recorder, TextTeller
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
    folder = _state_folder(state_dir, understood.output_dir)
    run = ForeignRun(
        command=understood,
        folder=folder,
        settings=Settings(
            retries=retries,
            retry_delay_seconds=retry_delay,
            hang_seconds=hang_seconds,
            stop_deadline_seconds=stop_deadline,
            may_begin_anew=may_begin_anew,
        ),
        tell=Recorder(folder / "events.jsonl", teller).tell,
        observe=_observer(declarations, ignore),
        standard=_standard(),
    )
    with _signals(run):
        return run.run()


@contextmanager
def _signals(run: ForeignRun) -> Iterator[None]:
    """While the command runs, signals are for it. One that was ignored at the start stays so, as under nohup."""
    taken: dict[int, Callable[[], None]] = {
        signal.SIGTERM: lambda: run.ask(signal.SIGTERM),
        signal.SIGINT: lambda: run.ask(signal.SIGINT),
        signal.SIGHUP: lambda: run.ask(signal.SIGHUP),
    }
    if sys.stdin is not None and sys.stdin.isatty():
        taken[signal.SIGTSTP] = run.suspend
    before = {each: signal.getsignal(each) for each in taken}
    for each, act in taken.items():
        if before[each] != signal.SIG_IGN:
            signal.signal(each, lambda *_, act=act: act())
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _standard() -> Standard:
    """This process's own descriptors, as far as they are open."""
    from trainguard.daemon.foreign_output import Standard

    def opened(number: int) -> int | None:
        try:
            os.fstat(number)
        except OSError:
            return None
        return number

    return Standard(stdin=opened(0), stdout=opened(1), stderr=opened(2))


def _state_folder(given: Path | None, output_dir: Path | None) -> Path:
    """Where the attempts are kept. Raises UsageError where it cannot be made.

    Not in the output folder, where that can be helped: there are scripts that will not begin in one that is there, or
    that is not empty.
    """
    beside = Path(_STATE, output_dir.name if output_dir is not None and output_dir.name else "run")
    places = [given] if given is not None else [beside, *([output_dir / "trainguard/run"] if output_dir else [])]
    for place in places:
        folder = place.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if place is beside:
                folder.parent.joinpath(".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as caught:
            error = caught
            continue
        return folder
    raise UsageError(
        f"{folder}: cannot be made ({error.strerror or error}); name another place with --state-dir"
    ) from error


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
