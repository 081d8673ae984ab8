"""How long the examples are in tokens, and what `max_length` cuts of them.

With a tokenizer the figures are those of the trainer (trl 1.16, transformers 5.23): the chat template is applied and
the library tokenizes. Without one they are estimates, and `Truncation` counts only rows that are too long for any
tokenizer in common use.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trainguard.facts.data.content import first_text, messages_of, texts
from trainguard.facts.data.examples import split_prompt
from trainguard.facts.data.limited import GoneError, Limited
from trainguard.facts.data.measuring import State
from trainguard.facts.data.options import Options
from trainguard.facts.data.records import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES, Lengths, Sample, Truncation

OVER = (512, 1024, 2048, 4096, 8192)
PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99)
HISTOGRAM_BARS = 20
# Bytes of text a token: OpenAI's rule of thumb for English, "1 token ~= 4 chars in English" (help.openai.com, "What
# are tokens and how to count them"). Only for the summary: nothing is warned of by it.
BYTES_A_TOKEN = 4
# Bytes of data up to which every row is measured for the summary, and to which larger data is sampled.
SUMMARY_BYTES = 32 << 20
_EVERY_ROW = -1
_NO_ROW = (1 << 63) - 1
_BATCH_ROWS = 512
_BATCH_BYTES = 1 << 20
# Characters of scripts that write no spaces. Tokens of three are the longest that are common.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_UNSPACED_A_TOKEN = 3


class Measure:
    """Measures rows of one process. Rows of no more than `bound` bytes need not be handed over, except one in `every`.

    `every` is 0 where no sample is wanted. `add` takes rows in order, with their number in the range, and `state` ends
    the range: its answer can be sent on as msgpack and belongs to `conclude`.
    """

    def __init__(self, options: Options) -> None:
        self._max_length, self._summary = options.max_length, options.lengths
        self._child: Limited | None = None
        self._problem: str | None = None
        self._buffer: list[tuple[int, dict[str, Any], bool]] = []
        self._size = 0
        self._skipped = 0
        self._state = State()
        if options.tokenizer is not None:
            self._start(options.tokenizer)
        # What a template adds is not bounded by the size of a row, so that with a tokenizer every row is rendered.
        # Without one, what counts as a token takes two bytes of the line at least.
        smallest = 2 * self._max_length - 1 if self._max_length is not None else _NO_ROW
        self.bound: int = smallest if self._problem is not None or options.tokenizer is None else _EVERY_ROW
        if self._max_length is None:
            self.bound = _NO_ROW
        self.every = sample_every(options.path) if self._summary else 0

    def _start(self, tokenizer: str) -> None:
        child = Limited()
        try:
            answer = child.open(["open", tokenizer, self._max_length, self._summary])
        except GoneError as error:
            self._problem = str(error)
            return
        if "problem" in answer:
            self._problem = f"the tokenizer cannot be used: {answer['problem']}"
            child.close()
            return
        self._child = child

    def add(self, path: str, number: int, row: dict[str, Any], size_bytes: int, sampled: bool) -> None:  # noqa: ARG002
        """One row: `number` counts from 0 in the range, `size_bytes` is no less than the bytes of its texts."""
        if self._child is None:
            self._estimate(number, row, sampled)
            return
        self._buffer.append((number, row, sampled))
        self._size += size_bytes
        if len(self._buffer) >= _BATCH_ROWS or self._size >= _BATCH_BYTES:
            self._flush()

    def state(self) -> dict[str, Any]:
        """What was measured since the last call."""
        if self._child is None:
            state, self._state = self._state, State()
            state.inexact = True
            state.problem = self._problem
            return dict(msgspec.to_builtins(state, str_keys=False))
        self._flush()
        child = self._child
        if child is not None:
            try:
                answer = child.ask(["state"])
            except GoneError as error:
                self._give_up(error)
            else:
                answer["refused"] += self._skipped
                self._skipped = 0
                return dict(answer)
        return dict(msgspec.to_builtins(State(problem=self._problem, inexact=True), str_keys=False))

    def close(self) -> None:
        if self._child is not None:
            self._child.close()

    def _flush(self) -> None:
        rows, self._buffer, self._size = self._buffer, [], 0
        if not rows or self._child is None:
            return
        try:
            self._child.tell(["rows", rows])
        except GoneError as error:
            self._give_up(error)
        except (ValueError, TypeError, OverflowError, RecursionError):
            self._one_by_one(rows)  # a number beyond 64 bits, or a lone surrogate

    def _one_by_one(self, rows: list[tuple[int, dict[str, Any], bool]]) -> None:
        for row in rows:
            if self._child is None:
                return
            try:
                self._child.tell(["rows", [row]])
            except GoneError as error:
                self._give_up(error)
            except (ValueError, TypeError, OverflowError, RecursionError):
                self._skipped += 1

    def _give_up(self, error: GoneError) -> None:
        self._problem = f"lengths are not known: {error}"
        if self._child is not None:
            self._child.close()
        self._child = None

    def _estimate(self, number: int, row: dict[str, Any], sampled: bool) -> None:
        state = self._state
        state.handed += 1
        if self._problem is not None and self._max_length is None and not self._summary:
            return
        parts = list(texts(row))
        if not parts:
            return
        if self._summary and sampled:
            state.counted += 1
            size = sum(len(part) if part.isascii() else len(part.encode("utf-8", "replace")) for part in parts)
            length = max(at_least(parts), -(-size // BYTES_A_TOKEN))
            state.lengths[length] = state.lengths.get(length, 0) + 1
        if self._max_length is None:
            return
        length = at_least(parts)
        if length <= self._max_length:
            return
        state.over += 1
        state.longest = max(state.longest, length)
        lost = at_least(_before_answer(row)) >= self._max_length
        state.lost += lost
        if len(state.samples) < MAX_SAMPLES:
            detail = f"at least {length} tokens" + (", and its answer begins after max_length" if lost else "")
            state.samples.append((number, first_text(row)[:MAX_SAMPLE_CHARACTERS], detail))


def at_least(parts: Iterable[str]) -> int:
    """Tokens that texts have with any tokenizer in common use: no token holds more than one run of non-space."""
    spaced = unspaced = 0
    for part in parts:
        spaced += len(part.split())
        if not part.isascii():
            unspaced += len(_UNSPACED.findall(part))
    return max(spaced, unspaced // _UNSPACED_A_TOKEN)


def _before_answer(row: Mapping[str, Any]) -> list[str]:
    """The texts that stand before the first answer; nothing where there is none."""
    prompt = row.get("prompt")
    if prompt is None and "chosen" in row:
        prompt, _ = split_prompt([row["chosen"], row.get("rejected")])
    if prompt is not None:
        return list(texts({"prompt": prompt})) if "completion" in row or "chosen" in row else []
    messages = messages_of(row.get("messages")) or messages_of(row.get("conversations")) or []
    before: list[str] = []
    for message in messages:
        if message.get("role") in ("assistant", "gpt"):
            return before
        before.extend(texts({"messages": [message]}))
    return []


def sample_every(path: str) -> int:
    """One row in how many is measured for a summary, from the bytes of the data: all rows of small data."""
    size = 0
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                size = sum(each.stat().st_size for each in entries if each.is_file())
        else:
            size = os.stat(path).st_size
    except OSError:
        return 1
    return max(1, -(-size // SUMMARY_BYTES))


def conclude(
    states: Iterable[tuple[str, int, Mapping[str, Any]]], rows: int, options: Options
) -> tuple[Lengths | None, Truncation | None, tuple[str, ...]]:
    """The states of all ranges in the order of the files, each with its path and the line of its first row."""
    total = State()
    samples: list[Sample] = []
    for path, first_line, state in states:
        each = msgspec.convert(state, State, strict=False)
        for name in ("handed", "counted", "over", "lost", "refused"):
            setattr(total, name, getattr(total, name) + getattr(each, name))
        total.longest = max(total.longest, each.longest)
        for length, count in each.lengths.items():
            total.lengths[length] = total.lengths.get(length, 0) + count
        total.refusal = total.refusal or each.refusal
        total.problem = total.problem or each.problem
        total.inexact = total.inexact or each.inexact
        for number, text, detail in each.samples[: MAX_SAMPLES - len(samples)]:
            samples.append(Sample(path=path, line=first_line + number, text=text, detail=detail))
    exact = options.tokenizer is not None and not total.inexact and total.problem is None
    notes = _notes(total, rows, options)
    lengths = summary(total.lengths, exact=exact) if options.lengths else None
    truncation = None
    if options.max_length is not None:
        truncation = Truncation(
            max_length=options.max_length,
            over=total.over,
            longest=total.longest,
            lost_answers=total.lost,
            exact=exact,
            samples=tuple(samples),
        )
    return lengths, truncation, notes


def _notes(total: State, rows: int, options: Options) -> tuple[str, ...]:
    notes = []
    if total.problem is not None:
        notes.append(total.problem)
    if total.refused:
        words = f": {total.refusal}" if total.refusal else ""
        notes.append(f"{total.refused} rows were not measured, because the chat template refuses them{words}")
    if options.lengths and 0 < total.counted < rows - total.refused:
        notes.append(f"lengths are of a sample of {total.counted} of {rows} rows")
    return tuple(notes)


def summary(lengths: Mapping[int, int], *, exact: bool) -> Lengths | None:
    """The figures of rows by their length in tokens; None without a row."""
    counted = sum(lengths.values())
    if not counted:
        return None
    ordered = sorted(lengths)
    total = sum(length * count for length, count in lengths.items())
    percentiles: dict[int, int] = {}
    seen, waiting = 0, list(PERCENTILES)
    for length in ordered:
        seen += lengths[length]
        while waiting and seen >= math.ceil(waiting[0] * counted / 100):  # the nearest rank
            percentiles[waiting.pop(0)] = length
    return Lengths(
        exact=exact,
        counted=counted,
        shortest=ordered[0],
        longest=ordered[-1],
        mean=total / counted,
        percentiles=percentiles,
        histogram=histogram(lengths, percentiles[99]),
        over={limit: sum(count for length, count in lengths.items() if length > limit) / counted for limit in OVER},
        total=total,
    )


def histogram(lengths: Mapping[int, int], usual: int) -> tuple[tuple[int, int, int], ...]:
    """Bars of a round width up to `usual` (the 99th percentile); the last one holds all that is longer."""
    shortest, longest = min(lengths), max(lengths)
    width = _round_width((usual - shortest + 1) / HISTOGRAM_BARS)
    start = shortest // width * width
    bars = (usual - start) // width + 1
    rows = [0] * bars
    for length, count in lengths.items():
        rows[min((length - start) // width, bars - 1)] += count
    ends = [start + width * (index + 1) for index in range(bars)]
    ends[-1] = max(ends[-1], longest + 1)
    return tuple((start + width * index, ends[index], rows[index]) for index in range(bars))


def _round_width(least: float) -> int:
    """1, 2 or 5 times a power of ten, no less than `least`."""
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if factor * scale >= least:
                return factor * scale
        scale *= 10


__all__ = ["Measure", "at_least", "conclude", "histogram", "sample_every", "summary"]
