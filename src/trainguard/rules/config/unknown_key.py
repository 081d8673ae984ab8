"""CFG003: a key that is no field."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import evidence, message, place

_BECAUSE = "because nothing reads it, and what it was meant to set keeps its default"


class UnknownKey(Rule):
    """A key that is no field of a guarded run.

    *What it does*

    Compares every key with the fields, with the spellings of the Trainer and TRL (`per_device_train_batch_size`,
    `lr_scheduler_type`) and with those of the origin's config.json. Names the field that was perhaps meant. Other
    arguments of SFTConfig go under `trainer_arguments`, and are compared with the newest release that is known. Keys
    that begin with `_`, `//`, `#` or `x-` are comments.

    *Why it costs you*

    `leraning_rate = 1e-6` trains a day long with 2e-5.

    *Example*

    ```toml
    base_model = "org/name"
    leraning_rate = 1e-6
    ```

    *Use instead*

    ```toml
    base_model = "org/name"
    learning_rate = 1e-6
    ```
    """

    code = "CFG003"
    name = "unknown-key"
    severity = "error"
    area = "config"
    needs = frozenset({"config"})

    VALID = (
        Example(
            files={
                "config.json": '{"base_model": "org/name", "per_device_train_batch_size": 2, "warmup_ratio": 0.03, '
                '"lora_r": 8, "_comment": "as TRL calls them"}'
            },
            check={"source": "config.json"},
        ),
        Example(
            files={"run.toml": 'base_model = "org/name"\n[trainer_arguments]\nreport_to = "none"\n'},
            check={"source": "run.toml"},
            why="An argument of SFTConfig that is no field.",
        ),
        Example(
            files={"config.json": '{"base_model": "org/name", "poll_interval": 30, "snapshot_time": "03:00"}'},
            check={"source": "config.json"},
            why="Keys of the origin's daemon.",
        ),
    )
    INVALID = (
        Example(
            files={"run.toml": 'base_model = "org/name"\nleraning_rate = 1e-6\n\n[lora]\nalhpa = 16\n'},
            check={"source": "run.toml"},
            findings=(
                (2, f"leraning_rate at 2:1: got a key that is no field, expected learning_rate, {_BECAUSE}"),
                (5, f"lora.alhpa at 5:1: got a key that is no field, expected lora.alpha, {_BECAUSE}"),
            ),
        ),
        Example(
            files={"run.yaml": "base_model: org/name\nreport_to: none\n"},
            check={"source": "run.yaml"},
            findings=(
                (2, f"report_to at 2:1: got a key that is no field, expected trainer_arguments.report_to, {_BECAUSE}"),
            ),
        ),
        Example(
            files={"config.json": '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'},
            check={"source": "config.json"},
            findings=(
                (
                    1,
                    "architectures at 1:25: got the configuration of a model (it has architectures and model_type), "
                    "expected that of a run, because a run names its model as base_model; `trainguard init --model "
                    "DIR` writes one",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config = subject.config
        if config is None:
            return
        for problem in config.of_kind("unknown-key"):
            yield self.finding(
                message(problem, config),
                where=place(config, problem),
                fix=problem.suggestion,
                evidence=evidence(problem),
            )
