"""CFG004: a value that no run survives, or of the wrong type."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.config.judging import shown_value
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import evidence, message, of_setting, place


class OutOfRange(Rule):
    """A value that no run survives, or of the wrong type.

    *What it does*

    Judges every value by its field: its type, its range, the words that it may be. Ranges end where a run fails or
    learns nothing, not where values become unusual. Also told here: a field that is missing, two spellings of one
    field that disagree, fields that cannot go together (a schedule that follows the evaluation, without evaluation),
    NaN, null, numbers in quotes, and training data that is not there. Values of secrets are never shown.

    *Why it costs you*

    `batch_size = 0` is refused after the model has been loaded; `learning_rate = 0` trains to the end and learns
    nothing; `num_train_epochs = null` fails inside the Trainer, which compares None with 0.

    *Example*

    ```toml
    base_model = "org/name"
    learning_rate = 0
    batch_size = "8"
    ```

    *Use instead*

    ```toml
    base_model = "org/name"
    learning_rate = 2e-5
    batch_size = 8
    ```
    """

    code = "CFG004"
    name = "out-of-range"
    severity = "error"
    area = "config"
    needs = frozenset({"config"})

    VALID = (
        Example(
            files={"run.yaml": "base_model: org/name\nlearning_rate: 1e-5\nwarmup: 0.03\nmax_steps: -1\nbf16: yes\n"},
            check={"source": "run.yaml"},
        ),
        Example(
            files={
                "run.toml": 'base_model = "org/name"\noptimizer = "adafactor"\nlearning_rate = 1.0\nmax_length = 64\n'
            },
            check={"source": "run.toml"},
            why="Unusual, and legal.",
        ),
    )
    INVALID = (
        Example(
            files={"config.json": '{\n  "base_model": "org/name",\n  "batch_size": 0,\n  "learning_rate": 0\n}\n'},
            check={"source": "config.json"},
            findings=(
                (
                    3,
                    "batch_size at 3:17: got 0, expected a whole number of 1 or more, because a batch has at least one "
                    "example",
                ),
                (
                    4,
                    "learning_rate at 4:20: got 0, expected a number above 0, because at 0 nothing is learnt, and "
                    "torch's optimizers refuse a negative one",
                ),
            ),
        ),
        Example(
            files={"config.json": '{"base_model": "org/name",\n "learning_rate": "2e-4",\n "num_train_epochs": null}'},
            check={"source": "config.json"},
            findings=(
                (
                    2,
                    'learning_rate at 2:19: got "2e-4", expected a number above 0, because quotes make it a text; did '
                    "you mean 2e-4 without quotes?",
                ),
                (
                    3,
                    "num_train_epochs at 3:22: got null, expected a number above 0, because the Trainer compares it "
                    "with numbers, and None > 0 fails; leave the key out for the default 3",
                ),
            ),
        ),
        Example(
            files={"run.toml": 'base_model = "org/name"\nbatch_size = 4\nper_device_train_batch_size = 8\n'},
            check={"source": "run.toml"},
            findings=(
                (
                    3,
                    "per_device_train_batch_size at 3:31: got 8, expected 4 or nothing, because batch_size at 2:14 "
                    "says the same thing with another value; keep one of the two",
                ),
            ),
        ),
        Example(
            files={"run.yaml": "base_model: org/name\nmethod: Lora\nalerts:\n  urls: slack://secret-token\n"},
            check={"source": "run.yaml"},
            findings=(
                (
                    2,
                    'method at 2:9: got "Lora", expected one of full, lora, qlora, because there are no others; did '
                    "you mean lora?",
                ),
                (4, "alerts.urls at 4:9: got a hidden value, expected a list of texts, because it holds several"),
            ),
        ),
        Example(
            files={"run.toml": 'base_model = "org/name"\ndata = "data/trian.jsonl"\n', "data/train.jsonl": "{}\n"},
            check={"source": "run.toml"},
            findings=(
                (
                    2,
                    'data at 2:8: got "data/trian.jsonl", expected a file or folder, because there is nothing at this '
                    "path; did you mean data/train.jsonl?",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config = subject.config
        if config is None:
            return
        for problem in config.of_kind("out-of-range"):
            yield self.finding(
                message(problem, config),
                where=place(config, problem),
                fix=problem.suggestion,
                evidence=evidence(problem),
            )
        data = [*config.named.data, *([config.named.eval_data] if config.named.eval_data else [])]
        for reference in data:
            if reference.kind == "missing":
                setting = config.setting(reference.field)
                text = of_setting(
                    setting,
                    reference.field,
                    got=shown_value(reference.given),
                    expected="a file or folder",
                    because=reference.because,
                    suggestion=reference.nearest,
                )
                yield self.finding(
                    text,
                    where=place(config, setting),
                    fix=reference.nearest,
                    evidence={"field": reference.field, "got": reference.given},
                )
