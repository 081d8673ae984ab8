"""DATA013: lines that exhaust whoever reads them."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules._example_files import raw
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, described, lines, row
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class HostileLine(ProblemRule):
    r"""A line that is too large or nested too deep to be read.

    *What it does*

    Finds lines above 32 MB and JSON that is nested thousands deep. Such a line is skipped in pieces, never held.

    *Why it costs you*

    A reader takes many times the size of a line in memory, so that one of them ends a job that ran out of it, without
    a message; deep nesting ends in a `RecursionError`, or in a crash of parsers that count on the stack. No
    training example needs either: it is a file without line ends, a dump of something else, or an attack.

    *Example*

    ```text
    {"messages": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…
    ```

    *Use instead*

    One example a line. `trainguard data FILE --fix OUT` leaves such lines out.
    """

    code = "DATA013"
    name = "hostile-line"
    severity = "error"
    kind = "hostile-line"
    repairable = True

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=described("one text of 2,000 brackets", row(text="[" * 2000)),
            check={"path": "train.jsonl"},
            why="Brackets inside a text are no nesting.",
        ),
    )
    INVALID = (
        Example(
            files={
                "train.jsonl": raw(
                    chat(*GOOD).encode() + b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
                    "a good line, and one with 100,000 brackets inside each other",
                )
            },
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "1 line (line 2) is too much for a parser: nested too deep to be read; a loader "
                    "runs out of memory or stack there; write one example a line, and look at what "
                    "wrote this",
                ),
            ),
        ),
        Example(
            files={
                "train.jsonl": raw(
                    chat(*GOOD).encode() + b'{"a": ' * 50_000 + b"1" + b"}" * 50_000 + b"\n",
                    "a good line, and one with 50,000 objects inside each other",
                )
            },
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "1 line (line 2) is too much for a parser: nested too deep to be read; a loader "
                    "runs out of memory or stack there; write one example a line, and look at what "
                    "wrote this",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        count = how_many(facts, problem.count, problem.samples, noun="line")
        return (
            f"{count} {'is' if problem.count == 1 else 'are'} too much for a parser{detail(problem)}; a loader runs "
            "out of memory or stack there; write one example a line, and look at what wrote this"
        )
