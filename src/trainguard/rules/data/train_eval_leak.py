"""DATA016: evaluation rows that stand in the training data."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.data.records import DataFacts, Leak
from trainguard.findings import Finding
from trainguard.rules.base import Example, Subject
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import DataRule, location, place, sample_evidence, share

# From what share of the evaluation rows on: below it the figure of an evaluation does not change in its third digit.
_EXACT_SHARE = 0.001
# Rows that resemble each other: the rows of one task do so by nature, so it takes more of them.
_NEAR_SHARE = 0.01

_OTHERS = tuple(
    chat(("user", f"Name a fruit that begins with the letter {letter}."), ("assistant", f"{letter}-fruit, of course."))
    for letter in "ABCDE"
)


class TrainEvalLeak(DataRule):
    r"""Rows of the evaluation data stand in the training data.

    *What it does*

    Compares the evaluation data (`--eval`) with the training data: rows that are the same, and rows that are nearly
    the same by MinHash. It speaks from one in a thousand evaluation rows on.

    *Why it costs you*

    The evaluation then measures what was learnt by heart. Its loss falls when the model overfits, so that
    the best checkpoint by it is the worst for use, and early stopping does not stop.

    *Example*

    ```text
    trainguard data train.jsonl --eval eval.jsonl
    ```

    *Use instead*

    Remove the duplicates first and split afterwards; split by document or conversation, not by row.
    """

    code = "DATA016"
    name = "train-eval-leak"
    severity = "warn"

    VALID = (
        Example(
            files={"train.jsonl": "".join(_OTHERS), "eval.jsonl": chat(*GOOD)},
            check={"path": "train.jsonl", "eval_path": "eval.jsonl"},
        ),
        Example(
            files=lines(*_OTHERS),
            check={"path": "train.jsonl"},
            why="No evaluation data were named.",
        ),
    )
    INVALID = (
        Example(
            files={"train.jsonl": "".join(_OTHERS), "eval.jsonl": _OTHERS[2]},
            check={"path": "train.jsonl", "eval_path": "eval.jsonl"},
            findings=(
                (
                    3,
                    "1 of 1 row of eval.jsonl (100 %) stands in the training data (first: line 3): the "
                    "evaluation then measures what was learnt by heart, and misses overfitting; take these rows out of "
                    "one of the two",
                ),
            ),
        ),
        Example(
            files={"train.jsonl": "".join(_OTHERS), "eval.jsonl": "".join(_OTHERS[1:4])},
            check={"path": "train.jsonl", "eval_path": "eval.jsonl"},
            findings=(
                (
                    2,
                    "3 of 3 rows of eval.jsonl (100 %) stand in the training data (first: line 2): the "
                    "evaluation then measures what was learnt by heart, and misses overfitting; take these rows out of "
                    "one of the two",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        facts = subject.data
        leak = facts.leak if facts is not None else None
        if facts is None or leak is None or not leak.eval_rows:
            return
        exact = leak.exact >= max(1, _EXACT_SHARE * leak.eval_rows)
        near = bool(leak.near) and (leak.near or 0) >= max(1, _NEAR_SHARE * leak.eval_rows)
        if not exact and not near:
            return
        evidence = sample_evidence(facts, leak.exact, leak.samples)
        evidence |= {"eval_path": leak.eval_path, "eval_rows": leak.eval_rows, "exact": leak.exact}
        if leak.near is not None:
            evidence |= {"near": leak.near, "threshold": leak.threshold}
        yield self.finding(_message(facts, leak, near=near), where=location(facts, leak.samples), evidence=evidence)


def _message(facts: DataFacts, leak: Leak, *, near: bool) -> str:
    first = place(facts, leak.samples[0]) if leak.samples else ""
    there = f" (first: {first})" if first else ""
    total = f"{leak.eval_rows:,} rows" if leak.eval_rows != 1 else "1 row"
    stand = "stands" if leak.exact == 1 else "stand"
    parts = []
    if leak.exact:
        percent = share(leak.exact, leak.eval_rows)
        parts.append(f"{leak.exact:,} of {total} of {leak.eval_path} ({percent}) {stand} in the training data{there}")
    if near and leak.near is not None:
        of = "" if parts else f" of {total} of {leak.eval_path}"
        resemble = "resembles" if leak.near == 1 else "resemble"
        parts.append(f"{leak.near:,}{of} {resemble} training rows by {leak.threshold:.0%} of their words and more")
    return (
        f"{', and '.join(parts)}: the evaluation then measures what was learnt by heart, and misses overfitting; take "
        "these rows out of one of the two"
    )
