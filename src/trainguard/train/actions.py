"""What is done when a finding comes: by code as the user says, else by severity. A warning never stops a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from trainguard.errors import TrainguardError, UsageError
from trainguard.facts.config.schema_blocks import Action
from trainguard.findings import Finding
from trainguard.signals.codes import RUN_CODES

# log: it is written down. alert: somebody is told too. checkpoint_and_stop: the run ends with a checkpoint of this
# step. stop: it ends without one, since the weights are not to be kept. rollback: as stop, and whoever runs the run
# goes on from `rollback_to`, since a callback cannot turn the loop back.
ACTIONS: tuple[Action, ...] = get_args(Action)
STOPPING: frozenset[Action] = frozenset({"checkpoint_and_stop", "stop", "rollback"})
# Which of two actions wins: not keeping weights goes before keeping them.
_RANK: Mapping[Action, int] = {action: rank for rank, action in enumerate(ACTIONS)}

# Errors after which the weights are not worth keeping, and errors that a stop does not mend.
_BY_CODE: Mapping[str, Action] = {
    "RUN001": "stop",
    "RUN002": "stop",
    "RUN003": "stop",
    "RUN008": "alert",  # said by whoever looks from outside; the loop that goes on again has recovered
    "RUN015": "stop",
    "RUN016": "stop",
    "RUN017": "stop",
    "CKPT005": "alert",  # as RUN025
    "RUN025": "alert",  # older checkpoints are good, and space may return
    "RUN026": "alert",  # said at the end
}


class NotReadyError(TrainguardError):
    """A run that cannot train as it is. `findings` are all its problems; the message lists the errors."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in findings if finding.severity == "error"]
        lines = [f"  {finding.code} {finding.message}" for finding in errors]
        count = f"{len(errors)} problems" if len(errors) != 1 else "1 problem"
        super().__init__("\n".join([f"the run is not ready to train, {count}:", *lines]))


def checked_actions(actions: Mapping[str, str]) -> dict[str, Action]:
    """The actions that a user gives, by code. Raises UsageError for a code or an action that there is not."""
    checked: dict[str, Action] = {}
    for code, given in actions.items():
        if code not in RUN_CODES:
            raise UsageError(f"actions names {code!r}, which is no code of a run; there are {min(RUN_CODES)} to RUN027")
        action = next((each for each in ACTIONS if each == given), None)
        if action is None:
            raise UsageError(f"actions[{code!r}] is {given!r}, expected one of {', '.join(ACTIONS)}")
        checked[code] = action
    return checked


def action_for(finding: Finding, actions: Mapping[str, Action]) -> Action:
    """What to do about a finding. What is said for information only is never more than logged."""
    if finding.severity == "info":
        return "log"
    code = finding.code or ""
    if code in actions:
        return actions[code]
    if finding.severity == "warn":
        return "alert"
    return _BY_CODE.get(code, "checkpoint_and_stop")


def stronger(first: Action, second: Action) -> Action:
    """The one of two actions that wins where both are asked for."""
    return first if _RANK[first] >= _RANK[second] else second
