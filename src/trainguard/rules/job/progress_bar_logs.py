"""JOB022: a remote training whose log is a progress bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.calls import Call
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Option
from trainguard.facts.values import ABSENT, texts, truth
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

# transformers 5.23.0, training_args.py: `disable_tqdm` left at None follows the level of the library's logger.
_QUIET_LEVELS = {"error", "critical"}
_TRAINER_PACKAGES = {"transformers", "trl", "sentence_transformers", "unsloth"}
_WHY = {
    "disable_tqdm=True": "the progress bar writes thousands of broken lines",
    'logging_strategy="steps"': "a loss comes only every 500 steps, or never",
    "logging_first_step=True": "the first loss shows late whether the run is sane",
}


class ProgressBarLogs(Rule):
    """A remote training logs a progress bar instead of lines.

    *What it does*

    Fires when the Trainer of a remote job runs without `disable_tqdm=True`, without
    `logging_strategy="steps"` or `logging_steps` (TRL's configurations log every 10 steps by themselves), or
    without `logging_first_step=True`, and names those that are missing.

    *Why it costs you*

    A log of a remote job is read as text, by people and by programs. A progress bar redraws itself in it
    thousands of times, and a first loss after 500 steps comes too late to stop a bad run.

    *Example*

    ```python
    args = SFTConfig(output_dir="out")
    ```

    *Use instead*

    ```python
    args = SFTConfig(
        output_dir="out", disable_tqdm=True, logging_strategy="steps", logging_steps=10, logging_first_step=True
    )
    ```
    """

    code = "JOB022"
    name = "progress-bar-logs"
    severity = "info"
    area = "job"
    needs = frozenset({"script", "job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        job, script = subject.job, subject.script
        if job is None or script is None or not job.checked or not job.remote or not script.training.trains:
            return
        if script.may_contain("disable_tqdm", "logging_first_step"):
            return
        for call, has_default_steps, given in _configurations(script):
            missing = list(_missing(job, script, has_default_steps, given))
            if missing:
                yield self.finding(
                    f"the log of a remote job is read as text: set {', '.join(missing)} "
                    f"({'; '.join(_WHY[each] for each in missing)})",
                    where=call.location,
                    fix=", ".join(missing),
                )

    _SFT = (
        "from trl import SFTConfig, SFTTrainer\n"
        'args = SFTConfig(output_dir="out"{more})\n'
        'trainer = SFTTrainer(model="Qwen/Qwen2.5-0.5B", args=args, train_dataset=data)\n'
        "trainer.train()\n"
    )
    _START = "the log of a remote job is read as text: set"
    VALID = (
        Example(script=_SFT.format(more=", disable_tqdm=True, logging_steps=5, logging_first_step=True"), job={}),
        Example(
            script=_SFT.format(more="").replace(
                "trainer =", "args.disable_tqdm = True\nargs.logging_first_step = True\ntrainer ="
            ),
            job={},
            why="Set by attribute; TRL logs every 10 steps by itself.",
        ),
        Example(script=_SFT.format(more=""), job={"backend": "local"}, why="In a terminal a bar is fine."),
        Example(
            script=(
                "from transformers import pipeline\n"
                "from tqdm import tqdm\n"
                'pipe = pipeline("text-generation")\n'
                "for row in tqdm(rows):\n"
                "    print(pipe(row))\n"
            ),
            job={},
            why="Nothing is trained.",
        ),
        Example(script=_SFT.format(more=", **options"), job={}, why="What the options hold cannot be told."),
    )
    INVALID = (
        Example(
            script=_SFT.format(more=""),
            job={},
            findings=(
                (
                    2,
                    f"{_START} disable_tqdm=True, logging_first_step=True (the progress bar writes thousands of broken "
                    "lines; the first loss shows late whether the run is sane)",
                ),
            ),
        ),
        Example(
            script=_SFT.format(more=', disable_tqdm=QUIET, logging_strategy="epoch", logging_first_step=True').replace(
                "args =", "QUIET = False\nargs ="
            ),
            job={"hardware_flavor": "a10g-large"},
            findings=(
                (
                    3,
                    f'{_START} disable_tqdm=True, logging_strategy="steps" (the progress bar writes thousands of '
                    "broken lines; a loss comes only every 500 steps, or never)",
                ),
            ),
            why="The names are all there, with the wrong values.",
        ),
        Example(
            script=(
                "from transformers import Trainer, TrainingArguments\n"
                'options = dict(output_dir="out", disable_tqdm=True)\n'
                "args = TrainingArguments(**options, logging_first_step=True)\n"
                "Trainer(model, args, train_dataset=data).train()\n"
            ),
            job={},
            findings=((3, f'{_START} logging_strategy="steps" (a loss comes only every 500 steps, or never)'),),
            why="transformers logs every 500 steps by itself.",
        ),
        Example(
            script=(
                "from trl import DPOTrainer\n"
                'trainer = DPOTrainer("Qwen/Qwen2.5-0.5B", train_dataset=data)\n'
                "trainer.train()\n"
            ),
            job={},
            findings=(
                (
                    2,
                    f"{_START} disable_tqdm=True, logging_first_step=True (the progress bar writes thousands of broken "
                    "lines; the first loss shows late whether the run is sane)",
                ),
            ),
            why="A trainer without a configuration has the defaults.",
        ),
    )


def _configurations(script: ScriptFacts) -> Iterator[tuple[Call, bool, dict[str, Option]]]:
    """Each configuration of a run: its place, whether it is one of TRL's, and its options."""
    names = ("disable_tqdm", "logging_strategy", "logging_steps", "logging_first_step")
    training = script.training
    for config in training.configs:
        # trl 1.16.0, trainer/base_config.py: `logging_steps` is 10 where transformers has 500.
        is_trl = any(name.endswith("Config") for name in config.class_names)
        yield config.call, is_trl, {name: config.option(name) for name in names}
    if not training.configs and not training.configured_elsewhere:
        for trainer in training.trainers:
            if trainer.package in _TRAINER_PACKAGES and trainer.argument("args") is ABSENT:
                absent = Option(ABSENT, trainer.location)
                yield trainer, trainer.package == "trl", dict.fromkeys(names, absent)


def _missing(job: JobFacts, script: ScriptFacts, is_trl: bool, given: dict[str, Option]) -> Iterator[str]:
    if truth(given["disable_tqdm"].value) is False and not _bar_is_off(job, script):
        yield "disable_tqdm=True"
    strategy = texts(given["logging_strategy"].value)
    if strategy is not None and (strategy or is_trl is False):
        by_default = not strategy and given["logging_steps"].value is ABSENT
        if by_default or (strategy and strategy <= {"no", "epoch"}):
            yield 'logging_strategy="steps"'
    if truth(given["logging_first_step"].value) is False:
        yield "logging_first_step=True"


def _bar_is_off(job: JobFacts, script: ScriptFacts) -> bool:
    """Whether the progress bar may be switched off in another way than by the option."""
    if job.env.get("TRANSFORMERS_VERBOSITY", "").lower() in _QUIET_LEVELS or job.env.get("TQDM_DISABLE", "0") != "0":
        return True
    words = {
        "set_verbosity_error",
        "disable_progress_bar",
        "TQDM_DISABLE",
        "TRANSFORMERS_VERBOSITY",
        "ProgressCallback",
    }
    return bool(words & script.mentions)
