"""`trainguard log` shows the JSON Lines that the trainer leaves in an attempt's output in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.cli.test_log import output
from tests.daemon.history import trained

from trainguard.cli.train_lines import TrainLines
from trainguard.cli.train_text import JsonSpeaker, Speaker, TextSpeaker
from trainguard.findings import Finding, Report
from trainguard.train.lineage import Start
from trainguard.train.plan import Plan

_PLAN = Plan(
    model="base", method="lora", precision="bf16", examples=40, tokens=1297, tokens_exact=True,
    cut=2, max_length=64, packing=False, processes=1, batch_size=4, gradient_accumulation=2,
    epochs=1.0, steps_per_epoch=5, steps=5, approximate=False, learning_rate=0.001,
    scheduler="linear", warmup_steps=0, eval_every=None, eval_strategy="no", save_every=2,
    save_strategy="steps", saves=2, keep=3, checkpoint_bytes=493440, output_dir="out",
    step_before=3, notes=(),
)  # fmt: skip
_START = Start(
    kind="resume", checkpoint=Path("out/checkpoint-5"), step=5, step_before=3, planned_steps=5, file_number=2,
    notes=("checkpoint-6 was torn",),
)  # fmt: skip
_TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 7, in <module>\nKeyError: {"event": 1}'


def run(speaker: Speaker) -> None:
    """What a run tells, after its checks."""
    speaker.plan(_PLAN, _START)
    speaker.tell("phase", name="load", words="loading torch \x1b[31m")
    speaker.tell("note", words="a note")
    speaker.tell("begin", step=2, steps=5, step_before=3)
    speaker.tell("progress", step=3, steps=5)
    speaker.tell("metrics", step=3, steps=5, values={"loss": 5.27123, "learning_rate": 1e-4, "other": 1})
    speaker.tell("metrics", step=4, steps=5, values={"loss": float("nan")})
    speaker.tell("finding", finding=Finding(severity="error", code="RUN001", name="loss-nan", message="NaN", step=7))
    speaker.tell("metrics", step=5, steps=5, values={"train_runtime": 3.0})
    speaker.tell("saved", path="out/final", step=8)
    speaker.tell("stopped", code=75, steps=5, checkpoint="checkpoint-8", words="asked to stop")
    speaker.tell("end", code=0, steps=5, planned=5, words="")


def written(speaker: Speaker, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    run(speaker)
    return capsys.readouterr().out.splitlines()


def without_pace(lines: list[str]) -> list[str]:
    return [line.split("s/step")[0].rsplit("  ", 1)[0] if "s/step" in line else line for line in lines if line]


def test_the_same_words_as_the_text_form(capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(JsonSpeaker(), capsys)
    expected = written(TextSpeaker("never"), capsys)
    told = TrainLines().words(lines)
    assert [line.replace("\x1b", "\\x1b") for line in without_pace(told)] == without_pace(expected)
    assert any(line.startswith("step 3/5  loss 5.271  learning_rate 0.0001") for line in told), told


def test_the_checks(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Finding(severity="error", code="DATA002", name="empty", message="no rows"),
        Finding(severity="warn", message="odd"),
    ]
    JsonSpeaker().checks([Report(subject="a"), Report(subject="b", findings=tuple(found))], forced=["SYS006"], stops=1)
    assert TrainLines().words(capsys.readouterr().out.splitlines()) == [
        "checked 2 things, 2 findings",
        "error DATA002: no rows",
        "warn : odd",
        "forced: SYS006",
        "Not started: 1 error above",
    ]


def test_the_pace_where_the_beginning_is_missing() -> None:
    lines = [
        json.dumps({"event": "metrics", "time": 1000.0 + 4 * step, "step": step, "steps": 20, "values": {"loss": 1}})
        for step in (10, 11, 12)
    ]
    assert TrainLines().words(lines)[-1] == "step 12/20  loss 1  4.00 s/step  32 s left"
    quiet = [
        json.dumps({"event": "progress", "time": 1000.0 + 10 * step, "step": step, "steps": 20}) for step in range(8)
    ]
    assert TrainLines().words(quiet) == [
        "step 3/20  10.00 s/step  2 min 50 s left",
        "step 6/20  10.00 s/step  2 min 20 s left",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "step 1",
        '{"event": "metrics"}',
        '{"event": "metrics", "time": 1}',
        '{"event": "metrics", "time": 1, "step": [], "steps": {}, "values": 5}',
        '{"event": "metrics", "time": 1, "step": 1, "steps": 2, "values": {"loss": 1}, "more": 1}',
        '{"event": "plan", "time": 1, "plan": {}, "start": {}}',
        '{"event": "checks", "time": 1, "reports": [{"findings": [5]}]}',
        '{"event": "finding", "time": 1, "finding": "x"}',
        '{"event": "begin", "time": 1e999, "step": "x", "steps": 1, "step_before": 0, "x": 1}',
        '{"event": "my own", "time": 1}',
        '{"event": ["end"], "time": 1}',
        '{"event": ' + "[" * 100_000,
        '{"event": "end", "time": 1',
    ],
)
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert TrainLines().words([line]) == [line]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_in_the_log_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with queue_of(folder) as queue:
        trained(queue, "a.jsonl")
    lines = [*written(JsonSpeaker(), capsys), *_TRACEBACK.split("\n")]
    output(folder, 1, 1, ("\n".join(lines) + "\n").encode())
    text = call("log", "1", "--lines", "7")[1]
    tail = text[text.index("last lines of") :].splitlines()[1:]
    assert tail[0].startswith("step 4/5  loss nan")
    assert tail[1:4] == ["error RUN001 at step 7: NaN", "the result is in out/final", "done: 5 of 5 steps made"]
    assert "\n".join(tail[4:]) == _TRACEBACK
    raw: list[dict[str, Any]] = [json.loads(line) for line in call("log", "1", "--format", "json")[1].splitlines()]
    assert [each["line"] for each in raw if each["kind"] == "output"] == lines[-20:], "as it was written"
