"""Asks a chat template whether it takes a row, in a process that bounds it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainguard.facts.data.limited import GoneError, Limited

# Compiling and rendering are stopped after three seconds each; this is the process that does not even answer.
SECONDS = 30.0
# What AutoProcessor of transformers 5.23 looks for (models/auto/processing_auto.py): with either, trl 1.16 trains with
# a processor.
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
_COLUMNS = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")


class Judge:
    """The template of a tokenizer folder. `usable` is False where it cannot judge, and `problem` says why."""

    def __init__(self, tokenizer: Path) -> None:
        self.problem: str | None = None
        self._takes_parts = False
        with suppress(OSError, ValueError):
            self._takes_parts = any((tokenizer / name).is_file() for name in _PROCESSOR_FILES)
        self._child = Limited(seconds=SECONDS)
        try:
            answer = self._child.open(["open", str(tokenizer), None, False])
        except GoneError as error:
            self._stop(str(error))
            return
        problem = answer.get("problem") or answer.get("template")
        if problem is not None:
            self._stop(str(problem))

    @property
    def usable(self) -> bool:
        return self.problem is None

    def refuses(self, row: Mapping[str, Any]) -> str | None:
        """What the template says against the row (any layout); None where it takes it, or where it cannot tell."""
        refusal = self._refusal(row)
        if refusal is not None and self._takes_parts:
            parted = _in_parts(row)
            if parted != row and self._refusal(parted) is None:
                return None
        return refusal

    def _refusal(self, row: Mapping[str, Any]) -> str | None:
        if self.problem is not None:
            return None
        try:
            answer = self._child.ask(["refuses", dict(row)])
        except GoneError as error:
            self._stop(str(error))
            return None
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None  # a row that cannot be sent: a number beyond 64 bits, a lone surrogate
        if answer.get("problem") is not None:
            self._stop(str(answer["problem"]))
        refusal = answer.get("refusal")
        return None if refusal is None else str(refusal)

    def close(self) -> None:
        self._child.close()

    def _stop(self, problem: str) -> None:
        self.problem = problem
        self._child.end()


def _in_parts(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with each text content as a list of one part, as trl 1.16 hands it to a processor.

    (data_utils.py: prepare_multimodal_messages.)
    """
    return {
        name: [_message_in_parts(each) for each in value] if name in _COLUMNS and isinstance(value, list) else value
        for name, value in row.items()
    }


def _message_in_parts(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    said = "value" if "value" in message else "content"
    content = message.get(said)
    return {**message, said: [{"type": "text", "text": content}]} if isinstance(content, str) else message
