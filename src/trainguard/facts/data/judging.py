"""Asks a chat template whether it takes a row, in a process that bounds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainguard.facts.data.limited import GoneError, Limited

# Compiling and rendering are stopped after three seconds each; this is the process that does not even answer.
SECONDS = 30.0


class Judge:
    """The template of a tokenizer folder. `usable` is False where it cannot judge, and `problem` says why."""

    def __init__(self, tokenizer: Path) -> None:
        self.problem: str | None = None
        self._child = Limited(seconds=SECONDS)
        try:
            answer = self._child.open(["open", str(tokenizer), None, False])
        except GoneError as error:
            self._stop(str(error))
            return
        problem = answer.get("problem") or answer.get("template")
        if problem is not None:
            self._stop(str(problem))

    @property
    def usable(self) -> bool:
        return self.problem is None

    def refuses(self, row: Mapping[str, Any]) -> str | None:
        """What the template says against the row (any layout); None where it takes it, or where it cannot tell."""
        if self.problem is not None:
            return None
        try:
            answer = self._child.ask(["refuses", dict(row)])
        except GoneError as error:
            self._stop(str(error))
            return None
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None  # a row that cannot be sent: a number beyond 64 bits, a lone surrogate
        if answer.get("problem") is not None:
            self._stop(str(answer["problem"]))
        refusal = answer.get("refusal")
        return None if refusal is None else str(refusal)

    def close(self) -> None:
        self._child.close()

    def _stop(self, problem: str) -> None:
        self.problem = problem
        self._child.close()
