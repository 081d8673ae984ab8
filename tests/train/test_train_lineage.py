"""Where a run begins, decided from manifests alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainguard.errors import UsageError
from trainguard.facts.checkpoint.manifest import Manifest
from trainguard.facts.checkpoint.records import Checkpoint, TrainerState
from trainguard.facts.config.schema import RunConfig
from trainguard.facts.config.schema_blocks import Lora
from trainguard.train.identity import Identity, identify
from trainguard.train.lineage import Start, choose_start, described_run


def identity(data: str = "A", batch: int = 2, **fields: Any) -> Identity:
    return identify(RunConfig(base_model="base", **fields), [], [data], effective_batch=batch)


def checkpoint(step: int, run: dict[str, Any] | None, *, last: int | None = None) -> Checkpoint:
    manifest = None
    if run is not None:
        manifest = Manifest(format_version=1, step=step, created="2025-01-01T00:00:00+00:00", files=(), run=run)
    state = TrainerState(global_step=step, max_steps=last)
    path = Path(f"out/checkpoint-{step}")
    return Checkpoint(path=path, name=path.name, step=step, state=state, manifest=manifest, verified=True)


def saved(step: int, then: Identity | None = None, start: Start | None = None, planned: int = 40) -> Checkpoint:
    then, start = then or identity(), start or Start(kind="fresh")
    return checkpoint(step, described_run(then, start, planned_steps=planned, schedule="restart"))


def test_without_a_checkpoint_it_begins_anew() -> None:
    assert choose_start(None, identity(), steps=40).kind == "fresh"
    assert choose_start(saved(20), identity(), steps=40, resume=False).kind == "fresh"


def test_the_middle_of_the_same_data_is_resumed() -> None:
    start = choose_start(saved(20), identity(), steps=40)
    assert (start.kind, start.done, start.planned_steps, start.notes) == ("resume", 20, 40, ())


def test_the_end_of_the_same_data_is_complete() -> None:
    start = choose_start(saved(40), identity(), steps=40)
    assert (start.kind, start.done, start.file_number) == ("complete", 40, 1)


def test_other_data_come_on_top_and_count_on() -> None:
    start = choose_start(saved(40), identity("B"), steps=40)
    assert (start.kind, start.step_before, start.file_number, start.done) == ("next", 40, 2, 0)
    assert start.history[0]["data_hash"] == identity().data_hash
    middle = saved(55, identity("B"), start)
    again = choose_start(middle, identity("B"), steps=40)
    assert (again.kind, again.step_before, again.done, again.file_number) == ("resume", 40, 15, 2)
    third = choose_start(saved(80, identity("B"), start), identity("A"), steps=40)
    assert (third.kind, third.step_before, third.file_number, len(third.history)) == ("next", 80, 3, 2)


def test_other_data_never_leave_the_last_file_unfinished_unasked() -> None:
    with pytest.raises(UsageError, match="is at step 20 of 40 of A"):
        choose_start(checkpoint(20, {**_run(), "data": [{"name": "A"}]}), identity("B"), steps=40)
    assert choose_start(saved(20), identity("B"), steps=40, on_top=True).kind == "next"


def test_more_epochs_go_on_where_the_data_ended() -> None:
    start = choose_start(saved(40), identity(epochs=6), steps=80)
    assert (start.kind, start.step_before, start.done) == ("resume", 0, 40)


def test_fewer_epochs_than_were_trained_are_no_reason_to_train() -> None:
    start = choose_start(saved(40), identity(epochs=1), steps=20)
    assert start.kind == "next"
    assert "epochs" in start.notes[0]


def test_the_same_data_with_another_learning_rate_are_another_file_and_it_is_said() -> None:
    start = choose_start(saved(40), identity(learning_rate=1e-4), steps=40)
    assert start.kind == "next"
    assert "learning_rate changed" in start.notes[0]


def test_what_only_logs_or_saves_changes_nothing() -> None:
    assert choose_start(saved(40), identity(logging_steps=1), steps=40).kind == "complete"


def test_another_effective_batch_on_a_resume_is_said() -> None:
    start = choose_start(saved(20), identity(batch=4), steps=20)
    assert "the effective batch was 2 and is 4" in start.notes[-1]


def test_halving_the_batch_and_doubling_the_accumulation_keeps_the_place_in_the_data() -> None:
    start = choose_start(saved(20), identity(batch_size=4, gradient_accumulation=2), steps=40)
    assert start.kind == "resume"
    assert not any("effective batch" in note for note in start.notes)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"method": "lora"}, "method full"), ({"method": "lora", "lora": Lora(r=8)}, "method full")],
)
def test_weights_that_do_not_fit_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose_start(saved(40), identity("B", **fields), steps=40)


def test_an_adapter_of_another_rank_is_refused() -> None:
    with pytest.raises(UsageError, match=r"lora\.r 16"):
        choose_start(saved(40, identity(method="lora")), identity(method="lora", lora=Lora(r=8)), steps=40)


def test_lora_and_qlora_adapters_fit_each_other() -> None:
    assert choose_start(saved(40, identity(method="lora")), identity("B", method="qlora"), steps=40).kind == "next"


def test_a_checkpoint_of_another_trainer_is_resumed_but_never_called_complete() -> None:
    assert choose_start(checkpoint(20, None, last=40), identity(), steps=40).kind == "resume"
    with pytest.raises(UsageError, match="does not say on which data"):
        choose_start(checkpoint(40, None, last=40), identity(), steps=40)
    start = choose_start(checkpoint(40, None, last=40), identity(), steps=40, on_top=True)
    assert (start.kind, start.step_before) == ("next", 40)


@pytest.mark.parametrize("broken", [{"step_before": 99}, {"planned_steps": "x"}, {"data_hash": 3}, {"history": 1}])
def test_a_manifest_that_makes_no_sense_is_as_none(broken: dict[str, Any]) -> None:
    start = choose_start(checkpoint(20, {**_run(), **broken}, last=40), identity(), steps=40)
    assert (start.kind, start.step_before) == ("resume", 0)


def _run() -> dict[str, Any]:
    return described_run(identity(), Start(kind="fresh"), planned_steps=40, schedule="restart")


def test_data_are_known_by_their_content_in_the_order_of_the_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text("1\n")
    two.write_text("2\n")
    run = RunConfig(base_model="base")
    first = identify(run, [one, two], [], effective_batch=1)
    moved = one.rename(tmp_path / "moved.jsonl")
    assert identify(run, [moved, two], [], effective_batch=1).data_hash == first.data_hash
    assert identify(run, [two, moved], [], effective_batch=1).data_hash != first.data_hash
    two.write_text("3\n")
    assert identify(run, [moved, two], [], effective_batch=1).data_hash != first.data_hash
    import hashlib

    assert first.files[0].sha256 == hashlib.sha256(b"1\n").hexdigest()


def test_a_folder_of_shards_is_one_data(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "b.jsonl").write_text("2")
    (tmp_path / "shards" / "a.jsonl").write_text("1")
    found = identify(RunConfig(), [tmp_path / "shards"], [], effective_batch=1)
    assert [each.name for each in found.files] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(UsageError, match="cannot be read"):
        identify(RunConfig(), [tmp_path / "gone"], [], effective_batch=1)
