"""DATA009: fewer examples than one batch."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Subject
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import DataRule


class FewerThanOneBatch(DataRule):
    r"""All examples together do not fill one batch.

    *What it does*

    Compares the rows with the batch size, where that is given: the examples of one optimizer step, over all devices and
    accumulated gradients.

    *Why it costs you*

    An epoch is then one step on a batch that is not full, and no step at all with `dataloader_drop_last=True`: a run
    of three epochs ends after three steps as a success, with a model that has hardly moved.

    *Example*

    ```text
    $ wc -l train.jsonl
    20 train.jsonl
    $ trainguard data train.jsonl --batch-size 64
    ```

    *Use instead*

    A smaller batch, more rows, or more epochs (or `max_steps`), decided by the number of steps that you want.
    """

    code = "DATA009"
    name = "fewer-than-one-batch"
    severity = "warn"

    VALID = (
        Example(files=lines(*[chat(*GOOD)] * 8), check={"path": "train.jsonl", "batch_size": 8}, why="One full batch."),
        Example(
            files=lines(chat(*GOOD)),
            check={"path": "train.jsonl"},
            why="The size of a batch is not known.",
        ),
    )
    INVALID = (
        Example(
            files=lines(*[chat(*GOOD)] * 3),
            check={"path": "train.jsonl", "batch_size": 16},
            findings=(
                (
                    None,
                    "3 rows are fewer than one batch of 16: an epoch is 1 step on a batch that is not full, 3 epochs "
                    "are 3 steps, and with dataloader_drop_last=True it is 0; lower the batch size to 3 or less, or "
                    "add rows",
                ),
            ),
        ),
        Example(
            files=lines(chat(*GOOD)),
            check={"path": "train.jsonl", "batch_size": 2},
            findings=(
                (
                    None,
                    "1 row is fewer than one batch of 2: an epoch is 1 step on a batch that is not full, 3 epochs are "
                    "3 steps, and with dataloader_drop_last=True it is 0; lower the batch size to 1, or add "
                    "rows",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        facts = subject.data
        if facts is None or facts.batch_size is None or not 0 < facts.rows < facts.batch_size:
            return
        # transformers 5.23, trainer.py: a batch that is not full still makes a step, unless it is dropped.
        rows = f"{facts.rows:,} row{'s are' if facts.rows != 1 else ' is'}"
        lower = f"lower the batch size to {facts.rows:,} or less" if facts.rows > 1 else "lower the batch size to 1"
        yield self.finding(
            f"{rows} fewer than one batch of {facts.batch_size:,}: an epoch is 1 step on a batch that is not full, "
            f"3 epochs are 3 steps, and with dataloader_drop_last=True it is 0; {lower}, or add rows",
            where=Location(facts.path),
            evidence={"rows": facts.rows, "batch_size": facts.batch_size, "steps_per_epoch": 1},
        )
