"""The screen of `trainguard status`: what the daemon does, what waits, what was survived."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trainguard.cli.output import Color, use_color
from trainguard.cli.queue_cells import folded, glued
from trainguard.cli.queue_text import (
    counts_line,
    event_values,
    file_values,
    json_text,
    say,
    short,
    size_words,
    when,
    why,
)
from trainguard.daemon.overview import FOR_A_PERSON, finding_of, is_duplicate
from trainguard.daemon.reporting import STOPPED
from trainguard.report.lineage_view import took
from trainguard.report.run_text import safe
from trainguard.report.run_view import figure
from trainguard.report.summary import counted
from trainguard.report.text import Style

if TYPE_CHECKING:
    from pathlib import Path

    from trainguard.cli.queue_place import Place
    from trainguard.daemon.overview import Fault, Noted, Overview, Seen
    from trainguard.daemon.settings import Settings
    from trainguard.queue.records import QueuedFile

_BOLD, _DIM = "\x1b[1m", "\x1b[2m"
_RED, _YELLOW, _GREEN, _CYAN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;32m", "\x1b[1;36m"
# Nothing heard of a run for so long is worth a colour; whether it hangs is told by the daemon, from the run's own pace.
_QUIET_SECONDS = 60.0
_INDENT = 12
# In a pipe nothing is folded, and a cause is cut where it is no cause any more but a text.
_PIPE_CELLS = 300


def look(queue: Seen, settings: Settings) -> Overview:
    """What there is now."""
    from trainguard.daemon.overview import overview

    lock_folder = settings.lock_folder if settings.database_url is None else None
    return overview(queue, settings.output_dir, time.time(), lock_folder=lock_folder)


def look_once(config: Path, database_url: str | None) -> Overview:
    """What there is now, by the shortest way. Raises UsageError as `opened` does."""
    from trainguard.cli.queue_place import opened, settings_of
    from trainguard.queue.glance import GlanceError, glance

    settings = settings_of(config, database_url)
    if settings.database_url is None:
        try:
            with glance(settings.home) as queue:
                return look(queue, settings)
        except GlanceError:
            pass  # said below, by who knows more
    with opened(config, database_url) as place:
        return look(place.queue, place.settings)


def status_text(seen: Overview, *, color: bool = False, width: int | None = None, config: str = "") -> str:
    """The screen, a line a thing, in `width` cells. `config` is what a command needs to find the same queue."""
    style = Style(color)
    room = max((width or _PIPE_CELLS) - _INDENT, 28)
    lines = _block("daemon", _daemon(seen, style, config), style)
    if seen.paused is not None:
        lines += _block("paused", [style(_YELLOW, short(seen.paused, 2 * room))], style)
    lines += _block("now", _now(seen, style, room), style)
    lines += _block("queue", [counts_line(seen.counts, None)], style)
    lines += _block("next", [_waiting(each, seen.at, room) for each in seen.next], style)
    lines += _block("for you", _for_you(seen, room, style, config), style)
    lines += _block("faults", [_fault(each, seen.at, room, style) for each in seen.faults], style)
    lines += _block("findings", [_finding(each, seen.at, room) for each in seen.findings], style)
    if seen.stuck_alerts:
        age = took(max(seen.at - (seen.stuck_since or seen.at), 0.0))
        where = safe(f"{seen.output_dir}/queue/outbox.log")
        words = f"{counted(seen.stuck_alerts, 'alert')} could not be delivered yet, the oldest is {age} old"
        lines += _block("alerts", [f"{style(_YELLOW, words)}; {where} says why"], style)
    free = size_words(seen.disk_free_bytes) if seen.disk_free_bytes is not None else "cannot be told"
    lines += _block("disk free", [f"{free} in {safe(seen.output_dir)}"], style)
    if seen.quarantine_bytes:
        kept = f"{size_words(seen.quarantine_bytes)} of checkpoints that were set aside, in quarantine/ below it"
        lines += _block("", [f"{kept}; nobody else removes them"], style)
    return "\n".join(folded(each, width, indent=_INDENT) for each in lines) + "\n"


def status_json(seen: Overview) -> str:
    """The same for programs."""
    import msgspec

    shown: dict[str, Any] = {
        "time": seen.at,
        "output_dir": seen.output_dir,
        "daemon_alive": bool(seen.workers),
        "workers": msgspec.to_builtins(seen.workers),
        "gone": msgspec.to_builtins(seen.gone),
        "paused": seen.paused,
        "current": [file_values(each) for each in seen.current],
        "progress": {**asdict(seen.progress), "own_steps": seen.made, "seconds_left": seen.left_seconds},
        "counts": dict(seen.counts),
        "next": [file_values(each) for each in seen.next],
        "for_a_person": [file_values(each) for each in seen.asking],
        "duplicates": [file_values(each) for each in seen.duplicates],
        "faults": [asdict(each) for each in seen.faults],
        "findings": [{**event_values(each.event), "times": each.times} for each in seen.findings],
        "stuck_alerts": {"count": seen.stuck_alerts, "oldest": seen.stuck_since},
        "disk_free_bytes": seen.disk_free_bytes,
        "quarantine_bytes": seen.quarantine_bytes,
    }
    return json_text(shown) + "\n"


def watch_screen(place: Place, *, every_seconds: float, color: Color, config: str = "") -> None:
    """Draws the screen again and again; Ctrl-C ends it. Where there is no terminal, one screen after the other."""
    colored = use_color(color, sys.stdout)
    if not sys.stdout.isatty():
        with contextlib.suppress(KeyboardInterrupt):
            while say(status_text(look(place.queue, place.settings), config=config) + "\n"):
                time.sleep(every_seconds)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=not colored, highlight=False)

    def drawn() -> Text:
        seen = look(place.queue, place.settings)
        text = Text.from_ansi(status_text(seen, color=colored, width=console.width, config=config))
        text.append(f"\n{when(seen.at)}, every {every_seconds:g} s; Ctrl-C ends this, not the daemon", style="dim")
        return text

    try:
        with Live(drawn(), console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(every_seconds)
                live.update(drawn(), refresh=True)
    except KeyboardInterrupt:
        return


def _daemon(seen: Overview, style: Style, config: str) -> list[str]:
    start = f"`{glued(f'trainguard daemon start {config}'.rstrip())}`"
    if not seen.workers:
        if seen.gone is None:
            return [f"{style(_YELLOW, 'not running')}; {start} starts it"]
        ago = took(max(seen.at - seen.gone.seen, 0.0))
        if seen.gone.doing == STOPPED:
            return [f"{style(_YELLOW, 'not running')}, stopped {ago} ago; {start} starts it again"]
        who = f"pid {seen.gone.pid} on {safe(seen.gone.host)}"
        return [f"{style(_RED, 'not running')}: {who} was last seen {ago} ago; {start} starts it again"]
    lines = []
    for each in seen.workers:
        up = took(max(seen.at - each.started, 0.0))
        lines.append(
            f"{style(_GREEN, 'running')}, pid {each.pid} on {safe(each.host)} for {up}: {short(each.doing, 90)}"
        )
    return lines


def _now(seen: Overview, style: Style, room: int) -> list[str]:
    if not seen.current:
        return ["nothing is in work"]
    lines = []
    for file in seen.current:
        attempt = "" if file.state == "checking" else f", attempt {max(file.attempts, 1)}"
        name = short(file.name, max(room - 30, 28))
        if not seen.workers:
            # What it wrote last is no news of a run: it died with its daemon.
            made = f" at step {seen.made:,} of its own" if seen.made is not None and attempt else ""
            state = style(_YELLOW, f"was {file.state}")
            lines.append(f"{state} {file.id} {name}{attempt}{made}; the next daemon goes on with it")
            continue
        lines.append(f"{style(_CYAN, file.state)} {file.id} {name}{attempt}")
        if attempt:
            lines += _run(seen, file, style)
    return lines


def _run(seen: Overview, file: QueuedFile, style: Style) -> list[str]:
    run = seen.progress
    words = [run.phase or "starting"]
    if seen.made is not None:
        share = f" ({seen.made / file.planned_steps:.0%})" if file.planned_steps else ""
        words.append(f"step {seen.made:,}" + (f" of {file.planned_steps:,}" if file.planned_steps else "") + share)
    if run.step is not None and run.step != seen.made:
        words.append(f"global step {run.step:,}")
    if run.loss is not None:
        words.append(f"loss {figure(run.loss)}")
    if run.seconds_per_step is not None:
        words.append(f"{run.seconds_per_step:.3g} s/step")
    if seen.left_seconds is not None:
        words.append(f"{took(seen.left_seconds)} left")
    lines = [", ".join(words)]
    if run.beat_age_seconds is not None:
        heard = f"last heard of {took(run.beat_age_seconds)} ago"
        lines.append(style(_YELLOW, heard) if run.beat_age_seconds > _QUIET_SECONDS else style(_DIM, heard))
    return lines


def _waiting(file: QueuedFile, now: float, room: int) -> str:
    reason = why(file, now)
    words = f"{file.id} {short(file.name, 60)} ({file.priority}, {took(max(now - file.accepted_at, 0.0))})"
    return short(f"{words}: {reason}" if reason else words, 2 * room)


def _for_you(seen: Overview, room: int, style: Style, config: str) -> list[str]:
    """The files that wait for a person, those that are held for their content alone in one line."""
    lines = [_asking(each, room, style, config) for each in seen.asking]
    more = sum(seen.counts.get(state, 0) for state in FOR_A_PERSON) - len(seen.asking) - len(seen.duplicates)
    if more > 0:
        states = " ".join(f"--state {state}" for state in FOR_A_PERSON)
        lines.append(f"and {more:,} more [{glued(f'trainguard queue list {states}{_with(config)}')}]")
    same = seen.duplicates
    if len(same) == 1:
        lines.append(_asking(same[0], room, style, config))
    elif same:
        held = style(_YELLOW, "held")
        hint = glued(f"[trainguard queue list --state held{_with(config)}]")
        lines.append(
            f"{held} {counted(len(same), 'file')} with the content of earlier ones, the newest {same[0].id} "
            f"{short(same[0].name, 40)} {hint}"
        )
    return lines


def _asking(file: QueuedFile, room: int, style: Style, config: str) -> str:
    do = "release" if file.state == "held" else "retry"
    state = style(_YELLOW if file.state == "held" else _RED, file.state)
    hint = f"[trainguard queue {do} {file.id}{_with(config)}]"
    cause = why(file, 0.0) if is_duplicate(file) else file.cause
    left = max(2 * room - len(hint) - len(file.state) - 12, 30)
    return f"{state} {file.id} {short(f'{file.name}: {cause}' if cause else file.name, left)} {glued(hint)}"


def _fault(fault: Fault, now: float, room: int, style: Style) -> str:
    ago = took(max(now - fault.time, 0.0))
    back = f", back after {took(fault.seconds)}" if fault.seconds is not None else ""
    lost = f", {counted(fault.lost_steps, 'step')} again" if fault.lost_steps else ""
    head = f"{fault.code or ''} {fault.kind}".strip()
    act = f" -> {fault.act}" if fault.act else ""
    text = f"{ago} ago, file {fault.file_id}: {head}{act}{back}{lost}"
    return f"{safe(text)}{style(_DIM, short(f': {fault.why}', max(room - len(text), 20))) if fault.why else ''}"


def _finding(noted: Noted, now: float, room: int) -> str:
    event, values = noted.event, finding_of(noted.event)
    ago = took(max(now - event.time, 0.0))
    head = " ".join(str(values[key]) for key in ("severity", "code") if values.get(key))
    times = f" ({noted.times} times in a day)" if noted.times > 1 else ""
    return short(f"{ago} ago: {head}{times}: {values.get('message', event.cause or '')}", room)


def _block(name: str, lines: Sequence[str], style: Style) -> list[str]:
    return [_head(name if not place else "", line, style) for place, line in enumerate(lines)]


def _with(config: str) -> str:
    return f" --config {config}" if config else ""


def _head(name: str, words: str, style: Style) -> str:
    return f"{style(_BOLD, name.ljust(11))} {words}" if name else f"{'':<11} {words}"
