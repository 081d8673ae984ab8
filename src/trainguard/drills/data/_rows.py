"""Rows of chat for the drills, and a small tokenizer to measure them with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TEMPLATE = "{% for message in messages %}<|{{ message.role }}|> {{ message.content }} {% endfor %}"


def chat(question: str = "What is 2 + 2?", answer: str = "4") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def numbered(count: int) -> list[dict[str, Any]]:
    """Sound rows, no two alike."""
    return [chat(f"What is {number} + 1?", f"It is {number + 1}.") for number in range(count)]


def line(row: object) -> str:
    return json.dumps(row, ensure_ascii=False)


def write_lines(path: Path, rows: Iterable[object | str]) -> Path:
    """JSON Lines of `rows`; what is a text already stands as it is."""
    path.write_text("".join((row if isinstance(row, str) else line(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tokenizer(folder: Path) -> Path:
    """A tokenizer for which every word, and every other run of signs, is one token."""
    words = {"<unk>": 0, "<|user|>": 1, "<|assistant|>": 2}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for word, number in words.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "chat_template": _TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
