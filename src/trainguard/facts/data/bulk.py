"""What is asked of all rows of a block at once; the rows are those of the decoder that `schema.py` makes."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from trainguard.facts.data.roles import CALLS

_TEXT_OR_NOTHING = {str, type(None)}


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
    said: list[Any] = [message.m1 for message in messages]
    roles: list[str] = [message.m0 for message in messages]
    called: set[int] = set()
    for each in calls:
        values = list(map(attrgetter(each), messages))
        if any(values):
            called.update(at for at, value in enumerate(values) if value)
    kinds = set(map(type, said))
    if not kinds <= _TEXT_OR_NOTHING:
        return None
    contents = said
    if kinds != {str}:
        if said.count(None) != sum(said[at] is None for at in called):
            return None
        contents = [content for content in said if content is not None]
    if (not all(contents) or any(map(str.isspace, contents))) and any(
        content is not None and not content.strip() and at not in called and roles[at] in ("user", "assistant")
        for at, content in enumerate(said)
    ):
        return None
    for at in called:
        if roles[at] == "assistant":
            roles[at] += CALLS
    return contents, roles
