"""What is asked of all rows of a block at once; the rows are those of the decoder that `schema.py` makes."""

from __future__ import annotations

from typing import Any

from trainguard.facts.data.roles import CALLS


def joined(hashes: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Runs of lines that follow each other as one."""
    runs: list[tuple[int, list[bytes]]] = []
    following = -1
    for first, some in hashes:
        if first != following:
            runs.append((first, []))
        runs[-1][1].append(some)
        following = first + len(some) // 8
    return [(first, b"".join(some)) for first, some in runs]


def empty_rows(chats: list[Any]) -> dict[int, str]:
    """The rows with an empty content of one who may not be silent, and the first such one's role."""
    found = {}
    for at, chat in enumerate(chats):
        for message in chat:
            if (not message.m1 or message.m1.isspace()) and message.m0 in ("user", "assistant"):
                found[at] = message.m0
                break
    return found


def mixed(messages: list[Any], calls: tuple[str, ...]) -> tuple[list[str], list[str]] | None:
    """Contents and roles of messages that may have tool calls; None where one is not as it should be."""
    contents: list[str] = []
    roles: list[str] = []
    for message in messages:
        role, content = message.m0, message.m1
        called = bool(calls) and any(getattr(message, each) for each in calls)
        if content.__class__ is str:
            if not called and (not content or content.isspace()) and role in ("user", "assistant"):
                return None
            contents.append(content)
        elif content is not None or not called:
            return None
        roles.append(role + CALLS if called and role == "assistant" else role)
    return contents, roles
