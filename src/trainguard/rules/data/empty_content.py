"""DATA012: messages and texts without content."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class EmptyContent(ProblemRule):
    r"""A message, a completion or a text that says nothing.

    *What it does*

    Finds contents of the user and the assistant, texts, completions, and chosen and rejected answers, that are empty or
    white space alone. A call of a tool needs no content, the system may be silent, and a prompt may be empty where a
    completion follows.

    *Why it costs you*

    From an empty answer the model learns to end the answer at once, which is easy to learn and hard to notice: the loss
    falls.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": ""}]}
    ```

    *Use instead*

    Leave such rows out, and look at the step that lost the text.
    """

    code = "DATA012"
    name = "empty-content"
    severity = "error"
    kind = "empty-content"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(chat(("system", ""), *GOOD)), check={"path": "train.jsonl"}, why="The system may be silent."
        ),
        Example(
            files=lines(row(prompt="", completion="Once upon a time.")),
            check={"path": "train.jsonl"},
            why="SFTTrainer trains on the completion.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("user", "What is 2 + 2?"), ("assistant", " \n"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "empty content in 1 of 2 rows (line 2): 'content' of 'assistant' is empty; from "
                    "an empty answer the model learns to say nothing; fill it in, or take the row out",
                ),
            ),
        ),
        Example(
            files=lines(row(prompt="2 + 2 =", completion=""), row(prompt="2 + 3 =", completion=" 5")),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "empty content in 1 of 2 rows (line 1): 'completion' is empty; from an empty "
                    "answer the model learns to say nothing; fill it in, or take the row out",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        return (
            f"empty content in {how_many(facts, problem.count, problem.samples)}{detail(problem)}; from an empty "
            "answer the model learns to say nothing; fill it in, or take "
            f"the row{'s' if problem.count != 1 else ''} out"
        )
