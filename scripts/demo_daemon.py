"""Three files through a real daemon, one of them poisoned, while things go wrong: the second half of `make demo`.

Injected are one loss of NaN, a micro-batch that does not fit, and a SIGKILL of the daemon itself. All of it on the
CPU, with a model of a few thousand weights. Exit code 0 when both sound files are trained, the poisoned one is put
aside, and the report is written.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
CONFIG = FOLDER / "train.json"
REPORT = FOLDER / "report.html"
TRAINER = Path(__file__).with_name("demo_trainer.py")
# It takes a minute or two; longer than this, on however busy a machine, is a hang.
_DEADLINE_SECONDS = 600.0
_ROWS, _BATCH = 40, 4
_LINE = 150  # characters of a line of the log


def main() -> int:
    """Raises TimeoutError where it does not come to its end."""
    began = time.monotonic()
    _prepare()
    _say(
        "Files are dropped into the inbox; whoever copied Tuesday's was cut off in the middle of a line.",
        "In Monday's one loss will be NaN: an injected fault. Watch it go back and leave that data out.",
    )
    _drop("monday.jsonl", _chats(0))
    _drop("tuesday.jsonl", _chats(1)[: -len(_chats(1)) // 9])
    daemon = _daemon()
    _until(lambda: _state("monday.jsonl") == "done", daemon, "the first file")
    _say(
        "Monday's is trained, Tuesday's is set aside with its reason. Wednesday's comes, and is trained on top.",
        f"A micro-batch of {_BATCH} will not fit into the memory of what stands in for a GPU: the second fault.",
    )
    _drop("wednesday.jsonl", _chats(2))
    step = _step()
    _until(lambda: _step() >= step + 3 and _state("wednesday.jsonl") == "training", daemon, "the third file")
    _say("The third fault: somebody kills the daemon in the middle of Wednesday's file, kill -9. The run dies with it.")
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    _say("It is started again, and takes up the same file at its last verified checkpoint, with what fits.")
    daemon = _daemon()
    code = daemon.wait(_DEADLINE_SECONDS)

    _say("What came of it: each file, where the daemon stands, and what happened to Wednesday's.")
    _show("queue", "list", "--all", "--config", _near(CONFIG))
    _show("status", _near(CONFIG))
    _show("log", "wednesday.jsonl", "--lines", "0", "--config", _near(CONFIG))
    _show("report", _near(CONFIG), "--output", _near(REPORT))
    states = {name: _state(f"{name}.jsonl") for name in ("monday", "tuesday", "wednesday")}
    expected = {"monday": "done", "tuesday": "failed", "wednesday": "done"}
    if code != 0 or states != expected or not REPORT.is_file():
        print(f"not as expected: exit code {code}, {states}, report {REPORT.is_file()}", file=sys.stderr)
        return 1
    print(
        f"\nAs expected: two files trained, once each, and one put aside, with a NaN, a GPU that was too small and a "
        f"kill -9 between, in {time.monotonic() - began:.0f} s. The report: {REPORT}"
    )
    return 0


def _prepare() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "inbox").mkdir(parents=True)
    make = "import sys; from trainguard.drills.training._tiny import make_base; make_base(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", make, str(FOLDER / "base")]
    subprocess.run(command, check=True, env=_environment(), capture_output=True)
    values = {
        "base_model": "base",
        "output_dir": "out",
        "method": "full",
        "max_length": 64,
        "batch_size": _BATCH,
        "learning_rate": 0.001,
        "epochs": 1,
        "logging_steps": 1,
        "save": {"steps": 2},
        "guard": {"retry_delay_seconds": 0.5},
        "queue": {"settle_seconds": 0.5},
    }
    CONFIG.write_text(json.dumps(values, indent=2), encoding="utf-8")
    faults = [{"what": "nan", "file": "monday", "step": 6}, {"what": "full", "file": "wednesday", "rows": _BATCH}]
    (FOLDER / "faults.json").write_text(json.dumps(faults), encoding="utf-8")


def _chats(day: int) -> str:
    rows = (
        {
            "messages": [
                {"role": "user", "content": f"What is {number} + {day}?"},
                {"role": "assistant", "content": f"It is {number + day}."},
            ]
        }
        for number in range(_ROWS)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def _drop(name: str, text: str) -> None:
    beside = FOLDER / "inbox" / f".{name}.tmp"
    beside.write_text(text, encoding="utf-8")
    beside.rename(FOLDER / "inbox" / name)


def _daemon() -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--serve"]
    print(f"$ trainguard daemon run {shlex.quote(_near(CONFIG))} --until-empty", flush=True)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment(), cwd=FOLDER)


class _Short(logging.Formatter):
    """The daemon's log as one would read it beside: without command lines, and of each reason how it begins."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if " attempt " in line:
            line = f"{line.partition(': ')[0]} begins"
        return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def serve() -> int:
    """`trainguard daemon run --until-empty`, with the trainer that makes the faults."""
    from trainguard.daemon.loop import Daemon
    from trainguard.daemon.settings import read_daemon_settings

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Short("  %(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    settings = read_daemon_settings(CONFIG)
    return Daemon(settings, command=[sys.executable, "-W", "ignore", str(TRAINER)], until_empty=True).run()


def _environment() -> dict[str, str]:
    quiet = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **quiet, "DEMO_FAULTS": str(FOLDER / "faults.json")}


def _state(name: str) -> str | None:
    """Where the file of that name stands in the queue."""
    from trainguard.daemon.settings import read_daemon_settings
    from trainguard.queue.store import open_queue

    settings = read_daemon_settings(CONFIG)
    if not settings.home.is_dir():
        return None
    queue = open_queue(settings.home, lineage=settings.lineage, owner="demo")
    try:
        found = queue.find(name)
        return found[-1].state if found else None
    finally:
        queue.close()


def _step() -> int:
    from trainguard.train.heartbeat import read_heartbeats

    return max((beat.step or 0 for beat in read_heartbeats(FOLDER / "out/trainguard/heartbeat.jsonl")), default=0)


def _until(met: object, daemon: subprocess.Popen[bytes], what: str) -> None:
    assert callable(met)
    end = time.monotonic() + _DEADLINE_SECONDS
    while not met():
        if time.monotonic() > end or daemon.poll() is not None:
            raise TimeoutError(f"{what} did not come so far (the daemon: {daemon.poll()})")
        time.sleep(0.1)


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(*lines: str) -> None:
    print("\n" + "".join(f"# {line}\n" for line in lines), flush=True)


def _show(*arguments: str) -> None:
    print("$ " + shlex.join(("trainguard", *arguments)), flush=True)
    subprocess.run([sys.executable, "-m", "trainguard", *arguments], check=False, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1:] == ["--serve"] else main())
