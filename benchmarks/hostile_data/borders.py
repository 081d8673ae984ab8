"""What is right or wrong just where a reader ends one piece and begins the next."""

from __future__ import annotations

from .record import MEBI, around, good, hostile, saved, with_content


def at_offset(offset: int, row: bytes, inner: int) -> tuple[bytes, int]:
    """Valid lines, then `row` so that its byte number `inner` stands at `offset` of the file. Also `row`'s line."""
    start = offset - inner
    filler = good(10_000_000).replace(b"Answer", b"Answer " + b"word " * 180) + b"\n"
    lines: list[bytes] = []
    left = start
    number = 10_000_000
    while left > 3 * len(filler):
        lines.append(filler.replace(b"10000000", b"%d" % number))
        left -= len(filler)
        number += 1
    bare = len(good(number)) + 1
    lines.append(good(number).replace(b"Answer", b"Answer" + b"x" * (left - bare)) + b"\n")
    text = b"".join(lines)
    assert len(text) == start
    return text + row + b"\n" + around(good(20_000_000)), len(lines) + 1


def _borders() -> None:
    bad, emoji = with_content(b"ab\xffcd"), with_content("ab😀cd".encode())
    cut = with_content("ab😀cd".encode()[:5] + b"cd")
    for size in (4 * MEBI, 8 * MEBI, 16 * MEBI):
        for shift in (-1, 0, 1):
            offset = size + shift
            shown = f"{size // MEBI} MiB{shift:+}"
            for name, codes, row, inner in (
                ("invalid byte", "DATA007", bad, bad.index(b"\xff")),
                ("cut character", "DATA007", cut, cut.index(b"\xf0") + 2),
                ("emoji", "", emoji, emoji.index(b"\xf0") + 2),
                ("newline", "DATA002", b"{broken", 0),
                ("two objects", "DATA002", good(1) + good(2), len(good(1))),
                ("CR LF", "DATA002", good(1) + b"\r\n{broken\r", len(good(1)) + 1),
            ):
                _border(f"{name} at {shown}", codes, offset, row, inner)


def _border(name: str, codes: str, offset: int, row: bytes, inner: int) -> None:
    filler = len(good(10_000_000).replace(b"Answer", b"Answer " + b"word " * 180)) + 1
    lines = max(0, -(-(offset - inner - 3 * filler) // filler)) + 1  # those before the row
    line = lines + 1 + row[: row.find(b"{broken")].count(b"\n") if codes else None
    hostile(name, codes, line)(lambda folder, _: saved(folder, at_offset(offset, row, inner)[0]))


_borders()
