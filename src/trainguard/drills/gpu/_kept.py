"""What an end for want of memory must leave, and must not propose."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.drills.base import Outcome


def said_in_phase(outcome: Outcome, code: str, phase: str) -> Iterator[str]:
    """What is wrong where the finding is not of that phase, or would change what is trained."""
    for finding in outcome.of(code):
        if finding.evidence.get("phase") != phase:
            yield f"{code} is of the phase {finding.evidence.get('phase')}, expected {phase}: {finding.message}"
        if "max_length" in f"{finding.message} {finding.fix}":
            yield f"{code} proposes another max_length, which would train on other data: {finding.message}"
    if outcome.values["code"] != 1:
        yield f"the run ended with exit code {outcome.values['code']}, expected 1"


def kept(outcome: Outcome, code: str, name: str) -> Iterator[str]:
    """What is wrong where the checkpoint `name` does not stand, verified, and is not the one that is named."""
    latest = outcome.values["latest"]
    if latest is None or latest.name != name:
        yield f"the checkpoint to resume from is {latest.name if latest is not None else None}, expected {name}"
    if outcome.values["names"] and outcome.values["names"][-1] != name:
        yield f"{outcome.values['names'][-1]} is there, which no save has completed"
    for finding in outcome.of(code):
        if finding.evidence.get("kept") != name or name not in finding.message:
            yield f"{code} does not name {name}, from which the run can go on: {finding.message}"
