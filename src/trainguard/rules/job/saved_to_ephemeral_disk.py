"""JOB006: a model that is saved where it will be deleted."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.values import may_be_true
from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._subject import may_be_kept_on_volume, uploads_anything

_MESSAGE = (
    "the trained model is saved only on the job's own disk, which is deleted when the job ends; push it (push_to_hub), "
    "upload the folder, or save it under a mounted bucket"
)


class SavedToEphemeralDisk(Rule):
    """A remote job that trains and saves only to its own disk.

    *What it does*

    Fires when the script trains and saves, but pushes and uploads nothing, and no writable volume is mounted on the
    path that it saves to. A script that saves nothing at all is JOB001's.

    *Why it costs you*

    The disk of a job is deleted with its machine. The run ends as a success and the model is gone.

    *Example*

    ```python
    trainer.train()
    trainer.save_model("final")
    ```

    *Use instead*

    ```python
    trainer.train()
    trainer.save_model("final")
    trainer.push_to_hub()
    ```

    Or mount a bucket, `volumes=["hf://buckets/user/models:/models"]`, and save below `/models`.
    """

    code = "JOB006"
    name = "saved-to-ephemeral-disk"
    severity = "warn"
    area = "job"
    needs = frozenset({"script", "job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        script, job = subject.script, subject.job
        if script is None or job is None or not job.remote or not script.training.trains:
            return
        saves = script.persistence.model_saves
        if not saves and (script.persistence.model_loads or not script.training.trainers):
            return
        if script.persistence.uploads_model or uploads_anything(subject):
            return
        if any(may_be_true(option.value) for option in script.training.option("push_to_hub")):
            return
        if may_be_kept_on_volume(script, job):
            return
        where: Location | None = saves[-1].call.location if saves else script.training.entry
        yield self.finding(_MESSAGE, where=where, fix="trainer.push_to_hub() after training, or a mounted bucket")

    _SAVED = (
        "from trl import SFTConfig, SFTTrainer\n"
        'trainer = SFTTrainer(model, args=SFTConfig("{}"), train_dataset=data)\n'
        "trainer.train()\n"
        'trainer.save_model("{}")\n'
    )
    VALID = (
        Example(script=_SAVED.format("out", "final") + "trainer.push_to_hub()\n", job={"timeout": "1h"}),
        Example(
            script=_SAVED.format("/models/run", "/models/final"),
            job={"volumes": [{"type": "bucket", "source": "user/models", "mount_path": "/models"}]},
            why="A bucket is mounted there.",
        ),
        Example(
            script="from huggingface_hub import HfApi\n"
            + _SAVED.format("out", "final")
            + 'HfApi().upload_folder(folder_path="final", repo_id="user/name")\n',
            job={"timeout": "1h"},
            why="The folder is uploaded.",
        ),
        Example(script=_SAVED.format("out", "final"), job={"local": True}, why="A local disk stays."),
    )
    INVALID = (
        Example(script=_SAVED.format("out", "final"), job={"timeout": "1h"}, findings=((4, _MESSAGE),)),
        Example(
            script=_SAVED.format("out", "final"),
            job={"volumes": [{"type": "bucket", "source": "user/models", "mount_path": "/models"}]},
            findings=((4, _MESSAGE),),
            why="A bucket is mounted, but nothing is saved there.",
        ),
        Example(
            script=_SAVED.format("/models/out", "/models/final"),
            job={"volumes": [{"type": "model", "source": "user/base", "mount_path": "/models"}]},
            findings=((4, _MESSAGE),),
            why="A mounted model repository is read-only.",
        ),
        Example(
            script=_SAVED.format("out", "final") + 'data.push_to_hub("user/data")\n',
            job={"timeout": "1h"},
            findings=((4, _MESSAGE),),
            why="Only the dataset is pushed.",
        ),
    )
