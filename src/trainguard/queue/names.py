"""Names of files: as people see them, as custody keeps them, and what they say about a file."""

from __future__ import annotations

import os
import re

from trainguard.facts.data.formats import known_name

# ext4, XFS and most others allow 255 bytes (pathconf(3), _PC_NAME_MAX); a number and a batch's prefix must fit too.
_MAX_SAFE = 120
_SAFE = re.compile(r"[^A-Za-z0-9._+-]+")
# Endings that writers use until a file is whole: rsync and cp-like tools, browsers, wget and curl wrappers, editors.
_UNFINISHED = (
    ".tmp .temp .part .partial .crdownload .download .filepart .swp .swx .lock .incomplete .aria2 .!ut ~".split()
)


def text_of(name: str | bytes) -> str:
    """A name as text that every database takes: bytes that are no UTF-8 become escapes such as \\xff, NUL too."""
    raw = os.fsencode(name) if isinstance(name, str) and _encodable(name) else name
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def shown(name: str | bytes | os.PathLike[str]) -> str:
    """A name or path for one line of a message: control characters escaped, quoted where it holds spaces or quotes."""
    text = text_of(os.fspath(name))
    escaped = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return f"'{escaped}'" if re.search(r"[\s'\"`]", escaped) else escaped


def safe_name(name: str) -> str:
    """A name for custody: ASCII letters, digits and ._+-, not hidden, at most 120 bytes; endings are kept.

    Readers choose a format by the ending, and globs and shells must find nothing special in what comes before it.
    """
    base = text_of(name).replace("/", "_")
    stem, ending = _split(base)
    stem = _SAFE.sub("_", stem).strip("._-+ ")
    return f"{stem[: _MAX_SAFE - len(ending)] or 'file'}{ending}"


def is_awkward(name: str) -> bool:
    """Whether a name has what breaks scripts: spaces, quotes, control characters, bytes that are no UTF-8, a dash
    first."""
    return (
        name.startswith("-")
        or not name.isprintable()
        or re.search(r"[\s'\"`$*?\[\]\\;&|<>(){}!#\udc80-\udcff]", name) is not None
    )


def is_unfinished(name: str) -> bool:
    """Whether the name says by itself that it is not for us: hidden, a backup, a download that goes on."""
    lower = name.lower()
    return lower.startswith((".", "#")) or lower.endswith(tuple(_UNFINISHED))


def is_training_name(name: str) -> bool:
    """Whether the ending is one of those that the readers of training data know."""
    format_, compression = known_name(name)
    return format_ is not None or (compression is not None and not os.path.splitext(os.path.splitext(name)[0])[1])


def _split(name: str) -> tuple[str, str]:
    """Stem and ending; the ending of a compressed file has two parts."""
    stem, ending = os.path.splitext(name)
    if known_name(name)[1] is not None:
        stem, inner = os.path.splitext(stem)
        ending = inner + ending
    return (stem, ending) if re.fullmatch(r"(\.[A-Za-z0-9]{1,10}){1,2}", ending) else (name, "")


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeError:
        return False
    return True
