"""The committed pages are those that the rules and the command line write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.helpers import environment

from trainguard.report.rule_page import rule_page, rule_summary
from trainguard.rules.base import Example, Rule

ROOT = Path(__file__).parents[2]


class Sample(Rule):
    """A job with ``` in it. And more.

    *What it does*
    Says *so*.

    *Why it costs you*: money.

    *Example*

        indented()

    *Use instead*
    Nothing.
    """

    code = "JOB999"
    name = "sample"
    severity = "warn"
    area = "job"
    VALID = (Example(script="x = '```'\n", files={"a.yaml": "b: 1\n"}),)
    INVALID = ()


def test_pages_have_all_sections_and_fences_that_hold() -> None:
    page = rule_page(Sample(), [])
    head = "# JOB999 sample\n\n**warn** · area: job · needs: a script\n\nA job with ``` in it. And more.\n"
    assert page.startswith(head)
    assert "## What it does\n\nSays *so*.\n" in page
    assert "## Why it costs you\n\nmoney.\n" in page
    assert "````python\nx = '```'\n````" in page
    assert "`a.yaml` beside it:" in page
    assert rule_summary(Sample()) == "A job with ``` in it."


def test_the_committed_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts/generate_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", env=environment(), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
