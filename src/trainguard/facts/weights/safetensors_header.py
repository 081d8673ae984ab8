"""The JSON header of a safetensors file, decoded as strictly as the library decodes it.

Headers as the libraries write them are decoded by msgspec straight into records; whatever that does not take, or might
take too lightly, goes through the slower reading, which also finds the words for what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from trainguard.facts.weights.dtypes import BITS
from trainguard.facts.weights.files import UnsoundError
from trainguard.facts.weights.records import TensorEntry

_METADATA = "__metadata__"
_FIELDS = ("dtype", "shape", "data_offsets")
_LARGEST = 2**64 - 1
# serde_json gives up below this depth (serde_json 1, de.rs, `remaining_depth: 128`).
_MAX_DEPTH = 127


@dataclass(frozen=True, slots=True)
class Header:
    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str] = field(default_factory=dict)


_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(TensorEntry)
_TEXTS = msgspec.json.Decoder(dict[str, str] | None)


def parse_header(header: bytes) -> Header:
    """The tensors and the metadata of a header. Raises UnsoundError where the library refuses it."""
    quick = _quick(header)
    return quick if quick is not None else _slow(header)


def _quick(header: bytes) -> Header | None:
    """The header where nothing about it is unusual, else None."""
    # An escape may spell a key that stands there already; msgspec takes -0 for an integer, the library for a float.
    if b"\\u" in header or b"-0" in header:
        return None
    try:
        header.decode("utf-8")
        raw = _RAW.decode(header)
        metadata = _TEXTS.decode(raw.pop(_METADATA, b"null"))
        tensors = {name: _ENTRY.decode(text) for name, text in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # As many of each key as there are tensors: none stands twice, none is left out.
    if any(header.count(b'"%s"' % name.encode()) != len(tensors) for name in _FIELDS):
        return None
    if header.count(b'"__metadata__"') > 1 or any(entry.dtype not in BITS for entry in tensors.values()):
        return None
    return Header(tensors, metadata or {})


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as they stand, doubles included."""


class _NotInteger(str):
    """A number with a dot or an exponent, as written."""


def _slow(header: bytes) -> Header:
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsoundError(f"its header is no UTF-8 at byte {8 + error.start:,}") from None
    try:
        top = json.loads(
            text, object_pairs_hook=_Pairs, parse_int=_integer, parse_float=_NotInteger, parse_constant=_refuse
        )
    except json.JSONDecodeError as error:
        raise UnsoundError(_json_words(text, error)) from None
    except RecursionError:
        raise UnsoundError("its header is nested too deep") from None
    except ValueError as error:
        raise UnsoundError(f"its header is no JSON: {error}") from None
    if not isinstance(top, _Pairs):
        raise UnsoundError("its header is no JSON object")
    _check_strings_and_depth(top)
    names = [name for name, _ in top]
    if len(set(names)) < len(names):
        seen: set[str] = set()
        double = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise UnsoundError(f"its header names {double!r} twice")
    metadata = next((_metadata(value) for name, value in top if name == _METADATA), {})
    return Header({name: _entry(name, value) for name, value in top if name != _METADATA}, metadata)


def _json_words(text: str, error: json.JSONDecodeError) -> str:
    if text.strip("\0") == "":
        return "its header is all zeros" if text else "its header is empty"
    return f"its header is no JSON: {error.msg} at character {error.pos:,}"


def _integer(text: str) -> int | str:
    # serde_json reads -0 as a float, and what does not fit 64 bits too.
    if text.startswith("-") or len(text) > 20 or int(text) > _LARGEST:
        return _NotInteger(text)
    return int(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, _Pairs):
        raise UnsoundError("its __metadata__ is no object")
    for name, text in value:
        if not isinstance(text, str) or isinstance(text, _NotInteger):
            raise UnsoundError(f"its __metadata__ holds {name!r} that is no string")
    return dict(value)


def _entry(name: str, value: Any) -> TensorEntry:
    if isinstance(value, list) and not isinstance(value, _Pairs) and len(value) == len(_FIELDS):
        fields: dict[str, Any] = dict(zip(_FIELDS, value, strict=True))  # the library takes this form too
    elif isinstance(value, _Pairs):
        keys = [key for key, _ in value if key in _FIELDS]
        if len(set(keys)) < len(keys):
            raise UnsoundError(f"tensor {name!r} has a field of its description twice")
        fields = dict(value)
    else:
        raise UnsoundError(f"tensor {name!r} has no description")
    missing = [key for key in _FIELDS if key not in fields]
    if missing:
        raise UnsoundError(f"tensor {name!r} has no {missing[0]}")
    dtype, shape, offsets = (fields[key] for key in _FIELDS)
    if isinstance(dtype, _Pairs) and len(dtype) == 1 and dtype[0][1] is None:
        dtype = dtype[0][0]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise UnsoundError(f"tensor {name!r} has the dtype {dtype!r}, which safetensors 0.8 does not know")
    if not _are_sizes(shape):
        raise UnsoundError(f"tensor {name!r} has no shape of whole numbers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise UnsoundError(f"tensor {name!r} has no pair of offsets")
    return TensorEntry(str(dtype), tuple(shape), (offsets[0], offsets[1]))


def _are_sizes(value: Any) -> bool:
    if not isinstance(value, list) or isinstance(value, _Pairs):
        return False
    return all(isinstance(number, int) and not isinstance(number, bool) for number in value)


def _check_strings_and_depth(top: _Pairs) -> None:
    """Refuses lone surrogates, which are no Unicode, and nesting beyond the library's limit."""
    left: list[tuple[Any, int]] = [(top, 1)]
    while left:
        value, depth = left.pop()
        if isinstance(value, str):
            if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
                raise UnsoundError("its header has half of a surrogate pair in a string")
        elif isinstance(value, _Pairs):
            left += [(part, depth + 1) for pair in value for part in pair]
        elif isinstance(value, list):
            left += [(part, depth + 1) for part in value]
        else:
            continue
        if depth > _MAX_DEPTH and not isinstance(value, str):
            raise UnsoundError("its header is nested too deep")
