"""What Python itself would say about a script: it cannot be parsed, or it is certain or likely to raise.

ty finds what can be found (docs/decisions/0001-python-engine.md); the modules beside this one drop what is not
sure in a script whose imports are unknown, and add what ty does not look for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainguard.errors import EngineError

Kind: TypeAlias = Literal[
    "syntax-error", "undefined-name", "used-before-assignment", "possibly-unbound", "type-mismatch", "certain-exception"
]

# A process takes a quarter of a second to start; judging a script of 100 lines takes 3 ms.
_WORTH_A_PROCESS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One trouble with the text of a script. Lines and columns count from 1, columns in characters; ends are exclusive.

    `message` says what, why and what to do in one line; `subject` is the name concerned.
    """

    kind: Kind
    message: str
    line: int
    column: int
    end_line: int | None = None
    end_column: int | None = None
    subject: str | None = None
    fix: str | None = None


def diagnose(sources: Sequence[str], *, python_version: str = "3.12") -> list[list[Diagnostic]]:
    """The diagnostics of each source, in order of place, as `python_version` ("3.12") would run it.

    Writes nothing to disk and executes nothing. Raises EngineError where the engine is missing, or crashed on
    or took too long for one of the sources; `diagnose_each` keeps the answers for the others.
    """
    results: list[list[Diagnostic]] = []
    for result in diagnose_each(sources, python_version=python_version):
        if isinstance(result, EngineError):
            raise result
        results.append(result)
    return results


def diagnose_each(sources: Sequence[str], *, python_version: str = "3.12") -> list[list[Diagnostic] | EngineError]:
    """As `diagnose`, with the error in place of the diagnostics of a source that the engine failed on.

    A large batch is judged in a child process, beside what the caller does meanwhile in another thread.

    Raises EngineError only where the engine is missing or cannot be started at all.
    """
    if len(sources) >= _WORTH_A_PROCESS:
        from trainguard.facts.diagnostics_worker import diagnose_in_worker

        answers = diagnose_in_worker(sources, python_version)
        if answers is not None:
            return answers
    return diagnose_here(sources, python_version=python_version)


def diagnose_here(sources: Sequence[str], *, python_version: str = "3.12") -> list[list[Diagnostic] | EngineError]:
    """As `diagnose_each`, in this process whatever the size of the batch."""
    from trainguard.facts.diagnostics_judge import judge_all  # the parsers and the engine load on first use

    return judge_all(sources, python_version)
