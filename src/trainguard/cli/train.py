"""`trainguard train`: every check, the plan, then supervised fine-tuning with verified checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.byte_progress import ByteProgress
from trainguard.cli.config import parsed_assignments
from trainguard.cli.output import COLORS, Color
from trainguard.cli.panels import PATH, Command, option
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_FINDINGS, EXIT_INTERNAL

if TYPE_CHECKING:
    from trainguard.cli.train_text import Speaker
    from trainguard.train.identity import Identity
    from trainguard.train.lineage import Start
    from trainguard.train.preparing import Prepared
    from trainguard.train.run_lock import RunLock

_RUN = "The run"
_BEGIN = "Where it begins"
_OUTPUT = "Output"


@click.command("train", cls=Command, short_help="Fine-tune with every check before and verified checkpoints all along.")
@click.argument("config", type=PATH)
@option("--set", "assignments", metavar="FIELD=VALUE", multiple=True, panel=_RUN, help="Another value for a field.")
@option("--dry-run", is_flag=True, panel=_RUN, help="Check, show the plan, and stop. Loads and writes nothing.")
@option(
    "--force",
    "forced",
    metavar="CODE",
    multiple=True,
    panel=_RUN,
    help="Go on although this error is found. Repeatable.",
)
@option(
    "--resume/--no-resume",
    default=None,
    panel=_BEGIN,
    help="Go on from the newest checkpoint that verifies (the default), or set them aside and begin anew.",
)
@option(
    "--on-top",
    is_flag=True,
    panel=_BEGIN,
    help="Train these data on top of what the checkpoints learnt, as one more file.",
)
@option(
    "--keep-moments", is_flag=True, panel=_BEGIN, help="For one more file: take the optimizer's moments along, too."
)
@option(
    "--file-id",
    metavar="TEXT",
    panel=_BEGIN,
    help="Tells two files of the same content apart: the same text resumes, another one is another file.",
)
@option(
    "--skip-steps",
    "windows",
    metavar="A-B",
    multiple=True,
    panel=_BEGIN,
    help="Leave out the examples of these steps of this file. Repeatable; each counts what is left after those before.",
)
@option(
    "--before-step",
    metavar="N",
    type=click.IntRange(min=1),
    panel=_BEGIN,
    help="Go on from the newest verified checkpoint below global step N; newer ones are set aside.",
)
@option(
    "--format",
    "output_format",
    type=click.Choice(("text", "json")),
    default="text",
    panel=_OUTPUT,
    help="Text, or JSON Lines.",
)
@option("--color", type=click.Choice(COLORS), default="auto", panel=_OUTPUT, help="Whether to colour text.")
def command(
    *,
    config: Path,
    assignments: tuple[str, ...],
    dry_run: bool,
    forced: tuple[str, ...],
    resume: bool | None,
    on_top: bool,
    keep_moments: bool,
    file_id: str | None,
    windows: tuple[str, ...],
    before_step: int | None,
    output_format: str,
    color: Color,
) -> int:
    """Fine-tune the model of CONFIG on its data: full, with an adapter, or with one on weights in 4 bits.

    Checks the configuration, data, model, checkpoints and machine, and stops at errors. Shows the plan, trains with
    TRL's SFTTrainer under the guard, and puts the result into `final` in output_dir. Run again, it goes on from the
    newest checkpoint that verifies; with other data, it trains these on top. Several GPUs: accelerate launch -m
    trainguard train CONFIG.

    Exits with 0 when all planned steps are made, 1 where findings of severity error stand against it, 2 for wrong
    usage, 75 when it was asked to stop (SIGTERM, Ctrl-C) and can go on later.

    \b
    Examples:
      trainguard train trainguard.toml --dry-run
      trainguard train trainguard.toml
      trainguard train trainguard.toml --set learning_rate=1e-5 --set epochs=1
      trainguard train trainguard.toml --set data=next.jsonl
      trainguard train trainguard.toml --no-resume
      trainguard train trainguard.toml --force SYS001 --format json
    """
    from trainguard.cli.train_text import JsonSpeaker, Silent, TextSpeaker
    from trainguard.train import processes
    from trainguard.train.left_out import parse_window
    from trainguard.train.preparing import prepare, unchecked

    codes = _codes(forced)
    skip = tuple(parse_window(each) for each in windows)
    _hear_findings_once()
    if processes.rank() != 0:
        if dry_run:
            return EXIT_CLEAN
        prepared = unchecked(config, environment=os.environ, flags=parsed_assignments(assignments))
        return _run(prepared, Silent(), keep_moments=keep_moments)
    speaker: Speaker = JsonSpeaker() if output_format == "json" else TextSpeaker(color)
    with speaker:
        with ByteProgress(str(config)) as progress:
            prepared = prepare(
                config,
                environment=os.environ,
                flags=parsed_assignments(assignments),
                forced=codes,
                resume=resume,
                on_top=on_top,
                file_id=file_id,
                skip=skip,
                before_step=before_step,
                on_progress=progress,
            )
        speaker.checks(prepared.reports, forced=codes, stops=len(prepared.stops))
        if any(report.errors for report in prepared.reports):
            return EXIT_INTERNAL
        if prepared.stops or prepared.plan is None:
            return EXIT_FINDINGS
        return _dry(prepared, speaker) if dry_run else _run(prepared, speaker, keep_moments=keep_moments)


def _dry(prepared: Prepared, speaker: Speaker) -> int:
    from trainguard.train.preparing import identity_of, start_of

    start = start_of(prepared, identity_of(prepared))
    speaker.plan(prepared.plan, start)
    return EXIT_CLEAN


def _run(prepared: Prepared, speaker: Speaker, *, keep_moments: bool) -> int:
    from trainguard.fencing import FencedError
    from trainguard.train import processes
    from trainguard.train.running import train
    from trainguard.train.settling import require_libraries
    from trainguard.train.stopped_early import stopped_before
    from trainguard.train.stopping import EXIT_STOPPED

    require_libraries()
    _stop_before_training()
    first = processes.rank() == 0
    try:
        lock, begin = _begin(prepared, speaker) if first else (None, None)
    except FencedError as error:
        click.echo(str(error), err=True)
        speaker.tell("end", code=EXIT_STOPPED, steps=0, planned=None, words=str(error))
        return EXIT_STOPPED
    except SystemExit as request:
        if request.code != EXIT_STOPPED:
            raise
        return stopped_before()
    try:
        begin = processes.agreed(begin)
        if begin is None:
            return EXIT_CLEAN
        identity, start = begin
        return train(prepared, identity, start, speaker.tell, keep_moments=keep_moments)
    finally:
        if lock is not None:
            lock.release()


def _begin(prepared: Prepared, speaker: Speaker) -> tuple[RunLock, tuple[Identity, Start] | None]:
    """What the first process does for all: takes the folder, and finds where the run begins; None where it is done."""
    from trainguard.train.preparing import identity_of, start_of
    from trainguard.train.settling import go_back, is_done, settle_folder

    identity = identity_of(prepared)
    lock = settle_folder(prepared, speaker.tell)
    try:
        start = start_of(prepared, identity)
        go_back(prepared, speaker.tell)
        speaker.plan(prepared.plan, start)
        if not is_done(prepared, identity, start):
            return lock, (identity, start)
        speaker.tell("end", code=EXIT_CLEAN, steps=start.done, planned=start.planned_steps, words="already complete")
    except BaseException:
        lock.release()
        raise
    return lock, None


def _stop_before_training() -> None:
    """SIGTERM while a run loads, or saves its result: nothing of it is lost, and it can be started again later.

    While it trains, the guard takes the signal, and gives it back.
    """
    import signal
    import threading

    from trainguard.train.stopping import EXIT_STOPPED

    def stop(*_: object) -> None:
        raise SystemExit(EXIT_STOPPED)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


def _hear_findings_once() -> None:
    """Findings are printed here; the log, where other scripts read them, would say them a second time.

    Until the command ends: who runs it inside of a process of their own goes on with the log as it was.
    """
    import logging

    def is_no_finding(record: logging.LogRecord) -> bool:
        return record.msg != "%s %s"

    heard = logging.getLogger("trainguard.train.callback")
    heard.addFilter(is_no_finding)
    click.get_current_context().call_on_close(lambda: heard.removeFilter(is_no_finding))


def _codes(forced: tuple[str, ...]) -> frozenset[str]:
    """The codes of --force. Raises UsageError for one that no rule and no signal has."""
    codes = frozenset(code.strip() for each in forced for code in each.split(",") if code.strip())
    if codes:
        from trainguard.rules.registry import discover
        from trainguard.signals.codes import RUN_CODES

        known = {rule.code for rule in discover().rules} | set(RUN_CODES)
        unknown = sorted(codes - known)
        if unknown:
            raise UsageError(f"--force {unknown[0]}: there is no such code; `trainguard rules` lists them")
    return codes
