"""The campaign as Hypothesis draws it: one life of a daemon is one example of a state machine.

Rules are what people do and what goes wrong. What is drawn never depends on what the daemon makes of it, so a seed
draws the same life again, and a life can be drawn without being lived (`world` is None). What must hold is looked at
after every rule as far as it can be seen from outside, and wholly at the end (`model.judge`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from campaign import catalogue
from campaign.catalogue import Drop, Trainer
from trainguard.drills.process._power import CUTS

if TYPE_CHECKING:
    from hypothesis.stateful import MultipleResults

    from campaign.world import World

STEPS = 18
_MOST_FILES, _MOST_IN_TRAINER = 8, 6

_ROWS = st.integers(6, 16)
_PRIORITIES = st.sampled_from(["", "", "high", "low"])
_TENTHS = st.integers(2, 15)  # of a second: how long a fault from outside lasts
_PAUSE = st.integers(0, 12)  # tenths of a second until the next rule
_STEP = st.one_of(st.integers(1, 8), st.sampled_from([0, "save"]))
_SEEDS = st.integers(0, (1 << 30) - 1)


def _kinds(group: catalogue.Group) -> st.SearchStrategy[str]:
    """The faults of a group that the trainer of the life can be brought to."""
    return st.runner().flatmap(lambda life: st.sampled_from(catalogue.of_trainer(group, life.trainer)))


class BrokenError(AssertionError):
    """Something that must hold did not."""


class Life(RuleBasedStateMachine):
    """One life. `make_world` makes the world it is lived in; with `strict` what breaks ends it at once."""

    trainer: Trainer = "tiny"
    strict = True
    planned = 0  # faults of the life that was drawn last
    make_world: Callable[[], World | None] = staticmethod(lambda: None)

    files = Bundle("files")

    def __init__(self) -> None:
        super().__init__()
        self.faults = 0
        self.dropped = 0
        self.in_trainer = 0
        self.spoilt: set[str] = set()
        self.world = self.make_world()

    # People: files.

    @initialize(target=files, rows=st.tuples(_ROWS, _ROWS, _ROWS), pause=_PAUSE)
    def three_sound_files(self, rows: tuple[int, ...], pause: int) -> MultipleResults[Drop]:
        drops = [catalogue.sound(self._next(), each) for each in rows]
        for drop in drops:
            self._drop(drop, 0)
        self._rest(pause)
        return multiple(*drops)

    def _room(self) -> bool:
        return self.dropped < _MOST_FILES

    @precondition(_room)
    @rule(target=files, rows=_ROWS, priority=_PRIORITIES, pause=_PAUSE)
    def a_sound_file(self, rows: int, priority: str, pause: int) -> Drop:
        return self._drop(catalogue.sound(self._next(), rows, priority=priority), pause)

    @precondition(_room)
    @rule(what=st.sampled_from(catalogue.ODD), file=files, rows=_ROWS, tenths=st.integers(0, 10), pause=_PAUSE)
    def an_odd_file(self, what: str, file: Drop, rows: int, tenths: int, pause: int) -> None:
        drop = catalogue.odd(what, self._next(), rows, other=file, vanishes=tenths / 10)
        self._drop(drop, pause, what)

    # People: what they ask for on the command line.

    @rule(what=st.sampled_from(catalogue.WISHES), file=files, pause=_PAUSE)
    def a_person(self, what: str, file: Drop, pause: int) -> None:
        if self.world is not None:
            self.world.ask(what, *catalogue.wish(what, file))
        self._rest(pause)

    @rule(what=st.sampled_from(["pause", "drain", "second-daemon"]), now=st.booleans(), tenths=_TENTHS, pause=_PAUSE)
    def an_administrator(self, what: str, now: bool, tenths: int, pause: int) -> None:
        how = {"now": now, "seconds": tenths / 10} if what == "pause" else {}
        self._strike(what, **how)
        self._rest(pause)

    # What goes wrong.

    def _not_spoilt(self) -> bool:
        return self.in_trainer < _MOST_IN_TRAINER

    @precondition(_not_spoilt)
    @rule(what=_kinds("ends"), file=files, step=_STEP, code=st.sampled_from(catalogue.EXIT_CODES), pause=_PAUSE)
    def the_trainer_ends(self, what: str, file: Drop, step: int | str, code: int, pause: int) -> None:
        self._arm(what, file, step, pause, code)

    @precondition(_not_spoilt)
    @rule(what=_kinds("hangs"), file=files, step=_STEP, pause=_PAUSE)
    def the_trainer_hangs(self, what: str, file: Drop, step: int | str, pause: int) -> None:
        self._arm(what, file, step, pause)

    @precondition(_not_spoilt)
    @rule(what=_kinds("spoils"), file=files, step=_STEP, pause=_PAUSE)
    def the_training_is_spoilt(self, what: str, file: Drop, step: int | str, pause: int) -> None:
        self._arm(what, file, step, pause)

    @rule(who=st.sampled_from(catalogue.VICTIMS), pause=_PAUSE)
    def kill(self, who: str, pause: int) -> None:
        self._strike(f"kill-{who}")
        self._rest(pause)

    @rule(cut=st.sampled_from(CUTS), share=st.integers(0, 100), number=_SEEDS, pause=_PAUSE)
    def power(self, cut: str, share: int, number: int, pause: int) -> None:
        self._strike("power", cut=cut, share=share / 100, number=number)
        self._rest(pause)

    @rule(who=st.sampled_from(catalogue.SLEEPERS), tenths=_TENTHS, pause=_PAUSE)
    def stop_and_continue(self, who: str, tenths: int, pause: int) -> None:
        self._strike(f"stop-and-continue-{who}", seconds=tenths / 10)
        self._rest(pause)

    @rule(what=st.sampled_from(catalogue.DISK_FAULTS), tenths=_TENTHS, pause=_PAUSE)
    def disk(self, what: str, tenths: int, pause: int) -> None:
        self._strike(what, seconds=tenths / 10)
        self._rest(pause)

    @rule(days=st.integers(-400, 400), pause=_PAUSE)
    def clock(self, days: int, pause: int) -> None:
        self._strike("clock", days=days)
        self._rest(pause)

    # What must hold.

    @invariant()
    def nothing_is_broken(self) -> None:
        if self.world is not None:
            self.world.tick()
            if self.strict and self.world.violations:
                raise BrokenError("; ".join(self.world.violations))

    def teardown(self) -> None:
        if self.world is None:
            return
        found = self.world.finish()
        if self.strict and found["violations"]:
            raise BrokenError("; ".join(found["violations"]))

    # How.

    def _next(self) -> int:
        self.dropped += 1
        return self.dropped

    def _rest(self, tenths: int) -> None:
        if self.world is not None:
            self.world.wait(tenths / 10)

    def _drop(self, drop: Drop, pause: int, fault: str | None = None) -> Drop:
        self.faults += fault is not None
        if self.world is not None:
            self.world.drop(drop, fault)
        self._rest(pause)
        return drop

    def _arm(self, what: str, file: Drop, step: int | str, pause: int, code: int = 1) -> None:
        # A second loss of NaN with other data of the same file is no transient fault any more, and the file is held.
        if what == "nan" and file.name in self.spoilt:
            what = "oom"
        self.spoilt |= {file.name} if what == "nan" else set()
        self.in_trainer += 1
        self.faults += 1
        if self.world is not None:
            self.world.arm(catalogue.in_trainer(what, file, step, code, self.trainer))
        self._rest(pause)

    def _strike(self, what: str, **how: Any) -> None:
        self.faults += what != "pause"
        if self.world is not None:
            self.world.strike(what, **how)


def draw(life: type[Life], number: int, *, shrink: bool = False, steps: int = STEPS) -> None:
    """Draws the life of a seed, and lives it where its class makes a world.

    Of a seed Hypothesis draws its simplest example first, which is the same for every seed: the second one is the life.
    With `shrink` the simplest one is lived too, since Hypothesis compares smaller ones with it, and all smaller ones.
    """
    drawn = 0
    make_world: Callable[[], World | None] = life.make_world

    def world() -> World | None:
        nonlocal drawn
        drawn += 1
        return make_world() if shrink or drawn == 2 else None

    class Drawn(life):  # type: ignore[valid-type, misc]
        make_world = staticmethod(world)

        def teardown(self) -> None:
            if drawn == 2:
                life.planned = self.faults
            super().teardown()

    chosen = settings(
        max_examples=2,
        stateful_step_count=steps,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.normal if shrink else Verbosity.quiet,
        print_blob=False,
    )
    run_state_machine_as_test(seed(number)(Drawn), settings=chosen)


def planned(number: int, trainer: Trainer) -> int:
    """How many faults the life of a seed has, those included that will not come to be. It is only drawn."""
    life: type[Life] = type("Life", (Life,), {"trainer": trainer})
    draw(life, number)
    return life.planned
