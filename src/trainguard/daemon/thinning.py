"""One alert of a code in a time, and a digest of what came after it. Pure: the times are those of the events.

A code is told at its first event. What comes within `window_seconds` of that is counted, and told together once the
first of it is as old: five hundred bad files are one alert and one digest. A digest counts as told for each code in it,
so a fault that goes on for a day makes one message in each window. What is told follows from the events alone, in
whatever portions they are read, so a daemon that was killed decides the same again.
"""

from __future__ import annotations

from msgspec import Struct, field

_MOST_CODES = 200  # of a kind, which are remembered or counted by themselves
_OTHERS = "others"


class More(Struct, kw_only=True):
    """What was not told by itself: since when (unix seconds), the first of these events, how many of each code."""

    since: float
    first: int
    counts: dict[str, int] = field(default_factory=dict)


class Digest(Struct, frozen=True, kw_only=True):
    """What is told together. `first` is the number of its first event: no other digest of the kind has it."""

    kind: str
    first: int
    counts: dict[str, int]
    seconds: float  # over which they came


class Kind(Struct, kw_only=True):
    """The events of one kind, such as files that failed: when each code was told last, and what waits."""

    told: dict[str, float] = field(default_factory=dict)
    more: More | None = None


class Thinning(Struct, kw_only=True):
    """What has to outlive the daemon. Times are those of the queue's clock, since they may span a reboot."""

    kinds: dict[str, Kind] = field(default_factory=dict)

    def passes(self, kind: str, code: str, *, event: int, time: float, window_seconds: float) -> bool:
        """Whether this event is told by itself; else it is counted. Ask `ended` first, with the same time."""
        if window_seconds <= 0:
            return True
        known = self.kinds.setdefault(kind, Kind())
        last = known.told.get(code)
        # Both ways: a clock that was put back must not silence a code until it is there again.
        if last is None or abs(time - last) >= window_seconds:
            if len(known.told) >= _MOST_CODES:
                known.told = {each: at for each, at in known.told.items() if abs(time - at) < window_seconds}
            if len(known.told) < _MOST_CODES:
                known.told[code] = time
                return True
        if known.more is None:
            known.more = More(since=time, first=event)
        counts = known.more.counts
        name = code if code in counts or len(counts) < _MOST_CODES else _OTHERS
        counts[name] = counts.get(name, 0) + 1
        return False

    def ended(self, time: float, *, window_seconds: float, every: bool = False) -> list[Digest]:
        """The digests that are due at `time`, or every one; they are told from then on."""
        digests = []
        for kind, known in self.kinds.items():
            more = known.more
            if more is None or (abs(time - more.since) < window_seconds and not every):
                continue
            known.more = None
            seconds = min(max(time - more.since, 0.0), window_seconds) if every else window_seconds
            known.told |= dict.fromkeys(more.counts, more.since + seconds)
            digests.append(Digest(kind=kind, first=more.first, counts=more.counts, seconds=seconds))
        return digests
