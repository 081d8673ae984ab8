"""Blocks of whole lines of JSON Lines -> a tally of one range.

A block is first given to the typed decoder of the shape that its rows are expected to have: one call, and the rest is
counted over all its rows at once. Only a block with something odd in it is looked at row by row.
"""

from __future__ import annotations

import gc
import io
from collections import Counter
from itertools import accumulate, chain, pairwise
from operator import attrgetter, itemgetter
from typing import Any, Protocol

import msgspec
import xxhash

from trainguard.facts.data.bulk import empty_rows, joined, mixed
from trainguard.facts.data.faults import BadLine, bad_line, column_at, column_of, not_an_object, with_nan
from trainguard.facts.data.judge import judge_row, place_of
from trainguard.facts.data.options import Options
from trainguard.facts.data.records import ProblemKind
from trainguard.facts.data.roles import PART, ROLES, Pattern, Verdict, judge_pattern
from trainguard.facts.data.schema import Shape
from trainguard.facts.data.tally import Seen, Spot, Tally, excerpt
from trainguard.facts.data.tokens import TokenFinder

_WHITE = b" \t\r\n"
_FIRST, _LAST = itemgetter(0), itemgetter(-2)  # of a line with its newline
_BRACE, _CLOSING = {ord("{")}, {ord("}")}
_NO_ROW = bytes(8)
_ESCAPED = b"\\u003c"  # of "<", with which the usual template tokens begin
_LOOK_EVERY = 8
# Of a row that a chat template is to judge, or that stands for a sample.
_MAX_ROW_KEPT = 65_536
# After a block that the decoder refused, so many are looked at row by row before it is tried again.
_REST = 3


class Watcher(Protocol):
    """What else wants to see rows; see `probes.py`."""

    bound: int
    every: int

    def add(self, number: int, row: dict[str, Any], line: bytes, sampled: bool) -> None:
        """Takes one sound row; `number` is its line, from 0 within the range."""

    def finish(self, tally: Tally) -> None:
        """Writes what was found since the last call into the tally."""


class BlockReader:
    """Reads blocks, one range after the other; what it learns of the rows' shape is kept between ranges."""

    def __init__(self, options: Options, watchers: list[Watcher] | None = None) -> None:
        self._options = options
        self._watchers = watchers or []
        self._roles = ROLES | set(options.roles)
        self._finder = TokenFinder(options.tokens)
        self._shape = Shape()
        self._decode = msgspec.json.Decoder()
        self._verdicts: dict[Pattern, Verdict | None] = {}
        self._finished_rows = 0
        self._escapes: bool | None = None
        self._blocks = 0
        self._rest = 0
        self._learning = True
        self._empty: dict[int, str] = {}
        self._tally = Tally()
        self._patterns: Counter[Pattern] = Counter()
        self._firsts: dict[Pattern, tuple[bytes, int]] = {}
        self._columns: Counter[str] = Counter()
        self._layouts: Counter[str] = Counter()

    def finish(self) -> Tally:
        """The tally of the range that ends here; the next block begins another."""
        tally = self._tally
        tally.columns = dict(self._columns)
        tally.layouts = dict(self._layouts)
        tally.hashes = joined(tally.hashes)
        tally.patterns = [Seen(each, count, *self._firsts[each]) for each, count in self._patterns.items()]
        for watcher in self._watchers:
            watcher.finish(tally)
        self._finished_rows += tally.rows
        self._tally = Tally()
        self._patterns, self._columns, self._layouts, self._firsts = Counter(), Counter(), Counter(), {}
        # Decoded rows hold no cycles, and the collector, which looks at each new list, is off in a worker.
        gc.collect(0)
        return tally

    def line(self, kind: ProblemKind, text: str, detail: str, name: str) -> None:
        """A line that cannot be read at all, such as one over the limit; it counts as one line."""
        self._note(kind, self._tally.lines, 1, text, detail, {name: 1})
        self._tally.lines += 1

    def mark(self) -> None:
        """The file begins with a byte order mark."""
        what = "a UTF-8 byte order mark (EF BB BF) before the first line"
        self._note("bad-encoding", 0, 1, "", what, {"byte order mark": 1})

    def number(self, line: int) -> None:
        """The line of the file (from 1) that the next line stands for, where each stands for another than its own."""
        self._tally.numbers.append(line)

    @property
    def pending_bytes(self) -> int:
        """The bytes of JSON that were read since the last tally."""
        return self._tally.size

    @property
    def sample(self) -> int | None:
        """About how many rows of a file are wanted, None for all."""
        return self._options.sample

    @property
    def rows_read(self) -> int:
        """The rows read by this reader so far."""
        return self._finished_rows + self._tally.rows

    @property
    def lines(self) -> int:
        """The lines since the last tally."""
        return self._tally.lines

    def line_of(self, number: int) -> int:
        """The line of the file that line `number` (both from 1) since the last tally stands for."""
        numbers = self._tally.numbers
        return numbers[number - 1] if number <= len(numbers) else number

    def skip(self, lines: int, *, size: int = 0) -> None:
        """Counts lines that are not looked at, and their bytes."""
        self._tally.lines += lines
        self._tally.size += size

    def read(self, block: bytes) -> None:
        """A block of whole lines; the last may lack its newline."""
        self._tally.size += len(block)
        if not block.endswith(b"\n"):
            block += b"\n"
        if block.isspace():
            self.skip(block.count(b"\n"))
            return
        if b"\r\n" in block[: block.index(b"\n") + 1]:
            # No JSON holds a bare line break within a string, so that nothing else is changed by this.
            block = block.replace(b"\r\n", b"\n")
        first = self._tally.lines
        # A block of one line may be as long as a line may be, and is not copied.
        lines = [block] if block.index(b"\n") == len(block) - 1 else io.BytesIO(block).readlines()
        hashes: bytes | None = None
        self._learning = not self._rest
        if self._rest:
            self._rest -= 1
        elif (decoder := self._shape.prepare()) is not None:
            hashes = self._at_once(decoder, block, lines, first)
            if hashes is None:
                self._rest = _REST
        if hashes is None:
            hashes = self._one_by_one(lines, first)
        self._tally.hashes.append((first, hashes))
        self._tally.lines += len(lines)

    # A whole block at once

    def _at_once(
        self, decoder: msgspec.json.Decoder[Any], block: bytes, lines: list[bytes], first: int
    ) -> bytes | None:
        """The hashes of the lines; None where the block has another shape, or something that asks for a closer look."""
        try:
            rows = decoder.decode_lines(block)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        # An object over two lines, or two on one line, are taken by `decode_lines`, but by no trainer's reader. Where
        # each line begins with a brace and ends with one, no object goes over two, and the counts tell the rest.
        if (
            len(rows) != len(lines)
            or b"\n" in lines
            or set(map(_FIRST, lines)) != _BRACE
            or set(map(_LAST, lines)) != _CLOSING
        ):
            return None
        patterns = self._patterns_of(rows, angles=self._may_hold_tokens(block))
        if patterns is None:
            return None
        shape = self._shape
        layout = shape.layout or ""
        if shape.chats:
            found = Counter(patterns)
            self._count_patterns(layout, found, patterns, lines, first)
            if self._empty:
                self._count_empty(layout, patterns, lines, first)
            self._tally.conversational += len(rows)
        self._tally.layout_firsts.setdefault(layout, first)
        self._layouts[layout] += len(rows)
        self._tally.rows += len(rows)
        for _, name in (*shape.texts, *shape.chats):
            self._columns[name] += len(rows)
        for attribute, name in shape.others:
            self._columns[name] += sum([getattr(row, attribute) is not msgspec.UNSET for row in rows])
        hashes = b"".join(map(xxhash.xxh3_64_digest, lines))
        if self._watchers:
            self._show_lines(lines, hashes, first)
        return hashes

    def _may_hold_tokens(self, block: bytes) -> bool:
        """Whether the block holds the first character of template tokens, as it is or as an escape."""
        first = self._finder.first_byte
        if first is None or first in block:
            return True
        # Who writes JSON escapes the character always or never; and to look for escapes costs as much as all contents.
        if self._escapes is None or self._blocks % _LOOK_EVERY == 0:
            self._escapes = b"\\u00" in block and _ESCAPED in block.lower()
        self._blocks += 1
        return self._escapes

    def _patterns_of(self, rows: list[Any], *, angles: bool) -> list[tuple[str, ...]] | None:
        """The roles of each row, none without a conversation; None where a content has to be looked at by itself."""
        shape = self._shape
        texts: list[str] = []
        for attribute, _ in shape.texts:
            texts += map(attrgetter(attribute), rows)
        if not all(texts) or any(map(str.isspace, texts)):
            return None
        patterns: list[tuple[str, ...]] = []
        self._empty = {}
        for at, (attribute, _) in enumerate(shape.chats):
            if self._empty:
                return None
            chats = list(map(attrgetter(attribute), rows))
            ends = list(accumulate(map(len, chats), initial=0))
            if not all(chats):
                return None
            messages = list(chain.from_iterable(chats))
            if shape.simple:
                contents = [message.m1 for message in messages]
                said = tuple([message.m0 for message in messages])
                if not all(contents) or any(map(str.isspace, contents)):
                    self._empty = empty_rows(chats)
            else:
                both = mixed(messages, shape.calls)
                if both is None:
                    return None
                contents, said = both[0], tuple(both[1])
            if angles and self._finder.any(contents):
                return None
            roles = [said[start:end] for start, end in pairwise(ends)]
            patterns = [(*before, PART, *each) for before, each in zip(patterns, roles, strict=True)] if at else roles
        return patterns

    def _count_patterns(
        self,
        layout: str,
        found: Counter[tuple[str, ...]],
        patterns: list[tuple[str, ...]],
        lines: list[bytes],
        first: int,
    ) -> None:
        bad: dict[tuple[str, ...], Verdict] = {}
        for roles, times in found.items():
            pattern = (layout, *roles)
            verdict = self._verdict(pattern)
            if verdict is not None:
                bad[roles] = verdict
            if pattern not in self._patterns:
                at = patterns.index(roles)
                self._firsts[pattern] = (lines[at][:_MAX_ROW_KEPT], first + at)
            self._patterns[pattern] += times
        if bad:
            self._bad_patterns(bad, found, patterns, lines, first)

    def _count_empty(self, layout: str, patterns: list[tuple[str, ...]], lines: list[bytes], first: int) -> None:
        """Counts the rows with an empty content of one who speaks, if nothing more fundamental is wrong with them."""
        for at, role in self._empty.items():
            verdict = self._verdict((layout, *patterns[at]))
            if verdict is None or verdict.kind != "unknown-role":
                trouble = self._tally.trouble("empty-content")
                if not trouble.full:
                    line = lines[at].rstrip(_WHITE)
                    faults = judge_row(self._decode.decode(line), self._finder).faults
                    for fault in faults[:1]:
                        self._faulty(line, first + at, fault.where, fault)
                else:
                    trouble.count += 1
                    trouble.name(role, 1)

    def _bad_patterns(
        self,
        bad: dict[tuple[str, ...], Verdict],
        found: Counter[tuple[str, ...]],
        patterns: list[tuple[str, ...]],
        lines: list[bytes],
        first: int,
    ) -> None:
        """Counts the rows of bad patterns, and looks for the places of the first few."""
        wanted = set()
        for roles, verdict in bad.items():
            trouble = self._tally.trouble(verdict.kind)
            trouble.count += found[roles]
            for name, count in verdict.counts.items():
                trouble.name(name, count * found[roles])
            if not trouble.full:
                wanted.add(roles)
        if not wanted:
            return
        for at, roles in enumerate(patterns):
            if roles in wanted and not (trouble := self._tally.trouble(bad[roles].kind)).full:
                line = lines[at].strip(_WHITE)
                where = place_of(self._decode.decode(line), self._shape.layout or "", bad[roles].message)
                text = line.decode("utf-8", "replace")
                column = column_at(text, where)
                trouble.spots.append(Spot(first + at, column, excerpt(text, column), bad[roles].detail))

    def _show_lines(self, lines: list[bytes], hashes: bytes, first: int) -> None:
        """Hands those rows to the watchers that they want to see."""
        bound = min(watcher.bound for watcher in self._watchers)
        every = [watcher.every for watcher in self._watchers if watcher.every]
        for at, line in enumerate(lines):
            hashed = int.from_bytes(hashes[8 * at : 8 * at + 8], "big") if every else 0
            if len(line) > bound or any(hashed % each == 0 for each in every):
                self._show(first + at, self._decode.decode(line), line, hashed)

    def _show(self, number: int, row: dict[str, Any], line: bytes, hashed: int) -> None:
        for watcher in self._watchers:
            sampled = bool(watcher.every) and hashed % watcher.every == 0
            if sampled or len(line) > watcher.bound:
                watcher.add(number, row, line, sampled)

    def _verdict(self, pattern: Pattern) -> Verdict | None:
        try:
            return self._verdicts[pattern]
        except KeyError:
            if len(self._verdicts) > 20_000:  # long conversations of which hardly two are alike
                self._verdicts.clear()
            verdict = judge_pattern(pattern, order=not self._options.template, known=self._roles)
            self._verdicts[pattern] = verdict
            return verdict

    # Row by row

    def _one_by_one(self, lines: list[bytes], first: int) -> bytes:
        """Judges each line by itself and gives the hashes of all, 0 for those without a row."""
        decode = self._decode.decode
        hashes = []
        for number, whole in enumerate(lines, first):
            line = whole.rstrip(_WHITE)
            if not line:
                hashes.append(_NO_ROW)
                continue
            try:
                row = decode(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
                row = with_nan(line, error)
                if row is None:
                    hashes.append(_NO_ROW)
                    self._bad_line(line, bad_line(line, error), number)
                    continue
            if not isinstance(row, dict):
                hashes.append(_NO_ROW)
                self._bad_line(line, not_an_object(row), number)
                continue
            hashed = xxhash.xxh3_64_digest(line + b"\n")
            hashes.append(hashed)
            self._row(row, line, number, int.from_bytes(hashed, "big"))
        return b"".join(hashes)

    def _row(self, row: dict[str, Any], line: bytes, number: int, hashed: int) -> None:
        tally = self._tally
        tally.rows += 1
        for name in row:
            self._columns[name] += 1
        judged = judge_row(row, self._finder)
        if judged.layout is None:
            self._faulty(line, number, judged.faults[0].where, judged.faults[0])
            return
        tally.layout_firsts.setdefault(judged.layout, number)
        self._layouts[judged.layout] += 1
        for fault in judged.faults:
            if fault.kind in ("messages-missing", "messages-empty", "unknown-role", "content-not-string"):
                self._faulty(line, number, fault.where, fault)
                return
        # What is wrong with a row from here on is not its shape.
        if self._learning:
            self._shape.learn(judged.layout, row)
        if judged.pattern is not None:
            pattern = judged.pattern
            tally.conversational += 1
            if pattern not in self._patterns:
                self._firsts[pattern] = (line[:_MAX_ROW_KEPT], number)
            self._patterns[pattern] += 1
            verdict = self._verdict(pattern)
            if verdict is not None:
                where = place_of(row, judged.layout, verdict.message)
                self._place(verdict.kind, line, number, where, verdict.detail, verdict.counts)
                if verdict.kind in ("messages-empty", "unknown-role"):
                    return
        # The same kind counts once a row.
        for fault in {fault.kind: fault for fault in reversed(judged.faults)}.values():
            self._faulty(line, number, fault.where, fault)
        if self._watchers:
            self._show(number, row, line, hashed)

    def _faulty(self, line: bytes, number: int, where: tuple[str | int, ...], fault: Any) -> None:
        self._place(fault.kind, line, number, where, fault.detail, {fault.name: 1} if fault.name else {})

    def _place(
        self,
        kind: ProblemKind,
        line: bytes,
        number: int,
        where: tuple[str | int, ...],
        detail: str,
        counts: dict[str, int],
    ) -> None:
        text, column = "", None
        if not self._tally.trouble(kind).full:
            text = line.decode("utf-8", "replace")
            column = column_at(text, where)
        self._note(kind, number, column, text, detail, counts)

    def _bad_line(self, line: bytes, bad: BadLine, number: int) -> None:
        text, column = "", None
        if not self._tally.trouble(bad.kind).full:
            text = line.decode("utf-8", "replace")
            column = column_of(line, bad.byte)
        self._note(bad.kind, number, column, text, bad.detail, {bad.name: 1})

    def _note(
        self, kind: ProblemKind, number: int, column: int | None, text: str, detail: str, counts: dict[str, int]
    ) -> None:
        trouble = self._tally.trouble(kind)
        trouble.count += 1
        for name, times in counts.items():
            trouble.name(name, times)
        if not trouble.full:
            trouble.spots.append(Spot(number, column, excerpt(text, column), detail))
