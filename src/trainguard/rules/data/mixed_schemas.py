"""DATA018: more than one layout in one set of data."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, each_counted, place


class MixedSchemas(ProblemRule):
    r"""Rows of several layouts in one set of data.

    *What it does*

    Counts the rows by layout and speaks where there is more than one: chats beside `prompt` and `completion`, texts
    beside preference pairs. Rows that add columns of their own to one layout are left alone.

    *Why it costs you*

    `load_dataset` makes one table of all rows and fills what a row lacks with null. The trainer decides by the columns,
    once for all rows: at the first row of the other layout it stops, or trains on nothing.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}
    {"prompt": "2 + 2 =", "completion": " 4"}
    ```

    *Use instead*

    One layout for all rows, or one file for each.
    """

    code = "DATA018"
    name = "mixed-schemas"
    severity = "warn"
    kind = "mixed-schemas"

    VALID = (
        Example(files=lines(chat(*GOOD), chat(*GOOD, *GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(row(prompt="2 + 2 =", completion=" 4"), row(prompt="2 + 3 =", completion=" 5", source="book")),
            check={"path": "train.jsonl"},
            why="A column more is no other layout.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(*GOOD, *GOOD), row(prompt="2 + 2 =", completion=" 4")),
            check={"path": "train.jsonl"},
            findings=(
                (
                    3,
                    "2 layouts in one set of data: messages (2 rows), prompt-completion (1 row); the "
                    "first row of another is line 3; a loader makes one table of them with nulls, "
                    "and a trainer takes one layout alone; convert the rows, or split the file",
                ),
            ),
        ),
        Example(
            files=lines(
                row(text="Once upon a time."), row(text="The end."), row(prompt="2 =", chosen="2", rejected="3")
            ),
            check={"path": "train.jsonl"},
            findings=(
                (
                    3,
                    "2 layouts in one set of data: text (2 rows), preference (1 row); the first row "
                    "of another is line 3; a loader makes one table of them with nulls, and a "
                    "trainer takes one layout alone; convert the rows, or split the file",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        counts = problem.counts or facts.layouts
        first = place(facts, problem.samples[0]) if problem.samples else ""
        return (
            f"{len(counts):,} layouts in one set of data: {each_counted(counts, quote=False)}"
            f"{f'; the first row of another is {first}' if first else ''}; a loader makes one table of them with "
            "nulls, and a trainer takes one layout alone; convert the rows, or split the file"
        )
