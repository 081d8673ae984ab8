"""`trainguard config`: the schema is printed, values come with their origins, secrets stay hidden."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from tests.cli.helpers import run

CONFIG = """base_model = "org/name"
learning_rate = 1e-5
per_device_train_batch_size = 4

[lora]
r = 8

[alerts]
urls = ["slack://s3cret"]

[trainer_arguments]
hub_token = "s3cret"
"""


def write(folder: Path, text: str = CONFIG, name: str = "run.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_schema_is_one_that_editors_take(tmp_path: Path) -> None:
    printed = run("config", "schema")
    assert printed.returncode == 0
    schema = json.loads(printed.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["max_length"]["description"].startswith("Longer examples are cut")
    assert run("config", "schema", "--output", "schema.json", folder=tmp_path).returncode == 0
    assert json.loads((tmp_path / "schema.json").read_text()) == schema


def test_values_come_with_their_origins(tmp_path: Path) -> None:
    write(tmp_path)
    environment = {"TRAINGUARD_MAX_LENGTH": "512", "TRAINGUARD_SEED": "1"}
    shown = run("config", "show", "run.toml", "--set", "seed=7", folder=tmp_path, env=environment)
    assert shown.returncode == 0
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.stdout.splitlines()}
    assert lines["base_model"] == '"org/name" run.toml:1:14'
    assert lines["batch_size"] == "4 run.toml:3:31, as per_device_train_batch_size"
    assert lines["lora.r"] == "8 run.toml:6:5"
    assert lines["method"] == '"lora" default: lora.r is given'
    assert lines["max_length"] == "512 TRAINGUARD_MAX_LENGTH"
    assert lines["seed"] == "7 --set"
    assert lines["epochs"] == "3 default"
    assert "s3cret" not in shown.stdout


def test_json_holds_the_same(tmp_path: Path) -> None:
    write(tmp_path)
    shown = run("config", "show", "run.toml", "--given", "--format", "json", folder=tmp_path)
    assert shown.returncode == 0
    assert "s3cret" not in shown.stdout
    document = json.loads(shown.stdout)
    rows = {row["field"]: row for row in document["fields"]}
    assert list(rows) == [
        "base_model",
        "lora.r",
        "learning_rate",
        "batch_size",
        "alerts.urls",
        "trainer_arguments",
    ]
    assert rows["learning_rate"]["value"] == 1e-5
    assert (rows["lora.r"]["line"], rows["lora.r"]["column"]) == (6, 5)
    assert document["problems"] == []


def test_problems_are_listed_and_make_the_exit_code_1(tmp_path: Path) -> None:
    write(tmp_path, '{"base_model": "org/name",\n "batch_size": 0,\n "lerning_rate": 1}', "config.json")
    shown = run("config", "show", "config.json", folder=tmp_path)
    assert shown.returncode == 1
    assert "2 problems:\n  batch_size at 2:16: got 0, expected a whole number of 1 or more, because" in shown.stdout
    assert "  lerning_rate at 3:2: got a key that is no field, expected learning_rate, because" in shown.stdout


def test_wrong_usage_is_said_in_one_line(tmp_path: Path) -> None:
    write(tmp_path)
    missing = run("config", "show", "rum.toml", folder=tmp_path)
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: rum.toml: got no file, expected a configuration")
    assert missing.stderr.endswith("did you mean run.toml?\n")
    unset = run("config", "show", "run.toml", "--set", "seed", folder=tmp_path)
    assert unset.returncode == 2
    assert "--set seed: write it as FIELD=VALUE" in unset.stderr


def test_control_characters_are_made_visible(tmp_path: Path) -> None:
    write(tmp_path, '{"base_model": "org/\\u001b[31mname", "\\u001b[2J": 1}', "config.json")
    shown = run("config", "show", "config.json", folder=tmp_path)
    assert shown.returncode == 1
    assert "\x1b" not in shown.stdout
    assert "\\x1b[2J" in shown.stdout
