"""Facts about training data, to be reported: ordinary ones, and ones that were made to break a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.facts.data.records import (
    DataFacts,
    DataFile,
    Duplicates,
    Leak,
    Lengths,
    Problem,
    Sample,
    Truncation,
)
from trainguard.facts.data.summary import summary
from trainguard.findings import Finding, Location, Report

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
HOSTILE = f"\x1b[31m<script>alert(1)</script>&\"'\u202e\ud800 | `x` {TOKEN}\r\n]]>"
EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
ROWS = (0, 90, 800, 4000, 5000, 1200, 300, 9, 1)


def lengths(*, exact: bool = True, counted: int = sum(ROWS)) -> Lengths:
    return Lengths(
        exact=exact,
        counted=counted,
        shortest=34,
        longest=4711,
        mean=240.4,
        percentiles={1: 40, 5: 70, 25: 120, 50: 180, 75: 230, 90: 400, 95: 480, 99: 900},
        histogram=tuple(zip(EDGES, EDGES[1:], ROWS, strict=False)),
        over={512: 0.132, 1024: 0.0271, 2048: 0.00087, 4096: 0.00008, 8192: 0.0},
        total=2_739_000,
    )


def facts(path: str = "train.jsonl", **changes: Any) -> DataFacts:
    """Data in which everything is there to be shown."""
    rows = sum(ROWS)
    sample = Sample(path=path, line=3, column=15, text='{"messages": [{"role": "human"', detail="role 'human'")
    fields: dict[str, Any] = {
        "path": path,
        "files": (DataFile(path=path, bytes=12_345_678, rows=rows, format="jsonl"),),
        "rows": rows,
        "layout": "messages",
        "conversational": True,
        "layouts": {"messages": rows},
        "columns": {"messages": rows, "tools": 114},
        "roles": {"user": 12_000, "assistant": 12_000, "system": 900, "human": 3},
        "turns": {2: 9000, 3: 2000, 4: 300, 6: 90, 9: 9, 33: 1},
        "problems": (Problem(kind="unknown-role", count=3, samples=(sample,), counts={"human": 3}),),
        "lengths": lengths(),
        "truncation": Truncation(
            max_length=512, over=1510, longest=4711, lost_answers=12, exact=True, samples=(sample,)
        ),
        "duplicates": Duplicates(exact=12, near=40, looked_at=rows, threshold=0.8, samples=(sample,)),
        "leak": Leak(eval_path="eval.jsonl", eval_rows=500, exact=3, near=2, threshold=0.8, samples=(sample,)),
        "tokenizer": "my-model",
    }
    return DataFacts(**fields | changes)


def shown(data: DataFacts, *findings: Finding) -> tuple[Mapping[str, Any], Report]:
    """What a writer of reports gets."""
    return summary(data), Report(subject=data.path, findings=findings)


def finding(message: str = "unknown roles in 3 rows", text: str = "plain") -> Finding:
    samples = [{"line": 3, "column": 15, "text": text, "detail": "role 'human'"}, {"line": 4711, "text": text}]
    return Finding(
        "error",
        message,
        code="DATA005",
        name="unknown-role",
        where=Location("train.jsonl", 3, 15),
        fix="trainguard data train.jsonl --fix fixed.jsonl",
        evidence={"count": 3, "samples": samples},
    )


def hostile() -> tuple[Mapping[str, Any], Report]:
    """Names and texts of the data, each of which tries to be something else."""
    data = facts(
        path=HOSTILE,
        columns={HOSTILE: 1, "messages": 11_400},
        roles={HOSTILE: 3, "user": 9},
        tokenizer=HOSTILE,
        leak=Leak(eval_path=HOSTILE, eval_rows=3, exact=1),
    )
    plain, _ = shown(data)
    said = HOSTILE.replace(TOKEN, "")  # rules take tokens out of what they say
    return plain, Report(subject=said, findings=(finding(said, HOSTILE),), notes=(said,))
