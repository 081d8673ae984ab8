"""What DBOS 3.4 does not promise and this queue needs: the tests behind docs/decisions/0003-durable-queue.md.

Each runs real executors on one system database. They pass as long as DBOS behaves as described; one that fails after an
upgrade says that the decision should be looked at again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.queue.postgres import Server

# An executor. It appends to a file what its steps do; "start" begins the workflow, "recover NAME" takes up another's.
EXECUTOR = """
import os, sys, time
from dbos import DBOS, DBOSConfig, SetWorkflowID
name, address, log, what, *more = sys.argv[1:]
config: DBOSConfig = {
    "name": "queue", "system_database_url": address, "executor_id": name, "application_version": "1",
    "log_level": "ERROR", "console_log_level": "CRITICAL",
}
DBOS(config=config)
def say(text):
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{name} {text}\\n".encode())
    os.close(descriptor)
@DBOS.step()
def train():
    say("trains")
    time.sleep(3)
    say("trained")
@DBOS.step()
def commit():
    say("commits")
@DBOS.workflow()
def a_file():
    train()
    commit()
DBOS.launch()
say("ready")
if what == "start":
    with SetWorkflowID("file 1"):
        DBOS.start_workflow(a_file)
elif what == "recover":
    from dbos import _recovery
    DBOS._recover_pending_workflows(more)
time.sleep(600)
"""


class Executors:
    def __init__(self, folder: Path, address: str) -> None:
        self.log = folder / "log"
        self._folder = folder
        self._address = address
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *what: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "ignore", "-c", EXECUTOR, name, self._address, str(self.log), *what]
        process = subprocess.Popen(command, cwd=self._folder, start_new_session=True)
        self.processes.append(process)
        self.wait_for(f"{name} ready")
        return process

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for(self, line: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while line not in self.lines():
            assert time.monotonic() < deadline, (line, self.lines())
            time.sleep(0.02)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def executors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executors]:
    address = f"sqlite:///{tmp_path}/system.sqlite"
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        address = server.url()
    executors = Executors(tmp_path, address)
    yield executors
    executors.close()


@pytest.mark.slow
def test_a_dead_executors_workflow_is_not_taken_up(executors: Executors) -> None:
    dead = executors.start("dead", "start")
    executors.wait_for("dead trains")
    os.kill(dead.pid, signal.SIGKILL)
    dead.wait()
    executors.start("living", "wait")
    time.sleep(45)  # our own lease is 30 s
    assert "living trains" not in executors.lines()
    # It is, once somebody who knows that it is dead says so.
    executors.start("told", "recover", "dead")
    deadline = time.monotonic() + 30
    while not any(line in executors.lines() for line in ("told trains", "living trains")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stopped_executor_is_refused_once_its_workflow_was_recovered(executors: Executors) -> None:
    """This DBOS does hold: the step that runs goes on to its end, and the next one is not begun."""
    sleeper = executors.start("sleeper", "start")
    executors.wait_for("sleeper trains")
    os.kill(sleeper.pid, signal.SIGSTOP)
    executors.start("other", "recover", "sleeper")
    executors.wait_for("other trains", 30)
    os.kill(sleeper.pid, signal.SIGCONT)
    executors.wait_for("other commits", 30)
    time.sleep(2)
    lines = executors.lines()
    assert lines.index("other trains") < lines.index("sleeper trained")
    assert "sleeper commits" not in lines


@pytest.mark.slow
def test_what_an_idle_executor_costs(executors: Executors) -> None:
    process = psutil.Process(executors.start("idle", "wait").pid)
    time.sleep(5)
    before = process.cpu_times()
    time.sleep(30)
    after = process.cpu_times()
    percent = (after.user + after.system - before.user - before.system) / 30 * 100
    print(f"idle: {percent:.2f} % of a core, {process.memory_info().rss / 2**20:.0f} MiB")
    assert percent > 0.1
