"""Findings as SARIF 2.1.0, for code scanning.

Format: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", errata 01. Limits and
which fields code scanning reads: docs.github.com, "SARIF support for code scanning".
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from trainguard.findings import EXIT_CLEAN, EXIT_USAGE, Finding, Location, Report, Severity
from trainguard.report.json_ import to_json
from trainguard.report.places import annotated, unreadable_reason
from trainguard.report.rule_page import RuleInfo
from trainguard.report.snippet import SourceLines
from trainguard.report.visible import visible

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Mapping[Severity, str] = {"error": "error", "warn": "warning", "info": "note"}
_ROOT = "%SRCROOT%"
_FINGERPRINT = "trainguardFinding/v1"
_NO_CODE = "trainguard"


def render_sarif(reports: Sequence[Report], *, rules: Sequence[RuleInfo] = (), version: str = "0") -> str:
    """One SARIF run. `rules` are described whether they found something or not; `version` is trainguard's."""
    described = {rule.code: _rule(rule) for rule in rules}
    for finding in (finding for report in reports for finding in report.findings):
        described.setdefault(finding.code or _NO_CODE, _undescribed(finding))
    order = {code: index for index, code in enumerate(described)}
    run = {
        "tool": {"driver": {"name": "trainguard", "version": version, "rules": list(described.values())}},
        "invocations": [_invocation(reports)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that the check was started in."}}},
        "columnKind": "unicodeCodePoints",
        "results": [result for report in reports for result in _results(report, order)],
    }
    return to_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _undescribed(finding: Finding) -> dict[str, Any]:
    text = {"text": finding.name or finding.code or _NO_CODE}
    return {"id": finding.code or _NO_CODE, "shortDescription": text, "fullDescription": text, "help": text}


def _rule(rule: RuleInfo) -> dict[str, Any]:
    text = rule.summary or rule.name
    described: dict[str, Any] = {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": text},
        "fullDescription": {"text": text},
        "help": {"text": rule.page or text, "markdown": rule.page or text},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.area]},
    }
    if rule.url is not None:
        described["helpUri"] = rule.url
    return described


def _invocation(reports: Sequence[Report]) -> dict[str, Any]:
    notifications = []
    for report in reports:
        if report.unreadable is not None:
            notifications.append(_notification(unreadable_reason(report), report.subject))
        notifications += [_notification(f"{e.origin}: {e.message}", report.subject) for e in report.errors]
    worst = max((report.exit_code("never") for report in reports), default=EXIT_CLEAN)
    invocation: dict[str, Any] = {"executionSuccessful": worst < EXIT_USAGE}
    if notifications:
        invocation["toolExecutionNotifications"] = notifications
    return invocation


def _notification(message: str, path: str) -> dict[str, Any]:
    location = {"physicalLocation": {"artifactLocation": _artifact(path)}}
    return {"level": "error", "message": {"text": visible(message)}, "locations": [location]}


def _results(report: Report, order: Mapping[str, int]) -> list[dict[str, Any]]:
    lines = SourceLines(report)
    seen: Counter[str] = Counter()
    return [_result(finding, report, lines, seen, order) for finding in report.findings]


def _result(
    finding: Finding, report: Report, lines: SourceLines, seen: Counter[str], order: Mapping[str, int]
) -> dict[str, Any]:
    path, where, place = annotated(finding, report)
    physical = {"artifactLocation": _artifact(path), "region": _region(where)}
    code = finding.code or _NO_CODE
    text = visible(place + finding.message)
    if finding.fix is not None:
        text += f"\nfix: {visible(finding.fix.text)}"
    result: dict[str, Any] = {
        "ruleId": code,
        "ruleIndex": order[code],
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(text)},
        "locations": [{"physicalLocation": physical}],
        "partialFingerprints": {_FINGERPRINT: _fingerprint(finding, path, lines, seen)},
    }
    if finding.evidence:
        result["properties"] = {"evidence": finding.to_dict()["evidence"]}
    return result


def _message(text: str) -> str:
    # `{0}` is a placeholder and `[text](1)` a link in a SARIF message (3.11.5, 3.11.6). Only these are
    # escaped: code scanning shows any other escape as it stands.
    text = re.sub(r"\{(\d+)\}", r"{{\1}}", text)
    return re.sub(r"\[([^\[\]]*)\](?=\()", r"\\[\1\\]", text)


def _region(where: Location) -> dict[str, int]:
    if where.line is None:
        return {"startLine": 1}  # code scanning asks for a line; a finding about the whole file has the first
    region = {"startLine": where.line}
    if where.column is not None:
        region["startColumn"] = where.column
    if where.end_line is not None:
        region["endLine"] = where.end_line
    if where.end_column is not None and where.column is not None:
        region["endColumn"] = where.end_column
    return region


def _artifact(path: str) -> dict[str, str]:
    pure = PurePath(path)
    if pure.is_absolute():
        return {
            "uri": Path(path).as_uri() if path.isprintable() else "file://" + quote(path, errors="backslashreplace")
        }
    return {"uri": quote(pure.as_posix(), errors="backslashreplace"), "uriBaseId": _ROOT}


def _fingerprint(finding: Finding, path: str, lines: SourceLines, seen: Counter[str]) -> str:
    """The same for the same fault after lines above it came or went: no line numbers in it.

    What makes a finding this one: the rule, the file, the text of its line and how many alike precede it.
    """
    line = lines.line_at(finding.where) if finding.where is not None else None
    text = line.strip() if line is not None else re.sub(r"\d+", "0", finding.message)
    key = "\0".join((finding.code or _NO_CODE, PurePath(path).as_posix(), text))
    seen[key] += 1
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{digest}:{seen[key]}"
