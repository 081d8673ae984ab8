"""CFG006 to CFG009 on what their examples are too short for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainguard.facts.checkpoint.manifest import Manifest
from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts
from trainguard.facts.config.reading import read_config
from trainguard.facts.data.records import DataFacts, Lengths
from trainguard.facts.model.records import ModelConfig, ModelFacts, TokenizerFacts
from trainguard.findings import Finding
from trainguard.rules.base import Rule, Subject
from trainguard.rules.config.locked_field_changed import LockedFieldChanged
from trainguard.rules.config.max_length_too_large import MaxLengthTooLarge, positions_of
from trainguard.rules.config.max_length_too_small import MaxLengthTooSmall
from trainguard.rules.config.model_not_found import ModelNotFound
from trainguard.rules.config.tokenizer_mismatch import TokenizerMismatch


def asked(rule: type[Rule], document: dict[str, Any], **facts: Any) -> list[Finding]:
    return list(rule().check(Subject(kind="config", config=read_config(document), **facts)))


def model_config(raw: dict[str, Any]) -> ModelConfig:
    return ModelConfig(model_type=raw.get("model_type"), raw=raw)


@pytest.mark.parametrize(
    ("raw", "positions"),
    [
        ({"model_type": "llama", "max_position_embeddings": 2048}, 2048),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "opt", "max_position_embeddings": 2048}, 2048),
        (
            {"model_type": "llama", "max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4}},
            16384,
        ),
        (
            {
                "model_type": "llama",
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        (
            {
                "model_type": "phi3",
                "max_position_embeddings": 131072,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
            },
            131072,
        ),
        (
            {
                "model_type": "gemma3_text",
                "max_position_embeddings": 32768,
                "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {}},
            },
            262144,
        ),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 8192}}, 8192),
        ({"model_type": "mpt", "max_seq_len": 2048}, None),
        ({"model_type": "bloom", "seq_length": 2048}, None),
        ({"model_type": "falcon", "alibi": True, "max_position_embeddings": 2048}, None),
        ({"model_type": "mamba"}, None),
        ({"model_type": "t5", "n_positions": 512}, None),
        ({"model_type": "bart", "is_encoder_decoder": True, "max_position_embeddings": 1024}, None),
        ({"model_type": "chatglm", "auto_map": {"AutoModel": "x"}, "max_position_embeddings": 1024}, None),
        ({"model_type": "llama", "max_position_embeddings": "4096"}, None),
        ({"model_type": "llama", "max_position_embeddings": -1}, None),
        ({"model_type": "llama", "max_position_embeddings": 64, "rope_scaling": {"factor": "x"}}, 64),
        ({}, None),
    ],
)
def test_the_positions_of_a_model(raw: dict[str, Any], positions: int | None) -> None:
    assert positions_of(model_config(raw)) == positions


def test_a_default_max_length_is_judged_too() -> None:
    model = ModelFacts(path=Path("small"), config=model_config({"model_type": "gpt2", "n_positions": 512}))
    (finding,) = asked(MaxLengthTooLarge, {"base_model": "small"}, model=model)
    assert finding.message.startswith("max_length: got 1,024, expected at most 512, because")
    assert asked(MaxLengthTooLarge, {"base_model": "small", "max_length": 512}, model=model) == []
    assert asked(MaxLengthTooLarge, {"base_model": "small", "max_length": "x"}, model=model) == []


# -- tokenizer -------------------------------------------------------------------------


def tokenizer(ids: dict[int, str], *, file: str = "tokenizer.json") -> TokenizerFacts:
    return TokenizerFacts(files=(file,), highest_id=max(ids), ids=ids)


def of_model(rows: int, own: TokenizerFacts | None = None) -> ModelFacts:
    return ModelFacts(path=Path("model"), embedding=("model.embed_tokens.weight", rows), tokenizer=own)


def of_tokenizer(facts: TokenizerFacts) -> ModelFacts:
    return ModelFacts(path=Path("tok"), tokenizer=facts)


WORDS = {number: f"word{number}" for number in range(500)}
BOTH = {"base_model": "org/name", "tokenizer": "org/other"}


def test_a_tokenizer_of_another_family_is_told_by_its_words() -> None:
    other = {number: WORDS[number] if number < 200 else f"other{number}" for number in range(500)}
    (finding,) = asked(
        TokenizerMismatch, BOTH, model=of_model(512, tokenizer(WORDS)), tokenizer=of_tokenizer(tokenizer(other))
    )
    assert "in which 200 of 500 ids mean what they mean in" in finding.message


@pytest.mark.parametrize(
    "other",
    [
        tokenizer(WORDS),
        tokenizer({**WORDS, 500: "<pad>", 501: "<extra>"}),
        tokenizer({number: WORDS[number] if number < 300 else "new" for number in range(500)}),
        tokenizer({number: f"shifted{number}" for number in range(50)}),
        tokenizer({number + 1: WORDS[number] for number in range(400)}, file="tokenizer.model"),
    ],
)
def test_a_tokenizer_of_the_family_is_no_mismatch(other: TokenizerFacts) -> None:
    assert asked(TokenizerMismatch, BOTH, model=of_model(512, tokenizer(WORDS)), tokenizer=of_tokenizer(other)) == []


def test_placeholders_for_pictures_need_no_row() -> None:
    own = tokenizer({**WORDS, 500: "<image_soft_token>"})
    assert asked(TokenizerMismatch, {"base_model": "org/name"}, model=of_model(500, own)) == []
    assert len(asked(TokenizerMismatch, {"base_model": "org/name"}, model=of_model(499, own))) == 1


def test_a_tokenizer_of_the_hub_cannot_be_compared() -> None:
    own = tokenizer(WORDS)
    assert asked(TokenizerMismatch, BOTH, model=of_model(100, own)) == []


# -- lengths ---------------------------------------------------------------------------


def data(shortest: int, *, exact: bool, rows: int = 10, counted: int = 10) -> DataFacts:
    lengths = Lengths(
        exact=exact,
        counted=counted,
        shortest=shortest,
        longest=shortest * 2,
        mean=shortest * 1.5,
        percentiles={},
        histogram=(),
        over={},
        total=shortest * rows,
    )
    return DataFacts(path="some/train.jsonl", rows=rows, lengths=lengths)


@pytest.mark.parametrize(
    ("facts", "more", "found"),
    [
        (data(65, exact=True), {}, True),
        (data(64, exact=True), {}, False),
        (data(65, exact=True, counted=9), {}, False),
        (data(512, exact=False), {}, False),
        (data(513, exact=False), {}, True),
        (data(65, exact=True), {"packing": True}, True),
        (data(65, exact=True), {"packing": True, "trainer_arguments": {"packing_strategy": "bfd_split"}}, False),
        (DataFacts(path="x"), {}, False),
    ],
)
def test_only_a_length_that_certainly_cuts_every_example_is_told(
    facts: DataFacts, more: dict[str, Any], found: bool
) -> None:
    document = {"base_model": "org/name", "max_length": 64, **more}
    assert bool(asked(MaxLengthTooSmall, document, data=facts)) is found


# -- locked fields -----------------------------------------------------------------------


def checkpoints(*runs: dict[str, Any] | None) -> CheckpointsFacts:
    made = []
    for number, run in enumerate(runs, 1):
        manifest = Manifest(format_version=1, step=number, created="", files=(), run=run) if run is not None else None
        name = f"checkpoint-{number}"
        made.append(Checkpoint(path=Path(name), name=name, step=number, manifest=manifest))
    return CheckpointsFacts(path="out", checkpoints=tuple(made))


@pytest.mark.parametrize(
    ("former", "now", "found"),
    [
        ({"max_length": 1024}, {}, []),
        ({"max_length": 2048}, {}, ["max_length"]),
        ({"max_length": True}, {}, []),
        ({"max_length": None, "base_model": 3}, {}, []),
        ({"base_model": "org/name"}, {}, []),
        ({"base_model": "/models/name/"}, {}, []),
        ({"base_model": "C:\\models\\Name"}, {}, []),
        ({"base_model": "/home/a/.cache/huggingface/hub/models--org--name/snapshots/abc"}, {}, []),
        ({"base_model": "org/name-2"}, {}, ["base_model"]),
        ({"tokenizer": "org/tok"}, {}, []),
        ({"tokenizer": "org/tok"}, {"tokenizer": "org/tok2"}, ["tokenizer"]),
        ({"base_model": "a/b", "max_length": 2}, {}, ["base_model", "max_length"]),
        ({"max_length": 2048}, {"save": {"resume": "never"}}, []),
        ({}, {}, []),
    ],
)
def test_a_change_that_matters_is_told(former: dict[str, Any], now: dict[str, Any], found: list[str]) -> None:
    document = {"base_model": "org/name", **now}
    findings = asked(LockedFieldChanged, document, checkpoints=checkpoints(former))
    assert [each.evidence["field"] for each in findings] == found


def test_the_newest_checkpoint_that_says_something_counts() -> None:
    facts = checkpoints({"max_length": 512}, {"max_length": 1024}, None)
    assert asked(LockedFieldChanged, {"base_model": "org/name"}, checkpoints=facts) == []
    facts = checkpoints({"max_length": 1024}, {"max_length": 512}, None)
    (finding,) = asked(LockedFieldChanged, {"base_model": "org/name", "output_dir": "out"}, checkpoints=facts)
    assert "because checkpoint-2 in out was trained with that" in finding.message


def test_a_name_from_the_environment_has_no_place_in_the_file() -> None:
    config = read_config({}, environment={"TRAINGUARD_BASE_MODEL": "/nothing/here"})
    (finding,) = ModelNotFound().check(Subject(kind="config", config=config))
    assert finding.message.startswith('base_model from TRAINGUARD_BASE_MODEL: got "/nothing/here", expected')
    assert finding.where is not None
    assert finding.where.line is None


def test_messages_are_short_whatever_the_values_are() -> None:
    document = {"base_model": "x" * 5000, "batch_size": "y" * 5000, "z" * 5000: 1, "data": ["a"] * 5000}
    config = read_config(json.loads(json.dumps(document)))
    for problem in config.problems:
        assert len(problem.got) < 100
