"""The order of roles in a conversation, judged once for each distinct pattern of roles rather than for each row.

A pattern is the layout followed by the roles of the row's messages. A role with a tool call ends in `CALLS`; `PART`
stands between the parts of a row (prompt, completion, chosen, rejected).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from trainguard.facts.data.records import ProblemKind

Pattern: TypeAlias = tuple[str, ...]

CALLS = "*"
PART = ">"
# The roles that chat templates of transformers 5.23 and trl 1.16 (chat_templates/*.jinja) know.
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_FIRST = ("system", "developer")
_TOOLS = ("tool", "function")
# What other formats call the same speakers: ShareGPT (human, gpt), Llama 3 (ipython), Gemini (model), and exports of
# chat services.
SYNONYMS = {
    "human": "user",
    "person": "user",
    "customer": "user",
    "question": "user",
    "prompter": "user",
    "input": "user",
    "instruction": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "agent": "assistant",
    "answer": "assistant",
    "response": "assistant",
    "output": "assistant",
    "bing": "assistant",
    "ipython": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "sys": "system",
}
# A call of a tool that LLaMA-Factory writes as a text (data/README.md, ShareGPT format). Under another role it would be
# an answer like any other: which call it was can only be kept in `tool_calls`.
_UNMAPPED = {
    "function_call": ", a call written as text: --fix leaves it, for as a text of 'assistant' it would be no call; "
    "write it as 'tool_calls' of an 'assistant' message",
}


class Verdict(NamedTuple):
    """What is wrong with a pattern: at which message (0-based, over all parts), and how often by name."""

    kind: ProblemKind
    message: int
    detail: str
    counts: dict[str, int]


def plain(role: str) -> str:
    """The role without the mark of a tool call."""
    return role[:-1] if role.endswith(CALLS) else role


def mapped(role: str) -> str | None:
    """The accepted role that this one stands for, None where it cannot be told."""
    lower = role.strip().lower()
    if lower in ROLES:
        return lower
    return SYNONYMS.get(lower)


def roles_of(pattern: Pattern) -> list[str]:
    """The roles of all messages, in order."""
    return [plain(role) for role in pattern[1:] if role != PART]


def judge_pattern(pattern: Pattern, *, order: bool = True, known: frozenset[str] = ROLES) -> Verdict | None:
    """The most fundamental problem of the pattern; without `order` only what no template can mend."""
    roles = roles_of(pattern)
    if not roles:
        return Verdict("messages-empty", 0, "no messages", {})
    unknown: dict[str, int] = {}
    for role in roles:
        if role not in known:
            unknown[role] = unknown.get(role, 0) + 1
    if unknown:
        first = next(i for i, role in enumerate(roles) if role not in known)
        meant = mapped(roles[first])
        hint = f", which means {meant!r}" if meant else _UNMAPPED.get(roles[first].strip().lower(), "")
        return Verdict("unknown-role", first, f"role {roles[first]!r}{hint}", unknown)
    whole = pattern[0] in ("messages", "sharegpt")
    if whole and "assistant" not in roles:
        return Verdict("no-assistant-turn", 0, "roles " + ", ".join(dict.fromkeys(roles)), {})
    if not order:
        return None
    for at, detail in _disorder(pattern):
        return Verdict("role-order", at, detail, {detail: 1})
    return None


def _disorder(pattern: Pattern) -> Iterator[tuple[int, str]]:
    """Where the order breaks: (message, what). Parts of preference rows are each read after the prompt."""
    parts: list[list[str]] = [[]]
    for role in pattern[1:]:
        if role == PART:
            parts.append([])
        else:
            parts[-1].append(plain(role))
    if pattern[0] != "preference":
        parts = [[role for part in parts for role in part]]
    elif len(parts) == 3:  # prompt, chosen, rejected: both answers follow the prompt
        prompt, chosen, rejected = parts
        yield from _order(prompt + chosen, 0)
        yield from _order(prompt + rejected, len(chosen), skip=len(prompt))
        return
    at = 0
    for part in parts:
        yield from _order(part, at)
        at += len(part)


def _order(roles: list[str], shift: int, skip: int = 0) -> Iterator[tuple[int, str]]:
    before = ""
    asked = False
    for i, role in enumerate(roles):
        problem = ""
        if role in _FIRST:
            if i and before not in _FIRST:
                problem = f"{role!r} after {before!r}"
        elif role == "user":
            asked = True
            if before == "user":
                problem = "'user' right after 'user'"
        elif role == "assistant":
            if before == "assistant":
                problem = "'assistant' right after 'assistant'"
            elif not asked:
                problem = "'assistant' before any 'user'"
        elif role in _TOOLS and before not in ("assistant", *_TOOLS):
            problem = f"{role!r} with no call by 'assistant' before it"
        if problem and i >= skip:
            yield i + shift, problem
            return
        before = role
