"""Steps of printed metrics, told from the progress bar that the Trainer redraws right after them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trainguard.sources.base import Record
from trainguard.sources.names import SUMMARY, is_number, number

# tqdm 4.67, std.py `format_meter`: `{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, ...`.
# The Trainer's own bar has no description; tokenizing and loading have one.
_BAR = re.compile(r"(?:^|\s)\d{1,3}%\|[^|\n]{0,400}\|\s*(\d{1,12})/(\d{1,12})\s*\[")
_ANY_BAR = re.compile(r"\d{1,3}%\|")


class BarSteps:
    """Gives records the step that they lack.

    A record is held until the next bar, which tells its step. Where stdout is buffered (into a file, without
    `python -u`) the dicts come in bursts and no bar belongs to any of them: two without a bar between end the attempt,
    and records go on without a step.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._given_up = False
        self._held: list[Record] = []
        self._step = 0
        self._own = False  # whether records tell their step themselves

    @staticmethod
    def is_bar(text: str) -> bool:
        return _ANY_BAR.search(text) is not None

    def text(self, text: str) -> Iterator[Record]:
        """What a line of the log releases: its bar, if any, tells the step of the records before it."""
        if self._given_up or not self._held or "%|" not in text:
            return
        for match in _BAR.finditer(text):
            done, total = int(match[1]), int(match[2])
            # Only the bar of training is drawn when a loss is written; with another total another run goes on.
            if total != self.total and done >= 1 and any(_is_metrics(each) for each in self._held):
                self.total = total
            if total == self.total:
                yield from self._release(done)
                return

    def record(self, record: Record) -> Iterator[Record]:
        """The record, at once where it has a step or no bar can be trusted, else later."""
        step = number(record.get("step"))
        if step is not None:
            self._step, self._own = int(step), True
        if self._given_up or self._own:
            yield from self.flush()
            yield from self._at_last_step(record)
            return
        if _is_metrics(record) and any(_is_metrics(each) for each in self._held):
            self._given_up, self.total, self._step = True, None, 0
            yield from self.flush()
            yield record
            return
        self._held.append(record)
        if len(self._held) > _MOST_HELD:
            yield from self.flush()

    def flush(self) -> Iterator[Record]:
        """The records that are held, without a step that nothing tells."""
        held, self._held = self._held, []
        for record in held:
            yield from self._at_last_step(record)

    def _at_last_step(self, record: Record) -> Iterator[Record]:
        """Evaluations and the summary belong to the step before them."""
        if "step" not in record and not _is_metrics(record) and "event" not in record and self._step:
            record["step"] = self._step
        yield record

    def _release(self, step: int) -> Iterator[Record]:
        held, self._held = self._held, []
        for record in held:
            record["step"] = step
            yield record
        self._step = step


_MOST_HELD = 50


def _is_metrics(record: Record) -> bool:
    return is_number(record.get("loss")) and not SUMMARY & record.keys()
