"""A walk over the opcodes of one pickle, with a stack of stand-ins in place of objects.

It tells what an opcode list alone does not: the names that STACK_GLOBAL takes from the stack, whether the product of
`getattr` is called or only kept (members of an Enum may be pickled that way), and the shapes of a state dict.
Semantics are those of `pickle._Unpickler` of Python 3.11.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from trainguard.facts.weights.files import UnsoundError
from trainguard.facts.weights.pickle_values import UNKNOWN, Call, Global, Persistent, PickledDict

# A state dict of 30,000 tensors has about 1 million opcodes. Each costs two to six microseconds.
MAX_OPCODES = 1_000_000
_UNTOLD = "?"
_ENCODE = Global("_codecs", "encode")


@dataclass(slots=True)
class PickleWalk:
    """What one pickle holds: the names that it imports, what it calls, bytes that it carries, and its value."""

    imports: set[Global] = field(default_factory=set)
    called: set[Global] = field(default_factory=set)
    attributes: list[tuple[Any, ...]] = field(default_factory=list)
    carried: list[bytes] = field(default_factory=list)
    storages: list[Any] = field(default_factory=list)
    value: Any = UNKNOWN
    opcodes: int = 0
    problem: str | None = None
    too_long: bool = False


class _Mark:
    """The mark on the stack."""


def walk(data: IO[bytes]) -> PickleWalk:
    """Walks from where `data` stands to the pickle's STOP, and leaves it there. What is broken is its `problem`.

    A pickle of more than MAX_OPCODES is `too_long`, and judged by its beginning.
    """
    result = PickleWalk()
    machine = _Machine(result)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools decodes texts of protocol 0, and warns of odd escapes in them
            for opcode, argument, _ in pickletools.genops(data):
                result.opcodes += 1
                if result.opcodes > MAX_OPCODES:
                    result.too_long = True
                    break
                machine.step(opcode.name, argument)
    except UnsoundError as error:
        result.problem = str(error)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        # genops raises ValueError for what is no opcode or is cut off; the others are stacks that do not add up.
        result.problem = f"its pickle breaks off after {result.opcodes:,} opcodes ({type(error).__name__}: {error})"
    return result


class _Machine:
    def __init__(self, result: PickleWalk) -> None:
        self.result = result
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(self, argument)
        elif name in _CONSTANTS:
            self.stack.append(argument)
        elif name not in _NO_EFFECT:
            raise UnsoundError(f"it has the opcode {name}, which is not known")

    # The stack

    def above_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[index], _Mark):
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise UnsoundError("its pickle lacks a mark")

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise UnsoundError("its pickle takes more from the stack than there is")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def push_tuple(self, count: int) -> None:
        self.stack.append(tuple(self.take(count)))

    def push_constant(self, value: Any) -> None:
        if isinstance(value, bytes | bytearray) and len(value) > 1:
            self.result.carried.append(bytes(value))
        self.stack.append(value)

    # Names and calls

    def push_global(self, module: Any, name: Any) -> None:
        known = Global(module if isinstance(module, str) else _UNTOLD, name if isinstance(name, str) else _UNTOLD)
        self.result.imports.add(known)
        self.stack.append(known)

    def global_in_line(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push_global(module, name)

    def stack_global(self) -> None:
        module, name = self.take(2)
        self.push_global(module, name)

    def instance(self, argument: str) -> None:
        arguments = tuple(self.above_mark())
        self.global_in_line(argument)
        self.call(self.stack.pop(), arguments)

    def object_above_mark(self) -> None:
        items = self.above_mark()
        if not items:
            raise UnsoundError("its pickle makes an object of nothing")
        self.call(items[0], tuple(items[1:]))

    def call(self, function: Any, arguments: Any) -> None:
        self.result.called.add(function if isinstance(function, Global) else Global(_UNTOLD, _UNTOLD))
        if isinstance(function, Global) and function.name == "getattr" and isinstance(arguments, tuple):
            self.result.attributes.append(arguments)
        if function == _ENCODE and isinstance(arguments, tuple) and arguments and isinstance(arguments[0], str):
            # Protocol 2 has no bytes: they are written as text, and encoded while loading.
            self.result.carried.append(arguments[0].encode("latin-1", "replace"))
        self.stack.append(Call(function, arguments))

    def reduce(self) -> None:
        function, arguments = self.take(2)
        self.call(function, arguments)

    def new_object(self, count: int) -> None:
        items = self.take(count)
        self.call(items[0], items[1])

    def build(self) -> None:
        self.take(1)
        self.stack[-1]  # what is built has to be there

    # Containers

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Call | PickledDict):
            target.pairs.extend(zip(items[::2], items[1::2], strict=True))

    def dictionary(self) -> None:
        items = self.above_mark()
        self.stack.append(PickledDict(list(zip(items[::2], items[1::2], strict=True))))

    # Memo, storages, end

    def put(self, key: Any) -> None:
        self.memo[int(key)] = self.stack[-1]

    def get(self, key: Any) -> None:
        self.stack.append(self.memo[int(key)])

    def persistent(self, identity: Any) -> None:
        self.result.storages.append(identity)
        self.stack.append(Persistent(identity))

    def stop(self) -> None:
        self.result.value = self.take(1)[0]


_HANDLERS: Mapping[str, Callable[[_Machine, Any], object]] = {
    "MARK": lambda m, _: m.stack.append(_Mark()),
    "POP": lambda m, _: m.take(1),
    "POP_MARK": lambda m, _: m.above_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE1": lambda m, _: m.push_tuple(1),
    "TUPLE2": lambda m, _: m.push_tuple(2),
    "TUPLE3": lambda m, _: m.push_tuple(3),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.above_mark())),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "LIST": lambda m, _: m.stack.append(m.above_mark()),
    "APPEND": lambda m, _: m.append(m.take(1)),
    "APPENDS": lambda m, _: m.append(m.above_mark()),
    "EMPTY_SET": lambda m, _: m.stack.append([]),
    "ADDITEMS": lambda m, _: m.append(m.above_mark()),
    "FROZENSET": lambda m, _: m.stack.append(m.above_mark()),
    "EMPTY_DICT": lambda m, _: m.stack.append(PickledDict()),
    "DICT": lambda m, _: m.dictionary(),
    "SETITEM": lambda m, _: m.set_items(m.take(2)),
    "SETITEMS": lambda m, _: m.set_items(m.above_mark()),
    "STRING": lambda m, a: m.push_constant(a),
    "BINSTRING": lambda m, a: m.push_constant(a),
    "SHORT_BINSTRING": lambda m, a: m.push_constant(a),
    "BINBYTES": lambda m, a: m.push_constant(a),
    "SHORT_BINBYTES": lambda m, a: m.push_constant(a),
    "BINBYTES8": lambda m, a: m.push_constant(a),
    "BYTEARRAY8": lambda m, a: m.push_constant(a),
    "NEXT_BUFFER": lambda m, _: m.stack.append(UNKNOWN),
    "GLOBAL": lambda m, a: m.global_in_line(a),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "INST": lambda m, a: m.instance(a),
    "OBJ": lambda m, _: m.object_above_mark(),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.new_object(2),
    "NEWOBJ_EX": lambda m, _: m.new_object(3),
    "BUILD": lambda m, _: m.build(),
    # Extension codes name what somebody registered in the running process; honest files of weights have none.
    "EXT1": lambda m, _: m.push_global(_UNTOLD, _UNTOLD),
    "EXT2": lambda m, _: m.push_global(_UNTOLD, _UNTOLD),
    "EXT4": lambda m, _: m.push_global(_UNTOLD, _UNTOLD),
    "PERSID": lambda m, a: m.persistent(a),
    "BINPERSID": lambda m, _: m.persistent(m.take(1)[0]),
    "PUT": lambda m, a: m.put(a),
    "BINPUT": lambda m, a: m.put(a),
    "LONG_BINPUT": lambda m, a: m.put(a),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GET": lambda m, a: m.get(a),
    "BINGET": lambda m, a: m.get(a),
    "LONG_BINGET": lambda m, a: m.get(a),
    "STOP": lambda m, _: m.stop(),
}
_CONSTANTS = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)
_NO_EFFECT = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})
