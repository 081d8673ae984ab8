"""Texts that can be told without running anything: what `printf`, `base64 -d` and `b64decode(…)` yield."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

_DECODED_CALL = re.compile(
    r"b64decode\(\s*[rbRB]{0,2}(?P<quotes>'''|\"\"\"|'|\")(?P<text>[A-Za-z0-9+/=_\s-]+)(?P=quotes)"
)
_WRITTEN_FILE = re.compile(
    r"open\(\s*['\"](?P<path>[^'\"]+)['\"]\s*,\s*['\"]w|Path\(\s*['\"](?P<path2>[^'\"]+)['\"]\s*\)\s*\.write"
)


def printf_text(arguments: Sequence[str]) -> str | None:
    """What `printf` prints for a template of at most one `%s`; None for any other."""
    template, rest = arguments[0], arguments[1:]
    template = template.replace("\\n", "\n").replace("\\t", "\t")
    if not rest:
        return template.replace("%%", "%")
    if template.count("%") == 1 and ("%s" in template or "%b" in template):
        before, _, after = template.replace("%b", "%s").partition("%s")
        return "".join(f"{before}{value}{after}" for value in rest)
    return None


def decode_base64(text: str | None) -> str | None:
    """The text that base64 holds, None where it holds none."""
    if text is None:
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def decode_call(source: str) -> str | None:
    """What a `b64decode("…")` in Python source yields, None without one. Compressed data stay unread."""
    match = _DECODED_CALL.search(source)
    if match is None or "decompress" in source:
        return None
    return decode_base64(match["text"].replace("-", "+").replace("_", "/"))


def written_file(source: str) -> str | None:
    """The file that Python source opens for writing, None where it names none."""
    match = _WRITTEN_FILE.search(source)
    return (match["path"] or match["path2"]) if match else None
