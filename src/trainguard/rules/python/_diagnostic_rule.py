"""What the six rules about Python share: each shows one kind of diagnostic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from trainguard.facts.diagnostics import Kind
from trainguard.findings import Finding
from trainguard.rules.base import Area, Rule, Subject


class DiagnosticRule(Rule):
    """Base of the rules that pass on the diagnostics of one `kind`."""

    area: ClassVar[Area] = "python"
    kind: ClassVar[Kind]

    def check(self, subject: Subject) -> Iterator[Finding]:
        """A finding for each diagnostic of this rule's kind."""
        script = subject.script
        if script is None:
            return
        for diagnostic in script.diagnostics:
            if diagnostic.kind == self.kind:
                where = script.location(diagnostic.line, diagnostic.column, diagnostic.end_line, diagnostic.end_column)
                evidence = {"subject": diagnostic.subject} if diagnostic.subject else None
                yield self.finding(diagnostic.message, where=where, fix=diagnostic.fix, evidence=evidence)
