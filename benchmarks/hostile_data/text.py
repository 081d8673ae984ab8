"""Nesting, bytes and encodings: small files."""

from __future__ import annotations

from .record import around, fixed, good, with_content, with_extra

_DEEP = 100_000
_DEEP_LIST, _DEEP_OBJECT = b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP
fixed("nested lists in metadata, 100,000 deep", "DATA013", 5, around(with_extra(_DEEP_LIST)))
fixed("nested objects in metadata, 100,000 deep", "DATA013", 5, around(with_extra(_DEEP_OBJECT)))
fixed("nested lists as content", "DATA013", 5, around(with_content(b"x").replace(b'"x"', _DEEP_LIST)))
fixed("a row of opening brackets", "DATA002 DATA013", 5, around(b"[" * _DEEP))
fixed("a row of opening braces", "DATA002 DATA013", 5, around(b"{" * _DEEP))
fixed("opening brackets alone", "DATA002 DATA013", None, b"[" * _DEEP)
fixed("opening keys alone", "DATA002 DATA013", 1, b'{"a":' * _DEEP)
fixed("nested array file", "DATA002 DATA013", None, _DEEP_LIST, "train.json")
fixed("array file with a nested row", "DATA013", None, b"[" + good(1) + b"," + with_extra(_DEEP_LIST) + b"]", "a.json")
fixed("brackets inside a string are text", "", None, around(with_content(b"[{" * _DEEP)))


fixed("a NUL inside a string", "DATA002 DATA007", 5, around(with_content(b"a\0b")))
fixed("a hole of zeros where rows were", "DATA002 DATA007 DATA013", 5, around(b"\0" * 4096))
fixed("zeros at the end", "DATA002 DATA007 DATA013", 10, around(good(99)) + b"\0" * 5000)
fixed("byte order mark", "DATA007", 1, b"\xef\xbb\xbf" + around(good(99)))
fixed("byte order mark in the middle", "DATA002 DATA007", 5, around(b"\xef\xbb\xbf" + good(99)))
fixed("byte order mark alone", "DATA001 DATA007", None, b"\xef\xbb\xbf")
for _name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
    _mark = "\ufeff".encode(_name)
    fixed(f"{_name} with its mark", "DATA007", 1, _mark + around(good(99)).decode().encode(_name))
    fixed(f"{_name} without a mark", "DATA007", 1, around(good(99)).decode().encode(_name))
fixed("lone surrogate", "DATA007", 5, around(with_content(b"\\ud800")))
fixed("surrogates in the wrong order", "DATA007", 5, around(with_content(b"\\udc00\\ud800")))
fixed("surrogate pairs are text", "", None, around(with_content(b"\\ud83d\\ude00 \\\\ud800")))
fixed("huge integer", "DATA002 DATA013", 5, around(with_extra(b"9" * 5000)))
fixed("huge exponent", "DATA002 DATA013", 5, around(with_extra(b"1e400")))
fixed("huge integer as content", "DATA002 DATA006 DATA013", 5, around(with_content(b"x").replace(b'"x"', b"9" * 5000)))
fixed("objects without newlines", "DATA002", 1, b"".join(map(good, range(2000))))
_OPEN = with_content(b"|").partition(b"|")[0]
fixed(
    "ends inside an escape",
    "DATA002",
    3,
    good(1) + b"\n" + good(2) + b"\n" + _OPEN + b"abc\\",
)
fixed("ends inside a unicode escape", "DATA002", 2, good(1) + b"\n" + _OPEN + b"\\u12")
fixed(
    "line separators end no line",
    "DATA002",
    3,
    "\n".join([good(1).decode().replace("Q", "\u2028\x85"), good(2).decode(), "{"]).encode(),
)
for _byte in (b"{", b"[", b'"', b"\0", b"\xff", b"x", b"1"):
    fixed(f"one byte: {_byte!r}", "DATA001 DATA002 DATA007 DATA014", None, _byte)
fixed("one byte: a newline", "DATA001", None, b"\n")
fixed("empty", "DATA001", None, b"")
