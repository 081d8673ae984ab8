"""Both databases, for tests that hold for either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue.backends import Backend
from tests.queue.postgres import Server, missing


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
