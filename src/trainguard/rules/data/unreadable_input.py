"""DATA020: data that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trainguard.facts.data.folders import SAVED_FOLDER
from trainguard.facts.data.records import DataFacts, Problem
from trainguard.findings import Finding
from trainguard.rules._example_files import folder, link
from trainguard.rules.base import Example, Subject
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import ProblemRule, shortened


class UnreadableInput(ProblemRule):
    r"""The data cannot be read.

    *What it does*

    Says why: the path is not there, is a folder without data, a loop of links, a pipe or a device, not allowed to be
    read, compressed data that are damaged, or a file that was cut short while it was read. A folder that
    `Dataset.save_to_disk` wrote is no fault: that it was not checked is told as information.

    *Why it costs you*

    The run ends where it loads the data, after the machine has started; and a file that changes while it is
    read is still being written, so that whatever was read of it is not what you meant.

    *Example*

    ```text
    trainguard data trian.jsonl
    ```

    *Use instead*

    The right path, a file that is complete, and the permission to read it.
    """

    code = "DATA020"
    name = "unreadable-input"
    severity = "error"
    kind = "unreadable-input"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(files={"data/part-1.jsonl": chat(*GOOD), "data/README.md": "Our data."}, check={"path": "data"}),
    )
    INVALID = (
        Example(
            check={"path": "train.jsonl"},
            findings=(
                (
                    None,
                    "train.jsonl cannot be read: No such file or directory; a run would end where it "
                    "loads the data; name a file that is there and complete",
                ),
            ),
            why="It is not there.",
        ),
        Example(
            files={"data": folder()},
            check={"path": "data"},
            findings=(
                (
                    None,
                    "data cannot be read: a folder without data (.jsonl, .json, .parquet, .csv, .txt, "
                    "also .gz and .zst); a run would end where it loads the data; name a file that "
                    "is there and complete",
                ),
            ),
        ),
        Example(
            files={"train.jsonl": link("train.jsonl")},
            check={"path": "train.jsonl"},
            findings=(
                (
                    None,
                    "train.jsonl cannot be read: Too many levels of symbolic links; a run would end "
                    "where it loads the data; name a file that is there and complete",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        problem = subject.data.problem(self.kind) if subject.data is not None else None
        saved = problem is not None and _saved(problem)
        for finding in super().check(subject):
            yield replace(finding, severity="info") if saved else finding

    def message(self, facts: DataFacts, problem: Problem) -> str:
        sample = problem.samples[0] if problem.samples else None
        path = sample.path if sample is not None and sample.path else facts.path
        if _saved(problem):
            return (
                f"{path} was not checked: it is {SAVED_FOLDER}, whose Arrow files load_from_disk reads and "
                "load_dataset does not; to have the rows checked, write them with Dataset.to_parquet or "
                "Dataset.to_json and check that file"
            )
        why = shortened(sample.detail) if sample is not None and sample.detail else "it is no readable file"
        others = f" (and {problem.count - 1:,} more files)" if problem.count > 1 else ""
        return (
            f"{path}{others} cannot be read: {why}; a run would end where it loads the data; name a file that is there "
            "and complete"
        )


def _saved(problem: Problem) -> bool:
    """Whether all that cannot be read here can be read by load_from_disk."""
    return problem.counts.keys() == {SAVED_FOLDER}
