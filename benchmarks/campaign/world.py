"""One daemon on a disk of its own, and what a plan does to both. A process of its own, with its own view of mounts.

`python benchmarks/campaign/world.py FOLDER SEED FAULTS` prints as JSON what came of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from campaign.catalogue import Blow, Drop, Plan, make_plan
from campaign.model import judge
from trainguard.drills.inside import own_mounts
from trainguard.drills.process._clock import shifted_clock
from trainguard.drills.process._cuts import newest_said, unmount
from trainguard.drills.process._daemon import command
from trainguard.drills.process._disk import Disk
from trainguard.drills.process._on_disk import mount_disk
from trainguard.drills.process._power import CUTS, after_power_cut

# Everything that a world takes part in has ended by then, or hangs: faults and files take a tenth of it.
_DEADLINE_SECONDS = 300.0
_MARK = "TRAINGUARD_CAMPAIGN"
_MOST_FALLS = 3
_SETTLE_SECONDS, _HANG_SECONDS, _STOP_SECONDS = 0.2, 2.0, 5.0


class World:
    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.place = folder / "disk"
        self.place.mkdir(parents=True)
        self.disk = Disk(self._prepared())
        self.daemon: subprocess.Popen[bytes] | None = None
        self.violations: list[str] = []
        self.begun = time.monotonic()
        self.falls = 0
        self.healed = -1e9
        self.resumed_after: list[tuple[float, float]] = []
        self.dropped: list[Drop] = []
        self.wishes: list[Drop] = list(plan.drops)
        self.clock = shifted_clock(folder)
        self.mark = f"{os.getpid()}-{plan.seed}"
        self.happened: dict[str, int] = {}

    def _prepared(self) -> Path:
        start = self.folder / "start"
        (start / "inbox").mkdir(parents=True)
        (start / "base").mkdir()
        config = {
            "base_model": "base",
            "output_dir": "out",
            "method": "full",
            "max_length": 64,
            "batch_size": 2,
            "gradient_accumulation": 1,
            "epochs": 1,
            "save": {"steps": 2, "keep": 3},
            "guard": {
                "retries": 4,
                "retry_delay_seconds": 0.1,
                "hang_seconds": _HANG_SECONDS,
                "stop_deadline_seconds": _STOP_SECONDS,
            },
            "queue": {"inbox": "inbox", "settle_seconds": _SETTLE_SECONDS},
        }
        (start / "config.json").write_text(json.dumps(config), encoding="utf-8")
        faults = {"step_seconds": 0.03, "faults": self.plan.in_trainer}
        (self.folder / "faults.json").write_text(json.dumps(faults), encoding="utf-8")
        return start

    # The daemon.

    def start_daemon(self) -> None:
        environment = {
            **os.environ,
            **self.clock.environment,
            "TINY_TRAINER": str(self.folder / "faults.json"),
            _MARK: self.mark,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with (self.folder / "daemon.txt").open("ab") as log:
            self.daemon = subprocess.Popen(
                command(self.place / "config.json"),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )

    def ended(self) -> bool:
        """Whether the daemon has nothing left to do. One that ended otherwise is started anew, and noted."""
        assert self.daemon is not None
        code = self.daemon.poll()
        if code is None:
            return False
        if code == 0:
            return True
        if not self._excused():
            self.violations.append(f"the daemon ended by itself with {code}: {self._log_end()}")
            self.falls += 1
            if self.falls > _MOST_FALLS:
                return True
        self.start_daemon()
        time.sleep(0.1)
        return False

    def _excused(self) -> bool:
        """A daemon may stop where its own disk cannot be written; it is started anew as systemd would."""
        return self.disk.failing is not None or time.monotonic() - self.healed < 5.0

    def _log_end(self) -> str:
        return (self.folder / "daemon.txt").read_text(errors="replace")[-400:]

    # What happens.

    def run(self) -> dict[str, Any]:
        mount_disk(self.disk, str(self.place))
        self.begun = time.monotonic()
        self.start_daemon()
        blows = list(self.plan.blows)
        while True:
            if self.ended():
                if self.falls > _MOST_FALLS or not (blows or self.wishes):
                    break
                self.start_daemon()
            now = time.monotonic() - self.begun
            if now > _DEADLINE_SECONDS:
                self.send(signal.SIGUSR2, "process._daemon")  # faulthandler's stacks, into the daemon's output
                time.sleep(1)
                self.violations.append(f"the daemon hangs: {self._log_end()}")
                break
            for drop in [each for each in self.wishes if each.at <= now]:
                self.drop(drop)
            while blows and blows[0].at <= now:
                self.strike(blows.pop(0))
            time.sleep(0.05)
        self.vanish(everything=True)
        return self.judged()

    def drop(self, drop: Drop) -> None:
        """As a careful user does: written beside, synced, then renamed."""
        folder = self.place / "inbox" / drop.priority
        target = folder / drop.name
        if self.disk.failing is not None or target.exists():
            return  # a little later
        self.wishes.remove(drop)
        folder.mkdir(exist_ok=True)
        beside = folder / f".{drop.name}.tmp"
        with beside.open("wb") as file:
            file.write(drop.content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(target)
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        self.dropped.append(drop)
        self.vanish()

    def vanish(self, *, everything: bool = False) -> None:
        for drop in self.dropped:
            if drop.vanishes is not None:
                time.sleep(0 if everything else drop.vanishes)
                (self.place / "inbox" / drop.priority / drop.name).unlink(missing_ok=True)

    def strike(self, blow: Blow) -> None:
        self.happened[blow.what] = self.happened.get(blow.what, 0) + 1
        getattr(self, f"do_{blow.what}".replace("-", "_"))(blow)

    def processes(self, *names: str) -> list[int]:
        """Processes of this world whose command line has one of these words; all of them without a word."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if f"{_MARK}={self.mark}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if not names or any(name in command for name in names):
                found.append(int(entry.name))
        return found

    def send(self, number: signal.Signals, *names: str) -> list[int]:
        sent = []
        for pid in self.processes(*names):
            try:
                os.kill(pid, number)
                sent.append(pid)
            except ProcessLookupError:
                continue
        return sent

    def do_kill_daemon(self, _blow: Blow) -> None:
        self.send(signal.SIGKILL, "process._daemon")
        self._again()

    def _again(self) -> None:
        struck = time.time()
        if self.daemon is not None:
            self.daemon.wait()
        self.start_daemon()
        self.resumed_after.append((struck, time.time()))

    def do_kill_nanny(self, _blow: Blow) -> None:
        self.send(signal.SIGKILL, "nanny")

    def do_kill_trainer(self, _blow: Blow) -> None:
        pids = [pid for pid in self.processes("tiny_trainer") if "nanny" not in _command(pid)]
        for pid in pids:
            _kill(pid, signal.SIGKILL)

    def do_kill_all(self, _blow: Blow) -> None:
        while self.send(signal.SIGKILL):
            time.sleep(0.02)
        self._again()

    def do_power(self, blow: Blow) -> None:
        """All processes are gone, and of the disk what had reached it."""
        verified = newest_said(self.disk.bytes_of("out/trainguard/events.jsonl") or b"")
        while self.send(signal.SIGKILL):
            time.sleep(0.02)
        unmount(self.place)
        log = self.disk.log
        cut = CUTS[blow.seed % len(CUTS)]
        self.disk = Disk()
        self.disk.take(after_power_cut(log, len(log), cut, blow.seed))
        mount_disk(self.disk, str(self.place))
        after = self.newest_whole()
        if verified > after:
            self.violations.append(f"step {verified} was verified before the power went ({cut}), {after} after it")
        self._again()

    def newest_whole(self) -> int:
        """The newest step that verifies byte for byte, read in another process: this one serves the disk."""
        asked = [*command(Path("--newest")), str(self.place / "out")]
        return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)

    def do_stop_and_continue_daemon(self, blow: Blow) -> None:
        self._stop(["process._daemon"], blow.seconds)

    def do_stop_and_continue_trainer(self, blow: Blow) -> None:
        self._stop(["tiny_trainer"], blow.seconds)

    def _stop(self, names: list[str], seconds: float) -> None:
        pids = self.send(signal.SIGSTOP, *names)
        time.sleep(seconds)
        for pid in pids:
            _kill(pid, signal.SIGCONT)

    def do_drain(self, _blow: Blow) -> None:
        """Asked to end and started anew, as with an update of the machine."""
        if self.daemon is None or self.daemon.poll() is not None:
            return
        self.daemon.terminate()
        try:
            code = self.daemon.wait(_STOP_SECONDS + 15)
        except subprocess.TimeoutExpired:
            self.violations.append(f"the daemon did not stop within {_STOP_SECONDS + 15:.0f} s: {self._log_end()}")
            self.daemon.kill()
            code = self.daemon.wait()
        # Before it has loaded what it needs, a process ends by the signal as any other.
        if code not in (0, -signal.SIGKILL, -signal.SIGTERM) and self.disk.failing is None:
            self.violations.append(f"asked to stop, the daemon ended with {code}: {self._log_end()}")
        self._again()

    def do_disk_fills(self, blow: Blow) -> None:
        self._fail(errno.ENOSPC, blow.seconds)

    def do_disk_breaks(self, blow: Blow) -> None:
        self._fail(errno.EIO, blow.seconds)

    def do_read_only(self, blow: Blow) -> None:
        self._fail(errno.EROFS, blow.seconds)

    def _fail(self, number: int, seconds: float) -> None:
        self.disk.failing = number
        time.sleep(seconds)
        self.disk.failing = None
        self.healed = time.monotonic()

    def do_clock(self, blow: Blow) -> None:
        self.clock.move((blow.seed % 3 - 1) * 86_400 * (1 + blow.seed % 400))

    def do_second_daemon(self, _blow: Blow) -> None:
        if self.daemon is None or self.daemon.poll() is not None:
            return
        first = self.daemon
        self.start_daemon()
        second = self.daemon
        until = time.monotonic() + 20
        while first.poll() is None and second.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        # The lock goes to whoever is there first, which need not be the one that was started first.
        self.daemon, other = (first, second) if second.poll() is not None else (second, first)
        if other.poll() is None:
            other.kill()
        if other.wait() not in (0, 1):
            self.violations.append(f"of two daemons neither ended, or one with {other.returncode}: {self._log_end()}")

    # What came of it.

    def judged(self) -> dict[str, Any]:
        time.sleep(0.2)
        left = self.processes()
        if left and self.daemon is not None and self.daemon.poll() is not None:
            names = ", ".join(_command(pid)[:80] for pid in left)
            self.violations.append(f"{len(left)} processes are left: {names}")
        while self.send(signal.SIGKILL):
            time.sleep(0.02)
        asked = [*command(Path("--look")), str(self.place / "config.json")]
        done = subprocess.run(asked, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            return self.report([*self.violations, f"the queue cannot be read: {done.stderr[-400:]}"], {}, {})
        seen = json.loads(done.stdout)
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
        verdict = judge(dropped, seen, struck=[at for at, _ in self.resumed_after])
        return self.report([*self.violations, *verdict.violations], verdict.plain(), seen)

    def report(self, violations: list[str], verdict: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
        (self.folder / "seen.json").write_text(json.dumps(seen, indent=1))
        try:
            fired = (self.folder / "faults.json.done").read_text().split()
        except OSError:
            fired = []
        for number in {int(each) for each in fired}:
            what = self.plan.in_trainer[number]["what"]
            self.happened[what] = self.happened.get(what, 0) + 1
        for drop in self.dropped:
            if drop.vanishes is not None or drop.fate in ("failed", "held"):
                name = "vanish" if drop.vanishes is not None else {"failed": "bad", "held": "same-content"}[drop.fate]
                self.happened[name] = self.happened.get(name, 0) + 1
        return {
            "seed": self.plan.seed,
            "seconds": time.monotonic() - self.begun,
            "violations": violations,
            "happened": self.happened,
            **verdict,
        }


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def main() -> None:
    folder, seed, faults = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    own_mounts()
    report = World(folder, make_plan(seed, faults=faults)).run()
    print(json.dumps(report), flush=True)
    os._exit(0)  # threads that serve a disk never end


if __name__ == "__main__":
    main()
