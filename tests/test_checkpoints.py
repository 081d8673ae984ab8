"""What is written about checkpoints: manifests and the quarantine."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trainguard import checkpoints
from trainguard.checkpoints import quarantine, verify_manifest, write_manifest
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.fingerprint import fingerprint
from trainguard.facts.checkpoint.reading import read_checkpoints
from trainguard.rules._example_files import raw, tensors, write_files
from trainguard.rules.checkpoint._example_checkpoints import saved, weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = saved(20)
    files["out/checkpoint-20/large.bin"] = raw(os.urandom(400_000), "large")
    files["out/checkpoint-20/below/a.txt"] = "a\n"
    write_files(files, tmp_path)
    return tmp_path / "out" / "checkpoint-20"


def test_a_manifest_lists_all_files_and_vouches(folder: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    path = write_manifest(folder, step=20, run={"base_model": "org/base", "max_length": 2048}, created=when)

    written = json.loads(path.read_text())
    assert written["step"] == 20
    assert written["created"] == "2026-01-02T03:04:05+00:00"
    assert written["run"] == {"base_model": "org/base", "max_length": 2048}
    assert "trainguard" in written["libraries"]
    inside = {each.relative_to(folder).as_posix(): each.stat().st_size for each in folder.rglob("*") if each.is_file()}
    inside.pop("trainguard.json")
    assert {each["name"]: each["size"] for each in written["files"]} == inside
    assert verify_manifest(folder, deep=True) == []
    found = read_checkpoints(folder).checkpoints[0]
    assert (found.verified, found.by) == (True, "manifest")


def test_hashes_are_those_of_xxhash(folder: Path) -> None:
    import xxhash

    written = json.loads(write_manifest(folder, step=20).read_text())

    for each in written["files"]:
        content = (folder / each["name"]).read_bytes()
        assert each["xxh3_128"] == xxhash.xxh3_128(content).hexdigest()


def test_a_manifest_tells_what_the_structure_does_not(folder: Path) -> None:
    write_manifest(folder, step=20)
    other = bytearray((folder / "model.safetensors").read_bytes())
    other[-1] ^= 1
    (folder / "model.safetensors").write_bytes(other)

    assert verify_manifest(folder) == [("model.safetensors", "holds other bytes than the manifest says")]
    assert not read_checkpoints(folder).checkpoints[0].verified


def test_deep_reads_every_byte(folder: Path) -> None:
    write_manifest(folder, step=20)
    content = bytearray((folder / "large.bin").read_bytes())
    content[5_000] ^= 1  # between the samples
    (folder / "large.bin").write_bytes(content)

    assert verify_manifest(folder) == []
    assert verify_manifest(folder, deep=True) == [("large.bin", "holds other bytes than the manifest says")]


def test_missing_and_longer_files(folder: Path) -> None:
    write_manifest(folder, step=20)
    (folder / "below" / "a.txt").unlink()
    (folder / "config.json").write_text("{}  ")

    words = dict(verify_manifest(folder))

    assert words["below/a.txt"] == "is missing, and the manifest lists it"
    assert words["config.json"].startswith("has 4 bytes, and the manifest says")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "", "a\\..\\b"])
def test_a_manifest_that_names_files_outside_is_refused(name: str, folder: Path) -> None:
    path = write_manifest(folder, step=20)
    written = json.loads(path.read_text())
    written["files"][0]["name"] = name
    path.write_text(json.dumps(written))

    with pytest.raises(UsageError, match="outside"):
        verify_manifest(folder)
    assert not read_checkpoints(folder).checkpoints[0].verified


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\0" * 50, '{"format_version": 99}', "{" * 5000])
def test_a_damaged_manifest_vouches_for_nothing(text: str, folder: Path) -> None:
    (folder / "trainguard.json").write_text(text)

    assert not read_checkpoints(folder).checkpoints[0].verified


def test_a_manifest_is_whole_or_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_manifest(folder, step=20).read_bytes()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="No space"):
        write_manifest(folder, step=21)

    assert (folder / "trainguard.json").read_bytes() == first
    assert not [path for path in folder.iterdir() if path.name.startswith(".tmp")]


def test_what_an_interrupted_writer_leaves_is_tolerated(folder: Path) -> None:
    (folder / ".tmp-trainguard.json-abc").write_text("{")

    assert read_checkpoints(folder).checkpoints[0].verified
    written = json.loads(write_manifest(folder, step=20).read_text())
    assert ".tmp-trainguard.json-abc" not in {each["name"] for each in written["files"]}


def test_everything_is_synced_before_the_manifest_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def noted_replace(source: str, target: Path) -> None:
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_manifest(folder, step=20)

    before = events[: events.index("replace")]
    assert {"model.safetensors", "optimizer.pt", "a.txt", "checkpoint-20", "below"} <= set(before)
    assert before[-1].startswith(".tmp-trainguard.json-")
    assert events[events.index("replace") + 1 :] == ["checkpoint-20", "out"]


def test_a_fingerprint_is_of_the_weights_and_not_of_the_files(tmp_path: Path) -> None:
    one, two = {"a": ("F32", (4, 4))}, {"b": ("F32", (4, 4))}
    index = json.dumps({"weight_map": {"a": "x-00001.safetensors", "b": "x-00002.safetensors"}})
    write_files(
        {
            "whole/model.safetensors": tensors({**one, **two}),
            "sharded/model.safetensors.index.json": index,
            "sharded/x-00001.safetensors": tensors(one),
            "sharded/x-00002.safetensors": tensors(two),
            "tuned/model.safetensors": tensors({**one, **two}, fill=2),
            "broken/model.safetensors": tensors(one, cut=1),
        },
        tmp_path,
    )

    assert fingerprint(tmp_path / "whole") == fingerprint(tmp_path / "sharded")
    assert fingerprint(tmp_path / "whole") != fingerprint(tmp_path / "tuned")
    assert fingerprint(tmp_path / "broken") is None
    assert fingerprint(tmp_path / "nowhere") is None


def test_a_manifest_of_another_base(folder: Path, tmp_path: Path) -> None:
    write_files(
        {"base/model.safetensors": weights(), "other/model.safetensors": tensors({"x": ("F32", (4,))})}, tmp_path
    )
    write_manifest(folder, step=20, base_model=tmp_path / "base")

    assert read_checkpoints(folder, base=tmp_path / "base").checkpoints[0].verified
    found = read_checkpoints(folder, base=tmp_path / "other").checkpoints[0]
    assert [problem.kind for problem in found.problems] == ["other-model"]


def test_quarantine_moves_and_says_why(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    target = quarantine(folder, reasons=["optimizer.pt is missing"])

    assert target == folder.parent / "quarantine" / "checkpoint-20"
    assert not folder.exists()
    assert {path.name: path.read_bytes() for path in target.iterdir() if path.is_file()} == before
    note = json.loads(target.with_name("checkpoint-20.json").read_text())
    assert note["reasons"] == ["optimizer.pt is missing"]
    assert read_checkpoints(folder.parent).checkpoints == ()


def test_quarantine_overwrites_nothing(folder: Path, tmp_path: Path) -> None:
    first = quarantine(folder)
    write_files(saved(20), tmp_path)
    second = quarantine(folder)

    assert first != second
    assert first.is_dir()
    assert second.name == "checkpoint-20.1"


def test_quarantine_does_not_follow_links(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder.parent / "quarantine").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="is a link"):
        quarantine(folder)
    assert folder.is_dir()


def test_a_move_that_fails_leaves_everything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(checkpoints.os, "rename", fails)
    with pytest.raises(OSError, match="Permission"):
        quarantine(folder)

    assert folder.is_dir()
    assert list((folder.parent / "quarantine").iterdir()) == []
