"""Codes, names and severities are a contract, written here a second time: no edit changes one unseen."""

from __future__ import annotations

from trainguard.rules.registry import discover

CONTRACT = {
    "API001": ("unknown-name", "error"),
    "API002": ("unknown-argument", "error"),
    "API003": ("deprecated-argument", "warn"),
    "API004": ("missing-argument", "error"),
    "API005": ("unknown-choice", "error"),
    "API006": ("arguments-conflict", "error"),
    "API007": ("none-not-accepted", "error"),
    "API008": ("dataset-format", "error"),
    "API009": ("argument-out-of-range", "error"),
    "API010": ("suspicious-value", "warn"),
    "API011": ("unsatisfiable-versions", "error"),
    "JOB001": ("model-not-saved", "warn"),
    "JOB002": ("default-timeout", "warn"),
    "JOB003": ("hub-model-id-missing", "warn"),
    "JOB004": ("flash-attn-not-installed", "warn"),
    "JOB005": ("trackio-not-configured", "info"),
    "JOB006": ("saved-to-ephemeral-disk", "warn"),
    "JOB008": ("checkpoints-not-persisted", "warn"),
    "JOB009": ("dependency-not-declared", "error"),
    "JOB010": ("dependency-implied", "error"),
    "JOB011": ("secret-missing", "warn"),
    "JOB012": ("secret-in-plain-text", "error"),
    "JOB013": ("local-path", "error"),
    "JOB014": ("cpu-flavor-for-training", "warn"),
    "JOB015": ("idle-gpus", "warn"),
    "JOB016": ("unsupported-on-this-gpu", "error"),
    "JOB018": ("batch-without-canary", "warn"),
    "JOB019": ("dataset-substituted", "warn"),
    "JOB020": ("scope-changed-on-error", "warn"),
    "JOB021": ("unknown-flavor-or-timeout", "error"),
    "JOB022": ("progress-bar-logs", "info"),
    "JOB023": ("failure-swallowed", "warn"),
    "JOB024": ("script-or-command", "error"),
    "PY001": ("syntax-error", "error"),
    "PY002": ("undefined-name", "error"),
    "PY003": ("used-before-assignment", "error"),
    "PY004": ("possibly-unbound", "warn"),
    "PY005": ("type-mismatch", "warn"),
    "PY006": ("certain-exception", "warn"),
    "SEC001": ("code-execution-on-load", "warn"),
}


def test_codes_names_and_severities_are_those_of_the_rule_book() -> None:
    found = {rule.code: (rule.name, rule.severity) for rule in discover().rules}
    assert found == CONTRACT


def test_the_first_five_rules_come_first() -> None:
    codes = [rule.code for rule in discover().rules if rule.area == "job"]
    assert codes[:5] == ["JOB001", "JOB002", "JOB003", "JOB004", "JOB005"]


def test_every_rule_has_examples_of_both_kinds() -> None:
    for rule in discover().rules:
        assert len(rule.VALID) >= 2, rule.code
        assert len(rule.INVALID) >= 2, rule.code
