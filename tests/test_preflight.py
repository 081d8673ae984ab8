"""`run_preflight_checks` as a harness uses it: pure, in order, and never raising."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainguard
from trainguard import check_training_script_save_pattern, run_preflight_checks, run_preflight_checks_batch

FAULTY = """
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", attn_implementation="flash_attention_2")
trainer = SFTTrainer(model=model, args=SFTConfig("out", push_to_hub=True), train_dataset=open("x"))
trainer.train()
"""
JOB = {"hardware_flavor": "a10g-large", "dependencies": ["trl"], "secrets": {"HF_TOKEN": "$HF_TOKEN"}}


def codes(arguments: Any) -> list[str | None]:
    return [finding.code for finding in run_preflight_checks(arguments)]


def test_the_five_documented_checks_come_first_in_their_order() -> None:
    found = codes({**JOB, "script": FAULTY})
    assert found[:4] == ["JOB002", "JOB003", "JOB004", "JOB005"]
    lost = FAULTY.replace(", push_to_hub=True", "")
    assert codes({**JOB, "script": lost})[:4] == ["JOB001", "JOB002", "JOB004", "JOB005"]


def test_a_job_that_is_right_has_no_findings() -> None:
    script = """
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

args = SFTConfig(
    "out", push_to_hub=True, hub_model_id="user/name", report_to="trackio", disable_tqdm=True, logging_first_step=True,
    logging_strategy="steps", logging_steps=10,
)
SFTTrainer("Qwen/Qwen3-0.6B", args=args, train_dataset=load_dataset("trl-lib/Capybara", split="train")).train()
"""
    job = {**JOB, "dependencies": ["trl", "trackio"], "timeout": "6h", "script": script}
    assert run_preflight_checks(job) == []


def test_docker_mode_checks_the_timeout_and_the_script_that_the_command_carries() -> None:
    launched = {"command": ["accelerate", "launch", "train.py"], "image": "org/image", "flavor": "a10g-large"}
    assert codes(launched) == ["JOB002"]
    carried = f"cat > train.py <<'EOF'\n{FAULTY}\nEOF\npip install trl && python train.py"
    found = codes({"command": ["bash", "-c", carried], "flavor": "a10g-large", "timeout": "1h"})
    assert {"JOB003", "JOB004"} <= set(found)


def test_operations_that_start_nothing_are_not_checked() -> None:
    assert run_preflight_checks({"operation": "logs", "script": FAULTY}) == []


@pytest.mark.parametrize(
    "arguments",
    [None, 5, "x", [], [[]], {"script": None}, {"script": 5}, {"script": ["a"]}, {"command": [1, None]}, {1: 2},
     {"timeout": float("nan")}, {"timeout": 10**400}, {"timeout": True}, {"env": [1]}, {"dependencies": {"a": 1}},
     {"script": "\0"}, {"script": "\ud800\n"}, {"script": b"x"}, object(), {"volumes": 3}, {"script": "x\n" * 3}],
)  # fmt: skip
def test_it_never_raises(arguments: Any) -> None:
    findings = run_preflight_checks(arguments)
    assert [finding.message for finding in findings if finding.code is None] == []


def test_arguments_that_raise_when_read_are_reported() -> None:
    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no")

    (finding,) = run_preflight_checks(Hostile(script="x"))
    assert finding.severity == "warn"
    assert "RuntimeError" in finding.message


def test_a_batch_is_a_list_of_lists_and_adds_the_rule_about_several_jobs() -> None:
    script = FAULTY.replace('SFTConfig("out"', 'SFTConfig("out", learning_rate={})')
    jobs = [{**JOB, "timeout": "6h", "script": script.replace("{}", rate)} for rate in ("1e-5", "2e-5", "5e-5")]
    results = run_preflight_checks_batch(jobs)
    assert len(results) == 3
    assert [finding.code for finding in results[0]].count("JOB018") == 1
    assert all(finding.code != "JOB018" for finding in results[1] + results[2])
    assert run_preflight_checks_batch([]) == []


def test_the_legacy_function_returns_the_exact_strings() -> None:
    lost = "\n\x1b[91mWARNING: No model save detected in this script. Ensure this is intentional.\x1b[0m"
    assert check_training_script_save_pattern("AutoModel.from_pretrained('x')") == lost
    pushed = "\n\x1b[92mModel will be pushed to hub after training.\x1b[0m"
    assert check_training_script_save_pattern("from_pretrained; push_to_hub") == pushed
    assert check_training_script_save_pattern("push_to_hub") is None


def test_it_writes_no_file_and_opens_no_connection(tmp_path: Path) -> None:
    """Audited by the interpreter itself, in a process of its own."""
    program = """
import json, os, sys
from trainguard import run_preflight_checks
job = json.loads(sys.argv[1])
run_preflight_checks(job)  # what is loaded lazily is loaded now
seen = []
def audit(event, args):
    if event == "open" and isinstance(args[0], int):
        return  # a pipe to a child that is already open
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen.append((event, str(args[0])))
    if event == "open" and args[1] is None and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if str(args[0]) != os.devnull:
            seen.append((event, str(args[0])))
    if event in ("os.mkdir", "os.rename", "os.remove", "socket.connect", "socket.bind", "tempfile.mkstemp"):
        seen.append((event, str(args)))
sys.addaudithook(audit)
findings = run_preflight_checks(job)
print(json.dumps([len(findings), seen]))
"""
    arguments = json.dumps({**JOB, "script": FAULTY})
    done = subprocess.run(
        [sys.executable, "-c", program, arguments], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    count, seen = json.loads(done.stdout)
    assert count >= 4
    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_the_public_names_are_there_and_nothing_else_is_loaded() -> None:
    assert set(trainguard.__all__) <= set(dir(trainguard))
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        _ = trainguard.check_everything  # type: ignore[attr-defined]
    heavy = ("rich", "typer", "click", "torch", "yaml")
    program = f"import sys, trainguard; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
