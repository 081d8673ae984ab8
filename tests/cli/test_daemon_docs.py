"""docs/daemon.md names every field and every metric that programs may count on, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.daemon.history import accepted, trained, write_events

from trainguard.daemon.prometheus import Figures

_DOCS = (Path(__file__).parents[2] / "docs/daemon.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    with queue_of(tmp_path) as queue:
        trained(queue, "one.jsonl", fault=True)
        accepted(queue, "two.jsonl")
    write_events(tmp_path / "out", steps=20)
    return tmp_path


def fields(command: str) -> set[str]:
    """The fields in a command's row of the table; those in brackets belong to a field before them."""
    found = re.search(rf"^\| `{command}` \| (.*) \|$", _DOCS, re.MULTILINE)
    assert found is not None, command
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", found[1])))


@pytest.mark.parametrize("command", ["daemon status", "status", "queue list", "report"])
def test_the_fields_are_those_of_the_docs(folder: Path, command: str) -> None:
    verb, *rest = command.split()
    shown = json.loads(call(verb, *rest, "--format", "json")[1])
    assert set(shown) == fields(command)


def test_a_file_and_its_events_have_the_fields_of_the_docs(folder: Path) -> None:
    file = json.loads(call("queue", "show", "1", "--format", "json")[1])
    assert fields("queue show") < set(file)
    event = json.loads(call("log", "1", "--format", "json")[1].splitlines()[0])
    assert set(event) == fields("log") - {"line"}
    exported = json.loads(call("queue", "export")[1].splitlines()[0])
    assert set(exported) == {*file, "history"}


def test_the_metrics_are_those_of_the_docs_and_keep_to_the_conventions(folder: Path) -> None:
    """prometheus.io/docs/practices/naming: a prefix, base units, `_total` for what only grows; labels are bounded."""
    from prometheus_client.exposition import generate_latest

    figures = Figures("out", folder / "out")
    with queue_of(folder) as queue:
        while not figures.refresh(queue):
            pass
    text = generate_latest(figures.registry()).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert set(kinds) == set(re.findall(r"`(trainguard_[a-z_]+)`", _DOCS.partition("| metric |")[2]))
    assert set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)) == set(kinds)
    for name, kind in kinds.items():
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"milli|minutes|hours|kilo|percent", name)
    labels = set(re.findall(r"[{,](\w+)=", text))
    assert labels <= {"lineage", "state", "outcome", "kind", "le"}
