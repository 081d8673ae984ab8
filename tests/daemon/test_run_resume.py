"""From where `trainguard run` lets a command go on, and what it never lets it write over."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import textwrap
import time

import pytest

from tests.daemon.running import RESUME, Run, codes, decisions, running

run = pytest.fixture(running)


def test_a_killed_command_goes_on_from_its_newest_checkpoint(run: Run) -> None:
    run.start(*RESUME, fault="if step == 6 and not before: os.kill(os.getpid(), signal.SIGKILL)")
    code, _, lines = run.end()
    assert code == 0
    assert [each["first"] for each in run.attempts()] == [0, 4]
    failure = next(line["failure"] for line in lines if line["event"] == "ended")
    assert (failure["code"], failure["kind"]) == ("RUN012", "killed")
    assert codes(lines) == ["RUN023"]


def test_a_broken_checkpoint_is_not_resumed_from(run: Run) -> None:
    tear = "(os.truncate('out/checkpoint-4/model.safetensors', 7), os.kill(os.getpid(), signal.SIGKILL))"
    run.start(*RESUME, fault=f"if step == 6 and not before: {tear}")
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 2]


def test_what_would_write_over_its_checkpoints_is_not_started_again(run: Run) -> None:
    run.start(fault="if step == 6: os.kill(os.getpid(), signal.SIGKILL)")
    code, _, lines = run.end()
    assert code == 128 + signal.SIGKILL
    assert len(run.attempts()) == 1
    assert decisions(lines)[-1]["act"] == "hold"
    assert "--resume-arg" in decisions(lines)[-1]["advice"]
    assert any("--resume-arg" in line["words"] for line in lines if line["event"] == "unguarded")


def test_before_the_first_checkpoint_it_may_begin_anew(run: Run) -> None:
    run.start(fault="if step == 1 and not before: os.kill(os.getpid(), signal.SIGKILL)")
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 0]


RESUMES = """
import argparse
from transformers import Trainer, TrainingArguments
def never_called():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir")
    parser.add_argument("--resume_from_checkpoint")
    args = parser.parse_args()
    Trainer(None, TrainingArguments(output_dir=args.output_dir)).train(args.resume_from_checkpoint)
if len(sys.argv) > 100:
    never_called()
"""


KILL = "if step == 6 and not before: os.kill(os.getpid(), signal.SIGKILL)"


def text_that_resumes() -> str:
    """Its parser's option leads to a Trainer, as far as its text says; it is the stand-in that runs."""
    return f"import sys\nif len(sys.argv) > 100:\n{textwrap.indent(RESUMES, '    ')}"


def test_the_option_of_its_own_parser_is_found(run: Run) -> None:
    run.start(fault=KILL, head=text_that_resumes())
    assert run.end()[0] == 0
    first, second = run.attempts()
    assert first["argv"] == ["--output_dir", "out"]
    assert second["argv"] == [*first["argv"], "--resume_from_checkpoint", str(run.folder / "out/checkpoint-4")]


def test_what_was_found_is_not_used_for_an_earlier_runs_checkpoint(run: Run) -> None:
    run.start(head=text_that_resumes())
    assert run.end()[0] == 0
    for each in [run.folder / "out", *(run.folder / "out").rglob("*")]:
        os.utime(each, (time.time() - 3600,) * 2)
    for each in run.folder.rglob("events.jsonl"):
        each.unlink()
    kill = "if step == 1 and before == 1: os.kill(os.getpid(), signal.SIGKILL)"
    run.start(fault=kill, head=text_that_resumes())
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 0, 0], "the user began anew, and so does the restart"


def test_a_broken_checkpoint_alone_is_set_aside_before_it_is_written_over(run: Run) -> None:
    tear = "(os.truncate('out/checkpoint-2/model.safetensors', 7), os.kill(os.getpid(), signal.SIGKILL))"
    run.start(*RESUME, fault=f"if step == 3 and not before: {tear}")
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 0]
    assert (run.folder / "out/quarantine/checkpoint-2/model.safetensors").stat().st_size == 7


def test_weights_in_a_layout_of_its_own_are_not_written_over(run: Run) -> None:
    fault = "(Path('out/model.pt').write_bytes(b'1'), os.kill(os.getpid(), signal.SIGKILL)) if step == 1 else None"
    run.start(fault=fault)
    code, _, lines = run.end()
    assert code == 128 + signal.SIGKILL
    assert len(run.attempts()) == 1
    assert "model.pt" in decisions(lines)[-1]["why"]
    assert "--from-start" in decisions(lines)[-1]["advice"]


def test_what_counts_its_steps_into_an_unknown_place_is_not_started_again(run: Run) -> None:
    program = "import os; print('step 10 loss 2.3', flush=True); os.kill(os.getpid(), 9)"
    run.start("--state-dir", "state", command=(sys.executable, "-c", program))
    code, _, lines = run.end()
    assert code == 128 + signal.SIGKILL
    assert [line["event"] for line in lines].count("started") == 1
    assert "--output-dir" in decisions(lines)[-1]["advice"]


def test_from_start_is_the_users_own_word(run: Run) -> None:
    run.start("--from-start", fault=KILL)
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 0]


def test_a_shell_script_goes_on_by_the_variable(run: Run) -> None:
    line = "${TRAINGUARD_CHECKPOINT:+--resume_from_checkpoint $TRAINGUARD_CHECKPOINT}"
    text = f"{shlex.quote(sys.executable)} train.py --output_dir out {line}"
    run.start("--output-dir", "out", fault=KILL, command=("bash", "-c", text))
    assert run.end()[0] == 0
    assert [each["first"] for each in run.attempts()] == [0, 4]
