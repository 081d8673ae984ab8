"""A daemon in a folder of its own, with the trainer that needs no torch: for drills of what happens around a run.

`python -m trainguard.drills.process._daemon CONFIG` runs it until nothing is left to do;
`python -m trainguard.drills.process._daemon --look CONFIG` prints what stands there afterwards as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainguard.drills.data._rows import chat, write_lines

CONFIG, INBOX, OUTPUT, FAULTS = "config.json", "inbox", "out", "faults.json"
BATCH, SAVE_STEPS = 4, 2
# Below the floors that a real run has, above what a step of the stand-in takes on a busy machine.
HANG_SECONDS = 5.0
_DEADLINE_SECONDS = 90.0
_TRAINER = ("-m", "trainguard.drills.process._tiny_trainer")


def write_folder(folder: Path, files: Mapping[str, int], *, faults: list[dict[str, Any]] | None = None) -> Path:
    """A configuration in `folder`, and an inbox with `files` of so many rows each; `faults` happen in the trainer."""
    (folder / INBOX).mkdir(parents=True)
    (folder / "base").mkdir()
    for number, (name, rows) in enumerate(files.items()):
        write_lines(folder / INBOX / name, [chat(f"{number}: {row} + 1?", f"{row + 1}.") for row in range(rows)])
    values = {
        "base_model": "base",
        "output_dir": OUTPUT,
        "method": "full",
        "max_length": 64,
        "batch_size": BATCH,
        "gradient_accumulation": 1,
        "epochs": 1,
        "save": {"steps": SAVE_STEPS, "keep": 3},
        "guard": {"retries": 2, "retry_delay_seconds": 0.2, "stop_deadline_seconds": 10},
        "queue": {"inbox": INBOX, "settle_seconds": 0.2},
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=2), encoding="utf-8")
    set_faults(folder, faults or [])
    return folder / CONFIG


def set_faults(folder: Path, faults: list[dict[str, Any]], *, step_seconds: float = 0.02) -> None:
    text = json.dumps({"step_seconds": step_seconds, "faults": faults})
    (folder / FAULTS).write_text(text, encoding="utf-8")


def command(config: Path) -> list[str]:
    return [sys.executable, "-m", __name__, str(config)]


def start_daemon(folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    with (folder / "daemon.txt").open("ab") as log:
        return subprocess.Popen(
            command(folder / CONFIG),
            env={**os.environ, "TINY_TRAINER": str(folder / FAULTS), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(daemon: subprocess.Popen[bytes]) -> int | None:
    """The daemon's exit code; None where it did not come to its end in time, and was killed."""
    try:
        return daemon.wait(_DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
        return None


def until(met: Callable[[], bool], what: str, seconds: float = _DEADLINE_SECONDS) -> None:
    """Waits. Raises TimeoutError, which says `what` did not happen."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


def step_of(folder: Path) -> int:
    """The newest step that the run has told of; 0 before the first."""
    try:
        lines = (folder / OUTPUT / "trainguard/heartbeat.jsonl").read_bytes().splitlines()
        return max((json.loads(line).get("step") or 0 for line in lines), default=0)
    except (OSError, ValueError):
        return 0


def look(folder: Path) -> dict[str, Any]:
    """What stands in the folder: `files` and `events` of the queue, `seen` (the rows that went into the weights of the
    result, in order), `newest` (the step of the newest checkpoint that verifies byte for byte), `kept` (where which
    content lies, by its hash). Read by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, "--look", str(folder / CONFIG)], capture_output=True, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _look(config: Path) -> dict[str, Any]:
    import msgspec

    from trainguard.daemon.settings import read_daemon_settings
    from trainguard.facts.checkpoint.manifest import read_manifest
    from trainguard.queue.store import open_queue

    settings = read_daemon_settings(config)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="look")
    files = [msgspec.to_builtins(each) for each in queue.list()]
    events = [msgspec.to_builtins(each) for each in queue.events()]
    queue.close()
    final = settings.output_dir / "final"
    manifest = read_manifest(final) if final.is_dir() else None
    seen = final / "seen.json"
    return {
        "files": files,
        "events": events,
        "seen": json.loads(seen.read_bytes()) if seen.is_file() else [],
        "history": list(manifest.run.get("history", ())) if manifest is not None else [],
        "newest": newest_verified(settings.output_dir),
        "kept": _hashes(settings.home, settings.inbox),
    }


def newest_verified(output: Path) -> int:
    from trainguard.facts.checkpoint.reading import checkpoint_folders
    from trainguard.facts.checkpoint.verify import verify

    for folder in reversed(checkpoint_folders(output) if output.is_dir() else []):
        if verify(folder, output, deep=True).verified:
            return int(folder.name.rpartition("-")[2])
    return 0


def _hashes(*folders: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                place = str(path.relative_to(folder.parent))
                found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(place)
    return found


def main() -> int:
    if sys.argv[1] == "--look":
        print(json.dumps(_look(Path(sys.argv[2]))))
        return 0
    if sys.argv[1] == "--newest":
        print(newest_verified(Path(sys.argv[2])))
        return 0
    import faulthandler
    import signal

    from trainguard.daemon.loop import Daemon
    from trainguard.daemon.settings import read_daemon_settings

    faulthandler.register(signal.SIGUSR2)
    settings = read_daemon_settings(Path(sys.argv[1]))
    daemon = Daemon(settings, command=[sys.executable, *_TRAINER], until_empty=True, hang_seconds=HANG_SECONDS)
    return daemon.run()


if __name__ == "__main__":
    sys.exit(main())
