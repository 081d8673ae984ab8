"""What looks at the content of rows inside a worker: token lengths, near-duplicates, rows of the evaluation data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trainguard.facts.data.blocks import Watcher
from trainguard.facts.data.options import Options
from trainguard.facts.data.records import MAX_SAMPLE_CHARACTERS, Duplicates, Leak
from trainguard.facts.data.tally import Tally

if TYPE_CHECKING:
    from trainguard.facts.data.leak import EvalIndex
    from trainguard.facts.data.near import NearDuplicates


class _Lengths:
    def __init__(self, options: Options) -> None:
        from trainguard.facts.data.lengths import Measure

        self._measure = Measure(options)
        self._path = options.path
        self.bound = self._measure.bound
        self.every = self._measure.every

    def add(self, number: int, row: dict[str, Any], line: bytes, sampled: bool) -> None:
        self._measure.add(self._path, number, row, len(line), sampled)

    def finish(self, tally: Tally) -> None:
        tally.measured = self._measure.state()


def measures_lengths(options: Options) -> bool:
    """Whether lengths are asked for."""
    return options.lengths or options.max_length is not None


class _Near:
    """Signatures of all rows, for the parent to compare."""

    bound = -1
    every = 0

    def __init__(self, options: Options) -> None:
        from trainguard.facts.data.near import Sketcher

        self._sketcher = Sketcher(options)
        self._found: list[tuple[int, bytes, str]] = []

    def add(self, number: int, row: dict[str, Any], line: bytes, sampled: bool) -> None:  # noqa: ARG002
        signature = self._sketcher.signature(row)
        if signature:
            text = line[: 4 * MAX_SAMPLE_CHARACTERS].decode("utf-8", "ignore")[:MAX_SAMPLE_CHARACTERS]
            self._found.append((number, signature, text))

    def finish(self, tally: Tally) -> None:
        tally.near, self._found = self._found, []


class _Leaks:
    """Looks every row up in the evaluation data."""

    bound = -1
    every = 0

    def __init__(self, options: Options, evaluation: bytes) -> None:
        from trainguard.facts.data.leak import EvalIndex

        self._index = EvalIndex.from_state(msgspec.msgpack.decode(evaluation))
        self._path = options.path

    def add(self, number: int, row: dict[str, Any], line: bytes, sampled: bool) -> None:  # noqa: ARG002
        self._index.look(self._path, number, row)

    def finish(self, tally: Tally) -> None:
        tally.leaks = self._index.hits()


def watchers(options: Options, evaluation: bytes) -> list[Watcher]:
    """The watchers that the options ask for; `evaluation` is what the search for leaks knows of the evaluation data."""
    found: list[Watcher] = []
    if measures_lengths(options):
        found.append(_Lengths(options))
    if options.near_duplicates:
        found.append(_Near(options))
    if evaluation:
        found.append(_Leaks(options, evaluation))
    return found


class Searches:
    """The parent's side: near-duplicates among the rows, and rows of the evaluation data."""

    def __init__(self, options: Options) -> None:
        self.notes: list[str] = []
        self.evaluation = b""
        self._options = options
        self._near = self._start_near() if options.near_duplicates else None
        self._index = self._start_leak(options.eval_path) if options.eval_path is not None else None

    @property
    def options(self) -> Options:
        """The options without what cannot be done here."""
        return msgspec.structs.replace(self._options, near_duplicates=self._near is not None)

    def _start_near(self) -> NearDuplicates | None:
        from trainguard.facts.data.near import MissingLibraryError, NearDuplicates, Sketcher

        try:
            Sketcher(self._options)
        except MissingLibraryError as error:
            self.notes.append(f"near-duplicates were not looked for: {error}")
            return None
        return NearDuplicates()

    def _start_leak(self, eval_path: str) -> EvalIndex | None:
        from trainguard.facts.data.leak import EvalIndex
        from trainguard.facts.data.rows import iterate

        index = EvalIndex.build(iterate(Path(eval_path), self._options.format), path=eval_path)
        self.evaluation = msgspec.msgpack.encode(index.to_state())
        return index

    def near(self, path: str, line: int, signature: bytes, text: str) -> None:
        """A row's signature, from a worker."""
        if self._near is not None:
            self._near.add(path, line, signature, text)

    def conclude(self, exact: Duplicates, hits: list[tuple[str, int, Any]]) -> tuple[Duplicates, Leak | None]:
        """What has been found, in the form of facts."""
        duplicates, leak = exact, None
        if self._near is not None:
            from trainguard.facts.data.near import THRESHOLD

            count, looked_at, samples = self._near.finish()
            duplicates = replace(
                exact, near=count, looked_at=looked_at, threshold=THRESHOLD, samples=(*exact.samples, *samples)
            )
        if self._index is not None:
            from trainguard.facts.data.leak import conclude

            leak = conclude(self._index, hits)
        return duplicates, leak
