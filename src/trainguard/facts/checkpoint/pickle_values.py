"""The plain values in a pickle, read off its opcodes. Nothing is imported, called or built.

What the pickle would import stands as a `Name`, what it would call as a `Made`, a tensor's storage as a `Storage`. So
the numbers of an optimizer or a scheduler can be read without trusting the file. Opcodes: Python 3.11, pickletools.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainguard.facts.weights.files import UnsoundError

# About 3 seconds of reading. The pickle of an AdamW over 300 parameters has 60 KB.
MAX_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Name:
    """Something that the pickle would import: "torch FloatStorage"."""

    text: str


@dataclass(slots=True)
class Made:
    """What the pickle would get by calling `maker`, and the state that it would set."""

    maker: object
    arguments: object
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Storage:
    """A persistent id: ("storage", FloatStorage, key, location, elements) in files of torch."""

    identity: object


class _Mark:
    pass


_MARK = _Mark()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHED = frozenset(
    "INT LONG BININT BININT1 BININT2 LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def pickled_value(data: bytes) -> Any:
    """The value of a pickle. Raises UnsoundError for one that is damaged, too long or made with rarer opcodes."""
    if len(data) > MAX_BYTES:
        raise UnsoundError(f"its pickle has {len(data):,} bytes, more than the {MAX_BYTES:,} that are read")
    reader = _Reader()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return reader.stack.pop()
            reader.step(opcode.name, argument)
    except UnsoundError:
        raise
    except RecursionError:
        raise UnsoundError("its pickle is nested too deep") from None
    except Exception as error:  # hostile opcodes fail in more ways than can be listed, and all mean the same
        raise UnsoundError(f"its pickle is damaged: {error}") from None
    raise UnsoundError("its pickle has no end")


class _Reader:
    """The stack machine of a pickle, with stand-ins for everything that is not plain."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = self.stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[int(argument)])
        elif name in ("PROTO", "FRAME"):
            return
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            stack.append(_collected(name, self._marked()))
        elif name in ("APPENDS", "ADDITEMS", "APPEND"):
            items = [stack.pop()] if name == "APPEND" else self._marked()
            if isinstance(stack[-1], list):
                stack[-1].extend(items)
        elif name in ("SETITEMS", "SETITEM"):
            pairs = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._marked()
            _set_items(stack[-1], pairs)
        elif name == "GLOBAL":
            stack.append(Name(str(argument)))
        elif name == "STACK_GLOBAL":
            module, attribute = stack.pop(-2), stack.pop()
            stack.append(Name(f"{module} {attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            maker, arguments = stack.pop(-2), stack.pop()
            stack.append(Made(maker, arguments))
        elif name == "NEWOBJ_EX":
            maker, arguments, _ = stack.pop(-3), stack.pop(-2), stack.pop()
            stack.append(Made(maker, arguments))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Made):
                stack[-1].state = state
        elif name == "BINPERSID":
            stack.append(Storage(stack.pop()))
        elif name == "POP":
            stack.pop()
        else:
            raise UnsoundError(f"its pickle uses {name}, which torch does not write")

    def _marked(self) -> list[Any]:
        """What stands above the last mark; both go."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise UnsoundError("its pickle lacks a mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


def _collected(name: str, items: list[Any]) -> Any:
    if name == "TUPLE":
        return tuple(items)
    if name == "DICT":
        made: dict[Any, Any] = {}
        _set_items(made, items)
        return made
    return items


def _set_items(target: Any, pairs: list[Any]) -> None:
    items = target if isinstance(target, dict) else target.items if isinstance(target, Made) else None
    if items is None:
        return
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if isinstance(key, str | int | float | bool | None):
            items[key] = value


def state_of(value: Any) -> dict[str, Any]:
    """The attributes that an object would get, {} where it would get none that can be told."""
    if isinstance(value, Made) and isinstance(value.state, dict):
        return {key: each for key, each in value.state.items() if isinstance(key, str)}
    return {}
