"""The facts about training data as a plain dict: what the JSON report prints and the other reports draw from."""

from __future__ import annotations

from typing import Any

from trainguard.facts.data.records import DataFacts, Duplicates, Leak, Lengths, Truncation


def summary(facts: DataFacts) -> dict[str, Any]:
    """`facts` in plain values, ready for JSON; docs/json.md describes it.

    Keys of mappings are strings. `problems` holds the number of rows by kind of problem. What was not looked for
    is None. Samples are left out: they stand in the evidence of the findings.
    """
    return {
        "path": facts.path,
        "rows": facts.rows,
        "bytes": facts.bytes,
        "files": [
            {
                "path": file.path,
                "bytes": file.bytes,
                "rows": file.rows,
                "format": file.format,
                "compression": file.compression,
            }
            for file in facts.files
        ],
        "layout": facts.layout,
        "conversational": facts.conversational,
        "layouts": dict(facts.layouts),
        "columns": dict(facts.columns),
        "roles": dict(facts.roles),
        "turns": {str(number): rows for number, rows in sorted(facts.turns.items())},
        "lengths": _lengths(facts.lengths) if facts.lengths is not None else None,
        "truncation": _truncation(facts.truncation) if facts.truncation is not None else None,
        "duplicates": _duplicates(facts.duplicates) if facts.duplicates is not None else None,
        "leak": _leak(facts.leak) if facts.leak is not None else None,
        "problems": {problem.kind: problem.count for problem in facts.problems},
        "tokenizer": facts.tokenizer,
        "template_judged": facts.template_judged,
        "batch_size": facts.batch_size,
    }


def _lengths(lengths: Lengths) -> dict[str, Any]:
    return {
        "exact": lengths.exact,
        "counted": lengths.counted,
        "shortest": lengths.shortest,
        "longest": lengths.longest,
        "mean": round(lengths.mean, 2),
        "total": lengths.total,
        "percentiles": {str(percent): tokens for percent, tokens in sorted(lengths.percentiles.items())},
        "histogram": [{"from": start, "to": end, "rows": rows} for start, end, rows in lengths.histogram],
        "over": {str(tokens): round(share, 6) for tokens, share in sorted(lengths.over.items())},
    }


def _truncation(cut: Truncation) -> dict[str, Any]:
    return {
        "max_length": cut.max_length,
        "exact": cut.exact,
        "over": cut.over,
        "longest": cut.longest,
        "lost_answers": cut.lost_answers,
    }


def _duplicates(duplicates: Duplicates) -> dict[str, Any]:
    return {
        "exact": duplicates.exact,
        "near": duplicates.near,
        "looked_at": duplicates.looked_at,
        "threshold": duplicates.threshold,
    }


def _leak(leak: Leak) -> dict[str, Any]:
    return {
        "eval_path": leak.eval_path,
        "eval_rows": leak.eval_rows,
        "exact": leak.exact,
        "near": leak.near,
        "threshold": leak.threshold,
    }
