"""What a drill reads out of the events of a queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def findings_of(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The findings that were said, as plain values, oldest first."""
    for event in events:
        finding = event["data"].get("finding")
        if isinstance(finding, dict):
            yield finding
