"""JOB008: a long run whose model leaves the machine only at the very end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.facts.values import ABSENT, text, texts, truth
from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._subject import may_be_kept_on_volume

# A run that loses less than this to a crash is not worth a word (rule book: "2 h and more").
_LONG_SECONDS = 2 * 3600
# Strategies of `hub_strategy` that push at every save (transformers 5.23, `HubStrategy`).
_PUSHES_ON_SAVE = {"every_save", "checkpoint", "all_checkpoints"}


class CheckpointsNotPersisted(Rule):
    """A run of two hours and more whose model is pushed only at the end.

    *What it does*

    Fires when the timeout is two hours or more and the model is pushed only after the training: by
    `save_strategy="no"`, by a `hub_strategy` that is not `every_save`, `checkpoint` or `all_checkpoints`, or by a
    push of its own after `train()` without `push_to_hub=True`; and no writable volume holds the checkpoints.

    *Why it costs you*

    A crash, a pre-emption or the timeout in the last minute loses everything that was trained.

    *Example*

    ```python
    SFTConfig(output_dir="out", push_to_hub=True, hub_model_id="user/name", hub_strategy="end")
    ```

    *Use instead*

    ```python
    SFTConfig(output_dir="out", push_to_hub=True, hub_model_id="user/name", hub_strategy="checkpoint", save_steps=200)
    ```
    """

    code = "JOB008"
    name = "checkpoints-not-persisted"
    severity = "warn"
    area = "job"
    needs = frozenset({"script", "job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        script, job = subject.script, subject.job
        if script is None or job is None or not job.remote or (job.timeout_seconds or 0) < _LONG_SECONDS:
            return
        training = script.training
        if not training.trains or training.configured_elsewhere:
            return
        if script.may_contain("push_to_hub", "upload", "hub_strategy") or _sends_on_the_way(script):
            return
        for reason, where in _reasons(script):
            if may_be_kept_on_volume(script, job):
                return
            hours = (job.timeout_seconds or 0) / 3600
            yield self.finding(
                f"{reason}, so the model leaves the machine only at the end: a crash or the timeout of {hours:g} h "
                'loses all that was trained; add push_to_hub=True, hub_strategy="checkpoint" with save_steps, or save '
                "to a volume",
                where=where,
                fix='push_to_hub=True, hub_strategy="checkpoint", save_strategy="steps", save_steps=200',
                evidence={"timeout_seconds": job.timeout_seconds},
            )
            return

    _END = (
        ", so the model leaves the machine only at the end: a crash or the timeout of 8 h loses all that was trained; "
        'add push_to_hub=True, hub_strategy="checkpoint" with save_steps, or save to a volume'
    )
    _RUN = (
        "from trl import SFTConfig, SFTTrainer\n"
        'args = SFTConfig("{}", {})\n'
        "trainer = SFTTrainer(model, args=args, train_dataset=data)\n"
        "trainer.train()\n"
        "trainer.push_to_hub()\n"
    )
    _PUSH = 'push_to_hub=True, hub_model_id="user/name"'
    VALID = (
        Example(
            script=_RUN.format("out", _PUSH),
            job={"timeout": "8h"},
            why="By default every save is pushed.",
        ),
        Example(script=_RUN.format("out", _PUSH + ', hub_strategy="end"'), job={"timeout": "90m"}, why="A short run."),
        Example(
            script=_RUN.format("/ckpt/out", _PUSH + ', hub_strategy="end"'),
            job={"timeout": "8h", "volumes": [{"type": "bucket", "source": "user/ckpt", "mount_path": "/ckpt"}]},
            why="The checkpoints lie in a bucket.",
        ),
        Example(
            script=(
                "from transformers import Trainer, TrainerCallback, TrainingArguments\n"
                "class Push(TrainerCallback):\n"
                "    def on_save(self, args, state, control, model=None, **kwargs):\n"
                '        model.push_to_hub("user/name")\n'
                'Trainer(model, TrainingArguments("out"), callbacks=[Push()]).train()\n'
            ),
            job={"timeout": "8h"},
            why="A callback pushes at every save.",
        ),
    )
    INVALID = (
        Example(
            script=_RUN.format("out", _PUSH + ', hub_strategy="end"'),
            job={"timeout": "8h"},
            findings=((2, 'hub_strategy="end" pushes once' + _END),),
        ),
        Example(
            script=_RUN.format("out", _PUSH + ', save_strategy="no"'),
            job={"timeout": 28800},
            findings=((2, 'save_strategy="no" saves no checkpoint' + _END),),
        ),
        Example(
            script=(
                "from trl import SFTConfig, SFTTrainer\n"
                'trainer = SFTTrainer(model, args=SFTConfig("out"), train_dataset=data)\n'
                "trainer.train()\n"
                'trainer.model.push_to_hub("user/name")\n'
            ),
            job={"timeout": "8h"},
            findings=((4, "the only push stands after the training" + _END),),
        ),
        Example(
            script=('options = {"hub_strategy": "end", "push_to_hub": True, "hub_model_id": "user/name"}\n')
            + _RUN.format("out", "**options"),
            job={"timeout": "8h"},
            findings=((1, 'hub_strategy="end" pushes once' + _END),),
            why="The strategy stands in a dict.",
        ),
    )


def _reasons(script: ScriptFacts) -> Iterator[tuple[str, Location | None]]:
    configs = script.training.configs
    for config in configs:
        push = truth(config.option("push_to_hub").value)
        if push is True:
            yield from _held_back(config)
        if push is not False:
            return
    pushes = [save for save in script.persistence.model_saves if save.kind != "local"]
    if pushes and (script.training.starts or script.training.loop):
        yield "the only push stands after the training", pushes[0].call.location


def _held_back(config: Config) -> Iterator[tuple[str, Location]]:
    saving = config.option("save_strategy")
    if text(saving.value) == "no":
        yield 'save_strategy="no" saves no checkpoint', saving.where
    strategy = config.option("hub_strategy")
    known = texts(strategy.value)
    if strategy.value is not ABSENT and known and not known & _PUSHES_ON_SAVE:
        yield f'hub_strategy="{min(known)}" pushes once', strategy.where


def _sends_on_the_way(script: ScriptFacts) -> bool:
    """Whether a push or upload runs during the training: in a loop, or in a method that a library calls."""
    for save in script.persistence.model_saves:
        if save.kind == "local":
            continue
        block = save.call.block
        while block is not None and block.parent is not None:
            if block.kind == "loop" or (block.scope.parent is not None and block.scope.parent.kind == "class"):
                return True
            block = block.parent
    return False
