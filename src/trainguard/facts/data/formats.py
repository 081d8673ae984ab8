"""What a file of training data is: by its content first, by its name second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from trainguard.facts.data.ranges import open_regular
from trainguard.facts.data.records import Compression, FileFormat

# Extensions as datasets 5.2 maps them to loaders (packaged_modules/__init__.py, _EXTENSION_TO_MODULE).
_EXTENSIONS: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_PARQUET = b"PAR1"  # parquet-format README, File format
# What else is found in folders of data: named, so that the message says more than "not JSON".
_OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"ARROW1": "an Arrow file",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"version https://git-lfs": "a Git LFS pointer: the data itself was not downloaded (git lfs pull)",
}
_HEAD_BYTES = 65_536


class Kind(NamedTuple):
    """What a file is: `wrong` says how its name and its content disagree, `encoding` which one it has instead of UTF-8.

    `refused` names a content that cannot be read at all. `format` is None for an empty file of an unknown name.
    """

    format: FileFormat | None
    compression: Compression | None = None
    wrong: str = ""
    encoding: str = ""
    refused: str = ""


def known_name(name: str) -> tuple[FileFormat | None, Compression | None]:
    """What the name alone says."""
    stem, extension = os.path.splitext(name.lower())
    compression = _COMPRESSIONS.get(extension)
    if compression:
        extension = os.path.splitext(stem)[1]
    return _EXTENSIONS.get(extension), compression


def kind_of(path: Path, given: str | None = None) -> Kind:
    """Looks at the first bytes of the file. Raises OSError where they cannot be read."""
    descriptor = open_regular(path)
    try:
        head = os.pread(descriptor, _HEAD_BYTES, 0)
    finally:
        os.close(descriptor)
    return judge_head(path.name, head, given)


def judge_head(name: str, head: bytes, given: str | None = None) -> Kind:
    """What a file of this name and these first bytes is; `given` is the format that the user names."""
    named, compression = known_name(name)
    asked: FileFormat | None = given if given in get_args(FileFormat) else None  # type: ignore[assignment]
    if not head:
        return Kind(asked or named, compression)
    if head.startswith((_GZIP, _ZSTD)):
        found: Compression = "gzip" if head.startswith(_GZIP) else "zstd"
        wrong = "" if compression == found else f"the content is {found}, which the name does not say"
        return Kind(asked or named or "jsonl", found, wrong)
    if compression:
        return Kind(asked or named or _by_content(head), None, f"named as {compression}, but the content is not")
    if head.startswith(_PARQUET):
        return Kind("parquet", None, "" if named == "parquet" else "the content is Parquet" + _not(name, named))
    other = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), "")
    if named == "parquet" and not asked and _is_object(head.lstrip(_BLANK).partition(b"\n")[0]):
        return Kind("jsonl", None, "the content is JSON Lines" + _not(name, named))
    if other or named == "parquet":
        return Kind(asked or named, None, refused=other or "it does not begin as Parquet does (PAR1)")
    encoding = wide_encoding(head)
    if encoding:
        return Kind(asked or named or "jsonl", None, encoding=encoding)
    if asked:
        return Kind(asked)
    return _by_both(name, named, head)


def _by_both(name: str, named: FileFormat | None, head: bytes) -> Kind:
    content = _by_content(head)
    if named == "jsonl" and _is_array_of_rows(head.lstrip(_BLANK)):
        return Kind("json", None, "the content is one JSON array, not one object a line")
    if named == "json":
        # datasets reads JSON Lines by this name as well.
        return Kind(content if content in ("json", "jsonl") else "json")
    if named in ("csv", "text"):
        if content == "jsonl" and _is_object(head.lstrip(_BLANK).partition(b"\n")[0]):
            return Kind("jsonl", None, f"the content is JSON Lines, and {_suffix(name)!r} is read as {_LOADERS[named]}")
        return Kind(named)
    if named is None:
        wrong = f"no loader is known for {_suffix(name)!r}" if _suffix(name) else "the name has no extension"
        return Kind(content, None, wrong)
    return Kind(named)


_LOADERS: dict[FileFormat, str] = {"csv": "CSV", "text": "plain text, a row a line"}
_BLANK = b"\xef\xbb\xbf \t\r\n"


def _is_array_of_rows(start: bytes) -> bool:
    """Whether a file named as JSON Lines is an array of objects instead, and no line with a bracket too many."""
    if start[:1] != b"[" or start[1:].lstrip()[:1] not in (b"{", b"]", b""):
        return False
    line, newline, rest = start.partition(b"\n")
    return not newline or line.rstrip()[-1:] in b"[{," or (line.rstrip().endswith(b"]") and not rest.strip())


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return False


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1]


def _not(name: str, named: FileFormat | None) -> str:
    return f", not {named}" if named else f", which {name!r} does not say"


def _by_content(head: bytes) -> FileFormat:
    """JSON Lines, a JSON document, or text: an object that ends on its first line begins JSON Lines."""
    start = head.lstrip(_BLANK)
    if start[:1] == b"[":
        # An array that ends on its line, with more after it, is one line of many.
        line, _, rest = start.partition(b"\n")
        return "jsonl" if line.rstrip().endswith(b"]") and rest.strip() else "json"
    if start[:1] == b"{":
        line, newline, rest = start.partition(b"\n")
        if line.rstrip().endswith(b"}") or not newline:
            return "jsonl"
        following = rest.lstrip()[:1]
        # A document over many lines goes on with a key, JSON Lines whose first line is broken with an object.
        return "jsonl" if following == b"{" else "json"
    return "text"


def wide_encoding(head: bytes) -> str:
    """UTF-16 or UTF-32 by their byte order mark, or by the zero bytes beside the first ASCII letters; else ""."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    start = head[:64]
    if len(start) >= 8 and not any(start[1::2]) and all(start[0::2]):
        return "UTF-16-LE"
    if len(start) >= 8 and not any(start[0::2]) and all(start[1::2]):
        return "UTF-16-BE"
    if len(start) >= 16 and all(start[0::4]) and not any(start[1::4] + start[2::4] + start[3::4]):
        return "UTF-32-LE"
    if len(start) >= 16 and all(start[3::4]) and not any(start[0::4] + start[1::4] + start[2::4]):
        return "UTF-32-BE"
    return ""


# The Unicode Standard, 23.8 (byte order mark); the longer ones first, as UTF-32-LE begins like UTF-16-LE.
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32-LE"),
    (b"\x00\x00\xfe\xff", "UTF-32-BE"),
    (b"\xff\xfe", "UTF-16-LE"),
    (b"\xfe\xff", "UTF-16-BE"),
)
