"""DATA002: lines that are no JSON object."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class MalformedJson(ProblemRule):
    r"""A line that is not one JSON object.

    *What it does*

    Reads every line of the file as JSON and tells the first that is none, with its column, how many there are and up
    to five of them: a line that was cut off, a comma too many, two objects on one line, a number that no program
    reads, an array or a string where an object should stand.

    *Why it costs you*

    `load_dataset("json")` stops at such a line with `DatasetGenerationError`, after all lines before it were read;
    loaders that skip it train on less than you think.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "Hi"},]}
    ```

    *Use instead*

    ```json
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    ```

    `trainguard data FILE --fix OUT` writes a copy without the unreadable lines, which it puts into
    `OUT.rejected.jsonl`.
    """

    code = "DATA002"
    name = "malformed-json"
    severity = "error"
    kind = "malformed-json"
    repairable = True

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(
            files=lines(chat(*GOOD).replace("\n", "\r\n"), "  \n", chat(*GOOD).strip()),
            check={"path": "train.jsonl"},
            why="Line ends of Windows, a blank line and a last line without its end are fine.",
        ),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), '{"messages": [{"role": "user", "content": "Hi"},]}\n', chat(*GOOD)),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "invalid JSON in 1 line (line 2): trailing comma in array; a loader stops there, "
                    "or leaves rows out without a word; write it again",
                ),
            ),
        ),
        Example(
            files=lines(chat(*GOOD), '{"messages": [{"role": "us\n', chat(*GOOD).strip() + chat(*GOOD)),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "invalid JSON in 2 lines (first: line 2): the line ends within the JSON; a loader "
                    "stops there, or leaves rows out without a word; write them again",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        noun = "line" if all(file.format != "parquet" for file in facts.files) else "row"
        count = how_many(facts, problem.count, problem.samples, noun=noun)
        return (
            f"invalid JSON in {count}{detail(problem)}; a loader stops there, or leaves rows out without a word; "
            f"write {'it' if problem.count == 1 else 'them'} again"
        )
