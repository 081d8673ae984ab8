"""Following: records as they come, a clock where the source has none, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.sources.base import Record, Source
from trainguard.sources.following import follow


class Scripted(Source):
    """Gives one batch a poll, and moves the clock by ten seconds with each wait."""

    kind = "log"

    def __init__(self, *batches: list[Record], ends: bool = True, prompt: bool = True) -> None:
        super().__init__("scripted")
        self._batches = list(batches)
        self._ends = ends
        self.prompt = prompt
        self.now = 1000.0
        self.waits = 0

    def poll(self, *, last: bool = False) -> Iterator[Record]:
        if self._batches:
            yield from map(self.noticed, self._batches.pop(0))
        elif self._ends:
            self.ended = True

    def wait(self, seconds: float) -> None:
        self.now += 10
        self.waits += 1
        if self.waits > 100:
            raise KeyboardInterrupt


def seen(source: Scripted, **options: bool) -> list[Record]:
    found: list[Record] = []
    try:
        for each in follow(source, clock=lambda: source.now, **options):
            if each is not None:
                found.append(each)  # noqa: PERF401 - what came before an interruption counts
    except KeyboardInterrupt:
        found.append({"interrupted": True})
    return found


def loss(step: int, **more: float) -> Record:
    return {"loss": 1.0, "step": step, **more}


def test_what_was_there_before_has_no_time_and_what_comes_has_the_time_it_came() -> None:
    found = seen(Scripted([loss(1), loss(2)], [loss(3)], [loss(4)]))

    assert [each.get("t") for each in found] == [None, None, 10.0, 20.0]


def test_times_of_the_run_are_kept_and_silence_goes_on_from_them() -> None:
    found = seen(Scripted([loss(1, t=500.0)], [loss(2, t=510.0)], [], [], [loss(3, t=541.0)]))

    assert [each["t"] for each in found] == [500.0, 510.0, 520.0, 530.0, 541.0]
    assert [bool(each.get("tick")) for each in found] == [False, False, True, True, False]


def test_a_run_that_was_over_before_anybody_looked_does_not_hang() -> None:
    source = Scripted([loss(1, t=5.0)], ends=False)

    assert seen(source)[1:] == [{"interrupted": True}]


def test_a_file_that_is_written_at_saves_has_no_clock() -> None:
    found = seen(Scripted([loss(1)], [loss(2)], [], [loss(3)], prompt=False))

    assert not any("t" in each for each in found)


def test_bursts_are_no_silence() -> None:
    """Behind a buffer a log comes in bursts: silence between them says nothing, and of each the last has a time."""
    batches = [[loss(10 * n + each) for each in range(8)] for n in range(3)]
    found = seen(Scripted(batches[0], batches[1], [], [], batches[2], [], []))

    assert not any(each.get("tick") for each in found)
    assert [each["step"] for each in found if "t" in each] == [17, 27]


def test_it_ends_after_one_more_look() -> None:
    summary: Record = {"train_runtime": 1.0, "step": 9}
    source = Scripted([loss(9), summary], [{"eval_loss": 1.0, "step": 9}], ends=False)

    assert len(seen(source)) == 3
    assert source.ended


def test_it_goes_on_after_the_end_when_asked() -> None:
    source = Scripted([{"train_runtime": 1.0, "step": 9}], ends=False)

    assert seen(source, until_end=False)[-1] == {"interrupted": True}
