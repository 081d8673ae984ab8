"""DATA017: control tokens of chat templates inside contents."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, each_counted, how_many


class TemplateTokenInContent(ProblemRule):
    r"""A control token of a chat template stands in the content of a message.

    *What it does*

    Finds `<|im_start|>`, `<|eot_id|>`, `<end_of_turn>` and their kind in contents, and the special tokens of the
    tokenizer where one is given. Plain texts and prompts, to which a template has been applied already, are left alone.

    *Why it costs you*

    The tokenizer reads such a text as the control token itself: the message ends there, and what follows is somebody
    else's turn. Most often a template was applied twice; in texts from outside it is an injection.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "<|im_start|>user\nHi<|im_end|>"},
                  {"role": "assistant", "content": "Hello!"}]}
    ```

    *Use instead*

    ```json
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    ```
    """

    code = "DATA017"
    name = "template-token-in-content"
    severity = "warn"
    kind = "template-token-in-content"

    VALID = (
        Example(
            files=lines(chat(("user", "What does <s> do in HTML?"), ("assistant", "It strikes text through."))),
            check={"path": "train.jsonl"},
            why="Also an element of HTML.",
        ),
        Example(
            files=lines(row(text="<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n")),
            check={"path": "train.jsonl"},
            why="A text to which the template has been applied.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("user", "<|im_start|>user\nHi<|im_end|>"), ("assistant", "Hello!"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "control tokens of a chat template in the content of 1 of 2 rows (line 2): "
                    "'<|im_start|>' (1 row); the tokenizer ends the message there, as if the template "
                    "had written it; take the tokens out of the content, which the template puts where "
                    "they belong",
                ),
            ),
        ),
        Example(
            files=lines(chat(("user", "Hi"), ("assistant", "Hello!<|eot_id|>")), chat(*GOOD)),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "control tokens of a chat template in the content of 1 of 2 rows (line 1): "
                    "'<|eot_id|>' (1 row); the tokenizer ends the message there, as if the template had "
                    "written it; take the tokens out of the content, which the template puts where "
                    "they belong",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        tokens = f": {each_counted(problem.counts)}" if problem.counts else ""
        return (
            f"control tokens of a chat template in the content of {how_many(facts, problem.count, problem.samples)}"
            f"{tokens}; the tokenizer ends the message there, as if the template had written it; take the tokens out "
            "of the content, which the template puts where they belong"
        )
