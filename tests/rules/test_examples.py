"""Every rule's VALID and INVALID examples are its tests."""

from __future__ import annotations

import pytest

from trainguard.cli.examples import check_example
from trainguard.rules.base import Example, Rule
from trainguard.rules.registry import discover

RULES = discover().rules
VALID = [(rule, example) for rule in RULES for example in rule.VALID]
INVALID = [(rule, example) for rule in RULES for example in rule.INVALID]


def found(rule: Rule, example: Example) -> list[tuple[int | None, str]]:
    results = check_example(rule, example)
    assert [error for report in results for error in report.errors] == []
    findings = [finding for report in results for finding in report.findings]
    assert all(finding.code == rule.code for finding in findings)
    assert all(finding.severity == rule.severity for finding in findings)
    return [(finding.where.line if finding.where else None, finding.message) for finding in findings]


def in_order(findings: list[tuple[int | None, str]]) -> list[tuple[int | None, str]]:
    return sorted(findings, key=lambda finding: (finding[0] or 0, finding[1]))


def ids(pairs: list[tuple[Rule, Example]]) -> list[str]:
    return [f"{rule.code}-{index}" for index, (rule, _) in enumerate(pairs)]


@pytest.mark.parametrize(("rule", "example"), VALID, ids=ids(VALID))
def test_valid_example_is_silent(rule: Rule, example: Example) -> None:
    assert found(rule, example) == []


@pytest.mark.parametrize(("rule", "example"), INVALID, ids=ids(INVALID))
def test_invalid_example_is_found(rule: Rule, example: Example) -> None:
    assert example.findings, "an INVALID example states its findings"
    assert in_order(found(rule, example)) == in_order(list(example.findings))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_messages_are_one_line(rule: Rule) -> None:
    for example in rule.INVALID:
        for _, message in example.findings:
            assert "\n" not in message


def test_every_rule_file_can_be_used() -> None:
    assert discover().errors == ()
