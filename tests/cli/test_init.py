"""`trainguard init`: what it writes passes its own check, and no file is lost."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.helpers import run

from trainguard.cli.init import _write
from trainguard.cli.starter import Seen, chosen, starter, toml_value
from trainguard.errors import UsageError
from trainguard.facts.config.reading import read_config
from trainguard.rules._example_files import tensors, write_files

MODEL = {
    "models/small/config.json": json.dumps(
        {"model_type": "llama", "vocab_size": 64, "max_position_embeddings": 128, "hidden_size": 8}
    ),
    "models/small/model.safetensors": tensors({"model.embed_tokens.weight": ("F32", (64, 8))}),
}
TEXT_ROWS = "".join(json.dumps({"text": "a few words of text " * (1 + n % 3)}) + "\n" for n in range(100))


def test_a_starter_without_anything_passes_its_own_check(tmp_path: Path) -> None:
    made = run("init", folder=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == "trainguard.toml is written. Look at it, then: trainguard check trainguard.toml\n"
    facts = read_config(tmp_path / "trainguard.toml")
    assert facts.problems == ()
    assert facts.run is not None
    assert run("check", "trainguard.toml", folder=tmp_path).returncode == 0
    assert os.listdir(tmp_path) == ["trainguard.toml"]
    assert (tmp_path / "trainguard.toml").stat().st_mode & 0o777 == 0o644


def test_a_starter_for_a_model_and_data(tmp_path: Path) -> None:
    write_files({**MODEL, "data/train.jsonl": TEXT_ROWS, "runs/keep": ""}, tmp_path)
    arguments = ("--model", "models/small", "--data", "data/train.jsonl", "--output", "runs/run.toml")
    assert run("init", *arguments, folder=tmp_path).returncode == 0
    facts = read_config(tmp_path / "runs/run.toml")
    assert facts.problems == ()
    run_config = facts.run
    assert run_config is not None
    assert (run_config.base_model, run_config.data) == ("../models/small", "../data/train.jsonl")
    assert facts.named.base_model is not None
    assert facts.named.base_model.kind == "local"
    assert [each.kind for each in facts.named.data] == ["local"]
    assert run_config.max_length <= 128
    text = (tmp_path / "runs/run.toml").read_text()
    assert "# 100 examples" in text
    assert all("# " in line for line in text.splitlines() if "=" in line)


def test_what_is_asked_for_is_taken(tmp_path: Path) -> None:
    made = run("init", "--model", "org/name", "--method", "qlora", "--print", folder=tmp_path)
    assert made.returncode == 0
    facts = read_config(made.stdout)
    assert (facts.value("base_model"), facts.value("method")) == ("org/name", "qlora")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "trainguard.toml"
    path.write_text("mine")
    refused = run("init", folder=tmp_path)
    assert refused.returncode == 2
    assert "trainguard.toml is there already" in refused.stderr
    assert path.read_text() == "mine"
    assert run("init", "--force", folder=tmp_path).returncode == 0
    assert path.read_text() != "mine"
    assert os.listdir(tmp_path) == ["trainguard.toml"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_comes_in_between_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "trainguard.toml"
    _write(path, "ours", force=False)
    assert path.read_text() == "ours"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        _write(path, "ours", force=False)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["trainguard.toml"]


def test_a_link_that_leads_nowhere_is_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "trainguard.toml").symlink_to("elsewhere.toml")
    assert run("init", folder=tmp_path).returncode == 2
    assert not (tmp_path / "elsewhere.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "run.json"), "a starter is written in TOML, for its comments; name it run.toml"),
        (("--output", "no/such/run.toml"), "cannot be written: No such file or directory"),
        (("--model", "./nothing"), "--model ./nothing: there is no such folder"),
        (("--data", "nothing.jsonl"), "nothing.jsonl: there is no such file or folder"),
    ],
)
def test_wrong_usage_is_said(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    refused = run("init", *arguments, folder=tmp_path)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert list(tmp_path.iterdir()) == []


WHOLE = st.integers(1, 10**6)
BYTES = st.integers(10**6, 10**12)


@given(
    st.builds(
        Seen,
        model=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip),
        parameters=st.none() | st.integers(0, 10**12),
        vocabulary=st.none() | WHOLE,
        positions=st.none() | st.integers(2, 10**6),
        is_adapter=st.booleans(),
        data=st.just(()) | st.just(("train.jsonl",)) | st.just(("a.jsonl", 'odd "name"\n.jsonl')),
        eval_data=st.none() | st.just("eval.jsonl"),
        rows=st.none() | st.integers(0, 10**9),
        shortest=st.none() | WHOLE,
        length_99=st.none() | WHOLE,
        longest=st.none() | WHOLE,
        gpus=st.none() | st.integers(0, 16),
        gpu_name=st.text(max_size=10),
        gpu_bytes=st.none() | BYTES,
        capability=st.none() | st.tuples(st.integers(3, 12), st.integers(0, 9)),
        memory_bytes=st.none() | BYTES,
        cores=st.none() | st.integers(1, 512),
        method=st.none() | st.sampled_from(["full", "lora", "qlora"]),
    )
)
def test_every_starter_passes_its_own_check(seen: Seen) -> None:
    text = starter(seen)
    facts = read_config(text)
    assert facts.problems == ()
    assert facts.run is not None
    assert all(line.startswith(("#", "[")) or " = " in line or not line for line in text.split("\n"))


A10G = Seen(gpus=1, gpu_name="NVIDIA A10G", gpu_bytes=24 * 10**9, capability=(8, 6), vocabulary=150_000)


@pytest.mark.parametrize(
    ("seen", "field", "value"),
    [
        (replace(A10G, parameters=500_000_000), "method", "full"),
        (replace(A10G, parameters=3_000_000_000), "method", "lora"),
        (replace(A10G, parameters=8_000_000_000), "method", "qlora"),
        (replace(A10G, parameters=8_000_000_000), "learning_rate", 2e-4),
        (replace(A10G, parameters=500_000_000), "learning_rate", 2e-5),
        (A10G, "precision", "bf16"),
        (replace(A10G, capability=(7, 5)), "precision", "fp16"),
        (Seen(gpus=0), "precision", "fp32"),
        (Seen(gpus=0, parameters=7_000_000_000, memory_bytes=64 * 10**9), "method", "lora"),
        (Seen(gpus=0, parameters=135_000_000, memory_bytes=16 * 10**9), "method", "full"),
        (Seen(shortest=100, length_99=900, longest=5000), "max_length", 1024),
        (Seen(shortest=100, length_99=900, longest=5000, positions=512), "max_length", 512),
        (Seen(shortest=9, length_99=41, longest=41, positions=128), "max_length", 128),
        (Seen(shortest=9, length_99=41, longest=41), "max_length", 256),
        (Seen(rows=20), "gradient_accumulation", 2),
        (replace(A10G, rows=10_000), "batch_size", 2),
        (replace(A10G, rows=1), "batch_size", 1),
    ],
)
def test_values_follow_what_is_seen(seen: Seen, field: str, value: object) -> None:
    assert {each.name: each.value for each in chosen(seen)}[field] == value


def test_a_name_that_toml_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        toml_value("\udce9.jsonl")
