"""JOB002: a training under the default timeout."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.command import starts_training
from trainguard.facts.duration import DEFAULT_TIMEOUT_SECONDS
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject


class DefaultTimeout(Rule):
    """A training is submitted with the default timeout of 30 minutes.

    *What it does*

    Fires when the timeout is missing, empty or 30 minutes in any spelling (`"30m"`, `1800`, `"0.5h"`) and the
    script trains, or the command of a Docker job starts a training.

    *Why it costs you*

    The job is killed after 30 minutes. Training takes longer than that, and what was not pushed by then
    is lost.

    *Example*

    ```json
    {"script": "train.py", "hardware_flavor": "a10g-large"}
    ```

    *Use instead*

    ```json
    {"script": "train.py", "hardware_flavor": "a10g-large", "timeout": "6h"}
    ```
    """

    code = "JOB002"
    name = "default-timeout"
    severity = "warn"
    area = "job"
    needs = frozenset({"job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        job, script = subject.job, subject.script
        if job is None or not job.remote or job.timeout_seconds != DEFAULT_TIMEOUT_SECONDS:
            return
        commands = [*(script.commands if script is not None else ()), *([job.command] if job.command else [])]
        in_script = script is not None and script.training.trains
        if not in_script and not any(starts_training(command) for command in commands):
            return
        state = f"is {job.timeout_raw!r}, which is" if job.timeout_given else "is not given, so it is"
        yield self.finding(
            f"timeout {state} the default of 30 minutes, and this job trains: it is killed after 30 minutes and what "
            'is not pushed by then is lost; give it the time that the run needs, such as timeout="6h"',
            where=script.training.entry if script is not None and in_script else None,
            fix='timeout="6h", or what the run needs and a margin',
            evidence={"timeout_seconds": DEFAULT_TIMEOUT_SECONDS},
        )

    _TRAIN = "from trl import SFTTrainer\ntrainer = SFTTrainer(model=model, train_dataset=data)\ntrainer.train()\n"
    _END = (
        "the default of 30 minutes, and this job trains: it is killed after 30 minutes and what is "
        'not pushed by then is lost; give it the time that the run needs, such as timeout="6h"'
    )
    VALID = (
        Example(script=_TRAIN, job={"timeout": "2h"}, why="Two hours are given."),
        Example(script=_TRAIN, job={"timeout": 5400}, why="A number is seconds: an hour and a half."),
        Example(
            script='from transformers import pipeline\nprint(pipeline("text-generation")("Hello"))\n',
            job={},
            why="Inference is done in 30 minutes.",
        ),
        Example(
            script=(
                "from transformers import Trainer\n"
                "trainer = Trainer(model=model, eval_dataset=data)\n"
                "print(trainer.evaluate())\n"
            ),
            job={"timeout": "30m"},
            why="The Trainer only evaluates.",
        ),
        Example(job={"command": ["python", "evaluate.py"], "image": "python:3.12"}, why="The command trains nothing."),
        Example(
            script=(
                "from tokenizers import Tokenizer, models, trainers\n"
                "tokenizer = Tokenizer(models.BPE())\n"
                'tokenizer.train(["corpus.txt"], trainers.BpeTrainer())\n'
            ),
            job={},
            why="A vocabulary is trained in minutes.",
        ),
    )
    INVALID = (
        Example(script=_TRAIN, job={}, findings=((3, f"timeout is not given, so it is {_END}"),)),
        Example(script=_TRAIN, job={"timeout": "0.5h"}, findings=((3, f"timeout is '0.5h', which is {_END}"),)),
        Example(
            script=(
                "for batch in loader:\n    loss = model(**batch).loss\n    loss.backward()\n    optimizer.step()\n"
            ),
            job={"timeout": "1800"},
            findings=((3, f"timeout is '1800', which is {_END}"),),
            why="A hand-written loop trains too.",
        ),
        Example(
            job={"command": ["accelerate", "launch", "train.py"], "image": "pytorch/pytorch"},
            findings=((None, f"timeout is not given, so it is {_END}"),),
        ),
    )
