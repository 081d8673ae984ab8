"""DATA015: rows that stand in the data more than once."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.data.records import DataFacts, Duplicates
from trainguard.findings import Finding
from trainguard.rules.base import Example, Subject
from trainguard.rules.data._example_rows import GOOD, chat, described, lines
from trainguard.rules.data._problems import DataRule, how_many, location, sample_evidence

# From what share on repeats are worth a word. Lee et al., "Deduplicating Training Data Makes Language Models Better"
# (ACL 2022, arXiv:2107.06499, table 2) found near-duplicates to be 0.4 % of Wiki40B, which is taken for clean, and
# 3 % to 14 % of C4, LM1B and RealNews, where removing them paid. A chat set with a few repeated greetings stays silent.
_EXACT_SHARE = 0.01
_NEAR_SHARE = 0.05  # looser: rows of one task resemble each other by their instruction


class DuplicateExamples(DataRule):
    r"""A notable share of the rows stands in the data more than once.

    *What it does*

    Counts rows that repeat an earlier one byte for byte, and speaks from 1 % of the rows on. Where near-duplicates
    were asked for (`--near-duplicates`), it counts rows that resemble an earlier one as well, by MinHash, and speaks
    of them from 5 % on.

    *Why it costs you*

    Every repeat is paid for like a new example, and what stands there often is learnt by heart. If the evaluation
    data are split off such a file at random, the same rows stand on both sides.

    *Example*

    ```text
    $ cat part-1.jsonl part-1.jsonl part-2.jsonl > train.jsonl
    ```

    *Use instead*

    Leave the repeats out (`sort -u`, or `drop_duplicates()` in pandas). Weight what should count more on purpose, with
    `interleave_datasets(probabilities=…)`.
    """

    code = "DATA015"
    name = "duplicate-examples"
    severity = "warn"

    VALID = (
        Example(
            files=lines(*(chat(("user", f"What is {n} + {n}?"), ("assistant", str(2 * n))) for n in range(5))),
            check={"path": "train.jsonl"},
        ),
        Example(
            files=described(
                "150 different rows, and one that repeats the first",
                *(chat(("user", f"{n}?"), ("assistant", str(n))) for n in range(150)),
                chat(("user", "0?"), ("assistant", "0")),
            ),
            check={"path": "train.jsonl"},
            why="One repeat in 151 rows is a coincidence.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), chat(("user", "Hi"), ("assistant", "Hello!")), chat(*GOOD), chat(*GOOD)),
            check={"path": "train.jsonl"},
            findings=(
                (
                    3,
                    "2 of 4 rows (50 %, first: line 3) repeat an earlier one: repeats are paid for "
                    "like new rows and learnt by heart, and a random split puts them on both sides; "
                    "leave them out",
                ),
            ),
        ),
        Example(
            files=lines(*(chat(("user", f"{n}?"), ("assistant", str(n))) for n in (0, 1, 2, 3, 0, 1, 2, 3))),
            check={"path": "train.jsonl"},
            findings=(
                (
                    5,
                    "4 of 8 rows (50 %, first: line 5) repeat an earlier one: repeats are paid for "
                    "like new rows and learnt by heart, and a random split puts them on both sides; "
                    "leave them out",
                ),
            ),
            why="The file was written twice into one.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        facts = subject.data
        repeats = facts.duplicates if facts is not None else None
        if facts is None or repeats is None or not facts.rows:
            return
        many_exact = repeats.exact >= max(1, _EXACT_SHARE * facts.rows)
        many_near = bool(repeats.near) and (repeats.near or 0) >= max(1, _NEAR_SHARE * repeats.looked_at)
        if not many_exact and not many_near:
            return
        evidence = sample_evidence(facts, repeats.exact, repeats.samples) | {"exact": repeats.exact}
        if repeats.near is not None:
            evidence |= {"near": repeats.near, "looked_at": repeats.looked_at, "threshold": repeats.threshold}
        yield self.finding(
            _message(facts, repeats, near=many_near), where=location(facts, repeats.samples), evidence=evidence
        )


def _message(facts: DataFacts, repeats: Duplicates, *, near: bool) -> str:
    repeat = "repeats" if repeats.exact == 1 else "repeat"
    parts = [f"{how_many(facts, repeats.exact, repeats.samples, percent=True)} {repeat} an earlier one"]
    if near and repeats.near is not None:
        resembling = f"{repeats.near:,} of {repeats.looked_at:,} rows resemble an earlier one"
        parts.append(f"{resembling} by {repeats.threshold:.0%} of their words and more")
    return (
        f"{', and '.join(parts if repeats.exact else parts[1:])}: repeats are paid for like new rows and learnt by "
        "heart, and a random split puts them on both sides; leave them out"
    )
