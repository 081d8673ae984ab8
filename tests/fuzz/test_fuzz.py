"""A short run of every fuzz target; `make fuzz` runs them for minutes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS

# About four seconds each: the engine and the whole check cost most by the example.
_EXAMPLES = {"arguments": 30, "source": 100, "engine": 5, "command": 60, "notebook": 80, "job-json": 30}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_it_bears_what_it_is_given(name: str) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=_EXAMPLES[name],
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(st.data())
    def run(data: Any) -> None:
        target.run(data.draw(target.inputs))

    run()
