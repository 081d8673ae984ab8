"""Where the findings of a guarded run go: log, events, alerts, whoever asked; and what follows from them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from trainguard.findings import Finding
from trainguard.train.alerts import Alerter
from trainguard.train.deciding import Decision
from trainguard.train.recorder import Recorder

# Of the callback: `trainguard train` prints findings itself and filters this logger.
logger = logging.getLogger("trainguard.train.callback")


class Saying:
    """Says the findings of one run. `findings` are all so far; `record` and `alerter` are None where none is.

    `muted` are codes that are not said any more, because one finding says it all.
    """

    def __init__(self, decision: Decision, on_finding: Callable[[Finding], None] | None) -> None:
        self.findings: list[Finding] = []
        self.record: Recorder | None = None
        self.alerter: Alerter | None = None
        self.muted: frozenset[str] = frozenset()
        self._decision = decision
        self._on_finding = on_finding

    def say(self, finding: Finding, step: int) -> None:
        """A finding of `step`, if it has no step of its own. Never raises for what `on_finding` does."""
        if finding.step is None:
            finding = dataclasses.replace(finding, step=step)
        self.findings.append(finding)
        action = self._decision.consider(finding)
        level = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO}[finding.severity]
        logger.log(level, "%s %s", finding.code, finding.message)
        if self.record is not None:
            self.record.events.finding(finding, action=action)
        if action != "log" and self.alerter is not None:
            self.alerter.send(finding)
        if self._on_finding is not None:
            try:
                self._on_finding(finding)
            except Exception:
                logger.exception("on_finding failed for %s", finding.code)

    def say_all(self, findings: Sequence[Finding], step: int) -> None:
        """Those that are not muted."""
        for finding in findings:
            if finding.code not in self.muted:
                self.say(finding, step)
