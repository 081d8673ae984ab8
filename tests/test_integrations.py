"""The pre-commit hooks, the GitHub Action and the example workflow: they parse, and what they run runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ACTION = ROOT / "action.yml"
TOKEN_IN_ENV = ROOT / "examples/jobs/token_in_env.json"
CLEAN_JOB = ROOT / "examples/jobs/sft_lora.json"
# The shell that GitHub runs `shell: bash` steps with.
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose `trainguard` is this checkout, and whose `python` only notes what it was asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "trainguard": f'exec {shlex.quote(sys.executable)} -m trainguard "$@"',
        "python": f'printf "%s\\n" "$@" >> {shlex.quote(str(tmp_path / "python.log"))}',
    }.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        program.chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "RUNNER_TEMP": str(tmp_path),
    }


def step(name: str) -> Mapping[str, Any]:
    return next(step for step in load(ACTION)["runs"]["steps"] if step.get("name") == name)


def run_step(
    name: str, values: Mapping[str, str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a step of the action as the runner does, with `values` for the expressions."""

    def value(match: re.Match[str]) -> str:
        return values[match[1]]

    described = step(name)
    assert "${{" not in described["run"], "an expression in a script is an injection"
    given = {key: re.sub(r"\$\{\{ *([\w.-]+) *\}\}", value, text) for key, text in described.get("env", {}).items()}
    return subprocess.run(
        [*BASH, described["run"]], env={**environment, **given}, cwd=folder, capture_output=True, text=True, check=False
    )


def check(
    environment: Mapping[str, str], folder: Path, **inputs: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """The Check step with the action's own defaults, and the outputs that it wrote."""
    values = {f"inputs.{name}": str(spec.get("default", "")) for name, spec in load(ACTION)["inputs"].items()}
    values |= {f"inputs.{name.replace('_', '-')}": text for name, text in inputs.items()}
    values["runner.temp"] = environment["RUNNER_TEMP"]
    done = run_step("Check", values, environment, folder)
    written = Path(environment["GITHUB_OUTPUT"])
    lines = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
    return done, dict(line.split("=", 1) for line in lines)


# -- pre-commit ----------------------------------------------------------------------


def test_hooks_have_what_pre_commit_requires() -> None:
    hooks = load(ROOT / ".pre-commit-hooks.yaml")
    assert [hook["id"] for hook in hooks] == ["trainguard", "trainguard-jobs"]
    for hook in hooks:
        assert {"id", "name", "entry", "language"} <= hook.keys()
        assert hook["language"] == "python"
        re.compile(hook.get("files", ""))


@pytest.mark.parametrize(("path", "code"), [(TOKEN_IN_ENV, 1), (CLEAN_JOB, 0), (ROOT / "examples/jobs/sft_lora.py", 0)])
def test_the_hooks_entry_runs_on_a_file(environment: dict[str, str], path: Path, code: int) -> None:
    for hook in load(ROOT / ".pre-commit-hooks.yaml"):
        done = subprocess.run(
            [*shlex.split(hook["entry"]), str(path)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr


# -- the action ----------------------------------------------------------------------


def test_the_action_is_a_composite_with_pinned_steps() -> None:
    action = load(ACTION)
    assert action["runs"]["using"] == "composite"
    for described in action["runs"]["steps"]:
        assert ("uses" in described) != ("run" in described)
        assert "run" not in described or described["shell"] == "bash"
        assert "uses" not in described or re.search(r"@v\d+$", described["uses"])
    for spec in action["inputs"].values():
        assert spec["description"]
        assert isinstance(spec.get("default"), str)


def test_every_input_is_used_and_every_used_input_exists() -> None:
    action = load(ACTION)
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(action["runs"])))
    assert used == set(action["inputs"])


@pytest.mark.parametrize(("version", "installed"), [("", "/actions/trainguard"), ("0.1.0", "trainguard==0.1.0")])
def test_install_takes_the_checkout_or_the_release(
    environment: dict[str, str], tmp_path: Path, version: str, installed: str
) -> None:
    values = {"inputs.version": version, "github.action_path": "/actions/trainguard"}
    assert run_step("Install", values, environment, tmp_path).returncode == 0
    assert (tmp_path / "python.log").read_text(encoding="utf-8").splitlines()[-1] == installed


def test_findings_become_annotations_sarif_and_the_exit_code(environment: dict[str, str], tmp_path: Path) -> None:
    done, outputs = check(environment, tmp_path, paths=str(TOKEN_IN_ENV))
    assert done.returncode == 0, done.stderr  # the result comes after the upload
    assert "::error " in done.stdout
    assert "JOB012" in done.stdout
    assert outputs["exit-code"] == "1"
    sarif = json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))
    assert "JOB012" in {result["ruleId"] for result in sarif["runs"][0]["results"]}


def test_clean_files_exit_with_0(environment: dict[str, str], tmp_path: Path) -> None:
    done, outputs = check(environment, tmp_path, paths=f"{CLEAN_JOB}\n\n{ROOT / 'examples/jobs/classifier.json'}\n")
    assert (done.stdout, outputs["exit-code"]) == ("", "0")


def test_a_job_goes_around_the_paths(environment: dict[str, str], tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"flavor": "l4x1", "secrets": {"HF_TOKEN": "$HF_TOKEN"}}), encoding="utf-8")
    script = ROOT / "examples/jobs/dpo_trlparser.py"
    done, outputs = check(environment, tmp_path, paths=str(script), job=str(job), fail_on="warn")
    assert "JOB002" in done.stdout  # the job gives no timeout
    assert outputs["exit-code"] == "1"


def test_a_job_alone_is_checked_alone(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def", encoding="utf-8")  # in the folder, and not asked for
    done, outputs = check(environment, tmp_path, job=str(TOKEN_IN_ENV))
    assert "JOB012" in done.stdout
    assert "broken.py" not in done.stdout
    assert outputs["exit-code"] == "1"


def test_without_inputs_the_whole_repository_is_checked(environment: dict[str, str], tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    repository.joinpath("train.py").write_text("def", encoding="utf-8")
    done, outputs = check(environment, repository)
    assert "file=train.py" in done.stdout
    assert outputs["exit-code"] == "1"


@pytest.mark.parametrize("path", ["nowhere.py", "$(touch pwned).py", "a.py; touch pwned", "--output=pwned"])
def test_a_hostile_or_missing_path_is_wrong_usage_and_runs_nothing(
    environment: dict[str, str], tmp_path: Path, path: str
) -> None:
    done, outputs = check(environment, tmp_path, paths=path)
    assert outputs["exit-code"] == "2", done.stdout + done.stderr
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("code", ["0", "1", "2", "3"])
def test_the_result_keeps_the_exit_code(environment: dict[str, str], tmp_path: Path, code: str) -> None:
    values = {"steps.check.outputs.exit-code": code}
    assert run_step("Result", values, environment, tmp_path).returncode == int(code)


def test_upload_runs_only_where_there_is_something_to_upload() -> None:
    upload = step("Upload")
    assert "inputs.upload-sarif == 'true'" in upload["if"]
    assert "steps.check.outputs.sarif != ''" in upload["if"]


# -- the workflow --------------------------------------------------------------------


def test_the_example_workflow_gives_the_action_inputs_that_it_has() -> None:
    workflow = load(ROOT / "examples/workflows/trainguard.yml")
    assert workflow[True]["pull_request"]["paths"]  # `on` is a boolean in YAML 1.1, which GitHub reads as a word
    assert workflow["permissions"] == {"contents": "read", "security-events": "write"}
    steps = workflow["jobs"]["check"]["steps"]
    used = next(step for step in steps if "/trainguard@" in step["uses"])
    assert used["with"].keys() <= load(ACTION)["inputs"].keys()


def test_ci_runs_the_tests_and_the_checks() -> None:
    ci = ROOT / ".ci/run"
    assert os.access(ci, os.X_OK)
    assert re.findall(r"^step (.*)$", ci.read_text(encoding="utf-8"), flags=re.MULTILINE) == [
        "make test",
        "make --keep-going check",
    ]
