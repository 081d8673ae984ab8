"""A folder with an inbox, and daemons as real processes that serve it with the trainer without torch.

Run as a program, it is such a daemon: `python tests/daemon/serving.py CONFIG [--forever] [--hang SECONDS] …`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TINY = ("-m", "trainguard.drills.process._tiny_trainer")
# Far above what anything here takes on two busy cores, so that a slow machine is no failure.
PATIENCE = 180.0


@dataclass
class Place:
    """A run's folder. `rows` of each file that was put into the inbox, by name."""

    folder: Path
    rows: dict[str, int] = field(default_factory=dict)
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path, **changed: Any) -> Place:
        (folder / "inbox").mkdir()
        (folder / "base").mkdir()
        (folder / "first.jsonl").write_text('{"text": "a"}\n')
        values = {
            "base_model": "base",
            "data": "first.jsonl",
            "output_dir": "out",
            "batch_size": 2,
            "gradient_accumulation": 1,
            "epochs": 1,
            "save": {"steps": 2},
            "queue": {"settle_seconds": 0.1},
            "guard": {"retry_delay_seconds": 0.05},
        }
        place = cls(folder)
        place.configure(**{**values, **changed})
        return place

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def home(self) -> Path:
        return self.out / "queue"

    def configure(self, **values: Any) -> None:
        known = json.loads(self.config.read_bytes()) if self.config.exists() else {}
        self.config.write_text(json.dumps(known | values))

    def put(self, name: str, rows: int = 12, *, into: str = "inbox") -> None:
        path = self.folder / into / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps({"text": f"{name} {row}"}) + "\n" for row in range(rows)))
        self.rows[name] = rows

    def fault(self, *faults: dict[str, Any], step_seconds: float = 0.01) -> None:
        (self.folder / "faults.json").write_text(json.dumps({"step_seconds": step_seconds, "faults": faults}))

    def daemon(self, *arguments: str, config: Path | None = None) -> subprocess.Popen[bytes]:
        """A daemon of its own process group. `until_empty` unless `--forever` is given. `config`: by another path."""
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        if (self.folder / "faults.json").exists():
            environment["TINY_TRAINER"] = str(self.folder / "faults.json")
        with (self.folder / "daemon.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, str(config or self.config), *arguments],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self.daemons.append(process)
        return process

    def serve(self, *arguments: str) -> int:
        """Runs a daemon until nothing is left to do; its exit code."""
        return self.daemon(*arguments).wait(PATIENCE)

    def end(self) -> None:
        for process in self.daemons:
            if process.poll() is None:
                process.kill()
                process.wait()

    # What came of it.

    def queue(self) -> Any:
        from trainguard.daemon.settings import read_daemon_settings
        from trainguard.queue.store import open_queue

        settings = read_daemon_settings(self.config, environment={})
        url = settings.database_url
        return open_queue(settings.home, lineage=settings.lineage, owner="test", database_url=url)

    def ask(self, question: Callable[[Any], Any]) -> Any:
        queue = self.queue()
        try:
            return question(queue)
        finally:
            queue.close()

    def states(self) -> dict[str, str]:
        return {each.name: each.state for each in self.ask(lambda queue: queue.list())}

    def events(self, kind: str | None = None) -> list[Any]:
        return [each for each in self.ask(lambda queue: queue.events()) if kind in (None, each.kind)]

    def trained(self) -> list[tuple[str, int]]:
        """(name, row) in the order in which they went into the weights that stand in `final`."""
        names = {each.id: each.name for each in self.ask(lambda queue: queue.list())}
        seen = json.loads((self.out / "final" / "seen.json").read_bytes())
        return [(names[int(file_id.partition("-")[0])], row) for file_id, _, row in seen]

    def until(self, what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Waits until `what` gives something."""
        end = time.monotonic() + seconds
        while not (found := what()):
            if time.monotonic() > end:
                raise AssertionError(f"did not happen within {seconds:.0f} s; {self.log()[-3000:]}")
            time.sleep(0.1)  # a look opens the queue, which costs far more than the wait
        return found

    def until_step(self, step: int) -> int:
        """Waits until a heartbeat tells this global step or a later one; it."""
        path = self.out / "trainguard" / "heartbeat.jsonl"

        def reached() -> int:
            if not path.exists():
                return 0
            beats = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
            newest = max((beat["step"] or 0 for beat in beats), default=0)
            return newest if newest >= step else 0

        return int(self.until(reached))

    def log(self) -> str:
        return (self.folder / "daemon.txt").read_text(errors="replace")


def once_each(trained: Iterable[tuple[str, int]], rows: dict[str, int], names: Sequence[str]) -> bool:
    """Whether each row of these files went in exactly once, file after file, and nothing else did."""
    return sorted(trained) == sorted((name, row) for name in names for row in range(rows[name]))


def main(arguments: list[str]) -> int:
    from trainguard.daemon.lock import AlreadyRunningError
    from trainguard.daemon.loop import Daemon
    from trainguard.daemon.settings import read_daemon_settings

    def given(name: str) -> str | None:
        return arguments[arguments.index(name) + 1] if name in arguments else None

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = read_daemon_settings(Path(arguments[0]), database_url=given("--database-url"), name=given("--name"))
    hang = given("--hang")
    try:
        return Daemon(
            settings,
            command=[sys.executable, *TINY],
            until_empty="--forever" not in arguments,
            hang_seconds=float(hang) if hang else None,
            lease_seconds=float(given("--lease") or 30.0),
            silent_seconds=float(given("--silent") or 15.0),
        ).run()
    except AlreadyRunningError as error:
        print(f"{error.finding.code} {error.finding.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
