"""How a hostile file is stated, and what most of them are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

MEBI = 1 << 20
_GOOD = b'{"messages": [{"role": "user", "content": "Question %d"}, {"role": "assistant", "content": "Answer %d"}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One hostile file. No `codes`: valid, however odd, and nothing of severity error or warn may be said of it.

    `large` files take seconds to write or to read.
    """

    name: str
    make: Callable[[Path, bool], Path]
    codes: frozenset[str] = frozenset()
    line: int | None = None
    large: bool = False
    needs: str = ""


HOSTILE: list[Hostile] = []


def hostile(
    name: str, codes: str = "", line: int | None = None, *, large: bool = False, needs: str = ""
) -> Callable[[Callable[[Path, bool], Path]], Callable[[Path, bool], Path]]:
    """Registers the function that writes a hostile file into a folder and returns its path."""

    def register(make: Callable[[Path, bool], Path]) -> Callable[[Path, bool], Path]:
        HOSTILE.append(
            Hostile(name=name, make=make, codes=frozenset(codes.split()), line=line, large=large, needs=needs)
        )
        return make

    return register


def good(number: int) -> bytes:
    """A valid row; another for every number."""
    return _GOOD % (number, number)


def around(row: bytes, before: int = 4, after: int = 4) -> bytes:
    """Lines with `row` on line `before` + 1."""
    return b"\n".join([*map(good, range(before)), row, *map(good, range(before, before + after)), b""])


def saved(folder: Path, parts: bytes | Iterable[bytes], name: str = "train.jsonl") -> Path:
    path = folder / name
    with path.open("wb") as file:
        for part in [parts] if isinstance(parts, bytes) else parts:
            file.write(part)
    return path


def fixed(name: str, codes: str, line: int | None, data: bytes, file: str = "train.jsonl") -> None:
    hostile(name, codes, line)(lambda folder, _: saved(folder, data, file))


def with_content(content: bytes) -> bytes:
    return b'{"messages": [{"role": "user", "content": "' + content + b'"}, {"role": "assistant", "content": "ok"}]}'


def with_extra(value: bytes) -> bytes:
    return good(77)[:-1] + b', "extra": ' + value + b"}"
