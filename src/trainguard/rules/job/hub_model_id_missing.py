"""JOB003: a push without a repository to push to."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import may_be_given, truth
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

_MESSAGE = (
    "push_to_hub=True without hub_model_id: the repository is named after the folder of output_dir, which may be "
    'another than you mean or belong to another run; add hub_model_id="user/name"'
)


class HubModelIdMissing(Rule):
    """`push_to_hub=True` without a `hub_model_id`.

    *What it does*

    Fires when a training configuration has `push_to_hub=True` and no `hub_model_id` wherever it could be set:
    in the call, in a dict that is spread into it, by assignment afterwards, or on the command line. It stays
    silent when the model or tokenizer is pushed with its repository. The *trainer's* `push_to_hub` takes a commit
    message first, so its argument is no repository.

    *Why it costs you*

    The Trainer then pushes to a repository named after the last folder of `output_dir`: `out`, `results`.
    The next run with the same folder overwrites it.

    *Example*

    ```python
    SFTConfig(output_dir="out", push_to_hub=True)
    ```

    *Use instead*

    ```python
    SFTConfig(output_dir="out", push_to_hub=True, hub_model_id="user/name")
    ```
    """

    code = "JOB003"
    name = "hub-model-id-missing"
    severity = "warn"
    area = "job"

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or not self._is_mentioned(script) or script.may_contain("hub_model_id", "push_to_hub"):
            return
        training = script.training
        if _names_repository(script):
            return
        configs = training.configs
        if any(may_be_given(config.option("hub_model_id").value) for config in configs):
            return
        for config in configs:
            push = config.option("push_to_hub")
            if truth(push.value) is True:
                yield self.finding(_MESSAGE, where=push.where, fix='hub_model_id="user/name"')

    def _is_mentioned(self, script: ScriptFacts) -> bool:
        return "push_to_hub" in script.mentions or any("push_to_hub" in a for a in script.arguments or ())

    VALID = (
        Example(script='from trl import SFTConfig\nSFTConfig("out", push_to_hub=True, hub_model_id="user/name")\n'),
        Example(
            script=(
                "from trl import SFTConfig\n"
                'args = SFTConfig("out", push_to_hub=True)\n'
                'args.hub_model_id = "user/name"\n'
            ),
            why="It is set afterwards.",
        ),
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", push_to_hub=True, **load_options())\n',
            why="It may stand in what cannot be read.",
        ),
        Example(
            script='# push_to_hub=True\nmodel.push_to_hub("user/name")\n',
            why="The model's own method is given the repository.",
        ),
        Example(
            script='from trl import SFTConfig\nPUSH = False\nSFTConfig("out", push_to_hub=PUSH)\n',
            why="Nothing is pushed.",
        ),
    )
    INVALID = (
        Example(
            script='from trl import SFTConfig\nargs = SFTConfig("out", push_to_hub=True)\n', findings=((2, _MESSAGE),)
        ),
        Example(
            script=(
                "from transformers import TrainingArguments as Args\n"
                "PUSH = True\n"
                "options = dict(push_to_hub=PUSH)  # hub_model_id comes later\n"
                'args = Args("out", **options)\n'
            ),
            findings=((3, _MESSAGE),),
            why="The option comes through a variable and a dict.",
        ),
        Example(
            script=(
                "from trl import SFTConfig, SFTTrainer\n"
                'trainer = SFTTrainer(args=SFTConfig("out", push_to_hub=True))\n'
                "trainer.train()\n"
                'trainer.push_to_hub("user/name")\n'
            ),
            findings=((2, _MESSAGE),),
            why="The trainer's method takes a commit message.",
        ),
        Example(
            script=(
                "from transformers import HfArgumentParser, TrainingArguments\n"
                "(args,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()\n"
            ),
            job={"script_args": ["--output_dir", "out", "--push_to_hub"]},
            findings=((2, _MESSAGE),),
            why="The option comes from the command line.",
        ),
    )


def _names_repository(script: ScriptFacts) -> bool:
    """Whether the model or tokenizer is pushed by its own method with a repository."""
    trainers = set(script.training.trainers)
    return any(
        save.kind == "hub" and save.thing != "dataset" and may_be_given(save.path)
        for save in script.persistence.saves
        if not trainers & set(save.call.receiver_calls) and "trainer" not in save.call.receiver_text.lower()
    )
