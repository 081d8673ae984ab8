"""systemd: the unit that brings a daemon back after a crash and a reboot, and the messages that it waits for."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from trainguard.errors import UsageError

# Three missed signs of life of the loop, which comes round every second or two; a busy disk is no crash.
_WATCHDOG_SECONDS = 180
# Between the run's own deadline and systemd's: the tree is ended, the queue is written.
_SPARE_SECONDS = 30
# Short beside the time that a model takes to load, long enough for one that fails at once to cost nothing.
_RESTART_SECONDS = 15


class Notifier:
    """Tells the service manager how it goes (sd_notify(3)); does nothing where there is none. Never raises.

    The loop calls `alive` each time it comes round: the watchdog hears of it only then, so that a daemon that hangs is
    started anew. It is sent at most twice within the interval that the manager asks for (sd_watchdog_enabled(3)).
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._every = _watchdog_seconds(environment)
        self._clock = clock
        self._next = -float("inf")
        self._status = ""

    @property
    def is_heard(self) -> bool:
        return self._address is not None

    def ready(self, status: str = "") -> bool:
        """The daemon serves; whether somebody was told."""
        return self._send("READY=1", *self._with_status(status), f"MAINPID={os.getpid()}")

    def stopping(self, status: str = "") -> bool:
        return self._send("STOPPING=1", *self._with_status(status))

    def status(self, status: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(*self._with_status(status)) if status != self._status else False

    def more_time(self, seconds: float) -> bool:
        """Starting or stopping takes this much longer."""
        return self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")

    def alive(self) -> bool:
        now = self._clock()
        if self._every is None or now < self._next:
            return False
        self._next = now + self._every / 2
        return self._send("WATCHDOG=1")

    def _with_status(self, status: str) -> Iterable[str]:
        self._status = status or self._status
        return (f"STATUS={' '.join(status.split())}",) if status else ()

    def _send(self, *lines: str) -> bool:
        if self._address is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking:
                # A manager that does not listen must not hold the daemon up.
                speaking.setblocking(False)
                speaking.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)
        except OSError:
            return False
        return True


def without_notify(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child: it does not speak for the daemon."""
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {key: value for key, value in environment.items() if key not in names}


def unit_name(config: Path) -> str:
    """`trainguard-NAME.service`, of the configuration's name and folder, in characters that systemd does not escape."""
    words = f"{config.parent.name}-{config.stem}" if config.parent.name else config.stem
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "-" for each in words)
    return f"trainguard-{plain.strip('-')[:100] or 'daemon'}.service"


def unit_text(
    config: Path,
    *,
    folders: Iterable[Path] = (),
    stop_deadline_seconds: float = 25.0,
    mode: Literal["system", "user"] = "user",
    user: str | None = None,
    command: tuple[str, ...] | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """The unit of the daemon of one configuration.

    `folders` are those that must be mounted before it starts. `user` is who it runs as, for a unit of the system.
    Raises UsageError for a path or value that a unit cannot hold.
    """
    command = command or (sys.executable, "-P", "-m", "trainguard", "daemon", "run")
    places = [config.absolute(), *(folder.absolute() for folder in folders)]
    stop = round(stop_deadline_seconds + _SPARE_SECONDS)
    lines = [
        "[Unit]",
        f"Description=trainguard: trains the files of {_words(config.absolute())}",
        "Documentation=man:systemd.service(5)",
        # Storage of another machine is there before the daemon is (systemd.unit(5)); a user's manager has no mounts.
        *(f"RequiresMountsFor={_quoted(place, 'path')}" for place in places),
        "Wants=network-online.target" if mode == "system" else "",
        "After=network-online.target" if mode == "system" else "",
        # Never given up: a machine whose disk was full for a night starts it again in the morning.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(_quoted(part, 'command') for part in (*command, str(config.absolute())))}",
        f"WorkingDirectory={_plain(config.absolute().parent)}",
        *(f"Environment={_quoted(f'{name}={value}', name)}" for name, value in sorted((environment or {}).items())),
        f"User={_plain(user)}" if user and mode == "system" else "",
        # Whatever the exit code: a configuration on a share that is not mounted yet is wrong usage, too.
        "Restart=on-failure",
        f"RestartSec={_RESTART_SECONDS}",
        f"WatchdogSec={_WATCHDOG_SECONDS}",
        # SIGTERM to the daemon alone, which lets the run save; SIGKILL to all that is left after the deadline.
        "KillMode=mixed",
        f"TimeoutStopSec={stop}",
        "TimeoutStartSec=300",
        # A run that the kernel kills for memory is the daemon's to judge (systemd.service(5)).
        "OOMPolicy=continue",
        # Each attempt gets a control group of its own (attempt_group.py), in which those kills are counted.
        "Delegate=yes",
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if mode == 'system' else 'default.target'}",
        "",
    ]
    return "\n".join(_without_gaps(lines))


def unit_path(name: str, *, mode: Literal["system", "user"], environment: Mapping[str, str] | None = None) -> Path:
    """Where such a unit belongs (systemd.unit(5), unit file load path)."""
    if mode == "system":
        return Path("/etc/systemd/system") / name
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME") or str(Path.home()), ".config")
    return Path(base) / "systemd" / "user" / name


def next_commands(path: Path, *, mode: Literal["system", "user"], user: str | None = None) -> tuple[str, ...]:
    """What is left to be done when the unit stands at `path`."""
    control = "systemctl" if mode == "system" else "systemctl --user"
    commands = [f"{control} daemon-reload", f"{control} enable --now {path.name}"]
    if mode == "user":
        # Without it a user's services end with the last session and do not begin with the machine (loginctl(1)).
        commands.append(f"loginctl enable-linger {user or ''}".strip())
    return tuple(commands)


def _address(text: str) -> str | None:
    """The socket's address: a path, or an abstract name that begins with @."""
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    text, whom = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (text.isascii() and text.isdigit()) or int(text) == 0 or (whom and whom != str(os.getpid())):
        return None
    return int(text) / 1_000_000


def _quoted(value: object, what: str) -> str:
    """A word of a unit: quoted where it must be, `%` and `$` doubled (systemd.service(5), systemd.syntax(7))."""
    text = str(value)
    if not text.isprintable() or any("\ud800" <= each <= "\udfff" for each in text):
        raise UsageError(f"{what} {text!r} holds characters that no unit of systemd can hold; choose another name")
    text = text.replace("%", "%%")
    if what == "command":
        text = text.replace("$", "$$")
    if text and all(each.isalnum() or each in "/._-+:=@,%$~" for each in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(value: object) -> str:
    """A setting that is one word to the end of its line, and is not unquoted."""
    text = str(value)
    if not text.isprintable():
        raise UsageError(f"{text!r} holds characters that no unit of systemd can hold; choose another name")
    return text.replace("%", "%%")


def _words(value: object) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(value)).replace("%", "%%")


def _without_gaps(lines: list[str]) -> list[str]:
    """One empty line between the sections and none inside them."""
    kept: list[str] = []
    for position, line in enumerate(lines):
        following = lines[position + 1] if position + 1 < len(lines) else None
        if line or following is None or following.startswith("["):
            kept.append(line)
    return kept
