"""Every drill passes on this machine, and fails when its guard is switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.catalogue import EDGE_CASES, IN_CATALOGUE
from trainguard.drills.guard import Guard
from trainguard.drills.needs import unmet
from trainguard.drills.registry import discover
from trainguard.drills.running import run_drill
from trainguard.findings import Finding

DRILLS = discover()
BUILT = {*range(1, 81), 101, 102}


def named(drills: tuple[Drill, ...]) -> list[object]:
    slow = pytest.mark.slow
    return [pytest.param(each, id=f"{each.number}", marks=[slow] if each.slow else []) for each in drills]


@pytest.mark.parametrize("drill", named(DRILLS))
def test_the_drill_passes_and_fails_without_its_guard(drill: Drill) -> None:
    lacks = unmet(drill.needs)
    if lacks is not None:
        pytest.skip(f"drill {drill.number} {lacks}")
    result = run_drill(drill)
    assert result.why == ()
    assert result.verdict == "passed"
    unguarded = run_drill(drill, guard=Guard.off(drill.codes))
    assert unguarded.verdict == "failed"
    assert not any("failed inside trainguard" in reason for reason in unguarded.why)


def test_the_rows_of_the_catalogue_are_drilled() -> None:
    assert {drill.number for drill in DRILLS} == BUILT


def test_the_catalogue_has_every_row_once() -> None:
    assert sorted(number for number in EDGE_CASES if number in IN_CATALOGUE) == list(IN_CATALOGUE)
    assert len({case.title for case in EDGE_CASES.values()}) == len(EDGE_CASES)
    assert all(case.codes for case in EDGE_CASES.values())


@pytest.mark.parametrize("drill", named(DRILLS))
def test_a_drill_says_what_it_is(drill: Drill) -> None:
    assert drill.title == EDGE_CASES[drill.number].title
    assert set(drill.codes) <= set(EDGE_CASES[drill.number].codes)
    assert type(drill).provoke is not Drill.provoke
    assert type(drill).expect is not Drill.expect


class Stub(Drill):
    number = 1
    area = "data"

    def __init__(self, *, raises: bool = False, lacks: bool = False) -> None:
        self.raises = raises
        self.scratch: Path | None = None
        if lacks:
            self.needs = frozenset({"gpu"})  # type: ignore[misc, arg-type]

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        self.scratch = scratch
        (scratch / "made").mkdir()
        if self.raises:
            raise ValueError("as provoked")
        return Outcome(findings=(Finding("error", "x", code="DATA001"),))

    def expect(self, outcome: Outcome) -> list[str]:
        return [*missing(outcome, "DATA001"), *surplus(outcome, "DATA001")]


def test_scratch_folders_are_removed_unless_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for raises in (False, True):
        run_drill(Stub(raises=raises))
        assert list(tmp_path.iterdir()) == []
    kept = run_drill(Stub(), keep=True).kept
    assert kept is not None
    assert (kept / "made").is_dir()


def test_a_drill_that_raises_has_failed() -> None:
    result = run_drill(Stub(raises=True))
    assert result.verdict == "failed"
    assert "ValueError: as provoked" in result.why[0]


def test_a_drill_that_lacks_something_is_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainguard.drills.running.unmet", lambda needs: "needs a GPU" if needs else None)
    drill = Stub(lacks=True)
    result = run_drill(drill)
    assert (result.verdict, result.why) == ("not run", ("needs a GPU",))
    assert drill.scratch is None


def test_what_a_finding_lacks_is_said() -> None:
    finding = Finding("warn", "seven rows", code="DATA001", evidence={"count": 7})
    outcome = Outcome(findings=(finding, Finding("error", "bad", code="DATA002")))
    assert list(missing(outcome, "DATA003")) == ["there is no DATA003, only DATA001, DATA002"]
    lacks = list(missing(outcome, "DATA001", says=["eight"], line=3, evidence={"count": 8}))
    assert len(lacks) == 4
    assert list(missing(outcome, "DATA001", severity="warn", says=["seven"], evidence={"count": 7})) == []
    assert list(surplus(outcome, "DATA001")) == ["DATA002 was not provoked: bad"]


def test_a_guard_that_is_off_takes_the_highest_checkpoint(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-11").write_text("a file")
    assert Guard.off(()).latest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
