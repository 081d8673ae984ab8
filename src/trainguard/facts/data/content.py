"""The texts of a row, whatever its layout: for estimates, near-duplicates and leaks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

_Items = TypeVar("_Items", str, list[int])

# The columns that hold an example, in the order in which their texts are joined.
_COLUMNS = ("messages", "conversations", "prompt", "completion", "text", "chosen", "rejected")


def messages_of(value: Any) -> list[dict[str, Any]] | None:
    """A list of messages as role and content; those of `from` and `value` are renamed, as trl 1.16 does.

    None where it is no list of objects. (trl/data_utils.py: maybe_convert_to_chatml; roles stay as they are.)
    """
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        return None
    messages = []
    for each in value:
        message = dict(each)
        if "from" in message:
            message["role"] = message.pop("from")
        if "value" in message:
            message["content"] = message.pop("value")
        messages.append(message)
    return messages


def texts(row: Mapping[str, Any]) -> Iterator[str]:
    """Every text of the example in order; the calls of tools as JSON."""
    for column in _COLUMNS:
        value = row.get(column)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for message in messages_of(value) or ():
                yield from message_texts(message)


def message_texts(message: Mapping[str, Any]) -> Iterator[str]:
    """The texts of one message."""
    yield from content_texts(message.get("content"))
    calls = message.get("tool_calls")
    if calls:
        yield json.dumps(calls, ensure_ascii=False, sort_keys=True, default=str)


def content_texts(content: Any) -> Iterator[str]:
    """The texts of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Sequence):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def first_text(row: Mapping[str, Any]) -> str:
    """The first text that is not empty, to recognise a row by."""
    return next((text for text in texts(row) if text.strip()), "")


def shared_prefix(one: _Items, other: _Items) -> int:
    """How many items both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
