"""docs/signals.md and its pictures, from the registry and from recorded traces."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from trainguard.findings import Finding
from trainguard.report.signal_page import signal_page, signal_summary
from trainguard.report.signal_picture import METRICS, Recorded, choose, signal_picture
from trainguard.signals.codes import RUN_CODES
from trainguard.signals.registry import discover

Trace = list[dict[str, Any]]


def trace(method: str, codes: list[str], *records: dict[str, Any], also: tuple[str, ...] = ()) -> Trace:
    labels = [{"code": code, "onset": 1, "severity": "warn"} for code in codes]
    return [{"trace": "x", "method": method, "labels": labels, "also": list(also)}, *records]


def test_every_code_has_a_section_that_findings_link_to() -> None:
    page = signal_page(discover().signals, RUN_CODES, pictures={"RUN001": "signals/RUN001.svg"}, note="<!-- x -->")

    assert re.findall(r"^## (RUN\d{3})$", page, re.MULTILINE) == list(RUN_CODES)
    assert page.startswith("<!-- x -->\n\n# The signals\n")
    assert "![RUN001: a faulty and a healthy run](signals/RUN001.svg)" in page
    for code in RUN_CODES:
        row = next(line for line in page.splitlines() if line.startswith(f"| [{code}](#{code.lower()}) |"))
        assert len(row.rstrip("| ").rpartition("|")[2].strip()) > 20, code


def test_every_threshold_is_on_the_page_with_its_source() -> None:
    page = signal_page(discover().signals, RUN_CODES)

    thresholds = [(signal, each) for signal in discover().signals for each in signal.thresholds]
    assert thresholds
    for _, each in thresholds:
        assert f"| `{each.key}` | {each.default:g} |" in page
        assert " ".join(each.source.split()).replace("|", "\\|") in page


def test_a_summary_is_one_sentence() -> None:
    for signal in discover().signals:
        assert "\n" not in signal_summary(signal)
        assert "*" not in signal_summary(signal)


def test_the_traces_for_a_picture() -> None:
    gone = {"loss": 1.0, "grad_norm": math.nan, "step": 1}
    traces = {
        "a-no-norm": trace("sft", ["RUN001"], {"loss": 1.0}),
        "b-two": trace("sft", ["RUN001", "RUN002"], gone),
        "c-one": trace("dpo", ["RUN001"], gone),
        "d-other": trace("sft", [], gone),
        "e-same": trace("dpo", [], gone),
    }

    assert choose("RUN001", traces) == ("c-one", "e-same")
    assert choose("RUN009", traces) == (None, None)


def test_a_picture_marks_onset_and_finding() -> None:
    records = [{"loss": 2.0 if step < 5 else 8.0, "step": step * 10} for step in range(10)]
    findings = [Finding("warn", "<said>", code="RUN003", step=60), Finding("warn", "other", code="RUN020", step=20)]
    faulty = Recorded(name="a<b", records=records, about="it & that", onset=5, findings=findings)
    svg = signal_picture("RUN003", faulty=faulty, healthy=Recorded(name="fine", records=records))

    texts = [each.text for each in ET.fromstring(svg).iter() if each.tag.endswith("}text")]
    assert "onset" in texts
    assert "warn at step 60" in texts
    assert not any("20" in (text or "") and "warn" in (text or "") for text in texts)
    assert texts.index("Faulty: a<b") < texts.index("Healthy: fine")
    assert "prefers-color-scheme:dark" in svg


def test_the_time_of_a_step_is_drawn_where_the_fault_is_time() -> None:
    records: Trace = [{"loss": 1.0, "step": step, "t": step * 2.0} for step in range(5)]
    records += [{"tick": True, "t": 50.0}]
    svg = signal_picture("RUN008", faulty=Recorded(name="x", records=records), healthy=None)

    assert "seconds_per_step" in svg


def test_nothing_to_draw() -> None:
    assert signal_picture("RUN027", faulty=Recorded(name="x", records=[{"loss": 1.0}]), healthy=None) == ""
    assert signal_picture("RUN027", faulty=None, healthy=None) == ""


def test_the_metrics_are_named_for_codes_that_exist() -> None:
    assert set(METRICS) <= set(RUN_CODES)
    assert {signal.code for signal in discover().signals} <= set(METRICS)


def test_the_report_room_stays_free_of_signals() -> None:
    import trainguard.report.signal_page as module

    assert "from trainguard.signals" not in Path(module.__file__ or "").read_text().split("if TYPE_CHECKING")[0]
