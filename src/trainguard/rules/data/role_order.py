"""DATA011: messages in an order that chat templates refuse."""

from __future__ import annotations

import re

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class RoleOrder(ProblemRule):
    r"""Messages in an order that no conversation has.

    *What it does*

    Finds a system message that is not the first, an answer before anybody has asked, two messages of the user or
    of the assistant in a row, and the answer of a tool that was not called. Where a tokenizer with a chat template is
    given, the template decides instead: only what it refuses is told, for whatever reason, in its words.

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
            words = problem.samples[0].detail if problem.samples else ""
            said = detail(problem)
            said = said if said.endswith("..") else said.removesuffix(".")
            return f"the chat template refuses {count}{said}; tokenizing stops there; {_remedy(words)}"
        return (
            f"roles out of order in {count}{detail(problem)}; many chat templates raise there, the others write a "
            "conversation that the model will never meet; merge messages of one role and put the system message "
            "first, or give the tokenizer (--tokenizer), whose template then decides"
        )


# What the words of a refusal are about -> what to do: the first that fits. The words are those of templates that come
# with models (raise_exception), and of Jinja2 and Python where a template trips over a value.
_REMEDIES = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy)
    for pattern, remedy in (
        (
            r"no attribute '(content|role)'|KeyError: '?(content|role)",
            "give every message a 'role' and a 'content', an empty string where there is nothing to say",
        ),
        (
            # Jinja2 3.1, filters.py: do_items.
            # transformers' own templates: "arguments must be a mapping".
            r"item pairs from a mapping|arguments.* to be a (dict|mapping)|arguments must be",
            "write the 'arguments' of each tool call as an object, not as a string of JSON",
        ),
        (
            r'\(not "list"\)|list object|, not list',
            "write each 'content' as one string: this template takes no list of parts",
        ),
        (r'\(not "NoneType"\)|, not NoneType|None has no', "write a string where the row has null"),
        (
            # Gemma: "System role not supported".
            r"system (role|message|prompt)s? (is |are )?(not |un)(supported|allowed)",
            "put the text of the system message at the start of the first user message",
        ),
        (
            # Mistral: "Only user, assistant and tool roles are supported"; others: "Unexpected message role."
            r"(unknown|unexpected|invalid|unsupported)( message)? role|only .* roles? (is|are)\b",
            "give messages only the roles that the template takes, or take such rows out",
        ),
        (
            # Mistral: "roles must alternate"; Qwen: "System message must be at the beginning", "No user query".
            r"alternat|\broles?\b|\b(system|user|assistant|tool) (message|prompt|turn|query)|(first|last) message",
            "merge messages of one role, put the system message first, or take such rows out",
        ),
    )
)


def _remedy(words: str) -> str:
    """What to do about a refusal, by its words."""
    return next(
        (remedy for pattern, remedy in _REMEDIES if pattern.search(words)),
        "change such rows to what the template takes, or take them out",
    )
