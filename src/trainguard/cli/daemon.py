"""`trainguard daemon`: trains the files of an inbox one after the other, whatever happens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from trainguard.cli.output import write
from trainguard.cli.panels import PATH, Command, option
from trainguard.cli.queue_choices import Words
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_FINDINGS, EXIT_INTERNAL
from trainguard.report.visible import visible

if TYPE_CHECKING:
    from trainguard.daemon.settings import Settings

_PLACE = "Where"
_LIFE = "How long"
_OUTPUT = "Output"
# Longer than the run's own deadline: its tree is ended and the queue written.
_SPARE_SECONDS = 60.0

_config = click.argument("config", type=PATH, default=Path())
_inbox = option(
    "--inbox", type=PATH, metavar="DIR", panel=_PLACE, help="The folder with files; queue.inbox by default."
)
_database = option(
    "--database-url", metavar="URL", panel=_PLACE, help="postgresql://…, for several machines that share a queue."
)
_name = option("--name", metavar="NAME", panel=_PLACE, help="This daemon among several; the machine's name by default.")


@click.group("daemon", short_help="Train the files of an inbox one after the other, whatever happens.")
def command() -> None:
    """The daemon of CONFIG: accepts training files, checks them, and trains each once, on top of what came before.

    Files are put into its inbox (`inbox/high` and `inbox/low` say how urgent they are). What cannot be trained is put
    aside with its reason; a crash, a hang or a power cut costs the steps since the last verified checkpoint.
    CONFIG is the configuration in the current folder if not given.

    \b
    Examples:
      trainguard daemon run trainguard.toml
      trainguard daemon start trainguard.toml
      trainguard daemon install trainguard.toml --print
    """


@command.command("run", cls=Command, short_help="Run in the foreground.")
@_config
@_inbox
@_database
@_name
@option(
    "--until-empty", "--once", "until_empty", is_flag=True, panel=_LIFE, help="End when nothing is left to be trained."
)
@option("--log-format", type=Words(("text", "json")), default="text", panel=_OUTPUT, help="Lines of text or JSON.")
@option("--quiet", is_flag=True, panel=_OUTPUT, help="Write to the log file alone, not to stderr.")
def run_command(
    *,
    config: Path,
    inbox: Path | None,
    database_url: str | None,
    name: str | None,
    until_empty: bool,
    log_format: Literal["text", "json"],
    quiet: bool,
) -> int:
    """Serve CONFIG in the foreground until SIGTERM or Ctrl-C.

    The first signal lets the run in training save and stop, the second ends it at once; either way its file goes on
    with the next start. Exits with 0 when it was stopped or nothing is left, 1 where another daemon serves the folder
    or, with --until-empty, files wait for a person.

    \b
    Examples:
      trainguard daemon run trainguard.toml
      trainguard daemon run trainguard.toml --until-empty
      trainguard daemon run trainguard.toml --inbox /data/in --log-format json
      trainguard daemon run trainguard.toml --database-url postgresql://queue@server/queue
    """
    from trainguard.cli.daemon_text import set_up_log
    from trainguard.daemon.lock import AlreadyRunningError
    from trainguard.daemon.loop import Daemon
    from trainguard.daemon.settings import read_daemon_settings
    from trainguard.daemon.start import log_path
    from trainguard.queue.engine import QueueError

    settings = read_daemon_settings(config, inbox=inbox, database_url=database_url, name=name)
    settings.refuse_no_lineage()
    set_up_log(log_path(settings), form=log_format, quiet=quiet)
    try:
        return Daemon(settings, until_empty=until_empty).run()
    except AlreadyRunningError as error:
        return _say_finding(error.finding.message, error.finding.code)
    except QueueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:  # a full disk at the start, say; later ones are waited for
        raise UsageError(f"{error.filename or settings.home}: {error.strerror or error}") from None


@command.command("start", cls=Command, short_help="Start in the background.")
@_config
@_inbox
@_database
@_name
def start_command(*, config: Path, inbox: Path | None, database_url: str | None, name: str | None) -> int:
    """Start the daemon of CONFIG in the background and wait until it serves.

    It does not come back after a reboot; `trainguard daemon install` writes a unit for systemd that does.

    \b
    Examples:
      trainguard daemon start
      trainguard daemon start trainguard.toml --inbox /data/in
    """
    from trainguard.daemon.detached import DATABASE_URL, running, start_detached

    settings = _settings(config, inbox, database_url, name)
    settings.refuse_no_lineage()
    whom = running(settings)
    if whom is not None:
        return _say_finding(f"a daemon already serves {settings.home}: {whom}; stop it first, or use it", "SYS009")
    given = (("--inbox", inbox and inbox.absolute()), ("--name", name))
    arguments = [part for key, value in given if value for part in (key, str(value))]
    try:
        # Not on a command line, which every user of the machine may read: it may have a password in it.
        started = start_detached(settings, arguments, {DATABASE_URL: database_url} if database_url else {})
    except OSError as error:
        raise UsageError(f"{error.filename or settings.home}: {error.strerror or error}") from None
    if started.exit_code is not None:
        print(
            "\n".join(visible(each) for each in f"error: the daemon did not start: {started.problem}".split("\n")),
            file=sys.stderr,
        )
        return started.exit_code or EXIT_INTERNAL
    if started.problem is not None:
        words = f"The daemon is process {started.pid}; {started.problem}; its log: {started.log}"
        print(visible(words), file=sys.stderr)
        return EXIT_FINDINGS
    write(visible(f"The daemon serves {settings.inbox} (process {started.pid}); its log: {started.log}") + "\n")
    return EXIT_CLEAN


@command.command("stop", cls=Command, short_help="Let the run save, and end the daemon.")
@_config
@_database
@_name
@option("--now", is_flag=True, panel=_LIFE, help="End the run at once, without a last checkpoint.")
def stop_command(*, config: Path, database_url: str | None, name: str | None, now: bool) -> int:
    """End the daemon of CONFIG and wait for it: the run in training saves within guard.stop_deadline_seconds.

    Its file goes on with the next start. Nothing is done where no daemon runs.

    \b
    Examples:
      trainguard daemon stop
      trainguard daemon stop trainguard.toml --now
    """
    from trainguard.daemon.detached import running, stop_daemon, wait_for_end

    settings = _settings(config, None, database_url, name)
    whom = running(settings)
    if whom is None:
        write(visible(f"No daemon serves {settings.home}.") + "\n")
        return EXIT_CLEAN
    if not stop_daemon(settings, now=now):
        _wish(config, settings, "stop", now=now)
    if not wait_for_end(settings, settings.run.guard.stop_deadline_seconds + _SPARE_SECONDS):
        print(
            visible(f"error: the daemon ({whom}) was asked to stop and still runs; with --now it ends its run at once"),
            file=sys.stderr,
        )
        return EXIT_FINDINGS
    write(visible(f"The daemon ({whom}) has ended.") + "\n")
    return EXIT_CLEAN


@command.command("status", cls=Command, short_help="Whether it runs, in one paragraph.")
@_config
@_database
@_name
@option("--format", "output_format", type=Words(("text", "json")), default="text", panel=_OUTPUT, help="Text, or JSON.")
def status_command(*, config: Path, database_url: str | None, name: str | None, output_format: str) -> int:
    """Say whether a daemon serves CONFIG, what it does, and how many files wait. `trainguard status` tells more.

    Exits with 1 where none runs. Nothing is changed or made.

    \b
    Examples:
      trainguard daemon status
      trainguard daemon status trainguard.toml --format json
    """
    from trainguard.cli.daemon_text import Seen, status_json, status_text
    from trainguard.cli.queue_place import has_queue, opened, shown_config
    from trainguard.daemon.detached import running

    settings = _settings(config, None, database_url, name)
    whom = running(settings)
    seen = Seen(holder=whom, settings=settings)
    if has_queue(settings):
        with opened(config, database_url) as place:
            worker = next((each for each in place.queue.workers() if each.owner == settings.owner), None)
            seen = Seen(
                holder=whom,
                settings=settings,
                worker=worker,
                paused=place.queue.paused,
                counts=place.queue.counts(),
            )
    write(status_json(seen) if output_format == "json" else status_text(seen, config=shown_config(settings.config)))
    return EXIT_CLEAN if whom is not None else EXIT_FINDINGS


@command.command("pause", cls=Command, short_help="Begin no other file.")
@_config
@_database
@option("--now", is_flag=True, panel=_LIFE, help="Let the run in training save and stop, too; its file waits.")
@option("--why", metavar="TEXT", default="asked for by a person", panel=_OUTPUT, help="What others are told.")
def pause_command(*, config: Path, database_url: str | None, now: bool, why: str) -> int:
    """Begin no other file until `trainguard daemon resume`, also after a restart. Files are still accepted and checked.

    \b
    Examples:
      trainguard daemon pause
      trainguard daemon pause --now --why "the GPU is needed until six"
    """
    from trainguard.cli.queue_place import opened

    with opened(config, database_url, make=True) as place:
        # The words of a pause that ends by itself begin with what it waits for; a person's never do.
        place.queue.pause(f"by hand: {why}")
        if now:
            place.queue.wish("stop-attempt", why=why)
    write("Paused; `trainguard daemon resume` goes on.\n")
    return EXIT_CLEAN


@command.command("resume", cls=Command, short_help="Go on after a pause.")
@_config
@_database
def resume_command(*, config: Path, database_url: str | None) -> int:
    """End a pause, whoever asked for it.

    \b
    Examples:
      trainguard daemon resume
      trainguard daemon resume trainguard.toml
    """
    from trainguard.cli.queue_place import has_queue, opened
    from trainguard.report.run_text import safe

    why = None
    if has_queue(_settings(config, None, database_url, None)):
        with opened(config, database_url) as place:
            why = place.queue.paused
            place.queue.resume()
    write(f"Going on; it was paused: {safe(why)}\n" if why is not None else "It was not paused.\n")
    return EXIT_CLEAN


@command.command("drain", cls=Command, short_help="Finish the file in training, then end.")
@_config
@_database
@_name
def drain_command(*, config: Path, database_url: str | None, name: str | None) -> int:
    """Let the daemon of CONFIG train its file to the end, begin no other, and end. Does not wait for it.

    \b
    Examples:
      trainguard daemon drain
      trainguard daemon drain trainguard.toml
    """
    from trainguard.daemon.detached import running

    settings = _settings(config, None, database_url, name)
    if running(settings) is None:
        write(visible(f"No daemon serves {settings.home}.") + "\n")
        return EXIT_CLEAN
    _wish(config, settings, "drain")
    write("The daemon ends after the file in training.\n")
    return EXIT_CLEAN


@command.command("install", cls=Command, short_help="Write a unit for systemd.")
@_config
@_inbox
@_database
@option("--print", "shown", is_flag=True, panel=_OUTPUT, help="Print the unit, and write nothing.")
@option("--system", "mode", flag_value="system", panel=_PLACE, help="For the whole machine; needs root.")
@option("--user", "mode", flag_value="user", default="user", panel=_PLACE, help="For this user; the default.")
def install_command(
    *, config: Path, inbox: Path | None, database_url: str | None, shown: bool, mode: Literal["system", "user"]
) -> int:
    """Write a unit for systemd, so that the daemon of CONFIG comes back after a crash and a reboot.

    Nothing is started; the commands that do it are printed. --database-url is not written into the unit, where
    everybody could read its password: put it into the configuration.

    \b
    Examples:
      trainguard daemon install --print
      trainguard daemon install trainguard.toml
      sudo trainguard daemon install trainguard.toml --system
    """
    import getpass

    from trainguard.daemon.service import next_commands, unit_name, unit_path, unit_text
    from trainguard.durable import write_atomically

    settings = _settings(config, inbox, database_url, None)
    settings.refuse_no_lineage()
    user = getpass.getuser()
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "trainguard", "daemon", "run")
    command += ("--inbox", str(settings.inbox)) if inbox is not None else ()
    text = unit_text(
        settings.config,
        folders=[settings.output_dir, settings.inbox],
        stop_deadline_seconds=settings.run.guard.stop_deadline_seconds,
        mode=mode,
        user=user if mode == "system" else None,
        command=command,
    )
    if shown:
        write(text)
        return EXIT_CLEAN
    path = unit_path(unit_name(settings.config), mode=mode)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; --print shows the unit") from None
    lines = [f"{visible(str(path))} is written. To start it now and with the machine:"]
    lines += [f"  {each}" for each in next_commands(path, mode=mode, user=user)]
    write("\n".join(lines) + "\n")
    return EXIT_CLEAN


def _settings(config: Path, inbox: Path | None, database_url: str | None, name: str | None) -> Settings:
    from trainguard.daemon.settings import read_daemon_settings

    return read_daemon_settings(config, inbox=inbox, database_url=database_url, name=name)


def _wish(config: Path, settings: Settings, wish: str, **data: object) -> None:
    """Asks through the database, for a daemon that no signal reaches."""
    from trainguard.cli.queue_place import opened

    with opened(config, settings.database_url) as place:
        place.queue.wish(wish, **data)


def _say_finding(message: str, code: str | None) -> int:
    print(visible(f"error: {code or ''} {message}"), file=sys.stderr)
    return EXIT_FINDINGS
