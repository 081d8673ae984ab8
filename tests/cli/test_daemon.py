"""`trainguard daemon`: start, status, pause, resume, stop, install, and how much a daemon takes while it waits."""

from __future__ import annotations

import configparser
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.helpers import run

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs Linux")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "base").mkdir()
    values = {"base_model": "base", "output_dir": "out", "queue": {"settle_seconds": 0.1}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    yield tmp_path
    if (tmp_path / "out/queue/daemon.json").exists():
        run("daemon", "stop", "config.json", "--now", folder=tmp_path)


def _pid(folder: Path) -> int:
    return int(json.loads((folder / "out/queue/daemon.json").read_bytes())["pid"])


def _lives(pid: int) -> bool:
    """Whether it runs; the first process of a container may leave the dead unreaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_starts_is_seen_pauses_and_stops(folder: Path) -> None:
    none = run("daemon", "status", folder=folder)
    assert none.returncode == 1
    assert "No daemon serves" in none.stdout
    assert "trainguard daemon start" in none.stdout
    started = run("daemon", "start", "config.json", folder=folder)
    assert started.returncode == 0, started.stderr
    pid = _pid(folder)
    assert f"(process {pid}); its log: {folder}/out/queue/daemon.log" in started.stdout
    assert os.getsid(pid) == pid, "it has left the session of whoever started it"

    again = run("daemon", "start", "config.json", folder=folder)
    assert again.returncode == 1
    assert f"SYS009 a daemon already serves {folder}/out/queue: process {pid}" in again.stderr
    foreground = run("daemon", "run", "config.json", folder=folder)
    assert foreground.returncode == 1
    assert f"process {pid}" in foreground.stderr

    assert run("daemon", "pause", "--why", "tea", folder=folder).returncode == 0
    seen = run("daemon", "status", folder=folder)
    assert seen.returncode == 0
    assert f"The daemon runs (process {pid}" in seen.stdout
    assert "The queue is paused: by hand: tea. Files: 0 waiting" in seen.stdout
    told = json.loads(run("daemon", "status", "--format", "json", folder=folder).stdout)
    assert (told["running"], told["pid"], told["paused"]) == (True, pid, "by hand: tea")
    assert told["counts"]["waiting"] == 0
    assert told["home"] == f"{folder}/out/queue"
    assert "it was paused: by hand: tea" in run("daemon", "resume", folder=folder).stdout

    maps = Path(f"/proc/{pid}/maps").read_text()
    assert not [name for name in ("torch", "pyarrow", "transformers") if name in maps]
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 150e6

    stopped = run("daemon", "stop", "config.json", folder=folder)
    assert stopped.returncode == 0, stopped.stderr
    assert "has ended" in stopped.stdout
    end = time.monotonic() + 60  # it has given up its lock, and may still be on its way out
    while _lives(pid):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert run("daemon", "stop", "config.json", folder=folder).returncode == 0


def test_a_folder_that_cannot_be_written_is_named_and_is_no_bug(folder: Path) -> None:
    (folder / "out/queue/place").mkdir(parents=True)
    refused = run("daemon", "run", "config.json", "--quiet", folder=folder)
    assert refused.returncode == 2
    assert "out/queue/place: Is a directory" in refused.stderr
    assert "bug" not in refused.stderr


def test_a_start_that_fails_says_why(folder: Path) -> None:
    (folder / "inbox").write_text("a file where a folder should be")
    (folder / "out").write_text("and another")
    failed = run("daemon", "start", "config.json", folder=folder)
    assert failed.returncode == 2
    assert "out" in failed.stderr
    (folder / "out").unlink()
    broken = run("daemon", "start", "none.json", folder=folder)
    assert broken.returncode == 2
    assert "none.json" in broken.stderr


@pytest.mark.parametrize(("field", "value"), [("strategy", "no"), ("resume", "never")])
@pytest.mark.parametrize("verb", [("run", "config.json", "--until-empty"), ("start",), ("install", "--print")])
def test_without_checkpoints_no_file_could_go_on_top_of_another(
    folder: Path, field: str, value: str, verb: tuple[str, ...]
) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "save": {field: value}}))
    ended = run("daemon", *verb, folder=folder)
    assert ended.returncode == 2
    assert f'config.json: save.{field} = "{value}" would train each file on the base model' in ended.stderr
    assert not (folder / "out").exists()


def test_what_is_asked_of_no_daemon_is_no_error(folder: Path) -> None:
    assert "No daemon serves" in run("daemon", "drain", folder=folder).stdout
    assert "It was not paused" in run("daemon", "resume", folder=folder).stdout


def test_to_ask_makes_nothing(folder: Path) -> None:
    """A status that made the queue would make the next command say that one is there."""
    asked = run("daemon", "status", "--format", "json", folder=folder)
    assert asked.returncode == 1
    told = json.loads(asked.stdout)
    assert (told["running"], told["pid"], told["doing"], told["counts"]) == (False, None, None, {})
    assert run("daemon", "status", folder=folder).returncode == 1
    assert run("daemon", "resume", folder=folder).returncode == 0
    assert not (folder / "out").exists()


def test_a_reason_for_a_pause_reaches_no_terminal_raw(folder: Path) -> None:
    assert run("daemon", "pause", "--why", "tea \x1b[31m", folder=folder).returncode == 0
    for said in (run("daemon", "status", folder=folder), run("daemon", "resume", folder=folder)):
        assert "by hand: tea \\x1b[31m" in said.stdout
        assert "\x1b" not in said.stdout


def test_the_unit_is_one_that_systemd_reads(folder: Path) -> None:
    shown = run("daemon", "install", "config.json", "--print", folder=folder)
    assert shown.returncode == 0, shown.stderr
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(shown.stdout)
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["ExecStart"].endswith(f"-m trainguard daemon run {folder}/config.json")
    home = folder / "home"
    written = run(
        "daemon", "install", "config.json", folder=folder, env={"HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    )
    assert written.returncode == 0, written.stderr
    (path,) = (home / "systemd/user").iterdir()
    assert path.read_text() == shown.stdout
    assert f"systemctl --user enable --now {path.name}" in written.stdout


@pytest.mark.slow
def test_a_daemon_that_waits_takes_less_than_one_percent_of_a_core(folder: Path) -> None:
    run("daemon", "start", "config.json", folder=folder)
    pid = _pid(folder)
    time.sleep(5)
    before, began = _cpu_seconds(pid), time.monotonic()
    time.sleep(30)
    assert (_cpu_seconds(pid) - before) / (time.monotonic() - began) < 0.01
