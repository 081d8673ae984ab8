"""DATA004: conversations without a message."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, how_many


class MessagesEmpty(ProblemRule):
    r"""A conversation in which nobody says anything.

    *What it does*

    Finds rows whose list of messages is empty.

    *Why it costs you*

    Most chat templates look at the first message and fail where there is none (`list object has no element 0`), in the
    middle of tokenizing; the others make an example out of nothing but control tokens.

    *Example*

    ```json
    {"messages": []}
    ```

    *Use instead*

    Leave such rows out, and look at the step that made them.
    """

    code = "DATA004"
    name = "messages-empty"
    severity = "error"
    kind = "messages-empty"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(
                row(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}], tools=[])
            ),
            check={"path": "train.jsonl"},
            why="No tools are no lack of messages.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(), chat(*GOOD), chat()),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "no message in 2 of 4 rows (first: line 2): a chat template fails at an empty list, or makes an "
                    "example of control tokens alone; take the rows out",
                ),
            ),
        ),
        Example(
            files=lines(row(conversations=[])),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "no message in 1 of 1 row (line 1): a chat template fails at an empty list, or makes an example "
                    "of control tokens alone; take the row out",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        return (
            f"no message in {how_many(facts, problem.count, problem.samples)}: a chat template fails at an empty list, "
            f"or makes an example of control tokens alone; take the row{'s' if problem.count != 1 else ''} out"
        )
