"""API008: a dataset whose columns are not those that the trainer reads."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from trainguard.facts.calls import Call
from trainguard.facts.certainty import certainly_runs, guarding_handlers
from trainguard.facts.columns import DatasetColumns
from trainguard.facts.columns_schema import Columns
from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Instance,
    ParsedArguments,
    Table,
    Value,
    is_none,
    options,
    text,
)
from trainguard.findings import Finding
from trainguard.libraries.dataset_formats import OWN_READING, TRAINERS, Format, format_for
from trainguard.rules.api._dataset_fit import Misfit, misfit
from trainguard.rules.base import Example, Rule, Subject

# Packages that put other trainers, with another preparation, under the names of TRL's.
_PATCHING = frozenset({"unsloth", "unsloth_zoo"})
# These look at the rows for evaluation when they evaluate, not when they are made.
_LATE = frozenset({"GRPOTrainer", "RLOOTrainer"})

_QA = '{"question": "2 + 2?", "answer": "4"}\n{"question": "3 + 3?", "answer": "6"}\n'
_CHAT = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}], "prompt": "hi"}\n'
_SFT = (
    "from datasets import load_dataset\nfrom trl import SFTConfig, SFTTrainer\n\n{}\n"
    'SFTTrainer("Qwen/Qwen3-0.6B", args=SFTConfig("out"), train_dataset=data).train()\n'
)
_LOCAL = 'data = load_dataset("json", data_files="{}", split="train")'
_END = "the run ends before its first step"
_SFT_READS = f"SFTTrainer reads `messages`, `text`, `prompt` + `completion` or `conversations`: {_END}"


class DatasetFormat(Rule):
    """A dataset whose known columns are not what the trainer reads.

    *What it does*

    Follows the dataset of a TRL trainer back to where its columns are known: literals (`Dataset.from_list`), the first
    rows of a local JSON, CSV or Parquet file beside the script, a `map` whose function returns a dict of written keys
    and that removes the old columns, `rename_column`, `remove_columns`, `select_columns`. It compares them with what
    that trainer reads in the release of TRL that the job installs, and speaks only where the run fails for certain.
    It is silent about a `formatting_func` (which makes `text`), a collator of one's own, tokenized rows and images.

    *Why it costs you*

    The trainer is made after the model has been downloaded and loaded, so the KeyError comes when most of the start of
    a paid run is over.

    *Example*

    ```python
    data = Dataset.from_list([{"question": "2 + 2?", "answer": "4"}])
    trainer = SFTTrainer(model, train_dataset=data)
    ```

    *Use instead*

    ```python
    data = data.rename_columns({"question": "prompt", "answer": "completion"})
    trainer = SFTTrainer(model, train_dataset=data)
    ```
    """

    code = "API008"
    name = "dataset-format"
    severity = "error"
    area = "api"

    VALID = (
        Example(
            script=_SFT.format(
                _LOCAL.format("qa.jsonl")
                + '\ndata = data.rename_columns({"question": "prompt", "answer": "completion"})'
            ),
            files={"qa.jsonl": _QA},
        ),
        Example(
            script="from datasets import Dataset\nfrom trl import SFTTrainer\n\n"
            'data = Dataset.from_list([{"question": "2 + 2?", "answer": "4"}])\n'
            'SFTTrainer("gpt2", train_dataset=data, formatting_func=lambda row: row["question"]).train()\n',
            why="The formatting function makes the text.",
        ),
        Example(
            script=_SFT.format('data = load_dataset("org/set", split="train")'),
            why="Nothing is known of the columns.",
        ),
        Example(
            script="from datasets import load_dataset\nfrom trl import DPOTrainer\n\n"
            'data = load_dataset("org/pairs", split="train").select_columns(["chosen", "rejected"])\n'
            "DPOTrainer(model, train_dataset=data).train()\n",
            why="The prompt is what both begin with.",
        ),
        Example(
            script=_SFT.format(
                "def as_text(row):\n    return {'text': row['question'] + row['answer']}\n\n\n"
                + _LOCAL.format("qa.jsonl")
                + "\ndata = data.map(as_text)"
            ),
            files={"qa.jsonl": _QA},
        ),
    )
    INVALID = (
        Example(
            script=_SFT.format(_LOCAL.format("qa.jsonl")),
            files={"qa.jsonl": _QA},
            findings=(
                (
                    5,
                    f"train_dataset (from qa.jsonl) has the columns `question`, `answer`, and {_SFT_READS}; "
                    'rename them with rename_columns({"question": "prompt", "answer": "completion"})',
                ),
            ),
        ),
        Example(
            script=_SFT.format(_LOCAL.format("chat.jsonl")),
            files={"chat.jsonl": _CHAT},
            findings=(
                (
                    5,
                    "train_dataset (from chat.jsonl) has `prompt` beside `messages` and no `completion`: SFTTrainer "
                    "reads `completion` wherever there is a `prompt`, so it ends with a KeyError; drop it with "
                    'remove_columns("prompt")',
                ),
            ),
            why="Two layouts in one table.",
        ),
        Example(
            script="from datasets import load_dataset\nfrom trl import DPOTrainer\n\n"
            'pairs = load_dataset("org/pairs", split="train")\n'
            'pairs = pairs.rename_column("rejected", "bad")\n'
            "DPOTrainer(model, train_dataset=pairs).train()\n",
            findings=(
                (
                    6,
                    f"train_dataset has no `rejected`, and DPOTrainer reads `chosen` + `rejected`: {_END}; "
                    "make `chosen` and `rejected` with map(), or rename the columns that hold them",
                ),
            ),
            why="The other columns are not known; this one was renamed.",
        ),
        Example(
            script="from datasets import load_dataset\nfrom trl import GRPOTrainer\n\n\n"
            "def to_question(row):\n    return {'question': row['problem'], 'answer': row['solution']}\n\n\n"
            'data = load_dataset("org/maths", split="train")\n'
            "data = data.map(to_question, remove_columns=data.column_names)\n"
            "GRPOTrainer(model, reward_funcs=reward, train_dataset=data).train()\n",
            findings=(
                (
                    11,
                    f"train_dataset has the columns `question`, `answer`, and GRPOTrainer reads `prompt`: {_END}; "
                    'rename it with rename_column("question", "prompt")',
                ),
            ),
            why="All old columns are removed, so that those of the function are left.",
        ),
        Example(
            script="from datasets import Dataset\nfrom trl import KTOTrainer\n\n"
            'rows = [{"prompt": f"{n}?", "completion": "yes", "score": 1.0} for n in range(100)]\n'
            "KTOTrainer(model, train_dataset=Dataset.from_list(rows)).train()\n",
            findings=(
                (
                    5,
                    "train_dataset (from `Dataset.from_list` in line 5) has the columns `prompt`, `completion`, "
                    "`score`, and KTOTrainer reads `prompt` + `completion` + `label` or `chosen` + `rejected`: "
                    f"{_END}; make `prompt` and `completion` and `label` with map(), or rename the columns that "
                    "hold them",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or not script.mentions & TRAINERS or script.mentions & _PATCHING:
            return
        calls = [call for call in script.training.trainers if _trainer(call) is not None and _is_judged(call, script)]
        if not calls:
            return
        version = subject.api.interfaces.version("trl") if subject.api is not None else None
        reader = DatasetColumns(script, given=getattr(subject.job, "dataset_columns", None))
        for call in calls:
            wanted = format_for(_trainer(call) or "", version)
            if wanted is not None:
                yield from self._of_trainer(call, script, wanted, reader, version)

    def _of_trainer(
        self, call: Call, script: ScriptFacts, wanted: Format, reader: DatasetColumns, version: str | None
    ) -> Iterator[Finding]:
        reading = _Reading(call, script)
        if reading.skipped:
            return
        for argument in ("train_dataset", "eval_dataset"):
            node = next((each.value for each in call.node.keywords if each.arg == argument), None)
            if node is None or (argument == "eval_dataset" and wanted.trainer in _LATE):
                continue
            for table in _tables(reader, node, call, several=argument == "eval_dataset"):
                found = misfit(wanted, table, text_field=reading.text_field, formatted=reading.formatted)
                if found is not None:
                    yield self._about(call, argument, table, found, wanted, version)
                    break

    def _about(
        self, call: Call, argument: str, table: Columns, found: Misfit, wanted: Format, version: str | None
    ) -> Finding:
        source = f" (from {table.source})" if table.source else ""
        return self.finding(
            f"{argument}{source} {found.problem}; {found.advice}",
            where=call.argument_location(argument),
            fix=found.advice,
            evidence={
                "columns": sorted(table.present),
                "reads": [list(layout) for layout in wanted.written_layouts],
                "trl": version or "the newest known",
                "read_in": wanted.source,
            },
        )


def _trainer(call: Call) -> str | None:
    """The trainer of TRL that a call makes; a class of the script may prepare its rows in another way."""
    path = call.path or ""
    name = path.rpartition(".")[2]
    return name if path.startswith("trl.") and name in TRAINERS else None


def _is_judged(call: Call, script: ScriptFacts) -> bool:
    """Whether a trainer is certainly made, and reads its rows as TRL does."""
    if call.may_have_more or any(call.argument(name) is not ABSENT for name in OWN_READING):
        return False
    return certainly_runs(call.block, script.resolver) and not guarding_handlers(call.block)


def _tables(reader: DatasetColumns, node: ast.expr, call: Call, *, several: bool) -> tuple[Columns, ...]:
    tables = reader.tables(node, call.block)
    return tables if several or len(tables) == 1 else ()


class _Reading:
    """What a trainer's options say of the way it reads its rows."""

    def __init__(self, call: Call, script: ScriptFacts) -> None:
        self._call = call
        self._configs = {config.call.node: config for config in script.training.configs}

    @property
    def formatted(self) -> bool:
        """Whether a formatting function is given, or may be."""
        value = self._call.argument("formatting_func")
        return not (value is ABSENT or is_none(value))

    @property
    def skipped(self) -> bool:
        """Whether the preparation is, or may be, switched off (`skip_prepare_dataset`)."""
        for value in (self._call.argument("dataset_kwargs"), *self._option("dataset_kwargs")):
            for option in options(value):
                harmless = (
                    isinstance(option, Table) and option.complete and "skip_prepare_dataset" not in option.entries
                )
                if not (option is ABSENT or is_none(option) or harmless):
                    return True
        return False

    @property
    def text_field(self) -> str | None:
        """The name of the column that is read as text, None where it cannot be told."""
        given = [value for value in (self._call.argument("dataset_text_field"),) if value is not ABSENT]
        values = given or self._option("dataset_text_field")
        names = {"text" if option is ABSENT else text(option) for value in values for option in options(value)}
        return names.pop() if len(names) == 1 else None

    def _option(self, name: str) -> list[Value]:
        """What the trainer's configuration says of an option."""
        given = self._call.argument("args", 1)
        found: list[Value] = []
        for option in options(given):
            config = self._config(option)
            if config is not None:
                found.append(config.option(name).value)
            elif option is ABSENT or is_none(option):
                found.append(ABSENT)
            else:
                found.append(UNKNOWN)  # a configuration that cannot be read
        return found

    def _config(self, value: Value) -> Config | None:
        if isinstance(value, Instance | ParsedArguments):
            return self._configs.get(value.call.node)
        return None
