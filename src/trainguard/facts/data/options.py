"""What is asked about training data, in a form that can be sent to worker processes."""

from __future__ import annotations

import msgspec

# A longer line is not decoded: decoding may need several times its size. The longest line of a sound chat set that we
# know of (whole books in one conversation) is under 10 MB.
MAX_LINE_BYTES = 32_000_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `read_data`, with paths as strings. `tokens` are what no content may hold."""

    path: str
    max_length: int | None = None
    tokenizer: str | None = None
    eval_path: str | None = None
    batch_size: int | None = None
    format: str | None = None
    sample: int | None = None
    near_duplicates: bool = False
    lengths: bool = False
    max_line_bytes: int = MAX_LINE_BYTES
    tokens: tuple[str, ...] = ()
    # Roles that the given chat template names, besides the usual ones.
    roles: tuple[str, ...] = ()
    # Patterns of roles are judged by a chat template, later, in the parent: not by the rules of `roles.py`.
    template: bool = False
