"""DATA003: rows that no trainer can take an example from."""

from __future__ import annotations

from trainguard.facts.data.judge import WRONG_COLUMN
from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines, row
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class MessagesMissing(ProblemRule):
    r"""A row without the columns that a trainer reads.

    *What it does*

    Finds rows in which there is none of the layouts that the trainers take, or only a part of one: `messages`,
    `conversations`, `prompt` with `completion`, `text`, `chosen` with `rejected`, `prompt`, `completion` and `label`.
    `conversations` is read by TRL only where its messages have `from` and `value`; messages of `role` and `content`
    belong into `messages`, and `trainguard data FILE --fix OUT` renames the column.

    *Why it costs you*

    The trainer looks for these columns by name. Where they are missing in all rows it stops with a `KeyError`, after
    the model was loaded; where they are missing in some, `load_dataset` fills them with null and it stops there.

    *Example*

    ```json
    {"instruction": "Add the numbers.", "output": "4"}
    ```

    *Use instead*

    ```json
    {"prompt": "Add the numbers.", "completion": "4"}
    ```
    """

    code = "DATA003"
    name = "messages-missing"
    severity = "error"
    kind = "messages-missing"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(files=lines(row(prompt="2 + 2 =", completion=" 4", source="book")), check={"path": "train.jsonl"}),
        Example(files=lines(row(prompt="2 + 2 =", chosen=" 4", rejected=" 5")), check={"path": "train.jsonl"}),
    )
    INVALID = (
        Example(
            files=lines(chat(*GOOD), row(message="Hi")),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "no example to train on in 1 of 2 rows (line 2): keys 'message'; did you mean "
                    "'messages'?; a trainer looks for `messages` of role and content, `prompt` with "
                    "`completion`, `text`, or `chosen` with `rejected`, and stops without them; rename "
                    "the keys",
                ),
            ),
        ),
        Example(
            files=lines(row(instruction="Add the numbers.", output="4"), row(instruction="Add them.", output="5")),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "no example to train on in 2 of 2 rows (first: line 1): keys 'instruction', "
                    "'output'; Alpaca: prompt = instruction + input, completion = output; a trainer "
                    "looks for `messages` of role and content, `prompt` with `completion`, `text`, or "
                    "`chosen` with `rejected`, and stops without them; rename the keys",
                ),
            ),
            why="The layout of Alpaca, which TRL's trainers do not know.",
        ),
        Example(
            files=lines(
                row(conversations=[{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}])
            ),
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "no example to train on in 1 of 1 row (line 1): messages of role and content in 'conversations'; "
                    'rename the column to "messages"; a trainer looks for `messages` of role and content, '
                    "`prompt` with `completion`, `text`, or `chosen` with `rejected`, and stops without them; rename "
                    "the keys",
                ),
            ),
            why="SFTTrainer of TRL 1.16 stops with KeyError('text').",
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        return (
            f"no example to train on in {how_many(facts, problem.count, problem.samples)}{detail(problem)}; a trainer "
            "looks for `messages` of role and content, `prompt` with `completion`, `text`, or `chosen` with "
            "`rejected`, and stops without them; rename the keys"
        )

    def can_repair(self, problem: Problem) -> bool:
        return problem.counts.keys() == {WRONG_COLUMN}
