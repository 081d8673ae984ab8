from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard import run_preflight_checks, run_preflight_checks_batch
from trainguard.check import Options, check_job, check_paths, check_script
from trainguard.errors import UnreadableInputError
from trainguard.findings import Finding

FLAWED = """
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", attn_implementation="flash_attention_2")
SFTTrainer(model, args=SFTConfig("out", push_to_hub=True)).train()
"""
JOB = {"hardware_flavor": "a10g-large", "dependencies": ["trl"]}

KEYS = (
    "script",
    "command",
    "image",
    "timeout",
    "hardware_flavor",
    "dependencies",
    "env",
    "secrets",
    "operation",
    "python",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(FLAWED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner),
    max_leaves=8,
)


def codes(findings: list[Finding]) -> list[str | None]:
    return [finding.code for finding in findings]


@given(JSON)
def test_any_json_value_gets_an_answer(arguments: Any) -> None:
    for finding in run_preflight_checks(arguments):
        assert "could not check" not in finding.message
        assert "failed" not in finding.message


@given(st.lists(JSON, max_size=3))
def test_any_batch_gets_an_answer_for_each_job(batch: list[Any]) -> None:
    assert len(run_preflight_checks_batch(batch)) == len(batch)


def test_a_rule_that_crashes_is_told_and_the_others_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainguard.rules.registry import discover

    broken = discover().by_code()["JOB003"]

    def crash(self: object, subject: object) -> list[Finding]:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(type(broken), "check", crash)
    found = run_preflight_checks({**JOB, "script": FLAWED})
    assert {"JOB002", "JOB004"} <= set(codes(found))
    (told,) = [finding for finding in found if finding.code is None]
    assert "JOB003 failed: RuntimeError: broken on purpose" in told.message
    (report,) = check_job({**JOB, "script": FLAWED})
    assert report.exit_code() == 3


def test_scripts_by_text_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(FLAWED)
    by_text = codes(check_script(FLAWED, arguments=JOB))
    assert by_text == codes(check_script(path, arguments=JOB))
    with pytest.raises(UnreadableInputError, match="missing"):
        check_script(tmp_path / "missing.py")


def test_without_a_job_the_rules_that_need_one_are_listed_as_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(FLAWED)
    (report,) = check_paths([path])
    assert report.not_asked["JOB002"] == "a job"
    assert "JOB002" not in codes(list(report.findings))


def test_a_job_file_with_its_script_beside_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(FLAWED)
    (tmp_path / "job.json").write_text(json.dumps({**JOB, "script": "train.py"}))
    (tmp_path / "docker.json").write_text(json.dumps({"image": "x", "command": "bash -c 'python train.py'"}))
    (tmp_path / "gone.json").write_text(json.dumps({**JOB, "script": "gone.py"}))
    named, docker, gone = check_paths([tmp_path / name for name in ("job.json", "docker.json", "gone.json")])
    assert {"JOB002", "JOB003"} <= set(codes(list(named.findings)))
    assert "JOB003" in codes(list(docker.findings))
    assert "JOB024" in codes(list(gone.findings))


def test_what_cannot_be_read_is_reported_and_the_rest_is_checked(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_bytes(b"\xff\xfe")
    missing, bad, good = check_paths([tmp_path / name for name in ("missing.py", "bad.py", "good.py")])
    assert missing.unreadable is not None
    assert bad.unreadable is not None
    assert [report.exit_code() for report in (missing, bad, good)] == [2, 2, 0]


def test_select_ignore_and_severities() -> None:
    script = {**JOB, "script": FLAWED}
    (selected,) = check_job(script, options=Options(select=("JOB00",), ignore=("JOB003",)))
    found = codes(list(selected.findings))
    assert {"JOB002", "JOB004"} <= set(found)
    assert all(code and code.startswith("JOB00") and code != "JOB003" for code in found)
    (severe,) = check_job(script, options=Options(select=("JOB002",), severities={"JOB002": "error"}))
    assert [finding.severity for finding in severe.findings] == ["error"]


def test_progress_is_told_for_each_input(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    told: list[tuple[int, int]] = []
    check_paths([tmp_path], on_progress=lambda done, total, _: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
