"""What the durable queue costs and stands.

    python benchmarks/durable_queue.py [kills|fill|open|size|checks] [--number N] [--database-url URL] [--page]

kills: a process is killed with SIGKILL at random instants of queue operations, N times (1,000), and the queue is looked
through after each. fill: N (10,000) rows are accepted. open: a process from exec until it has the queue, with N files
in history, and its memory. size: N files through custody, a daemon's start and idling, what a person asks. checks: N
(500) files from the inbox past their check. Ends with a table; `--page` puts it into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.queue.records import DATABASE, ENDED, LEASED, TRANSITIONS
from trainguard.queue.store import Incoming, Queue, open_queue

if TYPE_CHECKING:
    from queue_at_size import Row

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- queue: begin, by `make bench-queue` -->", "<!-- queue: end -->"
# What the process that is killed says after each operation whose end it saw: one line, so that what was promised is
# known. Written with one write(2), after the commit.
_WORKER = "--work"
# Every so many processes one is started by exec, as a daemon is: loading takes longer than all it does until its end.
_EXEC_EVERY = 10


def work(home: Path, url: str | None, seed: int) -> None:
    """Does what a daemon and people do, for ever. Says on its output what was done."""
    dice = random.Random(seed)
    queue = open_queue(home, lineage="run", owner="daemon", database_url=url)
    leases = {lease.file.id: lease for lease in queue.adopt()}
    say("ready", seconds=time.clock_gettime(time.CLOCK_MONOTONIC))
    number = 0
    while True:
        number += 1
        what = dice.random()
        if what < 0.3:
            names = [f"{seed}-{number}-{part}" for part in range(dice.choice((1, 1, 2, 20)))]
            say("accepting", origins=names)
            answers = queue.accept_many(
                Incoming(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), size=9, origin=name)
                for name in names
            )
            say("accepted", ids=[file.id for file, _ in answers], origins=names)
        elif what < 0.5:
            to = dice.choice((("accepted", "checking"), ("waiting", "training")))
            lease = queue.take((to[0],), to[1])  # type: ignore[arg-type]
            if lease is not None:
                leases[lease.file.id] = lease
                say("leased", id=lease.file.id, fence=lease.fence)
        elif what < 0.9 and leases:
            lease = leases[dice.choice(sorted(leases))]
            file = queue.get(lease.file.id)
            assert file is not None
            # "failed" rarely: most files must go on.
            states = sorted(TRANSITIONS[file.state] - {"held"})
            state = dice.choice(states)
            if state in ("failed", "quarantined", "accepted") and dice.random() < 0.7:
                state = "verifying" if file.state == "training" else "done" if file.state == "verifying" else "waiting"
            queue.move_to(lease, state, cause="benchmark", memory={"seed": seed, "number": number})  # type: ignore[arg-type]
            if state not in LEASED:
                del leases[lease.file.id]
            if state in ENDED:
                say("ended", id=file.id, state=state)
        elif leases:
            lease = leases[dice.choice(sorted(leases))]
            leases[lease.file.id] = queue.renew(lease)


def say(what: str, **data: Any) -> None:
    os.write(1, (json.dumps({"what": what, **data}) + "\n").encode())


class Promises:
    """What killed processes have said is done, and so must be there."""

    def __init__(self) -> None:
        self.accepted: dict[int, str] = {}
        self.maybe: set[str] = set()
        self.ended: dict[int, str] = {}
        self.fence = 0

    def hear(self, output: bytes) -> float | None:
        """Reads what one process said; the last line may be torn. When it was ready, None if it was not."""
        ready = None
        for line in output.split(b"\n")[:-1]:
            said = json.loads(line)
            if said["what"] == "ready":
                ready = said["seconds"]
            elif said["what"] == "accepting":
                self.maybe.update(said["origins"])
            elif said["what"] == "accepted":
                self.accepted.update(zip(said["ids"], said["origins"], strict=True))
            elif said["what"] == "leased":
                assert said["fence"] > self.fence, "a fence was handed out twice"
                self.fence = said["fence"]
            elif said["what"] == "ended":
                self.ended[said["id"]] = said["state"]
        return ready

    def broken(self, queue: Queue, *, events: bool) -> list[str]:
        """What is wrong with the queue."""
        files = {file.id: file for file in queue.list()}
        wrong = [f"file {number} is lost" for number in self.accepted.keys() - files.keys()]
        wrong += [
            f"file {number} is {files[number].origin}, was {origin}"
            for number, origin in self.accepted.items()
            if number in files and files[number].origin != origin
        ]
        wrong += [f"{file.origin} was never given" for file in files.values() if file.origin not in self.maybe]
        if len({file.origin for file in files.values()}) != len(files):
            wrong.append("a file is there twice")
        wrong += [
            f"file {number} was {state} and is {files[number].state}"
            for number, state in self.ended.items()
            if number in files and files[number].state != state
        ]
        if sum(file.state in ("training", "verifying") for file in files.values()) > 1:
            wrong.append("two files are in training")
        if events:
            wrong += _broken_histories(queue, files)
        return wrong


def _broken_histories(queue: Queue, files: dict[int, Any]) -> list[str]:
    state: dict[int, str] = {}
    wrong = []
    for event in queue.events(kinds=["accepted", "transition"]):
        assert event.file_id is not None
        if event.kind == "transition" and state.get(event.file_id) != event.from_state:
            wrong.append(f"file {event.file_id} became {event.to_state} from {event.from_state}: a row is missing")
        state[event.file_id] = str(event.to_state)
    wrong += [
        f"file {n} is {f.state}, its history says {state.get(n)}" for n, f in files.items() if state.get(n) != f.state
    ]
    return wrong


def _exec(home: Path, url: str | None, seed: int) -> tuple[int, int]:
    """A new process that works: its number, and a descriptor that gives what it says."""
    command = [sys.executable, __file__, _WORKER, str(home), "--seed", str(seed)]
    command += ["--database-url", url] if url else []
    reading, writing = os.pipe()
    number = os.posix_spawn(sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
    os.close(writing)
    return number, reading


def _fork(home: Path, url: str | None, seed: int) -> tuple[int, int]:
    """As `_exec`, without waiting for Python and SQLAlchemy to load. No connection is open here now."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        try:
            os.dup2(writing, 1)
            work(home, url, seed)
        finally:
            os._exit(99)
    os.close(writing)
    return number, reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """What a run of kills found: `wrong` in sentences, the seconds from exec to ready, journals that were rolled back,
    files that had been promised."""

    wrong: list[str]
    ready: list[float]
    rolled_back: int
    promised: int


def kills(number: int, home: Path, url: str | None, *, seed: int = 1) -> list[str]:
    """Kills `number` processes; what was wrong afterwards, a sentence each. Empty: the queue was whole every time."""
    return kill_run(number, home, url, seed=seed, tick=lambda: None).wrong


def kill_run(number: int, home: Path, url: str | None, *, seed: int, tick: Callable[[], None]) -> Kills:
    dice = random.Random(seed)
    promises = Promises()
    wrong: list[str] = []
    ready: list[float] = []
    rolled_back = 0
    for turn in range(number):
        started = time.clock_gettime(time.CLOCK_MONOTONIC)
        forked = turn % _EXEC_EVERY > 0
        number_of, output = (_fork if forked else _exec)(home, url, seed * 1_000_000 + turn)
        with open(output, "rb") as said:
            first = said.readline() if dice.random() < 0.9 else b""
            # From the middle of its start to some tens of operations later.
            time.sleep(dice.uniform(0.0, 0.25))
            os.kill(number_of, signal.SIGKILL)
            at = promises.hear(first + said.read())
        code = os.waitstatus_to_exitcode(os.waitpid(number_of, 0)[1])
        if code != -signal.SIGKILL:
            wrong.append(f"kill {turn}: the process ended by itself with {code}")
        if at is not None and not forked:
            ready.append(at - started)
        journal = home / f"{DATABASE}-journal"
        rolled_back += journal.exists() and journal.stat().st_size > 0
        with open_queue(home, lineage="run", owner="judge", database_url=url) as queue:
            wrong += [
                f"kill {turn}: {what}" for what in promises.broken(queue, events=turn % 20 == 0 or turn == number - 1)
            ]
            if url is None:
                verdict = queue.database.read(lambda one: one.exec_driver_sql("PRAGMA integrity_check").scalar_one())
                if verdict != "ok":
                    wrong.append(f"kill {turn}: {verdict}")
        if wrong:
            break
        tick()
    return Kills(wrong=wrong, ready=sorted(ready), rolled_back=rolled_back, promised=len(promises.accepted))


def fill(number: int, home: Path, url: str | None) -> list[Row]:
    """Accepts rows, as the inbox does, and asks for what a person looks at."""
    with open_queue(home, lineage="run", owner="daemon", database_url=url) as queue:
        start = time.perf_counter()
        queue.accept_many(
            Incoming(name=f"{n}.jsonl", sha256=f"{n:064x}", size=100, origin=f"inbox/{n}") for n in range(number)
        )
        accepted = time.perf_counter() - start
        start = time.perf_counter()
        queue.counts()
        queue.list(limit=20)
        queue.list(("training", "verifying"))
        queue.events(limit=50, newest_first=True)
        looked = time.perf_counter() - start
    return [
        _row(f"{number:,} rows accepted", f"{accepted:.2f} s"),
        _row("counts, the next 20 files and the last 50 events", f"{looked * 1e3:.1f} ms"),
    ]


def history(number: int, home: Path, url: str | None) -> list[Row]:
    """A history of `number` files, five events each, most of them done; then processes that open it."""
    with open_queue(home, lineage="run", owner="daemon", database_url=url) as queue:
        queue.accept_many(
            Incoming(name=f"{n}.jsonl", sha256=f"{n:064x}", size=100, origin=f"inbox/{n}") for n in range(number)
        )
        copied = "INSERT INTO trainguard_events (lineage_key, time, kind, file_id, from_state, to_state, cause, data)"
        queue.database.write(
            lambda one: [
                one.exec_driver_sql(
                    f"{copied} SELECT lineage_key, accepted_at, 'transition', id, '{before}', '{after}', 'benchmark', "
                    "'{}' FROM trainguard_files"
                )
                for before, after in (
                    ("accepted", "checking"),
                    ("checking", "waiting"),
                    ("waiting", "training"),
                    ("training", "verifying"),
                    ("verifying", "done"),
                )
            ]
        )
        queue.database.write(
            lambda one: one.exec_driver_sql("UPDATE trainguard_files SET state = 'done', attempts = 1")
        )
    code = (
        "import sys, time, pathlib, resource\n"
        "from trainguard.queue.store import open_queue\n"
        "q = open_queue(pathlib.Path(sys.argv[1]), lineage='run', owner='d', database_url=sys.argv[2] or None)\n"
        "q.adopt(); q.counts(); q.take()\n"
        "print(time.clock_gettime(time.CLOCK_MONOTONIC), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    seconds, memory = [], []
    for _ in range(5):
        start = time.clock_gettime(time.CLOCK_MONOTONIC)
        done = subprocess.run([sys.executable, "-c", code, home, url or ""], capture_output=True, text=True, check=True)
        at, kib = done.stdout.split()
        seconds.append(float(at) - start)
        memory.append(int(kib) / 1024)
    size = (home / DATABASE).stat().st_size / 1e6 if url is None else 0.0
    return [
        _row(
            f"the queue opened from exec on, {number:,} files in history ({size:.0f} MB)",
            f"{min(seconds):.2f} to {max(seconds):.2f} s, {max(memory):.0f} MiB",
        )
    ]


def _row(what: str, measured: str, target: str = "", met: bool | None = None) -> Row:
    from queue_at_size import Row

    return Row(what=what, measured=measured, target=target, met=met)


def kill_rows(number: int, home: Path, url: str | None, seed: int) -> tuple[list[Row], list[str]]:
    from queue_at_size import progress

    with progress("SIGKILL of queue operations", number) as tick:
        found = kill_run(number, home, url, seed=seed, tick=tick)
    middle = statistics.median(found.ready) if found.ready else 0.0
    what = f"{number:,} SIGKILLs at random instants of queue operations (seed {seed})"
    seen = f"{len(found.wrong)} faults; {found.rolled_back} journals rolled back, {found.promised:,} files promised"
    rows = [
        _row(what, seen, "0 faults", not found.wrong),
        _row("from exec to its first operation among them, median", f"{middle:.2f} s", "< 2 s", middle < 2.0),
    ]
    return rows, found.wrong


def measured(what: str, folder: Path, options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The rows of one part, and what was wrong."""
    import queue_at_size as size

    home, url = folder / "out" / "queue", options.database_url
    number: int = options.number or {"kills": 1000, "checks": 500}.get(what, 10_000)
    if what == "kills":
        return kill_rows(number, home, url, options.seed)
    if what == "checks":
        return size.checks(folder / "run", number, options.seed), []
    if what == "size":
        place = size.Place.made(folder / "run", number, options.seed)
        rows = size.custody(place, number)
        size.make_history(place)
        rows += [*size.start(place, number, 5), *size.verbs(place, number), *size.idle(place, 30.0)]
        return rows, []
    return (fill if what == "fill" else history)(number, home, url), []


def table(rows: list[Row]) -> str:
    cells = [("what", "measured", "target", "met"), *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def write_section(text: str) -> None:
    """Puts the section into docs/benchmarks.md, in the place of the last one."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2].strip()
    parts = [before.rstrip(), _BEGIN, text, _END, *([after] if after else [])]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("kills", "fill", "open", "size", "checks"))
    parser.add_argument("--number", type=int)
    parser.add_argument("--database-url")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument(_WORKER, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.database_url, options.seed)
    rows: list[Row] = []
    wrong: list[str] = []
    load = os.getloadavg()[0]
    for what in [options.what] if options.what else ["fill", "open", "size", "checks", "kills"]:
        with tempfile.TemporaryDirectory(prefix="trainguard-bench-") as folder:
            more, broken = measured(what, Path(folder), options)
        rows, wrong = rows + more, wrong + broken
        for row in more:
            print(": ".join(row.cells()[:2]), file=sys.stderr)
    machine = (
        f"SQLite {sqlite3.sqlite_version}, CPython {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores; load {load:.1f} at the beginning, {os.getloadavg()[0]:.1f} at "
        "the end, of which one is this program's."
    )
    print(f"{machine}\n\n{table(rows)}")
    for line in wrong[:20]:
        print(line)
    if options.page:
        write_section(f"## The queue and the daemon at size\n\n{machine}\n\n{table(rows)}")
    return 1 if wrong or any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
