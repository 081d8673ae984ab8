"""Rows of the examples, as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainguard.rules._example_files import Raw

GOOD = (("user", "What is 2 + 2?"), ("assistant", "4"))


def chat(*messages: tuple[str, object]) -> str:
    """One line with `messages` of (role, content)."""
    return row(messages=[{"role": role, "content": content} for role, content in messages])


def row(**columns: object) -> str:
    """One line with these columns."""
    return json.dumps(columns, ensure_ascii=False) + "\n"


def lines(*rows: str) -> Mapping[str, str]:
    """The files of an example: `train.jsonl` with these lines."""
    return {"train.jsonl": "".join(rows)}


def described(words: str, *rows: str) -> Mapping[str, Raw]:
    """The files of an example that is too long to be read: the page of the rule says what it is."""
    return {"train.jsonl": Raw("".join(rows).encode(), words)}


@dataclass(frozen=True, slots=True)
class Large(Raw):
    """A file of so many bytes, with a hole behind its content that takes no room on the disk."""

    size_bytes: int = 0

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write(self.content)
            file.truncate(self.size_bytes)
