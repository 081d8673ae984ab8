"""DATA011: messages in an order that chat templates refuse."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class RoleOrder(ProblemRule):
    r"""Messages in an order that no conversation has.

    *What it does*

    Finds a system message that is not the first, an answer before anybody has asked, two messages of the user or
    of the assistant in a row, and the answer of a tool that was not called. Where a tokenizer with a chat template is
    given, the template decides instead: only what it refuses is told, in its words.

    *Why it costs you*

    Many templates (Gemma's, Mistral's, Llama 2's) raise at such a row, in the middle of tokenizing. The others write
    down a conversation as the model will never meet it.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Anybody?"},
                  {"role": "assistant", "content": "Hello!"}]}
    ```

    *Use instead*

    ```json
    {"messages": [{"role": "user", "content": "Hi\nAnybody?"}, {"role": "assistant", "content": "Hello!"}]}
    ```
    """

    code = "DATA011"
    name = "role-order"
    severity = "error"
    kind = "role-order"

    VALID = (
        Example(files=lines(chat(("system", "Be brief."), *GOOD, *GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(chat(("developer", "Be brief."), *GOOD, ("user", "Thanks!"))),
            check={"path": "train.jsonl"},
            why="The user may have the last word.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("user", "Hi"), ("user", "Anybody?"), ("assistant", "Hello!"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "roles out of order in 1 of 2 rows (line 2): 'user' right after 'user'; many "
                    "chat templates raise there, the others write a conversation that the model will "
                    "never meet; merge messages of one role and put the system message first, or give "
                    "the tokenizer (--tokenizer), whose template then decides",
                ),
            ),
        ),
        Example(
            files=lines(chat(("user", "Hi"), ("system", "Be brief."), ("assistant", "Hello!"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "roles out of order in 1 of 1 row (line 1): 'system' after 'user'; many chat "
                    "templates raise there, the others write a conversation that the model will never "
                    "meet; merge messages of one role and put the system message first, or give the "
                    "tokenizer (--tokenizer), whose template then decides",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        count = how_many(facts, problem.count, problem.samples)
        if facts.template_judged:
            return (
                f"the chat template refuses the order of roles in {count}{detail(problem)}; tokenizing stops there; "
                "merge messages of one role, put the system message first, or take such rows out"
            )
        return (
            f"roles out of order in {count}{detail(problem)}; many chat templates raise there, the others write a "
            "conversation that the model will never meet; merge messages of one role and put the system message "
            "first, or give the tokenizer (--tokenizer), whose template then decides"
        )
