"""The process that renders chat templates and tokenizes: it reads requests from standard input, see `limited.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from trainguard.facts.data.content import first_text, shared_prefix
from trainguard.facts.data.examples import Example, Rendered
from trainguard.facts.data.limited import bound_memory
from trainguard.facts.data.records import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES
from trainguard.facts.data.template import RefusedError, Renderer, TemplateLimitError
from trainguard.facts.data.token_counts import Counter, TokenizerError

# What rendering and tokenizing may take beyond the loaded tokenizer. A batch of rows and its tokens needs some 100 MB.
MEMORY_BYTES = 2 << 30


class State(msgspec.Struct):
    """What was measured of a range of rows; numbers are relative to the range."""

    handed: int = 0
    counted: int = 0
    lengths: dict[int, int] = msgspec.field(default_factory=dict)
    over: int = 0
    longest: int = 0
    lost: int = 0
    samples: list[tuple[int, str, str]] = msgspec.field(default_factory=list)  # number, text, detail
    refused: int = 0
    refusal: str | None = None
    inexact: bool = False
    problem: str | None = None


class Measuring:
    """Measures rows with one tokenizer. `summary` asks for the length of every row and not only of the long ones."""

    def __init__(self, folder: Path, max_length: int | None, summary: bool) -> None:
        self.counter = Counter(folder)
        self._renderer = Renderer(self.counter.facts.templates, self.counter.facts.special_tokens)
        self._eos = self.counter.facts.special_tokens.get("eos_token")
        self._max_length, self._summary = max_length, summary
        self.state = State()

    def rows(self, rows: list[tuple[int, dict[str, Any], bool]]) -> None:
        state = self.state
        state.handed += len(rows)
        if state.problem is not None:
            return
        examples: list[tuple[int, dict[str, Any], bool, Example, list[Rendered]]] = []
        for number, row, sampled in rows:
            try:
                example = Example(row, self._renderer, self._eos)
                rendered = example.render()
            except RefusedError as error:
                state.refused += 1
                state.refusal = state.refusal or str(error)
                continue
            except TemplateLimitError as error:
                state.problem = f"the chat template was given up: {error}"
                return
            if rendered:
                examples.append((number, row, sampled, example, [_encodable(each) for each in rendered]))
        self._measure(examples)

    def _measure(self, examples: list[tuple[int, dict[str, Any], bool, Example, list[Rendered]]]) -> None:
        wanted: list[tuple[int, Rendered]] = []
        limits: list[int | None] = []
        for index, (_, _, sampled, _, rendered) in enumerate(examples):
            exact = self._summary and sampled
            if exact or any(self._may_exceed(each) for each in rendered):
                wanted.extend((index, each) for each in rendered)
                limits.extend(None if exact else self._limit(each) for each in rendered)
        counts = self.counter.counts([each.text for _, each in wanted], limits)
        longest: dict[int, int] = {}
        for (index, each), count in zip(wanted, counts, strict=True):
            whole = count + (self.counter.specials if each.special else 0)
            longest[index] = max(longest.get(index, 0), whole)
        state = self.state
        for index, (number, row, sampled, example, rendered) in enumerate(examples):
            count = longest.get(index, -1)
            if self._summary and sampled and count >= 0:
                state.counted += 1
                state.lengths[count] = state.lengths.get(count, 0) + 1
            if self._max_length is not None and count > self._max_length:
                self._exceeds(number, row, example, rendered, count)

    def _limit(self, rendered: Rendered) -> int | None:
        """The tokens that the text may have, special tokens of the post-processor not counted; None for any number."""
        return None if self._max_length is None else self._max_length - self.counter.specials * rendered.special

    def _may_exceed(self, rendered: Rendered) -> bool:
        limit = self._limit(rendered)
        most = self.counter.at_most(rendered.text)
        return limit is not None and (most is None or most > limit)

    def _exceeds(
        self, number: int, row: dict[str, Any], example: Example, rendered: list[Rendered], count: int
    ) -> None:
        state = self.state
        state.over += 1
        state.longest = max(state.longest, count)
        try:
            lost = self._loses_answer(example, rendered)
        except (RefusedError, TemplateLimitError):
            lost = False
        state.lost += lost
        if len(state.samples) < MAX_SAMPLES:
            detail = f"{count} tokens" + (", and its answer begins after max_length" if lost else "")
            state.samples.append((number, first_text(row)[:MAX_SAMPLE_CHARACTERS], detail))

    def _loses_answer(self, example: Example, rendered: list[Rendered]) -> bool:
        """Whether nothing that is learnt is among the first `max_length` tokens, of every text of the row."""
        return all(self._cut_before_answer(example, each) for each in rendered)

    def _cut_before_answer(self, example: Example, rendered: Rendered) -> bool:
        assert self._max_length is not None
        if rendered.prompt is not None:
            # trl 1.16, sft_trainer.py: what is learnt begins where the tokens of the prompt and of the whole part.
            if self.counter.cuts:
                limit = self._max_length - 1 - self.counter.specials * rendered.special
                if self.counter.counts([rendered.prompt], [limit])[0] <= limit:
                    return False
            alone, whole = self.counter.ids([rendered.prompt, rendered.text], special=rendered.special)
            return shared_prefix(alone, whole) >= self._max_length
        answer = example.answer(rendered.text)
        if not answer:
            return False
        most = self.counter.at_most_before(rendered.text, answer)
        if most is not None and most < self._max_length:
            return False
        return self.counter.kept_characters(rendered.text, self._max_length) <= answer

    def take(self) -> State:
        state, self.state = self.state, State(problem=self.state.problem)
        return state

    def refuses(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the template says against the row, and whether it had to be given up."""
        if self._renderer.problem is not None:
            return {"problem": self._renderer.problem}
        try:
            Example(row, self._renderer, self._eos).render()
        except RefusedError as error:
            return {"refusal": str(error) or "it gives no reason"}
        except TemplateLimitError as error:
            return {"problem": f"its chat template was given up: {error}"}
        return {}


def _encodable(rendered: Rendered) -> Rendered:
    """Without lone surrogates, which no tokenizer takes; such rows are reported as badly encoded."""
    try:
        rendered.text.encode()
        if rendered.prompt is not None:
            rendered.prompt.encode()
    except UnicodeEncodeError:
        clean = rendered.text.encode("utf-8", "replace").decode()
        prompt = None if rendered.prompt is None else rendered.prompt.encode("utf-8", "replace").decode()
        return Rendered(clean, special=rendered.special, prompt=prompt)
    return rendered


def main() -> None:
    """Answers requests until standard input ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    measuring: Measuring | None = None
    while (request := _frame(source)) is not None:
        match request:
            case ["open", folder, max_length, summary]:
                try:
                    measuring = Measuring(Path(folder), max_length, summary)
                except TokenizerError as error:
                    _answer(target, {"problem": str(error)})
                    continue
                bound_memory(MEMORY_BYTES)
                _answer(target, {"cuts": measuring.counter.cuts, "template": measuring._renderer.problem})
            case ["rows", rows] if measuring is not None:
                try:
                    measuring.rows(rows)
                except MemoryError:
                    measuring.state.problem = "tokenizing took too much memory"
            case ["state"] if measuring is not None:
                _answer(target, measuring.take())
            case ["refuses", row] if measuring is not None:
                _answer(target, measuring.refuses(row))
            case _:
                return


def _frame(source: BinaryIO) -> Any:
    head = source.read(4)
    if len(head) < 4:
        return None
    return msgspec.msgpack.decode(source.read(int.from_bytes(head, "little")), strict=False)


def _answer(target: BinaryIO, value: Any) -> None:
    payload = msgspec.msgpack.encode(value)
    target.write(len(payload).to_bytes(4, "little") + payload)
    target.flush()


__all__ = ["Measuring", "State", "main"]
