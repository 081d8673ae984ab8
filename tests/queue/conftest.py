"""Both databases, for tests that hold for either."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from tests.queue.backends import Backend
from tests.queue.postgres import Server, missing

# What waits for a server, a process or a lock must not wait for ever: far more than any of these tests takes, on a
# busy machine too (tests/daemon/serving.py waits for 180 s for one thing).
DEADLINE_SECONDS = 400.0
SLOW_DEADLINE_SECONDS = 1200.0


@pytest.fixture(autouse=True)
def _ends(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that hangs, with the line at which it does."""
    slow = request.node.get_closest_marker("slow") is not None
    seconds = SLOW_DEADLINE_SECONDS if slow else DEADLINE_SECONDS
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"the test has not ended within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    if (why := missing()) is not None:
        pytest.skip(why)
    server = Server()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    url = request.getfixturevalue("postgres").url() if request.param == "postgres" else None
    backend = Backend(home=tmp_path / "out" / "queue", url=url)
    yield backend
    backend.close()
