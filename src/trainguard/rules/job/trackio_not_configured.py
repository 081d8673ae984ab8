"""JOB005: a training that nobody can watch."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import Value, texts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

_MESSAGE = (
    "the training does not report to trackio, so its curves cannot be followed while it runs; "
    'add report_to="trackio" and declare trackio'
)


class TrackioNotConfigured(Rule):
    """A training that does not report to Trackio.

    *What it does*

    Fires when the script trains and neither `report_to` includes `trackio`, nor the job's environment has a
    `TRACKIO_…` variable, nor the script calls `trackio.init`.

    *Why it costs you*

    A run that cannot be watched is found to be broken only when it has been paid for.

    *Example*

    ```python
    SFTConfig(output_dir="out", report_to="none")
    ```

    *Use instead*

    ```python
    SFTConfig(output_dir="out", report_to="trackio", project="my-project", run_name="first")
    ```
    """

    code = "JOB005"
    name = "trackio-not-configured"
    severity = "info"
    area = "job"
    needs = frozenset({"script", "job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        script, job = subject.script, subject.job
        if script is None or job is None or not script.training.trains or script.may_contain("trackio", "report_to"):
            return
        in_job = any(name.startswith("TRACKIO_") for name in (*job.env, *job.secrets))
        if in_job or "TRACKIO_" in script.text or _starts_trackio(script):
            return
        found = script.training.option("report_to")
        if any(_may_report(option.value) for option in found):
            return
        given = [option.where for option in found if texts(option.value)]
        where = given[0] if given else script.training.entry
        yield self.finding(_MESSAGE, where=where, fix='report_to="trackio"')

    VALID = (
        Example(
            script='from trl import SFTConfig, SFTTrainer\nSFTTrainer(args=SFTConfig(report_to="trackio")).train()\n',
            job={},
        ),
        Example(
            script=(
                "from trl import SFTConfig, SFTTrainer\n"
                'trackers = ["tensorboard"]\n'
                'trackers.append("trackio")\n'
                "SFTTrainer(args=SFTConfig(report_to=trackers)).train()\n"
            ),
            job={},
            why="A list that includes it will do.",
        ),
        Example(
            script="from trl import SFTTrainer\nSFTTrainer(train_dataset=data).train()\n",
            job={"env": {"TRACKIO_SPACE_ID": "user/space"}},
            why="The environment sets it up.",
        ),
        Example(
            script=(
                'import trackio\ntrackio.init(project="p")\n'
                "for batch in loader:\n    model(batch).backward()\n    optimizer.step()\n"
            ),
            job={},
            why="The script starts it itself.",
        ),
    )
    INVALID = (
        Example(
            script='from trl import SFTConfig, SFTTrainer\nSFTTrainer(args=SFTConfig("out")).train()\n',
            job={},
            findings=((2, _MESSAGE),),
        ),
        Example(
            script=(
                "from trl import SFTConfig, SFTTrainer\n"
                'args = SFTConfig("out", report_to=["wandb"])  # not trackio\n'
                "SFTTrainer(args=args).train()\n"
            ),
            job={},
            findings=((2, _MESSAGE),),
        ),
        Example(
            script="for batch in loader:\n    model(batch).backward()\n    optimizer.step()\n",
            job={},
            findings=((2, _MESSAGE),),
        ),
        Example(
            script=(
                "import functools\nfrom transformers import Trainer, TrainingArguments\n"
                'make = functools.partial(TrainingArguments, report_to="none")\n'
                'Trainer(args=make("out")).train()\n'
            ),
            job={},
            findings=((3, _MESSAGE),),
        ),
    )


def _starts_trackio(script: ScriptFacts) -> bool:
    if "trackio" not in script.mentions:
        return False
    return any(call.package == "trackio" or "TrackioCallback" in call.names for call in script.calls if call.live)


def _may_report(value: Value) -> bool:
    """Whether a value of `report_to` includes trackio, or cannot be told not to."""
    known = texts(value)
    return known is None or bool(known & {"trackio", "all"})
