"""The daemon's folder at its full size: what ten thousand files cost, as a user sees it. For `durable_queue.py`."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trainguard.daemon.inspecting import check_command
from trainguard.daemon.prometheus import FILE
from trainguard.daemon.settings import read_daemon_settings
from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.inbox import Inbox
from trainguard.queue.records import DATABASE
from trainguard.queue.settled import folder_of
from trainguard.queue.store import Queue, open_queue

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TRAINGUARD = (sys.executable, "-m", "trainguard")
# For scale: the import of the largest library that the queue needs, in the same minute.
_SCALE = (sys.executable, "-c", "import sqlalchemy")
_PATIENCE = 600.0
_ROWS = 12
_EVENTS = (
    ("accepted", "checking"),
    ("checking", "waiting"),
    ("waiting", "training"),
    ("training", "verifying"),
    ("verifying", "done"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table. `met` None: there is no target."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        return self.what, self.measured, self.target, "" if self.met is None else "yes" if self.met else "NO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one process. CPU seconds with those of the processes that it has waited for."""

    wall_seconds: float
    cpu_seconds: float
    megabytes: float


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error; what is given moves it on by one."""
    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@dataclass(frozen=True, slots=True)
class Place:
    """A run's folder with an inbox, never trained in."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, files: int, seed: int) -> Place:
        (folder / "inbox").mkdir(parents=True)
        (folder / "base").mkdir()
        (folder / "first.jsonl").write_text('{"text": "a"}\n')
        values = {
            "base_model": "base",
            "data": "first.jsonl",
            "output_dir": "out",
            "batch_size": 2,
            "gradient_accumulation": 1,
            "epochs": 1,
            "queue": {"settle_seconds": 0.1},
        }
        (folder / "config.json").write_text(json.dumps(values))
        dice = random.Random(seed)
        for number in range(files):
            rows = ({"text": f"{number} {row} {dice.getrandbits(64):x}"} for row in range(_ROWS))
            path = folder / "inbox" / f"{number:05}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        os.sync()
        return cls(folder)

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def home(self) -> Path:
        return self.folder / "out" / "queue"

    def queue(self) -> Queue:
        settings = read_daemon_settings(self.config, environment={})
        return open_queue(settings.home, lineage=settings.lineage, owner="benchmark")

    def states(self) -> dict[str, int]:
        try:
            with closing(sqlite3.connect(f"file:{self.home / DATABASE}?mode=ro", uri=True, timeout=5.0)) as one:
                return dict(one.execute("SELECT state, count(*) FROM trainguard_files GROUP BY state"))
        except sqlite3.Error:
            return {}

    @contextmanager
    def daemon(self) -> Iterator[tuple[subprocess.Popen[bytes], Cost]]:
        """A daemon that has said that it is ready, and what that took; asked to stop at the end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, (self.folder / "log").open("ab") as log:
            address = f"\0trainguard-benchmark-{os.getpid()}-{time.monotonic_ns()}"
            notified.bind(address)
            notified.settimeout(_PATIENCE)
            environment = {**os.environ, "NOTIFY_SOCKET": f"@{address[1:]}"}
            began = time.perf_counter()
            command = [*_TRAINGUARD, "daemon", "run", str(self.config)]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            try:
                while b"READY=1" not in notified.recv(4096):
                    pass
                yield (
                    process,
                    Cost(
                        wall_seconds=time.perf_counter() - began,
                        cpu_seconds=cpu_seconds(process.pid),
                        megabytes=megabytes(process.pid),
                    ),
                )
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(_PATIENCE)


def cpu_seconds(pid: int) -> float:
    """proc_pid_stat(5): utime and stime, the 14th and 15th field."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


def cost(command: tuple[str, ...], folder: Path | None = None) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode > 1:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.decode()[-500:]}")
    return Cost(
        wall_seconds=time.perf_counter() - began,
        cpu_seconds=used.ru_utime + used.ru_stime,
        megabytes=used.ru_maxrss / 1e3,
    )


def custody(place: Place, number: int) -> list[Row]:
    """From the inbox into custody and the queue."""
    began, used = time.perf_counter(), time.process_time()
    with place.queue() as queue, progress("into custody", number) as tick:
        accepted = accept_ready(Inbox(place.folder / "inbox", 0.0), Custody(place.home), queue, tick=tick)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    assert len(accepted.files) == number, accepted.findings
    return [
        Row(
            what=f"{number:,} small files through custody",
            measured=f"{seconds:.1f} s ({used:.1f} s of CPU)",
            target="< 60 s",
            met=seconds < 60.0,
        )
    ]


def make_history(place: Place) -> None:
    """As if all files had been trained: five events each, and their folders under `done/`."""
    with place.queue() as queue:
        copied = "INSERT INTO trainguard_events (lineage_key, time, kind, file_id, from_state, to_state, cause, data)"
        queue.database.write(
            lambda one: [
                one.exec_driver_sql(
                    f"{copied} SELECT lineage_key, accepted_at, 'transition', id, '{before}', '{after}', 'benchmark', "
                    "'{}' FROM trainguard_files"
                )
                for before, after in _EVENTS
            ]
        )
        queue.database.write(
            lambda one: one.exec_driver_sql("UPDATE trainguard_files SET state = 'done', attempts = 1")
        )
        kept, files = Custody(place.home), queue.list()
    (place.home / "done").mkdir(exist_ok=True)
    for file in files:
        folder = folder_of(place.home, file, "done")
        folder.mkdir()
        os.link(kept.path_of(file.sha256, file.name), folder / file.name)


def start(place: Place, number: int, rounds: int) -> list[Row]:
    """From exec to ready."""
    costs, scale = [], []
    with progress("from exec to ready", rounds) as tick:
        for _ in range(rounds):
            scale.append(cost(_SCALE).cpu_seconds)
            with place.daemon() as (_, taken):
                costs.append(taken)
            tick()
    wall = statistics.median(each.wall_seconds for each in costs)
    cpu = statistics.median(each.cpu_seconds for each in costs)
    ratio = statistics.median(one.cpu_seconds / other for one, other in zip(costs, scale, strict=True))
    return [
        Row(
            what=f"a daemon from exec to ready, {number:,} files in history, median of {rounds}",
            measured=f"{wall:.2f} s",
            target="< 2 s",
            met=wall < 2.0,
        ),
        Row(
            what="the same in CPU",
            measured=f"{cpu:.2f} s, {ratio:.1f} x `python -c 'import sqlalchemy'`",
            target="< 1 s",
            met=cpu < 1.0,
        ),
    ]


def idle(place: Place, seconds: float) -> list[Row]:
    """A daemon that has nothing to do, once it has counted its history for the metrics (at each start, in turns)."""
    figures = place.home / FILE
    figures.unlink(missing_ok=True)
    with place.daemon() as (process, _), progress("an idle daemon", int(seconds)) as tick:
        while not figures.exists():
            time.sleep(0.2)
        time.sleep(10.0)
        before, began = cpu_seconds(process.pid), time.perf_counter()
        for _ in range(int(seconds)):
            time.sleep(1.0)
            tick()
        share = (cpu_seconds(process.pid) - before) / (time.perf_counter() - began)
        held = megabytes(process.pid)
    return [
        Row(what="an idle daemon, of one core", measured=f"{share:.2%}", target="< 1 %", met=share < 0.01),
        Row(what="its memory", measured=f"{held:.0f} MB", target="< 150 MB", met=held < 150.0),
    ]


def verbs(place: Place, number: int) -> list[Row]:
    """What a person asks, whole processes."""
    config = ("--config", str(place.config))
    asked: list[tuple[str, tuple[str, ...], float | None]] = [
        ("status", ("status", str(place.config)), 1.0),
        ("queue list", ("queue", "list", *config), None),
        ("queue show", ("queue", "show", str(number // 2), *config), None),
        ("log", ("log", str(number // 2), *config), None),
        ("queue export", ("queue", "export", "--output", str(place.folder / "export.jsonl"), *config), None),
        ("report", ("report", str(place.config), "--output", str(place.folder / "report.html")), None),
    ]
    rows = []
    with progress("what a person asks", len(asked)) as tick:
        for name, command, target in asked:
            taken = min((cost((*_TRAINGUARD, *command)) for _ in range(3)), key=lambda each: each.wall_seconds)
            rows.append(
                Row(
                    what=f"`trainguard {name}` with {number:,} files, best of 3",
                    measured=f"{taken.wall_seconds:.2f} s ({taken.cpu_seconds:.2f} s of CPU, {taken.megabytes:.0f} MB)",
                    target="" if target is None else f"< {target:g} s",
                    met=None if target is None else taken.wall_seconds < target,
                )
            )
            tick()
    return rows


def checks(folder: Path, number: int, seed: int) -> list[Row]:
    """From the inbox to waiting, past the check; beside it, a process for each file."""
    place = Place.made(folder, number, seed)
    cost((*_TRAINGUARD, "daemon", "pause", str(place.config)))
    settings = read_daemon_settings(place.config, environment={})
    some = sorted((place.folder / "inbox").iterdir())[:5]
    alone = statistics.median(cost(tuple(check_command(path, settings))).cpu_seconds for path in some)
    with progress("the check of small files", number) as tick, place.daemon() as (process, before):
        began, told = time.perf_counter(), 0
        while (done := place.states().get("waiting", 0)) < number:
            assert time.perf_counter() - began < _PATIENCE, place.states()
            for _ in range(done - told):
                tick()
            told = done
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        worker = _children_cpu_seconds(process.pid)
        used = cpu_seconds(process.pid) - before.cpu_seconds + worker
    return [
        Row(
            what=f"{number:,} small files from the inbox to waiting, each checked",
            measured=f"{number / seconds:.1f} files/s, {used / number * 1e3:.0f} ms of CPU each",
        ),
        Row(
            what="the check itself, in the worker that lives on",
            measured=f"{worker / number * 1e3:.1f} ms of CPU, {alone * 1e3:.0f} ms in a process of its own",
            target="< a tenth",
            met=worker / number < alone / 10,
        ),
    ]


def _children_cpu_seconds(pid: int) -> float:
    found = [
        int(word) for each in Path(f"/proc/{pid}/task").iterdir() for word in (each / "children").read_text().split()
    ]
    return sum(cpu_seconds(child) for child in found)
