"""What the rule says of a dataset's columns, beside what trl 1.16.0 did with them.

`columns_truth.json` was made by running: for each shape a dataset of four rows, a Llama of one random layer on the CPU,
the trainer made and one step trained (transformers 5.23.0, datasets 5.2.0, torch 2.13). `outcome` is "ok" or the name
of the exception.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainguard.facts.script import read_script
from trainguard.libraries.dataset_formats import TRAINERS, format_for, formats_of
from trainguard.rules.api.dataset_format import DatasetFormat
from trainguard.rules.base import Subject

TRUTH: list[dict[str, Any]] = json.loads(Path(__file__).with_name("columns_truth.json").read_text(encoding="utf-8"))
# Runs that fail for what stands in a column or an option, not for the columns: nothing is said of them.
UNSAID = {
    ("text",): "a number or a list where text is read",
    ("chosen", "text"): "what counts as a conversation is drawn from a set of names",
    ("completion", "text"): "as above",
    ("completion", "prompt"): "a number where text is read, or from/value in place of role/content",
    ("completion", "prompt", "text"): "as above",
    ("messages", "completion"): "what counts as a conversation is drawn from a set of names",
    ("chosen", "messages", "rejected"): "as above",
    ("completion", "messages"): "as above",
    ("prompt", "chosen", "rejected", "completion"): "as above: it fails in one process of two",
    ("labels", "text"): "labels of another length than the tokens",
    ("messages",): "from/value under `messages`",
}


def script_of(row: dict[str, Any]) -> str:
    trainer = row["trainer"]
    module = f"trl.experimental.{trainer[:-7].lower()}" if trainer in ("ORPOTrainer", "CPOTrainer") else "trl"
    lines = ["from datasets import Dataset", f"from {module} import {trainer}, {trainer[:-7]}Config"]
    lines.append(f"data = Dataset.from_dict({ {name: [value] * 4 for name, value in row['columns'].items()}!r})")
    more = ""
    if "eval_columns" in row:
        lines.append(
            f"more = Dataset.from_dict({ {name: [value] * 4 for name, value in row['eval_columns'].items()}!r})"
        )
        more += ", eval_dataset=more"
    if "formatting_func" in row:
        more += ", formatting_func=lambda row: 'a text'"
    options = "".join(f", {name}={value!r}" for name, value in row.get("options", {}).items())
    lines.append(f"trainer = {trainer}(model, args={trainer[:-7]}Config('out'{options}), train_dataset=data{more})")
    return "\n".join([*lines, "trainer.train()", ""])


def messages(row: dict[str, Any]) -> list[str]:
    return [finding.message for finding in DatasetFormat().check(Subject(script=read_script(script_of(row))))]


def name_of(row: dict[str, Any]) -> str:
    return f"{row['trainer']}-{'-'.join(row['columns'])}-{row['outcome']}"


@pytest.mark.parametrize("row", [r for r in TRUTH if r["outcome"] == "ok"], ids=name_of)
def test_runs_that_pass_are_left_alone(row: dict[str, Any]) -> None:
    assert messages(row) == []


@pytest.mark.parametrize("row", [r for r in TRUTH if r["outcome"] != "ok"], ids=name_of)
def test_runs_that_fail_are_found(row: dict[str, Any]) -> None:
    found = messages(row)
    if not found:
        by_option = "completion_only_loss" in str(row) or "assistant_only_loss" in str(row) or "skip_" in str(row)
        formatted = row.get("formatting_func") and "completion" in row["columns"]
        assert tuple(sorted(row["columns"])) in {tuple(sorted(key)) for key in UNSAID} or by_option or formatted
    else:
        assert len(found) == 1
        assert row["outcome"] in found[0] or "ends before" in found[0] or row["outcome"] == "AttributeError"


def test_nearly_all_failures_are_found() -> None:
    failing = [row for row in TRUTH if row["outcome"] in ("KeyError", "TypeError")]
    assert sum(bool(messages(row)) for row in failing) >= 0.93 * len(failing)


def test_releases() -> None:
    def reads(trainer: str, version: str | None) -> str | None:
        found = format_for(trainer, version)
        return found.wanted if found is not None else None

    assert reads("DPOTrainer", "0.9.6") == "`prompt` + `chosen` + `rejected`"
    assert reads("DPOTrainer", "0.12.2") == reads("DPOTrainer", None) == "`chosen` + `rejected`"
    assert reads("SFTTrainer", "0.11.4") is None
    assert reads("RLOOTrainer", "0.21.0") is None
    assert reads("GRPOTrainer", "0.13.0") is None
    assert reads("GRPOTrainer", "no version") is None
    assert [bool(found.companions) for v in ("0.16.1", "0.17.0") if (found := format_for("SFTTrainer", v))] == [
        False,
        True,
    ]
    for trainer in TRAINERS:  # the rows of one trainer neither overlap nor leave a gap
        rows = list(formats_of(trainer))
        assert [each.until for each in rows[:-1]] == [each.since for each in rows[1:]]
        assert rows[-1].until is None
