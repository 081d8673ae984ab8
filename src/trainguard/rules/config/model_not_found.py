"""CFG005: the model or the tokenizer is not there."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.config.judging import shown_value
from trainguard.findings import Finding
from trainguard.rules._example_files import folder
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import of_setting, place

_EXPECTED = "a folder that exists, or an id of the hub"


class ModelNotFound(Rule):
    """The model or the tokenizer that the configuration names is not there.

    *What it does*

    Relative paths count from the folder of the configuration. A name that can only be a path must lead somewhere; one
    that is neither a folder nor can be an id of the hub (without an owner, with a space) is refused too. Whether an id
    of the hub exists cannot be told without asking it, so that an id is named only where one letter of a word differs
    from a well-known one.

    *Why it costs you*

    The machine is started, and the first thing that the run does is to fail.

    *Example*

    ```toml
    base_model = "models/Qwen2.5-0.5"
    ```

    *Use instead*

    ```toml
    base_model = "models/Qwen2.5-0.5B"
    ```
    """

    code = "CFG005"
    name = "model-not-found"
    severity = "error"
    area = "config"
    needs = frozenset({"config"})

    VALID = (
        Example(
            files={"run.toml": 'base_model = "someone/their-own-model"\n'},
            check={"source": "run.toml"},
            why="It may well exist.",
        ),
        Example(
            files={"run.toml": 'base_model = "gpt2"\n'},
            check={"source": "run.toml"},
            why="One of the first repositories, which have no owner.",
        ),
        Example(
            files={"configs/run.toml": 'base_model = "../models/small"\n', "models/small": folder()},
            check={"source": "configs/run.toml"},
            why="Paths count from the folder of the configuration.",
        ),
    )
    INVALID = (
        Example(
            files={"run.toml": 'base_model = "./models/smal"\n', "models/small": folder()},
            check={"source": "run.toml"},
            findings=(
                (
                    1,
                    f'base_model at 1:14: got "./models/smal", expected {_EXPECTED}, because there is nothing at this '
                    "path; did you mean models/small?",
                ),
            ),
        ),
        Example(
            files={"config.json": '{"base_model": "Qwen/Qwen2.5-0.5B-Instuct", "tokenizer": "my tokenizer"}'},
            check={"source": "config.json"},
            findings=(
                (
                    1,
                    f'base_model at 1:16: got "Qwen/Qwen2.5-0.5B-Instuct", expected {_EXPECTED}, because there is no '
                    "such folder, and on the hub the name is written otherwise; did you mean "
                    "Qwen/Qwen2.5-0.5B-Instruct?",
                ),
                (
                    1,
                    f'tokenizer at 1:58: got "my tokenizer", expected {_EXPECTED}, because there is no such folder, '
                    "and an id of the hub is org/name, of letters, digits, . _ and -",
                ),
            ),
        ),
        Example(
            files={"run.yaml": "base_model: qwen3_0.6b\n"},
            check={"source": "run.yaml"},
            findings=(
                (
                    1,
                    f'base_model at 1:13: got "qwen3_0.6b", expected {_EXPECTED}, because there is no such folder, '
                    "and an id of the hub has an owner: org/name",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config = subject.config
        if config is None:
            return
        for reference in (config.named.base_model, config.named.tokenizer):
            if reference is None or reference.kind != "missing":
                continue
            setting = config.setting(reference.field)
            text = of_setting(
                setting,
                reference.field,
                got=shown_value(reference.given),
                expected=_EXPECTED,
                because=reference.because,
                suggestion=reference.nearest,
            )
            yield self.finding(
                text,
                where=place(config, setting),
                fix=reference.nearest,
                evidence={"field": reference.field, "got": reference.given, "looked": str(reference.path)},
            )
