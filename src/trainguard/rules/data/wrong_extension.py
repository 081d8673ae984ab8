"""DATA014: files whose name says another format than they have."""

from __future__ import annotations

import gzip

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules._example_files import raw
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat
from trainguard.rules.data._problems import ProblemRule, shortened


class WrongExtension(ProblemRule):
    r"""A file whose name says another format than its content has.

    *What it does*

    Compares the end of the name with the content: compressed data without `.gz` or `.zst`, Parquet in `.jsonl`, a JSON
    array in `.jsonl`, JSON Lines in `.csv`. The content is read and judged as what it is.

    *Why it costs you*

    Loaders go by the name: `load_dataset` picks its reader by the extension, and then fails at the first bytes, or
    reads a table of one strange column.

    *Example*

    ```text
    train.jsonl     (begins with the bytes 1f 8b: gzip)
    ```

    *Use instead*

    ```text
    train.jsonl.gz
    ```
    """

    code = "DATA014"
    name = "wrong-extension"
    severity = "error"
    kind = "wrong-extension"

    VALID = (
        Example(files={"train.jsonl": chat(*GOOD)}, check={"path": "train.jsonl"}),
        Example(
            files={"train.json": chat(*GOOD) + chat(*GOOD)},
            check={"path": "train.json"},
            why="The loader of `.json` reads JSON Lines as well.",
        ),
    )
    INVALID = (
        Example(
            files={"train.csv": chat(*GOOD) * 2},
            check={"path": "train.csv"},
            findings=(
                (
                    None,
                    "the name of train.csv does not fit its content: the content is JSON Lines, and "
                    "'.csv' is read as CSV; loaders pick their reader by the name, and fail or read "
                    "nonsense; rename the file",
                ),
            ),
        ),
        Example(
            files={
                "train.jsonl": raw(
                    gzip.compress(chat(*GOOD).encode(), mtime=0),
                    "gzip, under the name of plain JSON Lines",
                )
            },
            check={"path": "train.jsonl"},
            findings=(
                (
                    None,
                    "the name of train.jsonl does not fit its content: the content is gzip, which the "
                    "name does not say; loaders pick their reader by the name, and fail or read "
                    "nonsense; rename the file",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        sample = problem.samples[0] if problem.samples else None
        path = sample.path if sample is not None else facts.path
        what = shortened(sample.detail) if sample is not None and sample.detail else "the content is of another format"
        others = f" (and {problem.count - 1:,} more files)" if problem.count > 1 else ""
        return (
            f"the name of {path}{others} does not fit its content: {what}; loaders pick their reader by the name, and "
            "fail or read nonsense; rename the file"
        )
