"""DATA005: messages of roles that chat templates do not know."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.facts.data.roles import mapped
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, each_counted, how_many

_ACCEPTED = "system, developer, user, assistant, tool, function"


class UnknownRole(ProblemRule):
    r"""A message of a role that chat templates do not know.

    *What it does*

    Counts the roles that are none of system, developer, user, assistant, tool and function, and says what the known
    ones among them should be called: `human` is `user`, `gpt`, `bot` and `model` are `assistant`.

    *Why it costs you*

    A chat template refuses such a role, or, worse, leaves the message out or writes it down under the foreign name:
    the model then learns conversations in a form that it will never be asked in.

    *Example*

    ```json
    {"messages": [{"role": "human", "content": "Hi"}, {"role": "gpt", "content": "Hello!"}]}
    ```

    *Use instead*

    ```json
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    ```

    `trainguard data FILE --fix OUT` writes such a copy.
    """

    code = "DATA005"
    name = "unknown-role"
    severity = "error"
    kind = "unknown-role"

    VALID = (
        Example(files=lines(chat(("system", "Be brief."), *GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(
                row(
                    messages=[
                        {"role": "user", "content": "Weather?"},
                        {
                            "role": "assistant",
                            "content": None,
                            "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {}}}],
                        },
                        {"role": "tool", "content": "sunny"},
                        {"role": "assistant", "content": "It is sunny."},
                    ]
                )
            ),
            check={"path": "train.jsonl"},
            why="A call of a tool, and its answer.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("human", "Hi"), ("gpt", "Hello!"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "unknown roles in 1 of 2 rows (line 2): 'gpt' (1 message), 'human' (1 message); a "
                    "chat template refuses them, leaves the messages out or writes them down as they "
                    "are (known are system, developer, user, assistant, tool, function); rename gpt to "
                    "assistant, human to user",
                ),
            ),
        ),
        Example(
            files=lines(chat(("user", "Hi"), ("narrator", "He waves."), ("assistant", "Hello!"))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "unknown roles in 1 of 1 row (line 1): 'narrator' (1 message); a chat template "
                    "refuses them, leaves the messages out or writes them down as they are (known are "
                    "system, developer, user, assistant, tool, function); rename them, or take the rows "
                    "out",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        renamed = [f"{name} to {role}" for name in sorted(problem.counts) if (role := mapped(name)) is not None]
        remedy = f"rename {', '.join(renamed)}" if renamed else "rename them, or take the rows out"
        roles = f": {each_counted(problem.counts, noun='message')}" if problem.counts else ""
        return (
            f"unknown roles in {how_many(facts, problem.count, problem.samples)}{roles}; a chat template refuses them, "
            f"leaves the messages out or writes them down as they are (known are {_ACCEPTED}); {remedy}"
        )

    def can_repair(self, problem: Problem) -> bool:
        return any(mapped(name) for name in problem.counts)
