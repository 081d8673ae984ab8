"""What systemd is told, by a unit and over a real socket."""

from __future__ import annotations

import configparser
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from trainguard.daemon.service import Notifier, next_commands, unit_name, unit_path, unit_text, without_notify
from trainguard.errors import UsageError


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's end of the socket, and what it puts into NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@trainguard-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        heard.settimeout(5)
        yield heard, name


def test_what_the_manager_hears(manager: tuple[socket.socket, str]) -> None:
    heard, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.is_heard
    assert notifier.ready("3 files\nwait")
    assert heard.recv(4096).decode() == f"READY=1\nSTATUS=3 files wait\nMAINPID={os.getpid()}"
    assert notifier.status("training \ud800é")
    assert heard.recv(4096).decode() == "STATUS=training \\ud800é"
    # The same once more is no news.
    assert not notifier.status("training \ud800é")
    assert notifier.more_time(1.5)
    assert heard.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000"
    assert notifier.stopping()
    assert heard.recv(4096) == b"STOPPING=1"
    # No watchdog was asked for.
    assert not notifier.alive()


def test_the_watchdog_hears_of_a_loop_that_comes_round(manager: tuple[socket.socket, str]) -> None:
    heard, name = manager
    now = [0.0]
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environment, clock=lambda: now[0])
    for second in range(120):
        now[0] = float(second)
        notifier.alive()
    heard.setblocking(False)
    told = 0
    while True:
        try:
            assert heard.recv(4096) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        told += 1
    assert told == 4
    assert not Notifier({**environment, "WATCHDOG_PID": "1"}).alive()


@pytest.mark.parametrize("address", ["", "@", "relative", "/no/such/socket", "vsock:2:1234", "/" + "x" * 300])
def test_a_manager_that_is_not_there(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "x"})
    assert not notifier.ready("here")
    assert not notifier.alive()
    assert not Notifier({}).ready()


def test_a_manager_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(name)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        begun = time.monotonic()
        told = [notifier.status(f"file {number}") for number in range(2000)]
        assert time.monotonic() - begun < 20.0
        assert not told[-1]


def test_a_child_does_not_speak_for_the_daemon() -> None:
    assert without_notify({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "HOME": "/h"}) == {
        "HOME": "/h"
    }


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(text)
    return parser


def test_the_unit_brings_the_daemon_back(tmp_path: Path) -> None:
    config = tmp_path / "trainguard.toml"
    text = unit_text(config, folders=[tmp_path / "out"], stop_deadline_seconds=100, mode="user")
    unit = read(text)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert "RestartPreventExitStatus" not in service
    assert service["KillMode"] == "mixed"
    assert service["OOMPolicy"] == "continue"
    assert service["Delegate"] == "yes"
    assert int(service["TimeoutStopSec"]) > 100
    assert int(service["WatchdogSec"]) > 60
    assert service["ExecStart"].endswith(f" -m trainguard daemon run {config}")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "default.target"
    assert f"RequiresMountsFor={config}\nRequiresMountsFor={tmp_path / 'out'}\n" in text
    assert "User=" not in text
    system = read(unit_text(config, mode="system", user="trainer"))
    assert system["Service"]["User"] == "trainer"
    assert system["Install"]["WantedBy"] == "multi-user.target"
    assert "network-online.target" in system["Unit"]["After"]


@pytest.mark.parametrize("name", ["plain", "a b", '50% "x" $y \\', "käse", "a;b#c'd"])
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    config = folder / "trainguard.toml"
    modes: tuple[Literal["system", "user"], ...] = ("system", "user")
    for mode in modes:
        text = unit_text(
            config,
            folders=[folder / "out"],
            mode=mode,
            user="root",
            environment={"HF_HOME": f"/data/{name}"},
            command=("/bin/true", "run"),
        )
        path = tmp_path / unit_name(config)
        path.write_text(text, encoding="utf-8")
        asked = shutil.which("systemd-analyze")
        if asked is None:
            read(text)
            continue
        scope = [] if mode == "system" else ["--user"]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(
            [asked, *scope, "verify", str(path)], capture_output=True, text=True, check=False, env=environment
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[0m", os.fsdecode(b"\xff")])
def test_names_that_no_unit_can_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no unit of systemd can hold"):
        unit_text(tmp_path / name / "trainguard.toml")


def test_names_and_places(tmp_path: Path) -> None:
    assert unit_name(Path("/srv/my run/trainguard.toml")) == "trainguard-my-run-trainguard.service"
    assert unit_name(Path("/x.toml")) == "trainguard-x.service"
    assert unit_path("a.service", mode="system") == Path("/etc/systemd/system/a.service")
    assert unit_path("a.service", mode="user", environment={"HOME": "/h"}) == Path("/h/.config/systemd/user/a.service")
    path = unit_path("a.service", mode="user", environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert path == tmp_path / "systemd" / "user" / "a.service"
    assert next_commands(path, mode="user")[-1] == "loginctl enable-linger"
    assert next_commands(path, mode="system") == ("systemctl daemon-reload", "systemctl enable --now a.service")
