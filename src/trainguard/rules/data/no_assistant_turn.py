"""DATA010: conversations without an answer."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, how_many


class NoAssistantTurn(ProblemRule):
    r"""A conversation in which the assistant says nothing.

    *What it does*

    Finds conversations without a message of the assistant. Prompts of their own, as GRPO takes them, are left alone.

    *Why it costs you*

    There is no answer to learn from. With `assistant_only_loss=True` the row has no loss at all, and without it the
    model learns to write what users ask.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}
    ```

    *Use instead*

    ```json
    {"messages": [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4"}]}
    ```
    """

    code = "DATA010"
    name = "no-assistant-turn"
    severity = "error"
    kind = "no-assistant-turn"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(row(prompt=[{"role": "user", "content": "What is 2 + 2?"}])),
            check={"path": "train.jsonl"},
            why="A prompt, to which the model that is trained writes the answer.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("user", "What is 2 + 2?"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "no message of the assistant in 1 of 2 rows (line 2): there is no answer to learn, and without "
                    "assistant_only_loss the model learns to write the user's part; add the answer, or take the row "
                    "out",
                ),
            ),
        ),
        Example(
            files=lines(*[chat(("system", "Be brief."), ("user", "Hi"))] * 3),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "no message of the assistant in 3 of 3 rows (first: line 1): there is no answer to learn, and "
                    "without assistant_only_loss the model learns to write the user's part; add the answers, or take "
                    "the rows out",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        plural = "s" if problem.count != 1 else ""
        return (
            f"no message of the assistant in {how_many(facts, problem.count, problem.samples)}: there is no answer to "
            "learn, and without assistant_only_loss the model learns to write the user's part; add the "
            f"answer{plural}, or take the row{plural} out"
        )
