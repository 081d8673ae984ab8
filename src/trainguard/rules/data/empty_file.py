"""DATA001: a training file without examples."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import ProblemRule


class EmptyFile(ProblemRule):
    r"""A training file in which there is no example.

    *What it does*

    Finds files of no bytes, and files in which no row stands: empty lines, a header alone, an empty array.

    *Why it costs you*

    There is nothing to train on. The machine starts and the model is loaded before `load_dataset` ends, in datasets
    5.2 with a bare `StopIteration`. Most often an export was cut off, or a filter threw everything out.

    *Example*

    ```text
    $ wc -c train.jsonl
    0 train.jsonl
    ```

    *Use instead*

    The file that holds the examples: write it again, and look at the step that made it.
    """

    code = "DATA001"
    name = "empty-file"
    severity = "error"
    kind = "empty-file"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(files=lines("\n", chat(*GOOD), "\n"), check={"path": "train.jsonl"}, why="Empty lines do no harm."),
    )
    INVALID = (
        Example(
            files={"train.jsonl": ""},
            check={"path": "train.jsonl"},
            findings=(
                (
                    None,
                    "train.jsonl holds no example (0 bytes): there is nothing to train on; point to the file that "
                    "holds the examples, or write it again",
                ),
            ),
        ),
        Example(
            files={"train.jsonl": "\n\n\n"},
            check={"path": "train.jsonl"},
            findings=(
                (
                    None,
                    "train.jsonl holds no example (3 bytes): there is nothing to train on; point to the file that "
                    "holds the examples, or write it again",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        path = problem.samples[0].path if problem.samples else facts.path
        size = next((f"{file.bytes:,} bytes" for file in facts.files if file.path == path), "")
        holds = f"{path} holds no example" + (f" ({size})" if size else "")
        if facts.rows and problem.count > 1:
            return (
                f"{problem.count:,} of {len(facts.files):,} files hold no example, the first is {path}: an export was "
                "cut off, or a filter threw out everything; write them again, or take them out"
            )
        if facts.rows:
            return (
                f"{holds}, while others do: an export was cut off, or a filter threw out everything; write it again, "
                "or take it out"
            )
        return f"{holds}: there is nothing to train on; point to the file that holds the examples, or write it again"
