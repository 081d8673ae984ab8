"""The queue against its model, on SQLite and the very same on PostgreSQL."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.queue.model import QueueMachine
from tests.queue.postgres import Server

FEW = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
# A step is a dozen transactions, each of which goes to a server and back: there, fewer of them are as long.
MANY = {"sqlite": settings(FEW, max_examples=150, stateful_step_count=60)}
MANY["postgres"] = settings(MANY["sqlite"], max_examples=60)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def machine(request: pytest.FixtureRequest) -> type[QueueMachine]:
    url = None
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        url = server.url()
    return type("Machine", (QueueMachine,), {"url": url})


def test_it_is_as_modelled(machine: type[QueueMachine]) -> None:
    run_state_machine_as_test(machine, settings=FEW)


@pytest.mark.slow
def test_it_is_as_modelled_for_long(machine: type[QueueMachine]) -> None:
    run_state_machine_as_test(machine, settings=MANY["sqlite" if machine.url is None else "postgres"])
