"""A lineage for programs: what its page shows, as one JSON object. Described in docs/daemon.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trainguard.report.json_ import FORMAT_VERSION, to_json
from trainguard.report.lineage_view import FaultView, FileView, LineageView
from trainguard.report.run_view import Curve


def render_lineage_json(view: LineageView) -> str:
    """The object. Times are unix seconds; a figure that is no number, such as an infinite loss, is a string."""
    return to_json(
        {
            "version": FORMAT_VERSION,
            "output_dir": view.subject,
            "time": view.made_at,
            "paused": view.paused,
            "counts": dict(view.counts),
            "steps": view.steps,
            "lost_steps": view.lost_steps,
            "attempts": view.attempts,
            "recoveries": view.recoveries,
            "effective_training_time_ratio": view.ettr,
            "recovery_median_seconds_at_most": view.recovery_median,
            "recovery_mean_seconds": view.recovery_mean,
            "files": [_file(each) for each in view.files],
            "files_left_out": view.files_left_out,
            "faults": [_fault(each) for each in view.faults],
            "faults_left_out": view.faults_left_out,
            "skipped": [asdict(each) for each in view.skipped],
            "curves": {name: _curve(curve) for name, curve in view.curves.items()},
            "findings": [each.to_dict() for each in view.findings],
            "notes": list(view.notes),
        }
    )


def _file(file: FileView) -> dict[str, Any]:
    return {**asdict(file), "own_steps": file.own_steps}


def _fault(fault: FaultView) -> dict[str, Any]:
    return {**asdict(fault), "survived": fault.survived}


def _curve(curve: Curve) -> dict[str, Any]:
    """The curve as it is drawn: of a long one not every point, and the steps at which it was no number."""
    return {
        "count": curve.count,
        "first": curve.first,
        "last": curve.last,
        "points": [list(each) for each in curve.points],
        "bad_steps": list(curve.bad),
    }
