"""Readers for the values of a submission: each takes anything, and notes what has a wrong type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

_FALSE_WORDS = frozenset({"", "0", "false", "no", "off", "none", "null"})
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_SUFFIXES = (".py", ".ipynb", ".sh", ".yaml", ".yml", ".toml", ".json")


def script_kind(script: str) -> Literal["inline", "url", "path", "command"]:
    """Inline source has a newline; a single line is a URL, a file, a statement or a program's name."""
    if "\n" in script.strip():
        return "inline"
    text = script.strip()
    if text.startswith(("http://", "https://")):
        return "url"
    if text.lower().endswith(_FILE_SUFFIXES):
        return "path"
    if re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        return "command"
    # A path that has blanks still has no bracket, assignment or `import`, which every useful line of Python has.
    return "inline" if re.search(r"[()=;]|^(?:import|from)\s|\n", script) else "path"


def read_text(given: Mapping[str, Any], names: Sequence[str], problems: list[str]) -> str | None:
    """The first text among the arguments `names`, None where there is none or it is blank."""
    for name in names:
        value = given.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            # `str.__str__` rather than `str`: an enum member such as JobHardware.A10G_LARGE is its value.
            if value.strip():
                return str.__str__(value)
        else:
            problems.append(f"`{name}` is a {type(value).__name__}, not a text")
    return None


def read_texts(value: object, name: str, problems: list[str]) -> tuple[str, ...] | None:
    """The texts of a list; a string is split as a shell would, numbers become texts. None where not given."""
    if value is None:
        return None
    if isinstance(value, str):
        import shlex

        try:
            return tuple(shlex.split(value))
        except ValueError:
            return tuple(value.split())
    if not isinstance(value, list | tuple):
        problems.append(f"`{name}` is a {type(value).__name__}, not a list of texts")
        return None
    texts: list[str] = []
    for item in value:
        if isinstance(item, str):
            texts.append(str.__str__(item))
        elif isinstance(item, int | float):
            texts.append(_number(item))
        else:
            problems.append(f"`{name}` holds a {type(item).__name__}, not only texts")
    return tuple(texts)


def read_mapping(value: object, name: str, problems: list[str]) -> Mapping[str, str]:
    """Names to values: a mapping, a list of `NAME=value`, a list of {"name", "value"}, or a JSON text of these."""
    value = _decoded(value)
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str):
                found[key] = _plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, str) and "=" in item:
                key, _, text = item.partition("=")
                found[key.strip()] = text
            elif isinstance(item, Mapping) and isinstance(key := item.get("name", item.get("key")), str):
                found[key] = _plain(item.get("value"))
            elif not isinstance(item, str):
                problems.append(f"`{name}` holds a {type(item).__name__}")
    elif value is not None and not isinstance(value, str):
        problems.append(f"`{name}` is a {type(value).__name__}, not a mapping")
    return MappingProxyType(found)


def read_names(value: object, name: str, problems: list[str]) -> tuple[frozenset[str], Mapping[str, str]]:
    """The names in a mapping or a list of names (also `NAME=value`), and the values that were given."""
    value = _decoded(value)
    if isinstance(value, str):
        value = [part for part in re.split(r"[,\s]+", value) if part]
    values = read_mapping(value, name, problems)
    names = set(values)
    if isinstance(value, list | tuple | set | frozenset):
        names |= {item.strip() for item in value if isinstance(item, str) and _ENVIRONMENT_NAME.fullmatch(item.strip())}
    return frozenset(names), values


def read_flag(value: object, *, default: bool = False) -> bool:
    """A truth value as people write it in JSON; `default` where it is not given or no such value."""
    if isinstance(value, str):
        return value.strip().lower() not in _FALSE_WORDS
    return bool(value) if isinstance(value, bool | int | float) else default


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "["):
        import json

        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None
    return [line for line in text.splitlines() if "=" in line] if "=" in text else text or None


def _plain(item: object) -> str:
    if isinstance(item, str):
        return str.__str__(item)
    if isinstance(item, bool | int | float):
        return _number(item)
    return ""


def _number(item: float) -> str:
    try:
        return str(item)
    except ValueError:  # an int of more digits than `sys.get_int_max_str_digits`
        return ""
