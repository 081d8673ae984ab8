"""Runs a function in a process that has loaded torch and the training libraries, and that the fault may break.

Loading them takes seconds, so it is done once: a server loads them, and forks for each question. The fork has its own
folder, its own signals and limits, and whatever the fault does to it ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from trainguard.drills.forked import LOG, OUTPUT, RESULT
from trainguard.findings import Finding

_DEADLINE_SECONDS = 300.0
# One thread: a fork takes only the one that forks along. A GPU is looked for without starting CUDA, which no fork
# survives (torch 2.13, cuda/__init__.py, is_available).
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "WANDB_DISABLED": "true",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "TRAINGUARD_TRACEBACK": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a fork ended: its exit code (below 0: the signal), what its function gave, and what it wrote.

    `events` are the JSON lines on its stdout, `log` its stderr.
    """

    code: int
    value: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    log: str = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those among the events, and those that the function gave."""
        said = [event["finding"] for event in self.events if event.get("event") == "finding"]
        return tuple(Finding.from_dict(each) for each in [*said, *self.value.get("findings", ())])


def run_forked(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    folder: Path,
    *,
    gpu: bool = False,
    seconds: float = _DEADLINE_SECONDS,
) -> Ran:
    """Runs a function of a module with plain `arguments` in a fork whose folder is `folder`; `gpu` lets it see one."""
    with forked(function, arguments, folder, gpu=gpu) as fork:
        return fork.wait(seconds)


class Fork:
    """A fork that runs."""

    def __init__(self, pid: int, folder: Path, server: subprocess.Popen[str]) -> None:
        self.pid = pid
        self.folder = folder
        self._server = server
        self._ended: int | None = None

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = _DEADLINE_SECONDS) -> Ran:
        """Waits for its end, and ends it after `seconds`. Raises TimeoutError then."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            code = self._code()
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError(f"the run did not end within {seconds:g} s: {self._log()[-500:]}")
        result = self.folder / RESULT
        value = (json.loads(result.read_bytes()) if result.is_file() else None) or {}
        return Ran(code=code, value=value, events=tuple(self._events()), log=self._log())

    def close(self) -> None:
        if self._ended is None:
            self._kill()
            self._code()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def _code(self) -> int:
        if self._ended is None:
            self._ended = int(_answer(self._server)["code"])
        return self._ended

    def _log(self) -> str:
        return self._text(LOG)

    def _events(self) -> Iterator[Mapping[str, Any]]:
        for line in self._text(OUTPUT).splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value

    def _text(self, name: str) -> str:
        """What it wrote; nothing where it was ended before it could."""
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


@contextmanager
def forked(
    function: Callable[..., Any], arguments: Mapping[str, Any], folder: Path, *, gpu: bool = False
) -> Iterator[Fork]:
    """A fork that runs `function` while the block lasts. One at a time."""
    server = _server()
    folder.mkdir(parents=True, exist_ok=True)
    for name in (RESULT, LOG, OUTPUT):
        (folder / name).unlink(missing_ok=True)
    question = {
        "function": f"{function.__module__}:{function.__qualname__}",
        "arguments": dict(arguments),
        "folder": str(folder),
        "gpu": gpu,
    }
    assert server.stdin is not None
    server.stdin.write(json.dumps(question) + "\n")
    server.stdin.flush()
    fork = Fork(int(_answer(server)["pid"]), folder, server)
    try:
        yield fork
    finally:
        fork.close()


def _answer(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise RuntimeError(f"the server of the training libraries ended with exit code {server.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


@cache
def _server() -> subprocess.Popen[str]:
    """Started by the first who asks; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="trainguard-drill-server-"))
    caches = {"HF_HOME": str(folder), "HF_DATASETS_CACHE": str(folder / "datasets")}
    # Functions of other modules than trainguard's are found where this process finds them.
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment = {**os.environ, **_ENVIRONMENT, **caches, **paths}
    server = subprocess.Popen(
        [sys.executable, "-m", "trainguard.drills.forked"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        text=True,
    )
    atexit.register(_end, server, folder)
    return server


def _end(server: subprocess.Popen[str], folder: Path) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    with contextlib.suppress(OSError):
        server.stdin.close()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    server.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)
