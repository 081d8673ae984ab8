"""A rule file that is broken: named, and the others still speak. Each in a copy of the package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trainguard
from trainguard.rules.registry import HEADINGS, discover

SCRIPT = "from trl import SFTTrainer\nSFTTrainer('m').train()\n"
RULE = '''
from trainguard.rules.base import Example, Rule


class Made(Rule):
    """Made for a test.

    *What it does*: x. *Why it costs you*: x. *Example*: x. *Use instead*: x.
    """

    code = "JOB999"
    name = "made-for-a-test"
    severity = "warn"
    area = "job"
    VALID = (Example(script="x = 1"),)
    INVALID = (Example(script="x = 2"),)

    def check(self, subject):
        return ()
'''
ASK = """
import json, sys
from trainguard import run_preflight_checks
from trainguard.rules.registry import discover
registry = discover()
found = run_preflight_checks({"script": sys.argv[1], "timeout": "30m", "dependencies": ["trl"]})
print(json.dumps({
    "codes": [rule.code for rule in registry.rules],
    "errors": [[error.origin, error.message] for error in registry.errors],
    "found": [[finding.code, finding.message] for finding in found],
}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    copy = tmp_path / "trainguard"
    shutil.copytree(Path(trainguard.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def ask(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(package.parent), "PATH": "/usr/bin:/bin", "HOME": str(package.parent)}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError"),
        ("raise SystemExit(0)\n", "SystemExit"),
        ("x = 1\n", "exactly one Rule class, this one 0"),
        (RULE + RULE.replace("Made", "Other"), "exactly one Rule class, this one 2"),
        (RULE.replace("JOB999", "JOB001"), "JOB001 is defined twice"),
        (RULE.replace("JOB999", "job1"), "expected such as JOB001"),
        (RULE.replace('"warn"', '"warning"'), "severity is 'warning'"),
        (RULE.replace("*Use instead*", ""), "lacks the headings Use instead"),
        (RULE.replace('    INVALID = (Example(script="x = 2"),)\n', ""), "has no INVALID"),
    ],
    ids=["syntax", "import", "exit", "none", "two", "duplicate", "code", "severity", "headings", "examples"],
)
def test_a_broken_rule_file_is_named_and_the_others_speak(package: Path, text: str, reason: str) -> None:
    (package / "rules" / "job" / "zz_made.py").write_text(text)
    done = ask(package, "-c", ASK, SCRIPT)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    ((origin, message),) = answer["errors"]
    assert origin == "trainguard.rules.job.zz_made"
    assert reason in message
    assert "JOB001" in answer["codes"]
    assert "JOB002" in [code for code, _ in answer["found"]]
    assert any(code is None and reason in text for code, text in answer["found"])


def test_the_command_line_exits_with_3_and_names_the_file(package: Path, tmp_path: Path) -> None:
    (package / "rules" / "job" / "zz_made.py").write_text("def broken(:\n")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    done = ask(package, "-m", "trainguard", "check", str(script), "--timeout", "30m", "--with", "trl")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "zz_made" in done.stdout + done.stderr
    assert "JOB002" in done.stdout


def test_a_rule_is_one_file_and_nothing_else(package: Path) -> None:
    (package / "rules" / "job" / "zz_made.py").write_text(RULE)
    answer = json.loads(ask(package, "-c", ASK, SCRIPT).stdout)
    assert answer["errors"] == []
    assert "JOB999" in answer["codes"]


def test_codes_and_names_are_unique_and_docstrings_whole() -> None:
    rules = discover().rules
    # A tokenizer that does not fit may be told of a configuration and of a model folder: one name, two codes.
    assert len({rule.code for rule in rules}) == len({(rule.area, rule.name) for rule in rules}) == len(rules)
    assert [rule.code for rule in rules] == sorted(rule.code for rule in rules)
    assert all(f"*{heading}*" in (rule.__doc__ or "") for rule in rules for heading in HEADINGS)
