"""Folders that the real libraries save give no finding; damage that transformers loads without a word gives one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from tests.facts import model_folders

from trainguard.check import Options
from trainguard.facts.model.reading import read_model
from trainguard.findings import Finding
from trainguard.material import model_report

pytestmark = pytest.mark.filterwarnings("ignore")
WEIGHTS = "model.safetensors"
Q_PROJ = "model.layers.2.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def whole(root: Path) -> Path:
    return model_folders.save(root / "whole", model_folders.llama())


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def findings(path: Path, *, base: Path | None = None, deep: bool = False) -> list[Finding]:
    report = model_report(path, base=base, deep=deep, options=Options())
    assert report.errors == ()
    return list(report.findings)


def codes(path: Path, *, base: Path | None = None, deep: bool = False) -> list[str | None]:
    return [finding.code for finding in findings(path, base=base, deep=deep)]


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object], name: str = WEIGHTS) -> None:
    tensors = load_file(folder / name)
    edit(tensors)
    save_file(tensors, folder / name, metadata={"format": "pt"})


def loaded(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What transformers makes of a folder: its tensors, and what it says about them to those who ask."""
    both: Any = transformers.LlamaForCausalLM.from_pretrained(folder, output_loading_info=True)
    return both[0].state_dict(), both[1]


# Quiet


@pytest.mark.parametrize("name", model_folders.ARCHITECTURES)
def test_an_honest_model_gives_no_finding(name: str, tmp_path: Path) -> None:
    folder = model_folders.save(tmp_path / name, model_folders.ARCHITECTURES[name]())
    assert findings(folder) == []
    assert findings(folder, deep=True) == []


@pytest.mark.parametrize("name", model_folders.ADAPTERS)
def test_an_honest_adapter_gives_no_finding(name: str, whole: Path, tmp_path: Path) -> None:
    folder = model_folders.save_adapter(tmp_path / name, model_folders.ADAPTERS[name](), model_folders.llama())
    assert findings(folder, base=whole) == []
    assert findings(folder, base=whole, deep=True) == []


def test_other_honest_folders_give_no_finding(tmp_path: Path) -> None:
    for name, folder in model_folders.other_folders(tmp_path).items():
        assert findings(folder) == [], name
        assert findings(folder, deep=True) == [], name


def test_a_model_without_words_gives_no_finding(tmp_path: Path) -> None:
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    transformers.ViTModel(config).save_pretrained(tmp_path)
    assert findings(tmp_path) == []


# What transformers loads without a word


def test_a_tensor_of_zeros(copied: Path) -> None:
    change(copied, lambda tensors: tensors[Q_PROJ].zero_())
    tensors, about = loaded(copied)
    assert not tensors[Q_PROJ].any()
    assert not any(about.values())
    (finding,) = findings(copied)
    assert finding.code == "MODEL002"
    assert Q_PROJ in finding.message
    assert codes(copied, deep=True) == ["MODEL002"]


def test_a_tensor_of_minus_zeros(copied: Path) -> None:
    change(copied, lambda tensors: tensors[Q_PROJ].mul_(0))
    assert codes(copied) == ["MODEL002"]


def test_a_tensor_of_nan(copied: Path) -> None:
    change(copied, lambda tensors: tensors[Q_PROJ].fill_(float("nan")))
    _, about = loaded(copied)
    assert not any(about.values())
    (finding,) = findings(copied)
    assert finding.code == "MODEL002"
    assert "with NaN" in finding.message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_one_nan_is_found_by_reading_every_byte(copied: Path, dtype: torch.dtype) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        spoilt = torch.randn(512, 16).to(dtype)
        spoilt[0, 3] = float("nan")
        tensors["model.embed_tokens.weight"] = spoilt

    change(copied, edit)
    assert codes(copied) == []
    (finding,) = findings(copied, deep=True)
    assert "model.embed_tokens.weight (0.012%)" in finding.message


def test_infinite_numbers(copied: Path) -> None:
    change(copied, lambda tensors: tensors[Q_PROJ].fill_(float("-inf")))
    (finding,) = findings(copied)
    assert "infinite" in finding.message


def test_a_tensor_that_was_left_out(copied: Path) -> None:
    before = load_file(copied / WEIGHTS)[Q_PROJ]
    change(copied, lambda tensors: tensors.pop(Q_PROJ))
    tensors, about = loaded(copied)
    assert not torch.equal(tensors[Q_PROJ], before)
    assert list(about["missing_keys"]) == [Q_PROJ]
    (finding,) = findings(copied)
    assert (finding.code, finding.evidence["first"]) == ("MODEL003", Q_PROJ)


def test_an_output_layer_that_was_left_out(copied: Path) -> None:
    change(copied, lambda tensors: tensors.pop("lm_head.weight"))
    assert list(loaded(copied)[1]["missing_keys"]) == ["lm_head.weight"]
    assert codes(copied) == ["MODEL003"]


def test_a_tensor_left_out_of_an_architecture_without_a_plan(tmp_path: Path) -> None:
    folder = model_folders.save(tmp_path / "gpt2", model_folders.ARCHITECTURES["gpt2"]())
    change(folder, lambda tensors: tensors.pop("transformer.h.2.attn.c_attn.weight"))
    (finding,) = findings(folder)
    assert finding.evidence["first"] == "transformer.h.2.attn.c_attn.weight"


def test_a_tokenizer_that_is_larger_than_the_embedding(copied: Path) -> None:
    tokenizer = model_folders.tokenizer()
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(copied)
    assert not any(loaded(copied)[1].values())
    (finding,) = findings(copied)
    assert finding.code == "MODEL005"
    assert "'<new>' (64)" in finding.message


def test_a_placeholder_of_pictures_beyond_the_embedding_is_fine(copied: Path) -> None:
    tokenizer = model_folders.tokenizer()
    tokenizer.add_tokens(["<image_soft_token>"])
    tokenizer.save_pretrained(copied)
    assert findings(copied) == []


# Shards


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return model_folders.save(tmp_path / "sharded", model_folders.llama(), max_shard_size="8KB")


def edit_index(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    edit(index)
    path.write_text(json.dumps(index))


def test_a_missing_shard(sharded: Path) -> None:
    (sharded / "model-00003-of-00008.safetensors").unlink()
    (finding,) = findings(sharded)
    assert finding.code == "MODEL003"
    assert "lacks 1 of 8 shards: model-00003-of-00008.safetensors" in finding.message


def test_shards_without_an_index(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    (sharded / "model-00008-of-00008.safetensors").unlink()
    assert "model-00008-of-00008.safetensors" in findings(sharded)[0].message


def test_a_tensor_that_its_shard_lacks(sharded: Path) -> None:
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    change(sharded, lambda tensors: tensors.pop(Q_PROJ), index["weight_map"][Q_PROJ])
    assert list(loaded(sharded)[1]["missing_keys"]) == [Q_PROJ]
    (finding,) = findings(sharded)
    assert "places 1 tensor in shards that do not hold it" in finding.message


def test_a_tensor_that_the_index_leaves_out(sharded: Path) -> None:
    edit_index(sharded, lambda index: index["weight_map"].pop(Q_PROJ))
    (finding,) = findings(sharded)
    assert "leaves out 1 tensor that its shards hold" in finding.message


def test_an_index_that_states_more_bytes(sharded: Path) -> None:
    edit_index(sharded, lambda index: index["metadata"].update(total_size=60_000))
    (finding,) = findings(sharded)
    assert "states 60,000 bytes of tensors, and its shards hold 49,728" in finding.message
    edit_index(sharded, lambda index: index["metadata"].update(total_size=49_728 * 2))
    assert findings(sharded) == []  # stated for another dtype


def test_names_that_leave_the_folder(sharded: Path) -> None:
    shutil.copy(sharded / "model-00001-of-00008.safetensors", sharded.parent / "other.safetensors")
    edit_index(sharded, lambda index: index["weight_map"].update({Q_PROJ: "../other.safetensors"}))
    assert "SEC002" in codes(sharded)
    assert not any(file.path.name == "other.safetensors" for file in read_model(sharded).weights)


def test_a_link_that_leaves_the_folder(copied: Path) -> None:
    shutil.move(copied / WEIGHTS, copied.parent / "outside.safetensors")
    (copied / WEIGHTS).symlink_to("../outside.safetensors")
    assert codes(copied) == ["SEC002"]
    (copied / WEIGHTS).unlink()
    shutil.move(copied.parent / "outside.safetensors", copied / "inside.safetensors")
    (copied / WEIGHTS).symlink_to("inside.safetensors")
    assert codes(copied) == []


# Files


def test_every_truncation_is_found(copied: Path) -> None:
    whole = (copied / WEIGHTS).read_bytes()
    for length in (0, 5, 8, 500, len(whole) // 2, len(whole) - 1):
        (copied / WEIGHTS).write_bytes(whole[:length])
        assert codes(copied) == ["MODEL002"], length


def test_an_end_that_was_never_written(copied: Path) -> None:
    """A power cut leaves the file's length and no data: blocks of zeros from some place on."""
    whole = (copied / WEIGHTS).read_bytes()
    for zeros in (3000, 6000, 20_000):
        (copied / WEIGHTS).write_bytes(whole[:-zeros] + bytes(zeros))
        assert codes(copied) == ["MODEL002"], zeros


@pytest.mark.parametrize(("name", "expected"), [("model.x.weight", ["zero-tail"]), ("model.wte.weight", [])])
def test_a_last_tensor_that_ends_in_zeros(name: str, expected: list[str], tmp_path: Path) -> None:
    """Padded rows of an embedding are zeros too."""
    tensors = {"a.weight": torch.randn(8, 8), name: torch.randn(64, 64)}
    tensors[name][32:] = 0
    save_file(tensors, tmp_path / WEIGHTS)
    assert [bad.kind for bad in read_model(tmp_path).bad_values] == expected
    assert [bad.kind for bad in read_model(tmp_path, deep=True).bad_values] == expected


@pytest.mark.parametrize(("own", "expected"), [(0.0, []), (1.0, ["zeros"])])
def test_a_last_norm_of_zeros_beside_a_tower_of_another_kind(own: float, expected: list[str], tmp_path: Path) -> None:
    """PaliGemma: Gemma's norms begin as zeros, SigLIP's as ones, and both may have one shape."""
    tensors = {"language_model.model.norm.weight": torch.zeros(8), "language_model.lm_head.weight": torch.randn(8, 8)}
    for number in range(2):
        tensors[f"language_model.model.layers.{number}.input_layernorm.weight"] = torch.full((8,), own)
        tensors[f"vision_tower.encoder.layers.{number}.layer_norm1.weight"] = torch.ones(8)
    save_file(tensors, tmp_path / WEIGHTS)
    assert [bad.kind for bad in read_model(tmp_path).bad_values] == expected


def test_a_whole_layer_that_was_left_out(copied: Path) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith("model.layers.3.")]:
            del tensors[name]

    change(copied, edit)
    (finding,) = findings(copied)
    assert (finding.code, finding.evidence["tensors"]) == ("MODEL003", 9)


def test_a_file_that_loses_its_end_while_every_byte_is_read(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainguard.facts.model import values

    whole = values._read_whole

    def cut(opened: Any, each: Any) -> None:
        os.truncate(copied / WEIGHTS, 9000)
        whole(opened, each)

    monkeypatch.setattr(values, "_read_whole", cut)
    (finding,) = findings(copied, deep=True)
    assert "cut short or became unreadable while it was read" in finding.message


def test_every_byte_is_told_of_on_the_way(copied: Path) -> None:
    told: list[tuple[int, int]] = []
    read_model(copied, deep=True, on_progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] <= told[-1][1] == (copied / WEIGHTS).stat().st_size


# Adapters


def test_an_adapter_of_another_base(whole: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj"])
    wider = model_folders.llama(hidden_size=32)
    deeper = model_folders.llama(num_hidden_layers=6)
    other = model_folders.ARCHITECTURES["gpt2"]()
    (shape,) = findings(model_folders.save_adapter(tmp_path / "wider", config, wider), base=whole)
    assert (shape.code, "takes 32 features" in shape.message) == ("MODEL004", True)
    (layers,) = findings(model_folders.save_adapter(tmp_path / "deeper", config, deeper), base=whole)
    assert "belongs to layer 4, and the base has layers 0 to 3" in layers.message
    config = LoraConfig(r=4, target_modules=["c_attn"])
    (modules,) = findings(model_folders.save_adapter(tmp_path / "other", config, other), base=whole)
    assert "it adapts c_attn, and the base has no such module" in modules.message


def test_an_adapter_whose_configuration_says_another_rank(tmp_path: Path) -> None:
    folder = model_folders.save_adapter(
        tmp_path / "a", LoraConfig(r=4, target_modules=["q_proj"]), model_folders.llama()
    )
    path = folder / "adapter_config.json"
    path.write_text(path.read_text().replace('"r": 4', '"r": 8'))
    assert codes(folder) == ["MODEL004"]


# Other


def test_what_is_not_there(tmp_path: Path) -> None:
    assert codes(tmp_path / "absent") == ["MODEL001"]
    assert codes(tmp_path) == ["MODEL001"]
    os.mkfifo(tmp_path / "pipe")
    assert codes(tmp_path / "pipe") == ["MODEL001"]
    assert codes(Path("a\0b")) == ["MODEL001"]


def test_a_single_file(whole: Path, tmp_path: Path) -> None:
    assert findings(whole / WEIGHTS) == []
    (tmp_path / "w.safetensors").write_bytes((whole / WEIGHTS).read_bytes()[:-1])
    assert codes(tmp_path / "w.safetensors") == ["MODEL002"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 64, b"[]", b"\xff\xfe", b"[" * 200_000, b'{"a": NaN}'])
def test_hostile_small_files_never_raise(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    findings(copied)


def test_a_large_folder_is_checked_from_headers(tmp_path: Path) -> None:
    """13 GB of zeros that take no room: the check may not read them."""
    size = 13_000_000_000
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    with (tmp_path / WEIGHTS).open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + size)
    read = read_model(tmp_path)
    assert read.weights[0].ok
    assert read.tensor_bytes == size
