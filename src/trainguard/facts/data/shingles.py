"""Rows as sets of shingles: runs of three words, by which rows are compared.

Case, punctuation and white space do not count. What is said to the model in every row (system messages, tools) is left
out: it would make all rows of a data set alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from trainguard.facts.data.content import content_texts, messages_of

Shingle: TypeAlias = tuple[str, str, str]

# Words of a row that are compared; those behind are left out, so that one huge row costs no more than many small ones.
MAX_WORDS = 20_000
# Characters of scripts without spaces count as words of their own (Kana, Han, Thai, Lao, Burmese, Khmer).
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ANSWERS = ("assistant", "gpt", "model", "chatbot")
_FRAMES = ("system", "developer")


def words(text: str) -> list[str]:
    """The words of a text without case and punctuation, no more than MAX_WORDS."""
    if len(text) > 12 * MAX_WORDS:  # an English word takes six characters with its space
        text = text[: 12 * MAX_WORDS]
    return _WORD.findall(text.casefold())[:MAX_WORDS]


def shingles(found: list[str]) -> set[Shingle]:
    """The runs of three words."""
    return set(zip(found, found[1:], found[2:], strict=False))


def parts(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The words of a row, and those of its last answer; empty where there are none."""
    texts: list[str] = []
    answer = ""
    for text, is_answer in _texts(row):
        texts.append(text)
        if is_answer:
            answer = text
    return words("\n".join(texts)), words(answer)


def _texts(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The texts that tell rows apart, with whether each is an answer."""
    for column in ("messages", "conversations", "prompt"):
        yield from _of(row.get(column), prompt=column == "prompt")
    for column in ("completion", "chosen"):
        yield from _of(row.get(column), prompt=False)
    text = row.get("text")
    if isinstance(text, str):
        yield text, False


def _of(value: Any, *, prompt: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(value, str):
        yield value, not prompt
        return
    for message in messages_of(value) or ():
        role = message.get("role")
        if role not in _FRAMES:
            for text in content_texts(message.get("content")):
                yield text, role in _ANSWERS and not prompt
