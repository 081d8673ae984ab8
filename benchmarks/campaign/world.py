"""One daemon on a disk of its own, and people around it. Needs a process with its own view of mounts (`life.py`)."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from campaign import blows
from campaign.catalogue import BATCH, BECAUSE, Drop, Trainer
from campaign.guards import WITHOUT
from campaign.limits import ASKED_SECONDS, EXCUSE_SECONDS, STOP_SECONDS, deadline_seconds, hang_seconds
from campaign.model import judge
from campaign.prefixes import Prefixes
from campaign.processes import Processes, command_of
from trainguard.drills.process._clock import shifted_clock
from trainguard.drills.process._disk import Disk
from trainguard.drills.process._on_disk import mount_disk

HERE = Path(__file__).resolve().parent
FAULTS, RESUMED = "faults.json", "resumed.jsonl"
_SETTLE_SECONDS = 0.2
_MOST_FALLS = 3
_MOST_RESUMES = 3


class World:
    """The life of a seed in `folder`, with a base model at `base` for the real trainer.

    `violations` grows as soon as something is seen that must not be; `happened` counts the faults that came to be.
    """

    def __init__(self, folder: Path, number: int, *, trainer: Trainer = "tiny", base: Path | None = None) -> None:
        self.folder, self.number, self.trainer = folder, number, trainer
        self.place = folder / "disk"
        self.place.mkdir(parents=True)
        self.violations: list[str] = []
        self.happened: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.steps: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self.dropped: list[Drop] = []
        self._wishes: list[tuple[Drop, str | None]] = []
        self.struck: list[float] = []
        self.daemon: subprocess.Popen[bytes] | None = None
        self.falls = self.resumes = 0
        self.excused_until = -1e9
        self.hang_seconds = hang_seconds(trainer)
        self._arm()
        self.disk = Disk(self._prepared(base))
        self.outside = len(self.disk.log)  # operations until the last thing that somebody outside of the disk saw
        self.clock = shifted_clock(folder)
        self.processes = Processes()
        self.prefixes = Prefixes(folder / "prefix")
        mount_disk(self.disk, str(self.place))
        self.begun = time.monotonic()
        self.start_daemon()

    @property
    def config(self) -> Path:
        return self.place / "config.json"

    def _prepared(self, base: Path | None) -> Path:
        start = self.folder / "start"
        (start / "inbox").mkdir(parents=True)
        (start / "base").mkdir()
        for path in base.iterdir() if base is not None else ():
            (start / "base" / path.name).write_bytes(path.read_bytes())
        config = {
            "base_model": "base",
            "output_dir": "out",
            "method": "full",
            "max_length": 64,
            "batch_size": BATCH,
            "gradient_accumulation": 1,
            "epochs": 1,
            "save": {"steps": 2, "keep": 3},
            "guard": {
                "retries": 4,
                "retry_delay_seconds": 0.1,
                "hang_seconds": self.hang_seconds,
                "stop_deadline_seconds": STOP_SECONDS,
            },
            "queue": {"inbox": "inbox", "settle_seconds": _SETTLE_SECONDS},
        }
        config |= {"learning_rate": 1e-3, "logging_steps": 1} if self.trainer == "real" else {}
        (start / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return start

    # The daemon.

    def environment(self) -> dict[str, str]:
        quiet = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
        return {
            **os.environ,
            **quiet,
            **self.clock.environment,
            **self.processes.environment,
            "HF_HOME": str(self.folder / "hub"),
            "TINY_TRAINER": str(self.folder / FAULTS),
            "CAMPAIGN_RESUMED": str(self.folder / RESUMED),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start_daemon(self) -> None:
        with (self.folder / "daemon.txt").open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, str(HERE / "serve.py"), str(self.config), self.trainer, str(self.hang_seconds)],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )

    def start_again(self) -> None:
        """After the daemon was ended by somebody."""
        self.struck.append(time.time())
        if self.daemon is not None:
            self.daemon.wait()
        self.start_daemon()

    def alive(self) -> bool:
        return self.daemon is not None and self.daemon.poll() is None

    def excuse(self) -> None:
        """From now on, for a while, the daemon may end by itself; it is started anew, as systemd would."""
        self.excused_until = time.monotonic() + EXCUSE_SECONDS

    def log_end(self) -> str:
        return (self.folder / "daemon.txt").read_text(errors="replace")[-400:]

    def _over(self) -> bool:
        """Whether the daemon has nothing left to do. One that ended otherwise is started anew, and noted."""
        assert self.daemon is not None
        code = self.daemon.poll()
        if code is None:
            return False
        if code == 0:
            return True
        if self.resumes < _MOST_RESUMES and "the queue is paused: the last" in self.log_end():
            # Several files ended in the same way, which no file is to be blamed for: a person is waited for.
            self.resumes += 1
            self.ask("resume", "daemon", "resume")
        elif self.disk.failing is None and time.monotonic() > self.excused_until:
            self.violations.append(f"the daemon ended by itself with {code}: {self.log_end()}")
            self.falls += 1
            if self.falls > _MOST_FALLS:
                return True
        self.start_daemon()
        time.sleep(0.1)
        return False

    # What people do.

    def tick(self) -> None:
        """Whoever was waiting to drop a file does, and a daemon that has ended is started again."""
        self._drop_waiting()
        if self._over() and self.falls <= _MOST_FALLS:
            self.start_daemon()

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds * (4 if self.trainer == "real" else 1)
        self.tick()
        while time.monotonic() < until:
            time.sleep(0.05)
            self.tick()

    def drop(self, drop: Drop, fault: str | None) -> None:
        self._say(f"drop {drop.name!r} ({fault or 'sound'}, {drop.rows} rows)")
        self._wishes.append((drop, fault))
        self._drop_waiting()

    def _drop_waiting(self) -> None:
        for drop, fault in list(self._wishes):
            target = self.place / "inbox" / drop.priority / drop.name
            if self.disk.failing is not None or target.exists():
                continue  # a little later
            self._wishes.remove((drop, fault))
            self._put(drop, target)
            if fault is not None:
                self.happened[fault] += 1

    def _put(self, drop: Drop, target: Path) -> None:
        """As a careful user does: written beside, synced, then renamed."""
        target.parent.mkdir(exist_ok=True)
        beside = target.with_name(f".{drop.name}.tmp")
        with beside.open("wb") as file:
            file.write(drop.content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(target)
        for folder in (target.parent, target.parent.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        self.dropped.append(drop)
        if drop.vanishes is not None:
            time.sleep(drop.vanishes)
            target.unlink(missing_ok=True)
        self.outside = len(self.disk.log)

    def ask(self, what: str, *arguments: str) -> str:
        """A person's command line, whatever becomes of it: no traceback, no hang. What it printed."""
        self._say(what, *arguments)
        self.asked[what] += 1
        where = ["--config", str(self.config)] if arguments[0] == "queue" else [str(self.config)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "trainguard", *arguments[:2], *where, *arguments[2:]],
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                timeout=ASKED_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self.violations.append(f"trainguard {' '.join(arguments)} does not end within {ASKED_SECONDS:.0f} s")
            return ""
        if "Traceback (most recent call last)" in done.stderr:
            self.violations.append(f"trainguard {' '.join(arguments)} broke: {done.stderr[-400:]}")
        self.outside = len(self.disk.log)
        return done.stdout

    # What goes wrong.

    def arm(self, fault: dict[str, Any]) -> None:
        """Something goes wrong in the training process from its next start on."""
        self._say(f"in the trainer: {fault}")
        self.faults.append(fault)
        self._arm()

    def _arm(self) -> None:
        beside = self.folder / f"{FAULTS}.new"
        beside.write_text(json.dumps({"step_seconds": 0.03, "faults": self.faults}), encoding="utf-8")
        beside.replace(self.folder / FAULTS)

    def strike(self, what: str, **how: Any) -> None:
        self._say(what, *(f"{name}={value}" for name, value in how.items()))
        (self.asked if what == "pause" else self.happened)[what] += 1
        blows.BLOWS[what](self, **how)
        if not what.startswith("power"):
            self.outside = len(self.disk.log)

    def _say(self, *words: str) -> None:
        self.steps.append(f"{time.monotonic() - self.begun:6.1f} s  {' '.join(words)}")

    # The end.

    def finish(self) -> dict[str, Any]:
        """Lets the daemon work until nothing is left to do, and judges what stands then."""
        self._say("no more faults from outside")
        until = self.begun + deadline_seconds(self.trainer, self.hang_seconds)
        while self.falls <= _MOST_FALLS:
            self._drop_waiting()
            if self._over() and not self._wishes and not self._let_go():
                break
            if time.monotonic() > until:
                self.processes.send(signal.SIGUSR2, "campaign/serve.py")  # faulthandler's stacks, into its output
                time.sleep(1)
                self.violations.append(f"the daemon hangs: {self.log_end()}")
                break
            if not self.alive():
                self.start_daemon()
            time.sleep(0.05)
        return self._judged()

    def _let_go(self) -> bool:
        """Releases what a person has held; whether there was something."""
        try:
            listed = json.loads(self.ask("list", "queue", "list", "--all", "--format", "json") or "{}")
        except ValueError:
            return False
        held = [
            each["id"] for each in listed.get("files", ()) if each["state"] == "held" and BECAUSE in str(each["cause"])
        ]
        for number in held:
            self.ask("release", "queue", "release", str(number))
        return bool(held)

    def _judged(self) -> dict[str, Any]:
        time.sleep(0.2)
        left = self.processes.all()
        if left and not self.alive():
            names = ", ".join(command_of(pid)[:80] for pid in left)
            self.violations.append(f"{len(left)} processes are left: {names}")
        self.processes.end()
        done = subprocess.run(
            [sys.executable, str(HERE / "look.py"), str(self.config)], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            return self._report([*self.violations, f"the queue cannot be read: {done.stderr[-400:]}"], {}, {})
        seen = json.loads(done.stdout) | {"resumed": self._resumed()}
        dropped = [
            {
                "name": drop.name,
                "sha256": hashlib.sha256(drop.content).hexdigest(),
                "fate": drop.fate,
                "rows": drop.rows,
                "vanishes": drop.vanishes is not None,
            }
            for drop in self.dropped
        ]
        verdict = judge(dropped, seen, trainer=self.trainer, struck=self.struck)
        return self._report([*self.violations, *verdict.violations], verdict.plain(), seen)

    def _resumed(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in (self.folder / RESUMED).read_text().splitlines()]
        except OSError:
            return []

    def _report(self, violations: list[str], verdict: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
        (self.folder / "seen.json").write_text(json.dumps(seen, indent=1))
        try:
            fired = (self.folder / f"{FAULTS}.done").read_text().split()
        except OSError:
            fired = []
        for number in {int(each) for each in fired}:
            self.happened[self.faults[number]["what"]] += 1
        return {
            "seed": self.number,
            "trainer": self.trainer,
            "without": WITHOUT,
            "seconds": time.monotonic() - self.begun,
            "violations": violations,
            "happened": dict(self.happened),
            "asked": dict(self.asked),
            "prefixes": self.prefixes.looked_at,
            "steps": self.steps,
            **verdict,
        }
