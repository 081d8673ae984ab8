"""The words of a command line, and what argparse makes of them.

After https://docs.python.org/3/library/argparse.html: a default that is a string goes through `type` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainguard.facts.values import ABSENT, UNKNOWN, Constant, Items, Symbol, Value, is_none, text, truth

if TYPE_CHECKING:
    from trainguard.facts.calls import Call

_TRUE = {"true", "yes", "1", "t", "y", "on"}
_FALSE = {"false", "no", "0", "f", "n", "off"}


class CommandLine:
    """Options as they were given: `--name value`, `--name=value`, `--flag`, several values."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.given: dict[str, list[str]] = {}
        self.short: list[str] = []  # `-b5`, `-vv`: letters, with a value or without
        self.reads_config = False
        current: list[str] | None = None
        for argument in arguments:
            if argument.startswith("-") and not _is_number(argument):
                name, equals, value = argument.partition("=")
                key = name.lstrip("-").replace("-", "_")
                if not argument.startswith("--") and len(argument) > 2:
                    self.short.append(argument[1])
                current = self.given.setdefault(key, [])
                current.clear()
                if equals:
                    current.append(value)
                self.reads_config |= key in ("config", "config_file", "config_path")
            elif current is not None:
                current.append(argument)
            else:
                self.reads_config |= argument.endswith((".json", ".yaml", ".yml", ".toml"))

    def value(self, name: str) -> Value:
        """The value of an option as Python would read it; ABSENT if it was not given."""
        if name in self.given:
            words = self.given[name]
            if not words:
                return Constant(True)
            return _word(words[0]) if len(words) == 1 else Items(tuple(_word(word) for word in words))
        if name.startswith("no_") or f"no_{name}" in self.given:
            return Constant(False) if f"no_{name}" in self.given else ABSENT
        return ABSENT


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _word(word: str) -> Value:
    if word.lower() in _TRUE - {"1", "t", "y"}:
        return Constant(True)
    if word.lower() in _FALSE - {"0", "f", "n"}:
        return Constant(False)
    if word == "None":
        return Constant(None)
    for convert in (int, float):
        try:
            return Constant(convert(word))
        except ValueError:
            continue
    return Constant(word)


class ArgparseOptions:
    """Reads single `add_argument` calls."""

    def flags(self, call: Call) -> list[str]:
        return [flag for i in range(call.positional_count) if (flag := text(call.positional(i))) is not None]

    def destination(self, call: Call) -> str | None:
        """The attribute that an option sets."""
        given = text(call.argument("dest"))
        flags = self.flags(call)
        long = [flag for flag in flags if flag.startswith("--")]
        chosen = given or next(iter([*long, *flags]), None)
        return chosen.lstrip("-").replace("-", "_") if chosen else None

    def default(self, call: Call) -> Value:
        """What an option is that the command line does not give."""
        if truth(call.argument("required")) is True or not any(flag.startswith("-") for flag in self.flags(call)):
            return UNKNOWN
        default = call.argument("default")
        if default is not ABSENT:
            return self._converted(call, default.value) if _is_word(default) else default  # type: ignore[attr-defined]
        action = text(call.argument("action"))
        if action == "store_true":
            return Constant(False)
        return Constant(True) if action == "store_false" else Constant(None)

    def given(self, declared: Sequence[Call], line: CommandLine) -> Value:
        """What the command line gives an option; ABSENT if it does not name it, UNKNOWN if it may."""
        for call in declared:
            for flag in self.flags(call):
                name = flag.lstrip("-").replace("-", "_")
                if name in line.given:
                    return self._read(call, line.given[name])
                if f"no_{name}" in line.given and _action(call) == "BooleanOptionalAction":
                    return Constant(False)
                short = len(flag) == 2 and flag[1] in line.short
                if short or any(name.startswith(begun) for begun in line.given):  # `--learn` for --learning_rate
                    return UNKNOWN
        return ABSENT

    def _read(self, call: Call, words: list[str]) -> Value:
        action = _action(call)
        if action in ("store_true", "BooleanOptionalAction"):
            return Constant(True)
        if action == "store_false":
            return Constant(False)
        if action == "store_const":
            return call.argument("const")
        if action != "store":
            return UNKNOWN
        nargs = call.argument("nargs")
        if nargs is ABSENT or is_none(nargs) or text(nargs) == "?":
            return self._converted(call, words[0]) if words else UNKNOWN
        if text(nargs) in ("*", "+"):
            return Items(tuple(self._converted(call, word) for word in words))
        return UNKNOWN

    def _converted(self, call: Call, word: str) -> Value:
        kind = call.argument("type")
        if kind is ABSENT or is_none(kind) or (isinstance(kind, Symbol) and kind.name in ("str", "Path")):
            return Constant(word)
        if isinstance(kind, Symbol) and kind.path in ("builtins.int", "builtins.float"):
            try:
                return Constant(int(word) if kind.name == "int" else float(word))
            except ValueError:
                return UNKNOWN
        guess = _word(word)  # `type=str2bool` and its like: these words mean what they say
        named = getattr(kind, "name", "") or getattr(getattr(kind, "node", None), "name", "")
        is_builtin = isinstance(kind, Symbol) and kind.path == "builtins.bool"
        says_so = "bool" in named.lower() and not is_builtin and isinstance(guess, Constant)
        return guess if says_so and isinstance(guess.value, bool) else UNKNOWN  # type: ignore[attr-defined]


def _action(call: Call) -> str:
    """The action by name; "store" if none is given, empty if it cannot be told."""
    action = call.argument("action")
    if action is ABSENT:
        return "store"
    return text(action) or (action.name if isinstance(action, Symbol) else "")


def _is_word(value: Value) -> bool:
    return isinstance(value, Constant) and isinstance(value.value, str)
