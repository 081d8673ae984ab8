"""CFG007: a max_length that cuts every example."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from trainguard.facts.config.records import ConfigFacts
from trainguard.facts.data.records import DataFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import of_setting, place

# trl 1.16, sft_config.py `packing_strategy`: these two cut sequences into pieces and lose none of them.
_LOSSLESS = ("bfd_split", "wrapped")
# Without a tokenizer the length is an estimate, of about four bytes a token. Prose has three to five, and code with
# deep indents perhaps ten; no text that one trains on has thirty.
_CERTAIN_FACTOR = 8
_ROW = '{"text": "' + "word " * 200 + '"}\n'


class MaxLengthTooSmall(Rule):
    """max_length is below the shortest example.

    *What it does*

    Measures the examples with the tokenizer, where it is a folder. Without one it speaks only where no tokenizer could
    make the shortest example fit. Silent where packing splits long examples instead of cutting them.

    *Why it costs you*

    Every example loses its end, which is where the answer stands: the run finishes, and the model has learnt to break
    off.

    *Example*

    ```toml
    max_length = 16     # the shortest example has 87 tokens
    ```

    *Use instead*

    ```toml
    max_length = 2048
    ```
    """

    code = "CFG007"
    name = "max-length-too-small"
    severity = "error"
    area = "config"
    needs = frozenset({"config", "data"})

    VALID = (
        Example(
            files={
                "train.jsonl": '{"text": "a short one"}\n' + _ROW,
                "run.toml": 'base_model = "org/name"\ndata = "train.jsonl"\nmax_length = 64\n',
            },
            check={"source": "run.toml"},
            why="Only some are cut, which DATA008 counts.",
        ),
        Example(
            files={
                "train.jsonl": _ROW,
                "run.toml": 'base_model = "org/name"\ndata = "train.jsonl"\nmax_length = 16\npacking = true\n'
                '[trainer_arguments]\npacking_strategy = "wrapped"\n',
            },
            check={"source": "run.toml"},
            why="Long examples are split, and nothing is lost.",
        ),
    )
    INVALID = (
        Example(
            files={
                "train.jsonl": _ROW,
                "run.toml": 'base_model = "org/name"\ndata = "train.jsonl"\nmax_length = 16\n',
            },
            check={"source": "run.toml"},
            findings=(
                (
                    3,
                    "max_length at 3:14: got 16, expected about 250 or more, because the shortest example of "
                    "train.jsonl has about 250 tokens by its bytes, so that every example would be cut",
                ),
            ),
        ),
        Example(
            files={
                "train.jsonl": _ROW,
                "config.json": '{"base_model": "org/name", "data": "train.jsonl", "max_length": 8}',
            },
            check={"source": "config.json"},
            findings=(
                (
                    1,
                    "max_length at 1:65: got 8, expected about 250 or more, because the shortest example of "
                    "train.jsonl has about 250 tokens by its bytes, so that every example would be cut",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config, data = subject.config, subject.data
        if config is None or data is None or data.lengths is None or data.rows == 0 or _splits(config):
            return
        setting, limit = config.setting("max_length"), config.value("max_length")
        lengths = data.lengths
        factor = 1 if lengths.exact else _CERTAIN_FACTOR
        if limit is None or lengths.counted < data.rows or lengths.shortest <= limit * factor:
            return
        length = f"{lengths.shortest:,}" if lengths.exact else f"about {lengths.shortest:,}"
        by = "" if lengths.exact else " by its bytes"
        text = of_setting(
            setting,
            "max_length",
            got=f"{limit:,}",
            expected=f"{length} or more",
            because=f"the shortest example of {_name(data)} has {length} tokens{by}, so that every example would be "
            "cut",
        )
        evidence = {"max_length": limit, "shortest": lengths.shortest, "exact": lengths.exact}
        yield self.finding(text, where=place(config, setting), evidence=evidence)


def _splits(config: ConfigFacts) -> bool:
    arguments = config.value("trainer_arguments") or {}
    return bool(config.value("packing")) and arguments.get("packing_strategy") in _LOSSLESS


def _name(data: DataFacts) -> str:
    return PurePath(data.path).name
