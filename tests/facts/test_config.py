"""A configuration is read with every value's origin and every problem at once."""

from __future__ import annotations

import ast
import json
import os
import time
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.config.aliases import ALIASES, SYNONYMS, UNUSED
from trainguard.facts.config.fields import Field, blocks, fields
from trainguard.facts.config.json_schema import json_schema
from trainguard.facts.config.judging import judge
from trainguard.facts.config.model_ids import WELL_KNOWN, misspelt
from trainguard.facts.config.node import from_python
from trainguard.facts.config.reading import format_of, read_config
from trainguard.facts.config.records import ConfigFacts
from trainguard.facts.config.references import is_path, model_reference
from trainguard.facts.config.schema import RunConfig

# As the origin's daemon has it, with two blocks of the half a dozen that nothing here reads.
ORIGIN = """{
  "model_name": "qwen3_0.6b",
  "model_display_name": "Qwen3 0.6B",
  "model_path": "models/Qwen3-0.6B",
  "current_model_dir": "models/current_model",
  "batch_size": 1,
  "gradient_accumulation": 16,
  "learning_rate": 0.0004,
  "warmup_steps": 100,
  "epochs": 1,
  "lora_r": 128,
  "lora_alpha": 64,
  "use_qlora": true,
  "log_steps": 200,
  "eval_steps": 500,
  "num_eval_samples": 2,
  "save_steps": 10000,
  "poll_interval": 30,
  "snapshot_time": "03:00",
  "max_length": 2048,
  "base_model": "org/Qwen3-0.6B",
  "self_correction": {"enabled": true, "generation_interval": null},
  "_comment": "accepted as it stands",
  "hyperparams": {"gradient_accumulation": 1, "learning_rate": 0},
  "locked": {"base_model": "Qwen/Qwen3-0.6B", "max_context_length": 4096}
}
"""


def problems(facts: ConfigFacts) -> list[tuple[str, str | None, int | None, int | None]]:
    return [(each.kind, each.key, each.line, each.column) for each in facts.problems]


def test_the_keys_of_the_origin_are_accepted_as_they_stand() -> None:
    facts = read_config(ORIGIN)
    assert facts.problems == ()
    run = facts.run
    assert run is not None
    assert (run.base_model, run.model_name, run.output_dir) == ("org/Qwen3-0.6B", "qwen3_0.6b", "models/current_model")
    assert (run.batch_size, run.gradient_accumulation, run.learning_rate, run.warmup) == (1, 16, 0.0004, 100)
    assert (run.method, run.lora.r, run.lora.alpha) == ("qlora", 128, 64)
    assert (run.epochs, run.logging_steps, run.max_length) == (1, 200, 2048)
    assert (run.eval.strategy, run.eval.steps, run.eval.samples) == ("steps", 500, 2)
    assert (run.save.steps, run.queue.poll_seconds) == (10000, 30)
    assert set(facts.unused) == {"model_display_name", "snapshot_time", "self_correction", "hyperparams", "locked"}


def test_the_older_form_of_the_origin_names_its_model_otherwise() -> None:
    facts = read_config({"model_name": "small", "model_path": "/models/small", "learning_rate": 1e-4})
    assert facts.problems == ()
    assert facts.value("base_model") == "/models/small"
    assert read_config({"model_name": "org/small"}).value("base_model") == "org/small"


TRAINER = {
    "model_name_or_path": "org/name",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "num_train_epochs": 1,
    "max_steps": -1,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.03,
    "optim": "adafactor",
    "bf16": True,
    "fp16": False,
    "eval_strategy": "steps",
    "eval_steps": 0.1,
    "save_total_limit": None,
    "lora_target_modules": ["q_proj"],
    "use_peft": True,
    "load_in_4bit": False,
}


def test_the_spellings_of_trl_are_accepted() -> None:
    facts = read_config(TRAINER)
    assert facts.problems == ()
    run = facts.run
    assert run is not None
    assert (run.batch_size, run.gradient_accumulation, run.epochs, run.max_steps) == (2, 4, 1, None)
    assert (run.scheduler, run.warmup, run.optimizer, run.precision) == ("cosine", 0.03, "adafactor", "bf16")
    assert (run.eval.strategy, run.eval.steps, run.save.keep, run.method) == ("steps", 0.1, None, "lora")
    assert run.lora.target_modules == ["q_proj"]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    facts = read_config(
        '{\n "base_model": 7,\n "batch_size": 0,\n "leraning_rate": 1,\n "epochs": null,\n'
        ' "lora": {"r": 1.5, "dropout": 1},\n "max_length": NaN,\n "warmup": -1,\n "seed": true,\n'
        ' "save": [],\n "packing": "true",\n}'
    )
    assert problems(facts) == [
        ("invalid", None, 11, 19),
        ("out-of-range", "base_model", 2, 16),
        ("out-of-range", "batch_size", 3, 16),
        ("unknown-key", "leraning_rate", 4, 2),
        ("out-of-range", "epochs", 5, 12),
        ("out-of-range", "lora.r", 6, 16),
        ("out-of-range", "lora.dropout", 6, 32),
        ("out-of-range", "max_length", 7, 16),
        ("out-of-range", "warmup", 8, 12),
        ("out-of-range", "seed", 9, 10),
        ("out-of-range", "save", 10, 10),
        ("out-of-range", "packing", 11, 13),
    ]
    assert facts.run is None
    assert facts.value("batch_size") is None
    assert facts.value("gradient_accumulation") == 1


@pytest.mark.parametrize(
    ("text", "got", "expected", "suggestion"),
    [
        ('learning_rate = "2e-4"', '"2e-4"', "a number above 0", "2e-4 without quotes"),
        ("learning_rate = true", "true", "a number above 0", None),
        ("learning_rate = inf", "inf", "a number above 0", None),
        ("learning_rate = 1.0", "1", "a number above 0 and below 1, such as 2e-5", None),
        ("max_length = 1", "1", "a whole number of 2 or more", None),
        ("max_length = 512.5", "512.5", "a whole number of 2 or more", None),
        ('method = "LoRA"', '"LoRA"', "one of full, lora, qlora", "lora"),
        ("warmup = 10.5", "10.5", "a whole number of steps, or a share of the run below 1", None),
        ("warmup_ratio = 1.0", "1.0", "a number of 0 or more and below 1", None),
        ("data = []", "an empty list", "a text or a list of texts", None),
        ('data = ["a", 1]', "1", "a text or a list of texts", '"1"'),
        ('data = ""', '""', "a text or a list of texts", None),
        ("output_dir = 2024", "2024", "a text", '"2024"'),
        ("seed = 4294967296", "4294967296", "a whole number from 0 to 4,294,967,295", None),
        ("fp16 = true\nbf16 = true", "true", "true or nothing", None),
        ('scheduler = "greedy"', '"greedy"', "eval.strategy steps or epoch beside it", None),
        (
            'scheduler = "cosine_with_min_lr"',
            '"cosine_with_min_lr"',
            "scheduler_arguments with min_lr or min_lr_rate",
            None,
        ),
        ("[guard.actions]\nRUN3 = 'log'", '"RUN3"', "a code from RUN001 to RUN027", "RUN003"),
        ("[guard.thresholds]\nRUN003 = { factor = 'x' }", '"x"', "a number", None),
        ("[alerts]\nwebhook = 3", "a hidden value", "a text", None),
        ("[trainer_arguments]\nmax_length = 3", "an argument by this name", "max_length", None),
        (
            "[trainer_arguments]\nreport_tu = 'none'",
            "an argument by this name",
            "an argument of trl.SFTConfig",
            "report_to",
        ),
    ],
)
def test_a_value_is_refused_in_these_words(text: str, got: str, expected: str, suggestion: str | None) -> None:
    facts = read_config(f'base_model = "org/name"\n{text}\n')
    (problem,) = facts.problems
    assert (problem.got, problem.expected, problem.suggestion) == (got, expected, suggestion)
    assert problem.because
    assert problem.line is not None
    assert problem.line > 1


@pytest.mark.parametrize(
    "text",
    [
        "learning_rate = 1e-7",
        'optimizer = "prodigy"\nlearning_rate = 1.0',
        'optimizer = "sgd"\nlearning_rate = 2',
        "max_length = 2",
        "max_length = 10_000_000",
        "batch_size = 8.0",
        "epochs = 0.1",
        "epochs = 1000",
        "seed = 0",
        "lora.dropout = 0",
        "max_grad_norm = 0",
        "save.steps = 0.25",
        "max_steps = -1",
        'scheduler = "constant"\nwarmup = 10',
        'scheduler = "greedy"\neval.data = "eval.jsonl"',
        "batch_size = 2\nper_device_train_batch_size = 2",
        "bf16 = false\nfp16 = true",
        'method = "full"\n[lora]\nr = 8',
        '"$schema" = "x"\n_note = 1\nx-anchors = {}',
        '[trainer_arguments]\nreport_to = "none"\npacking_strategy = "wrapped"',
        'data = ["a.jsonl", "org/name"]',
    ],
)
def test_what_is_unusual_and_legal_is_accepted(text: str) -> None:
    assert problems(read_config(f'base_model = "org/name"\n{text}\n')) == []


def test_flags_go_before_the_environment_and_that_before_the_file() -> None:
    facts = read_config(
        'base_model = "org/name"\nlearning_rate = 1e-5\nseed = 1\nmax_length = 8\n',
        environment={
            "TRAINGUARD_LEARNING_RATE": "2e-5",
            "TRAINGUARD_SEED": "2",
            "TRAINGUARD_LORA_R": "4",
            "TRAINGUARD_DATA": "123",
            "TRAINGUARD_EPOCHS": "",
            "TRAINGUARD_CACHE": "/elsewhere",
            "TRAINGUARD_PACKING": "1",
        },
        flags={"seed": "3", "lora.alpha": 7, "lora.modules_to_save": "a, b", "guard.actions": '{"RUN003": "log"}'},
    )
    assert facts.problems == ()
    shown = {each.name: (each.value, each.origin, each.source, each.line) for each in facts.settings}
    assert shown["learning_rate"] == (2e-5, "environment", "TRAINGUARD_LEARNING_RATE", None)
    assert shown["seed"] == (3, "flag", "--set", None)
    assert shown["lora.r"] == (4, "environment", "TRAINGUARD_LORA_R", None)
    assert shown["data"] == ("123", "environment", "TRAINGUARD_DATA", None)
    assert shown["max_length"] == (8, "file", None, 4)
    assert shown["epochs"] == (3.0, "default", None, None)
    assert shown["packing"][0] is True
    assert shown["lora.modules_to_save"][0] == ["a", "b"]
    assert shown["guard.actions"][0] == {"RUN003": "log"}
    assert facts.setting("method").derived == "lora.r is given"  # type: ignore[union-attr]


def test_a_flag_that_is_no_field_and_a_variable_out_of_range() -> None:
    facts = read_config(
        {"base_model": "a/b"}, environment={"TRAINGUARD_MAX_LENGTH": "long"}, flags={"lerning_rate": "1"}
    )
    assert [(each.kind, each.key, each.origin, each.source) for each in facts.problems] == [
        ("unknown-key", "lerning_rate", "flag", "--set"),
        ("out-of-range", "max_length", "environment", "TRAINGUARD_MAX_LENGTH"),
    ]
    assert facts.problems[0].suggestion == "learning_rate"


def test_secrets_are_never_shown() -> None:
    text = '{"base_model": "a/b", "alerts": {"urls": "slack://s3cret", "webhook": ["https://s3cret"]},\n'
    text += ' "queue": {"database_url": {"s3cret": 1}}, "alerts": {"urls": 5}}'
    facts = read_config(text)
    assert len(facts.problems) == 3
    assert "s3cret" not in str(facts.problems)
    broken = read_config('base_model = "a/b"\n[alerts]\nurls = slack://s3cret\n')
    assert broken.problems
    assert "s3cret" not in str(broken.problems)


# -- files ---------------------------------------------------------------------------


def test_what_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "big.json").write_bytes(b" " * 300_000)
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "utf16.json").write_bytes('{"base_model": "a/b"}'.encode("utf-16"))
    (tmp_path / "latin.toml").write_bytes('base_model = "a/b"\n# gr\xfcn'.encode("latin-1"))
    kinds = {name: problems(read_config(tmp_path / name)) for name in os.listdir(tmp_path)}
    assert kinds == {
        "pipe.toml": [("unreadable", None, None, None)],
        "big.json": [("unreadable", None, None, None)],
        "loop.toml": [("unreadable", None, None, None)],
        "utf16.json": [("invalid", None, 1, 1)],
        "latin.toml": [("invalid", None, 2, 5)],
    }
    assert problems(read_config("/dev/zero")) == [("unreadable", None, None, None)]
    assert problems(read_config("a\0b")) == [("unreadable", None, None, None)]


def test_a_folder_stands_for_the_configuration_in_it(tmp_path: Path) -> None:
    assert read_config(tmp_path).looked[:2] == ("trainguard.toml", "trainguard.yaml")
    (tmp_path / "config.json").write_text('{"base_model": "a/b"}')
    assert read_config(tmp_path).path == str(tmp_path / "config.json")
    assert read_config(tmp_path / "confg.json").nearest == str(tmp_path / "config.json")


def test_a_file_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.toml"
    path.write_text('base_model = "a/b"')

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    facts = read_config(path)
    assert problems(facts) == [("unreadable", None, None, None)]
    assert "Permission denied" in facts.problems[0].because


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1}', "json"),
        ("# x\na = 1", "toml"),
        ("[a]\nb = 1", "toml"),
        ("a: 1", "yaml"),
        ("a: b=c", "yaml"),
        ("", "yaml"),
    ],
)
def test_a_text_without_a_name_is_read_by_its_looks(text: str, kind: str) -> None:
    assert format_of(text) == kind


KEYS = st.sampled_from([*fields(), *ALIASES, *blocks(), *UNUSED, "r", "nonsense"]) | st.text(max_size=5)
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=3)


@given(
    st.recursive(
        ANYTHING,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
        max_leaves=12,
    )
)
def test_no_mapping_breaks_reading(document: Any) -> None:
    facts = read_config(document if isinstance(document, dict) else {"base_model": document})
    assert (facts.run is None) == bool(facts.problems)
    for problem in facts.problems:
        assert problem.got
        assert problem.expected


# -- the schema ----------------------------------------------------------------------

NUMBERS = (
    st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from([8, 2**31, 2**32, 2**64, 1e300, float("nan"), float("inf")])
)
VALUES = (
    st.none()
    | st.booleans()
    | NUMBERS
    | st.sampled_from(["", "lora", "steps", "no", "x"])
    | st.lists(st.just("x"), max_size=2)
)


@given(st.sampled_from(sorted(fields())), VALUES)
def test_a_value_that_is_accepted_fits_the_typed_configuration(name: str, value: Any) -> None:
    value_read, faults = judge(fields()[name], from_python(value))
    block, _, last = name.rpartition(".")
    document = {block: {last: value_read}} if block else {last: value_read}
    if not faults:
        msgspec.convert(document, RunConfig)
        return
    raw = {block: {last: value}} if block else {last: value}
    steps = fields()[name].note["steps"]
    if isinstance(value, float) and (value != value or value in (float("inf"), 1e300) or steps):
        return  # msgspec takes NaN, infinity, and steps that are no whole number
    if isinstance(value, int) and abs(value) > 2**63:
        return
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(raw, RunConfig)


@given(st.dictionaries(st.sampled_from([*fields(), *ALIASES, "_note", *UNUSED]), VALUES, max_size=5))
def test_the_json_schema_refuses_nothing_that_reading_accepts(flat: dict[str, Any]) -> None:
    document: dict[str, Any] = {"base_model": "org/name"}
    for name, value in flat.items():
        block, _, last = name.rpartition(".")
        (document.setdefault(block, {}) if block else document)[last] = value
    if not read_config(document).problems:
        jsonschema.validate(document, json_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"base_model": "a/b", "leraning_rate": 1},
        {"base_model": "a/b", "learning_rate": 0},
        {"base_model": "a/b", "batch_size": 0},
        {"base_model": "a/b", "batch_size": "8"},
        {"base_model": "a/b", "warmup": 1.5},
        {"base_model": "a/b", "warmup_ratio": 1},
        {"base_model": "a/b", "method": "Lora"},
        {"base_model": "a/b", "lora": {"rank": 1}},
        {"base_model": "a/b", "guard": {"actions": {"RUN999": "log"}}},
        {"base_model": "a/b", "epochs": None},
        {"base_model": "a/b", "max_steps": 0},
    ],
)
def test_the_json_schema_refuses_what_an_editor_can_see(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert read_config(document).problems
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())


def test_the_json_schema_accepts_real_documents() -> None:
    for document in (json.loads(ORIGIN), TRAINER, {"base_model": "a/b", "lora": None, "max_steps": -1, "$schema": "x"}):
        jsonschema.validate(document, json_schema())


@pytest.mark.parametrize("name", ["trainguard.toml", "full.yaml", "config.json"])
def test_the_examples_are_sound(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "examples" / "config" / name
    facts = read_config(path)
    assert facts.problems == ()
    assert facts.run is not None
    assert all(reference.kind == "local" for reference in facts.named.data)
    if name.endswith(".json"):
        jsonschema.validate(json.loads(path.read_text()), json_schema())


def test_every_field_is_described() -> None:
    names = [each.environment for each in fields().values()]
    assert len(set(names)) == len(names)
    for field in fields().values():
        assert field.description.endswith("."), field.name
        assert field.note["default"] or field.name == "base_model", field.name
        assert judge(field, from_python(field.default))[1] == [] or field.default is None, field.name
        if field.note["example"] is not None:
            assert judge(field, from_python(field.note["example"]))[1] == [], field.name
        if _has_range(field):
            assert field.note["because"], field.name


def _has_range(field: Field) -> bool:
    limits = [getattr(kind, name, None) for kind in field.alternatives for name in ("gt", "ge", "lt", "le")]
    return any(limit is not None for limit in limits)


def test_aliases_and_synonyms_lead_to_fields() -> None:
    assert {alias.name for alias in ALIASES.values()} <= set(fields())
    assert set(SYNONYMS.values()) <= set(fields()) | set(blocks())
    assert not set(ALIASES) & set(fields())
    assert not (set(SYNONYMS) | UNUSED) & (set(fields()) | set(ALIASES) | set(blocks()))


# Our name for a field, and where its default is said to come from.
SAME_AS_SFT = {
    "max_length": "max_length",
    "packing": "packing",
    "learning_rate": "learning_rate",
    "scheduler": "lr_scheduler_type",
    "warmup": "warmup_steps",
    "batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "epochs": "num_train_epochs",
    "optimizer": "optim",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "gradient_checkpointing": "gradient_checkpointing",
    "seed": "seed",
    "logging_steps": "logging_steps",
    "eval.strategy": "eval_strategy",
    "eval.batch_size": "per_device_eval_batch_size",
    "save.strategy": "save_strategy",
    "save.steps": "save_steps",
}


def test_defaults_are_those_of_the_release_that_is_named() -> None:
    from trainguard.libraries.api.index import open_index
    from trainguard.libraries.api.query import Interfaces
    from trainguard.libraries.api.signatures import Signatures

    signature = Signatures(Interfaces(open_index(), {"trl": "1.16.0", "transformers": "5.23.0"})).of("trl.SFTConfig")
    assert signature is not None
    for ours, theirs in SAME_AS_SFT.items():
        parameter = signature.parameter(theirs)
        assert parameter is not None, theirs
        assert parameter.default is not None
        assert fields()[ours].default == default(parameter.default), ours


def default(text: str) -> Any:
    # transformers 5.23, training_args.py: the fused AdamW wherever torch is 2.8 or newer.
    return "adamw_torch_fused" if text == "default_optim" else ast.literal_eval(text)


# -- what a configuration names --------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "kind"),
    [
        ("here", "local"),
        ("./here", "local"),
        ("her", "missing"),
        ("./nothing", "missing"),
        ("/nothing/at/all", "missing"),
        ("a/b/c", "missing"),
        ("C:\\models\\small", "missing"),
        ("org/na me", "missing"),
        ("org/name.git", "missing"),
        ("org/name", "hub"),
        ("gpt2", "hub"),
        ("bert-base-uncased", "hub"),
        ("t5-small", "hub"),
        ("hf://org/name", "hub"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "hub"),
        ("Qwen/Qwen2.5-4.5B-Instruct", "hub"),
        ("Qwen/Qwen2.5-0.5B-Instuct", "missing"),
        ("meta-lama/Llama-3.1-8B", "hub"),
        ("models/smal", "missing"),
        ("models/other", "missing"),
        ("google/gemma-nothing", "hub"),
        ("google/large", "hub"),
    ],
)
def test_what_a_name_of_a_model_is(tmp_path: Path, given_name: str, kind: str) -> None:
    for name in ("here", "models/small", "google/large-folder-of-ours"):
        (tmp_path / name).mkdir(parents=True)
    assert model_reference("base_model", given_name, tmp_path).kind == kind


def test_paths_count_from_the_folder_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "small").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "run.toml").write_text('base_model = "models/small"\n')
    monkeypatch.chdir(tmp_path)
    reference = read_config(Path("configs/run.toml")).named.base_model
    assert reference is not None
    assert (reference.kind, reference.nearest) == ("missing", "../models/small")
    (tmp_path / "configs" / "run.toml").write_text('base_model = "./models/small"\ndata = "trian.jsonl"\n')
    (tmp_path / "configs" / "train.jsonl").write_text("")
    named = read_config(Path("configs/run.toml")).named
    assert named.base_model is not None
    assert (named.base_model.kind, named.base_model.nearest) == ("missing", "../models/small")
    assert [(each.kind, each.nearest) for each in named.data] == [("missing", "train.jsonl")]
    assert named.output_dir == Path("configs/output")


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_no_well_known_name_is_taken_for_a_misspelt_one(name: str) -> None:
    assert misspelt(name) is None
    assert misspelt(name.upper()) is None
    assert not is_path(name)


HOSTILE = {
    "keys": json.dumps({f"k{number}x": 1 for number in range(16_000)}),
    "keys of a block": json.dumps({"lora": {f"k{number}x": 1 for number in range(16_000)}}),
    "items": json.dumps({"base_model": "a/b", "data": [1] * 60_000}),
    "codes": json.dumps({"base_model": "a/b", "guard": {"actions": {f"RUN{n}": "x" for n in range(9_000)}}}),
    "arguments": json.dumps({"base_model": "a/b", "trainer_arguments": {f"a{n}b": 1 for n in range(12_000)}}),
    "twice": "{" + ",".join(f'"a":{number}' for number in range(25_000)) + "}",
    "missing files": json.dumps({"base_model": "a/b", "data": [f"./no{number}" for number in range(15_000)]}),
    "deep path": json.dumps({"base_model": "a/" * 120_000}),
    "long name": json.dumps({"base_model": "a" * 250_000}),
    "tables": "".join(f"[k{number}x]\n" for number in range(16_000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_thousands_of_problems_take_no_time(text: str) -> None:
    started = time.monotonic()
    facts = read_config(text + "\n")
    assert time.monotonic() - started < 10
    assert len(facts.problems) <= 201
    assert len(facts.named.data) <= 1_000
