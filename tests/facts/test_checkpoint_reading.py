"""Reading checkpoints without a Trainer: layouts, hostile content, torn files, mixtures, other models."""

from __future__ import annotations

import json
import os
import struct
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.checkpoint.folder import list_folder
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.reading import read_checkpoints
from trainguard.facts.checkpoint.records import Checkpoint
from trainguard.facts.checkpoint.save_order import out_of_place
from trainguard.rules._example_files import Recipe, raw, tensors, write_files
from trainguard.rules.checkpoint._example_checkpoints import saved, state, torch_file, weights


def one(folder: Path, files: dict[str, str | Recipe], name: str = "checkpoint-20", *, deep: bool = False) -> Checkpoint:
    """The checkpoint of this name in an output folder with these files."""
    write_files(files, folder)
    facts = read_checkpoints(folder / "out", deep=deep)
    return next(each for each in facts.checkpoints if each.name == name)


def kinds(checkpoint: Checkpoint) -> list[str]:
    return [problem.kind for problem in checkpoint.problems]


def test_steps_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    write_files(saved(100) | saved(20) | saved(3), tmp_path)

    facts = read_checkpoints(tmp_path / "out")

    assert [each.step for each in facts.checkpoints] == [3, 20, 100]
    assert latest_verified_checkpoint(tmp_path / "out") == tmp_path / "out" / "checkpoint-100"


def test_other_names_are_no_checkpoints(tmp_path: Path) -> None:
    others = ("checkpoint-best", "checkpoint-10-old", "tmp-checkpoint-30", "quarantine", "checkpoint-", "xcheckpoint-4")
    files = saved(20)
    for name in others:
        files |= {path.replace("checkpoint-20", name): content for path, content in saved(20).items()}
    write_files(files, tmp_path)

    facts = read_checkpoints(tmp_path / "out")

    assert [each.name for each in facts.checkpoints] == ["checkpoint-20"]
    assert facts.leftovers == ("tmp-checkpoint-30",)


def test_a_state_in_an_output_folder_makes_it_no_checkpoint(tmp_path: Path) -> None:
    write_files({"out/trainer_state.json": state(10), "out/model.safetensors": weights()}, tmp_path)

    facts = read_checkpoints(tmp_path / "out")

    assert not facts.single
    assert facts.checkpoints == ()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"global_step": "20"}', '{"global_step": true}', "\0" * 9,
                                  '{"a":' * 5000, '{"global_step": ' + "9" * 5000 + "}", "\ufeff{}"])  # fmt: skip
def test_a_state_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    found = one(tmp_path, saved(20, trainer_state_json=text))

    assert kinds(found) == ["trainer-state-corrupt"]
    assert not found.verified


def test_a_log_beyond_the_step_is_impossible(tmp_path: Path) -> None:
    found = one(tmp_path, saved(20, trainer_state_json=state(20, log_history=[{"step": 30, "loss": 1.0}])))

    assert kinds(found) == ["impossible-step"]


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "config.json"])
def test_a_pipe_in_place_of_a_file_blocks_nobody(name: str, tmp_path: Path) -> None:
    write_files(saved(10) | saved(20, without=(name,)), tmp_path)
    os.mkfifo(tmp_path / "out" / "checkpoint-20" / name)

    chosen: list[Path | None] = []
    reader = threading.Thread(target=lambda: chosen.append(latest_verified_checkpoint(tmp_path / "out")), daemon=True)
    reader.start()
    reader.join(timeout=20)

    good = "checkpoint-20" if name == "config.json" else "checkpoint-10"  # which the Trainer does not need
    assert chosen == [tmp_path / "out" / good]


def test_links_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    write_files(saved(20, without=("optimizer.pt",)), tmp_path)
    torch_file("optimizer.pt", 20).write(tmp_path / "elsewhere.pt")
    (tmp_path / "out" / "checkpoint-20" / "optimizer.pt").symlink_to("../../elsewhere.pt")
    (tmp_path / "out" / "checkpoint-30").symlink_to("checkpoint-20")

    facts = read_checkpoints(tmp_path / "out")

    assert [each.name for each in facts.checkpoints] == ["checkpoint-20"]
    assert kinds(facts.checkpoints[0]) == []
    assert "link" in facts.checkpoints[0].why_not


def test_links_into_the_cache_of_the_hub_are_followed(tmp_path: Path) -> None:
    hub = tmp_path / "models--org--run"
    snapshot = hub / "snapshots" / "abc"
    write_files(saved(20), snapshot)
    (hub / "blobs").mkdir()
    for number, path in enumerate(sorted((snapshot / "out" / "checkpoint-20").iterdir())):
        path.rename(hub / "blobs" / str(number))
        path.symlink_to(Path("../../../../blobs") / str(number))

    assert latest_verified_checkpoint(snapshot / "out") == snapshot / "out" / "checkpoint-20"


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (
            {"global_step20/mp_rank_00_model_states.pt": "x", "latest": "global_step20", "zero_to_fp32.py": ""},
            "deepspeed",
        ),
        ({"pytorch_model_fsdp_0/__0_0.distcp": "x", "optimizer_0/__0_0.distcp": "x"}, "fsdp"),
        ({"pytorch_model_fsdp.bin": "x", "optimizer.bin": "x"}, "fsdp"),
        ({"random_states_0.pkl": "x", "optimizer.bin": "x", "scheduler.bin": "x"}, "accelerate"),
    ],
)
def test_layouts_that_are_not_known_are_no_findings_and_not_vouched_for(
    files: dict[str, str], layout: str, tmp_path: Path
) -> None:
    inside = {f"out/checkpoint-20/{name}": text for name, text in files.items()}
    own = {} if layout == "accelerate" else saved(20, without=("optimizer.pt", "model.safetensors"))

    found = one(tmp_path, {**inside, **own})

    assert (found.layout, kinds(found), found.verified) == (layout, [], False)
    assert found.why_not


def test_random_states_of_each_process(tmp_path: Path) -> None:
    several = saved(20, without=("rng_state.pth",))
    for number in (0, 1, 3):
        several[f"out/checkpoint-20/rng_state_{number}.pth"] = torch_file("rng_state.pth", 20)

    found = one(tmp_path, several)

    assert [problem.file for problem in found.problems] == ["rng_state_2.pth"]
    torch_file("rng_state.pth", 20).write(tmp_path / "out" / "checkpoint-20" / "rng_state_2.pth")
    assert latest_verified_checkpoint(tmp_path / "out") is not None


def sharded(without: str = "", left_out: str = "") -> dict[str, str | Recipe]:
    entries = {f"model.layers.{number}.w.weight": f"model-0000{number + 1}-of-00002.safetensors" for number in (0, 1)}
    files = saved(20, without=("model.safetensors",))
    files["out/checkpoint-20/model.safetensors.index.json"] = json.dumps({"weight_map": entries})
    for tensor, name in entries.items():
        if name != without:
            held = {tensor if tensor != left_out else "other": ("F32", (2, 2))}
            files[f"out/checkpoint-20/{name}"] = tensors(held)
    return files


def test_shards(tmp_path: Path) -> None:
    assert one(tmp_path / "whole", sharded()).verified
    lacks = one(tmp_path / "file", sharded(without="model-00002-of-00002.safetensors"))
    assert [problem.words for problem in lacks.problems] == ["model-00002-of-00002.safetensors is missing"]
    lies = one(tmp_path / "tensor", sharded(left_out="model.layers.1.w.weight"))
    assert "lacks 1 of the tensors" in lies.why_not


def test_an_index_that_leaves_the_folder(tmp_path: Path) -> None:
    files = sharded()
    files["out/checkpoint-20/model.safetensors.index.json"] = json.dumps({"weight_map": {"a": "../../x.safetensors"}})

    assert "outside of the checkpoint" in one(tmp_path, files).why_not


def floats(count: int) -> bytes:
    return b"".join(struct.pack("<f", 0.5 + number % 97) for number in range(count))


def matrix(rows: int, columns: int, name: str = "model.layers.0.mlp.up_proj.weight") -> bytearray:
    """A safetensors file of one matrix."""
    made = tensors({name: ("F32", (rows, columns))}).content
    data = floats(rows * columns)
    return bytearray(made[: len(made) - len(data)] + data)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("begin", [40_960, 8_192])
def test_blocks_that_were_never_written(begin: int, deep: bool, tmp_path: Path) -> None:
    for name, stop in (("tail", None), ("hole", begin + 8_192)):
        content = matrix(300, 100)
        content[begin:stop] = bytes(len(content[begin:stop]))
        found = one(tmp_path / name, saved(20, model_safetensors=raw(bytes(content), "torn")), deep=deep)
        assert kinds(found) == ["partial-save"]
        assert "never written" in found.why_not


def test_a_byte_that_changed_breaks_the_checksum(tmp_path: Path) -> None:
    content = torch_file("rng_state.pth", 20).content
    other = raw(content.replace(b"MT19937", b"MT19938", 1), "changed")

    assert "checksum" in one(tmp_path, saved(20, rng_state_pth=other)).why_not


@pytest.mark.parametrize(("begin", "stop"), [(8_192, 30_000), (40_960, 81_920), (61_440, None)])
def test_large_files_are_sampled(begin: int, stop: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainguard.facts.checkpoint.saved_weights.READ_WHOLE_BELOW", 0)
    content = matrix(300, 100)
    assert one(tmp_path / "whole", saved(20, model_safetensors=raw(bytes(content), "whole"))).verified
    aligned = stop if stop is None else stop // 4096 * 4096
    content[begin:aligned] = bytes(len(content[begin:aligned]))

    found = one(tmp_path / "torn", saved(20, model_safetensors=raw(bytes(content), "torn")))

    assert "never written" in found.why_not


def test_a_sparse_file_of_real_size_is_quick(tmp_path: Path) -> None:
    count = 2**32
    entry = {"dtype": "F32", "shape": [count // 2, 2], "data_offsets": [0, 4 * count]}
    header = json.dumps({"model.w.weight": entry}).encode()
    head = len(header).to_bytes(8, "little") + header
    write_files(saved(20, model_safetensors=raw(head, "a header")), tmp_path)
    os.truncate(tmp_path / "out" / "checkpoint-20" / "model.safetensors", len(head) + 4 * count)
    started = time.perf_counter()

    read_checkpoints(tmp_path / "out")

    assert time.perf_counter() - started < 2  # 5 ms on an idle machine; reading it all takes ten seconds


def test_honest_zeros(tmp_path: Path) -> None:
    padded = matrix(300, 100, "model.embed_tokens.weight")
    padded[-100 * 4 * 64 :] = bytes(100 * 4 * 64)  # padding rows of an embedding
    entries = {"a.lora_A.weight": ("F32", (8, 512)), "a.lora_B.weight": ("F32", (512, 8)), "b.bias": ("F32", (4096,))}
    unlearnt = tensors(entries, zero_tail=4 * (512 * 8 + 4096))
    for name, file in (("embedding", raw(bytes(padded), "padded")), ("lora", unlearnt)):
        assert one(tmp_path / name, saved(20, model_safetensors=file)).why_not == ""


def test_a_norm_of_zeros_beside_others_is_torn(tmp_path: Path) -> None:
    file = tensors({"layers.0.norm.weight": ("F32", (32,)), "norm.weight": ("F32", (32,))}, zero_tail=128)

    assert "'norm.weight' is all zero" in one(tmp_path, saved(20, model_safetensors=file)).why_not


NAMES = ("config.json", "model.safetensors", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth",
         "trainer_state.json")  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((0, 1, 2, 3, 4, 5, 6), None),  # a save
        ((60, 61, 2, 3, 4, 5, 6), "model.safetensors was written 54.0 s after trainer_state.json"),
        ((60, 61, 62, 63, 4, 5, 6), "a later save into the same folder"),
        ((60, 1, 2, 3, 4, 5, 6), None),  # the configuration was edited
        ((0, 1, 2, 60, 4, 5, 6), "optimizer.pt was written 54.0 s after all the others"),
        ((0, 1, 2, 3, 4, -60, 6), "rng_state.pth was written 1.0 min before all the others"),
        ((0, 1, 60, 3, 4, 5, 6), None),  # the arguments are not loaded
        ((0, 1, 6, 2, 4, 3, 5), None),  # a copy in the order of names
        ((6, 5, 4, 3, 2, 1, 0), None),  # a copy backwards
        ((0, 8, 1, 9, 2, 3, 4), None),  # a download, the large files last
        ((0, 0, 0, 0, 0, 0, 0), None),  # times that were not kept
        ((0, 0, 0, 2, 0, 0, 0), None),  # times of two seconds
        ((6, 7, 0, 1, 2, 3, 4), None),  # the weights last, within the time of a download
    ],
)
def test_times_speak_where_they_tell_the_whole_story(
    seconds: tuple[int, ...], said: str | None, tmp_path: Path
) -> None:
    for name, at in zip(NAMES, seconds, strict=True):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, ns=(0, (1_700_000_000 + at) * 10**9))

    words = out_of_place(list_folder(tmp_path, tmp_path), ("model.safetensors",))

    assert (words is None) if said is None else (words is not None and said in words)


def test_an_adapter_of_another_base(tmp_path: Path) -> None:
    adapter = tensors(
        {
            "base_model.model.model.layers.0.q_proj.lora_A.weight": ("F32", (2, 8)),
            "base_model.model.model.layers.0.q_proj.lora_B.weight": ("F32", (6, 2)),
        }
    )
    files = saved(20, without=("model.safetensors", "config.json"))
    files |= {"out/checkpoint-20/adapter_model.safetensors": adapter, "out/checkpoint-20/adapter_config.json": "{}"}
    files |= {"same/model.safetensors": tensors({"model.layers.0.q_proj.weight": ("F32", (6, 8))})}
    files |= {"other/model.safetensors": tensors({"model.layers.0.q_proj.weight": ("F32", (6, 16))})}
    write_files(files, tmp_path)

    same = read_checkpoints(tmp_path / "out", base=tmp_path / "same").checkpoints[0]
    other = read_checkpoints(tmp_path / "out", base=tmp_path / "other").checkpoints[0]

    assert same.verified
    assert kinds(other) == ["other-model"]


def test_a_resized_vocabulary_is_no_other_model(tmp_path: Path) -> None:
    files = saved(20) | {"base/config.json": '{"model_type": "llama", "hidden_size": 4, "vocab_size": 6}'}
    entries = {"model.embed_tokens.weight": ("F32", (6, 4)), "model.norm.weight": ("F32", (4,))}
    write_files(files | {"base/model.safetensors": tensors(entries)}, tmp_path)

    assert read_checkpoints(tmp_path / "out", base=tmp_path / "base").checkpoints[0].verified


FILES = {name.rpartition("/")[2]: content for name, content in saved(20).items()}


@given(st.data())
def test_hostile_bytes_raise_nothing(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        write_files(saved(20), Path(scratch))
        folder = Path(scratch) / "out" / "checkpoint-20"
        name = data.draw(st.sampled_from(sorted(FILES)))
        content = bytearray((folder / name).read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        (folder / name).write_bytes(
            data.draw(st.sampled_from([bytes(content), bytes(content[:-1]), bytes(content) * 2]))
        )

        facts = read_checkpoints(folder.parent)

        assert len(facts.checkpoints) == 1
