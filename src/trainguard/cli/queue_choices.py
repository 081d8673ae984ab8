"""Options with a few words to choose from, which say what was meant where a word is misspelt."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trainguard.queue.records import Priority, State

STATES: tuple[State, ...] = (
    "accepted",
    "checking",
    "waiting",
    "training",
    "verifying",
    "done",
    "failed",
    "quarantined",
    "held",
)
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
# What people call a state that has another name here.
_ALSO = {
    "queued": "waiting",
    "pending": "waiting",
    "running": "training",
    "completed": "done",
    "finished": "done",
    "error": "failed",
    "cancelled": "failed",
    "paused": "held",
    "urgent": "high",
    "medium": "normal",
    "default": "normal",
}


class Words(click.Choice[str]):
    """As `click.Choice`, shown in the help as `metavar`, whatever the number of words."""

    def __init__(self, words: tuple[str, ...], metavar: str | None = None) -> None:
        super().__init__(words)
        self._metavar = metavar

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._metavar or super().get_metavar(param, ctx)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            meant = nearest(str(value), tuple(self.choices))
            if meant is None:
                raise
            raise click.BadParameter(f"{error.message} Did you mean {meant!r}?", ctx, param) from None


def nearest(word: str, words: tuple[str, ...]) -> str | None:
    """The word that was meant, None where none is near."""
    lower = word.strip().lower()
    if lower in words:
        return lower
    if _ALSO.get(lower) in words:
        return _ALSO[lower]
    begun = [each for each in words if lower and each.startswith(lower)]
    close = begun[:1] or difflib.get_close_matches(lower[:40], words, n=1, cutoff=0.5)
    return close[0] if close else None
