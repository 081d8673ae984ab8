"""DATA006: contents of messages that are no text."""

from __future__ import annotations

from trainguard.facts.data.judge import REFUSAL
from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, each_counted, how_many


class ContentNotString(ProblemRule):
    r"""The content of a message is no text.

    *What it does*

    Finds contents that are neither a string nor a list of parts, as multimodal chats have them. null is taken where an
    assistant calls a tool. What stands there instead is counted by its type.

    *Why it costs you*

    A chat template joins texts. At a number or an object it fails in the middle of tokenizing, or writes down
    `None` and `{'a': 1}` as Python prints them, and the model learns to say so.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": 4}]}
    ```

    *Use instead*

    ```json
    {"messages": [{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}]}
    ```
    """

    code = "DATA006"
    name = "content-not-string"
    severity = "error"
    kind = "content-not-string"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(
                chat(
                    ("user", [{"type": "image"}, {"type": "text", "text": "What is this?"}]),
                    ("assistant", [{"type": "text", "text": "A cat."}]),
                )
            ),
            check={"path": "train.jsonl"},
            why="Parts of a multimodal chat.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("user", "2 + 2"), ("assistant", 4))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "content is no text in 1 of 2 rows (line 2): number (1 row); a chat template "
                    "fails there, or writes down None and numbers as Python prints them; write a "
                    'string, or a list of parts such as {"type": "text", "text": …}',
                ),
            ),
        ),
        Example(
            files=lines(
                chat(("user", "Hi"), ("assistant", None)), chat(("user", {"text": "Hi"}), ("assistant", "Hello!"))
            ),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "content is no text in 2 of 2 rows (first: line 1): null (1 row), object (1 "
                    "row); a chat template fails there, or writes down None and numbers as Python "
                    'prints them; write a string, or a list of parts such as {"type": "text", "text": '
                    "…}",
                ),
            ),
        ),
        Example(
            files=lines(
                row(
                    messages=[
                        {"role": "user", "content": "Hi"},
                        {"role": "assistant", "content": None, "refusal": "I cannot help with that."},
                    ]
                )
            ),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "content is no text in 1 of 1 row (line 1): null, the text in 'refusal' (1 row); a chat template "
                    "fails there, or writes down None and numbers as Python prints them; write a string, or a list of "
                    'parts such as {"type": "text", "text": …}; move the text of \'refusal\' into \'content\'',
                ),
            ),
            why="A refusal as OpenAI's API answers it.",
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        types = f": {each_counted(problem.counts, quote=False)}" if problem.counts else ""
        refusal = any(name.endswith(REFUSAL) for name in problem.counts)
        return (
            f"content is no text in {how_many(facts, problem.count, problem.samples)}{types}; a chat template fails "
            "there, or writes down None and numbers as Python prints them; write a string, or a list of parts such as "
            '{"type": "text", "text": …}' + ("; move the text of 'refusal' into 'content'" if refusal else "")
        )
