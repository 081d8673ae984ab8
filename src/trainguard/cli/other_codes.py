"""The codes that no rule says: those of a run in progress, of the queue and of what attempts leave behind."""

from __future__ import annotations

from collections.abc import Mapping

from trainguard.daemon.remains import ABOUT, CODE, NAME
from trainguard.findings import Severity
from trainguard.queue.codes import QUEUE_ABOUT, QUEUE_CODES
from trainguard.signals.codes import RUN_CODES


def other_codes() -> Mapping[str, tuple[str, Severity]]:
    """Name and usual severity of each."""
    return {**RUN_CODES, **QUEUE_CODES, CODE: (NAME, "warn")}


def other_page(code: str) -> str:
    """What is documented of it, as Markdown. Raises KeyError for another code."""
    name, severity = other_codes()[code]
    if code not in RUN_CODES:
        about = ABOUT if code == CODE else QUEUE_ABOUT[code]
        return f"# {code} {name}\n\n**{name}** · {severity} · said by the daemon\n\n{about}\n"
    from trainguard.report.signal_page import code_page
    from trainguard.signals.registry import discover

    signal = next((each for each in discover().signals if each.code == code), None)
    return code_page(code, name, severity, signal)
