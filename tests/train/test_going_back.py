"""Back to before a step, two files of the same content, and a folder that was given to somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.train.checkpoint_folders import checkpoint as save
from tests.train.checkpoint_folders import write_files
from tests.train.test_train_lineage import checkpoint, identity, saved

from trainguard.checkpoints import write_manifest
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.prunable import prunable
from trainguard.fencing import FencedError, write_fence
from trainguard.train.final_save import FINAL, save_final
from trainguard.train.going_back import newest_before, set_aside_from
from trainguard.train.identity import Identity, identify
from trainguard.train.lineage import Start, choose_start, described_run, leave_out
from trainguard.train.saving import CheckpointKeeper
from trainguard.train.staging import Staging, left_behind


def file(number: str | None, data: str = "A", **fields: Any) -> Identity:
    from trainguard.facts.config.schema import RunConfig

    return identify(RunConfig(base_model="base", **fields), [], [data], effective_batch=2, file_id=number)


# -- which file it is -----------------------------------------------------------


def test_the_same_content_under_another_id_is_another_file() -> None:
    start = choose_start(saved(40, file("7")), file("8"), steps=40)
    assert (start.kind, start.file_number, start.history[0]["file_id"]) == ("next", 2, "7")
    with pytest.raises(UsageError, match=r"file 7, while --file-id is 8.*--before-step 1"):
        choose_start(saved(20, file("7")), file("8"), steps=40)


def test_the_same_id_resumes_and_is_never_trained_twice() -> None:
    assert choose_start(saved(20, file("7")), file("7"), steps=40).kind == "resume"
    assert choose_start(saved(40, file("7")), file("7"), steps=40).kind == "complete"
    for changed in ({"learning_rate": 1e-4}, {"batch_size": 1}):
        start = choose_start(saved(40, file("7")), file("7", **changed), steps=40)
        assert start.kind == "complete", changed
    assert choose_start(saved(20, file("7")), file("7"), steps=40, on_top=True).kind == "resume"
    assert choose_start(saved(40, file("7")), file("7", data="B"), steps=40).kind == "next"


def test_a_file_that_another_one_was_trained_on_top_of_is_refused() -> None:
    second = choose_start(saved(20, file("7"), planned=20), file("8", "B"), steps=20)
    latest = saved(40, file("8", "B"), second, planned=20)
    with pytest.raises(UsageError, match=r"--file-id 7 .* already: file 1 of the lineage, which ended at step 20"):
        choose_start(latest, file("7"), steps=20)
    with pytest.raises(UsageError, match="already"):
        choose_start(latest, file("7"), steps=20, on_top=True)
    assert choose_start(latest, file("9"), steps=20).kind == "next"


def test_without_an_id_on_one_side_the_content_decides() -> None:
    assert choose_start(saved(20, file(None)), file("7"), steps=40).kind == "resume"
    assert choose_start(saved(40, file(None)), file("7"), steps=40).kind == "complete"
    assert choose_start(saved(20, file("7")), file(None), steps=40).kind == "resume"


def test_another_make_up_of_the_same_effective_batch_is_no_change() -> None:
    halved = identity(batch_size=4, gradient_accumulation=2)
    assert choose_start(saved(20), halved, steps=40).notes == ()
    assert choose_start(saved(40), halved, steps=40).kind == "complete"
    doubled = identity(batch=4, batch_size=16)
    assert choose_start(saved(40), doubled, steps=40).kind == "next"


# -- what is left out -----------------------------------------------------------


def start_at(step: int, skipped: tuple[tuple[int, int], ...] = ()) -> Start:
    return choose_start(saved(step, start=Start(kind="fresh", skipped=skipped)), identity(), steps=40)


def test_a_resume_takes_what_was_left_out_from_the_manifest() -> None:
    assert start_at(20, ((5, 6),)).skipped == ((5, 6),)
    assert leave_out(start_at(20, ((5, 6),)), ()).skipped == ((5, 6),)


def test_new_windows_come_last_and_after_what_is_trained() -> None:
    assert leave_out(start_at(8, ((5, 6),)), ((5, 6), (9, 9))).skipped == ((5, 6), (9, 9))
    assert leave_out(start_at(4), ((5, 6), (5, 5))).skipped == ((5, 6), (5, 5))
    with pytest.raises(UsageError, match="trained without steps 5-6"):
        leave_out(start_at(8, ((5, 6),)), ((9, 9),))
    with pytest.raises(UsageError, match=r"--skip-steps 8-9: .* at step 8 .*--before-step 8"):
        leave_out(start_at(8, ((5, 6),)), ((5, 6), (8, 9)))


def test_windows_of_a_manifest_that_make_no_sense_are_no_manifest() -> None:
    run = described_run(identity(), Start(kind="fresh"), planned_steps=40, schedule="restart")
    for broken in ([[0, 3]], [[5, 4]], [[1]], "x"):
        assert choose_start(checkpoint(20, {**run, "skipped": broken}, last=40), identity(), steps=40).skipped == ()


# -- back -----------------------------------------------------------------------


def lineage(output: Path, *steps: int, before: int = 0, planned: int = 40) -> None:
    for step in steps:
        folder = save(output, step)
        start = Start(kind="fresh", step_before=before)
        run = described_run(file("7"), start, planned_steps=planned, schedule="restart")
        write_manifest(folder, step=step, run=run)


def test_newer_checkpoints_are_set_aside_and_none_is_deleted(tmp_path: Path) -> None:
    lineage(tmp_path, 2, 4, 6, 8)
    found = newest_before(tmp_path, 5)
    assert found is not None
    assert found.name == "checkpoint-4"
    moved = set_aside_from(tmp_path, 5)
    assert [each.name for each in moved] == ["checkpoint-8", "checkpoint-6"]
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    kept = [tmp_path / "quarantine" / name / "trainguard.json" for name in ("checkpoint-6", "checkpoint-8")]
    assert all(each.is_file() for each in kept)
    note = json.loads((tmp_path / "quarantine/checkpoint-8.json").read_text())
    assert "before step 5" in note["reasons"][0]
    assert set_aside_from(tmp_path, 5) == []


def test_one_that_is_broken_is_passed_over(tmp_path: Path) -> None:
    lineage(tmp_path, 2, 4, 6)
    (tmp_path / "checkpoint-4/optimizer.pt").write_bytes(b"x")
    found = newest_before(tmp_path, 6)
    assert found is not None
    assert found.name == "checkpoint-2"


def test_without_one_the_end_of_the_file_before_is_taken_from_the_result(tmp_path: Path) -> None:
    lineage(tmp_path, 44, before=40)
    run = described_run(file("6", data="B"), Start(kind="fresh"), planned_steps=40, schedule="restart")
    save_final(tmp_path, lambda to: _touch(to / "model.safetensors"), step=40, run=run, base_model=None)
    found = newest_before(tmp_path, 42)
    assert found is not None
    start = choose_start(found, file("7"), steps=40)
    assert (start.kind, start.checkpoint, start.step_before) == ("next", tmp_path / FINAL, 40)
    (tmp_path / FINAL / "model.safetensors").write_bytes(b"other")
    with pytest.raises(UsageError, match="files up to step 40 would be lost"):
        newest_before(tmp_path, 42)
    assert (tmp_path / "checkpoint-44").is_dir()


def test_the_first_file_begins_anew(tmp_path: Path) -> None:
    lineage(tmp_path, 4, 6)
    assert newest_before(tmp_path, 3) is None
    assert newest_before(tmp_path / "gone", 3) is None


def _touch(path: Path) -> None:
    path.write_bytes(b"weights")


def test_the_checkpoint_that_a_file_began_with_stays_while_it_is_trained(tmp_path: Path) -> None:
    lineage(tmp_path, 40)
    lineage(tmp_path, 42, 44, 46, 48, before=40)
    keeper = CheckpointKeeper(tmp_path, keep=2, background=False)
    keeper.protect(tmp_path / "checkpoint-40")
    assert [each.name for each in keeper.prune()] == ["checkpoint-42", "checkpoint-44"]
    assert keeper.free_up(1 << 60) == []
    assert [each.name for each in prunable(tmp_path, keep=2)] == ["checkpoint-40"]


# -- fenced ---------------------------------------------------------------------


def test_who_has_a_lower_number_names_no_checkpoint_and_deletes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage(tmp_path, 2, 4, 6)
    monkeypatch.setenv("TRAINGUARD_FENCE", "3")
    write_fence(tmp_path, 3)
    keeper = CheckpointKeeper(tmp_path, keep=2, background=False)
    place = staged(tmp_path, keeper, 8)
    write_fence(tmp_path, 4)
    keeper.publish(place)
    assert keeper.fenced is not None
    assert not (tmp_path / "checkpoint-8").exists()
    assert left_behind(tmp_path) == []  # nobody finishes it later
    assert keeper.prune() == []
    assert (tmp_path / "checkpoint-2").is_dir()


def test_what_the_other_process_has_staged_meanwhile_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINGUARD_FENCE", "3")
    old = CheckpointKeeper(tmp_path, background=False)
    place = staged(tmp_path, old, 8)
    monkeypatch.setenv("TRAINGUARD_FENCE", "4")
    write_fence(tmp_path, 4)
    new = CheckpointKeeper(tmp_path, background=False)
    others = staged(tmp_path, new, 8)
    old.publish(place)
    assert old.fenced is not None
    new.publish(others)
    assert new.fenced is None
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-8"


def staged(output: Path, keeper: CheckpointKeeper, step: int) -> Staging:
    place = Staging(run_dir=output, step=step, fence=keeper.fence)
    place.begin()
    write_files(place.staged, step)
    place.mark_saved({}, None)
    return place


def test_the_result_is_refused_too_and_the_former_one_stands(tmp_path: Path) -> None:
    from trainguard.fencing import Fence

    def write(to: Path) -> None:
        _touch(to / "model.safetensors")
        write_fence(tmp_path, 9)  # while it is written

    save_final(tmp_path, lambda to: _touch(to / "first"), step=1, run={}, base_model=None)
    with pytest.raises(FencedError):
        save_final(tmp_path, write, step=2, run={}, base_model=None, fence=Fence(tmp_path, 8))
    assert (tmp_path / FINAL / "first").is_file()


# -- what is said before a run ----------------------------------------------------


@pytest.mark.parametrize("resumes", [True, False])
def test_a_checkpoint_at_its_end_is_nothing_to_warn_of(resumes: bool) -> None:
    from trainguard.findings import Finding, Report
    from trainguard.train.checking import without_handled

    found = [
        Finding(severity="warn", message="x", code="CKPT009"),
        Finding(severity="error", message="y", code="CKPT005"),
    ]
    report = Report(subject="out", findings=tuple(found))
    shown = without_handled([report], resumes)[0].findings
    assert [(each.code, each.severity) for each in shown] == [("CKPT005", "warn" if resumes else "error")]
