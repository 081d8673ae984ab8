"""JSON files of a model folder, read whole within a limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from trainguard.facts.weights.files import UnsoundError, is_pointer, open_regular, read_at, why_unreadable

# The largest tokenizer.json of a well-known model has 33 MB (Gemma 3).
MAX_JSON_BYTES = 200_000_000


def read_bytes(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """The file's bytes. Raises UnsoundError with the reason where they cannot be had."""
    try:
        with open_regular(path) as (file, size):
            if size > limit:
                raise UnsoundError(f"it has {size:,} bytes, too many to be what its name says")
            content = read_at(file, 0, size)
    except OSError as error:
        raise UnsoundError(why_unreadable(error)) from None
    if is_pointer(content[:64], len(content)):
        raise UnsoundError("it is a Git LFS pointer, a text of a few lines that stands where the file should be")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UnsoundError with the reason where it is none.

    Numbers that JSON does not have (NaN, Infinity) are taken, as Python takes them: configurations hold such.
    """
    content = read_bytes(path)
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = _by_python(content)
    if not isinstance(value, dict):
        raise UnsoundError("it is no JSON object")
    return value


def _by_python(content: bytes) -> Any:
    import json

    if not content.strip():
        raise UnsoundError("it is empty")
    if not content.strip(b"\0"):
        raise UnsoundError("it is all zeros")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise UnsoundError(f"it is no JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise UnsoundError(f"it is no JSON: {type(error).__name__}") from None
