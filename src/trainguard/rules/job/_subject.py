"""Readings of a subject that several JOB rules share."""

from __future__ import annotations

import re

from trainguard.facts.declared import Declared, declared_distributions
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import Text, Value, options, text
from trainguard.rules.base import Subject

# Programs that copy files off the machine, and words in the names of functions that do.
_COPY_PROGRAMS = {"aws", "gsutil", "gcloud", "rclone", "rsync", "scp", "azcopy", "s5cmd", "mc", "ossutil", "hf", "git"}
_COPY_NAMES = re.compile(
    r"upload|push|publish|export_to|sync_to|to_s3|to_gcs|to_hub|copy_to|backup|deploy|register_model"
)


def available(subject: Subject) -> Declared:
    """The distributions that the job will have, with what the script installs while it runs."""
    assert subject.job is not None
    commands = subject.script.commands if subject.script is not None else ()
    found = declared_distributions(subject.job, [r for command in commands for r in command.installs])
    unknown = [each for command in commands for each in command.unknown_installs]
    if not unknown:
        return found
    return Declared(names=found.names, direct=found.direct, complete=False, unknown=(*found.unknown, *unknown))


def uploads_anything(subject: Subject) -> bool:
    """Whether the model may leave the machine by a way that is not read in detail: a command, a helper, wandb."""
    script, job = subject.script, subject.job
    commands = list(script.commands) if script is not None else []
    if job is not None and job.command is not None:
        commands.append(job.command)
    for command in commands:
        if command.uploads or any(launch.program in _COPY_PROGRAMS for launch in command.launches if launch.argv[1:]):
            return True
    if job is not None and job.env.get("WANDB_LOG_MODEL", "false").lower() not in ("false", "0", ""):
        return True
    return script is not None and (_names_an_upload(script) or script.may_contain("push_to_hub", "upload", "save"))


def _names_an_upload(script: ScriptFacts) -> bool:
    """A call of something that is not of this file and whose name says that it sends things away."""
    if "WANDB_LOG_MODEL" in script.text:
        return True
    own = script.structure.module.bindings
    for call in script.calls:
        name = call.written_name
        if name and _COPY_NAMES.search(name) and name not in _READ_ELSEWHERE and name not in own and call.live:
            return True
    return False


# Read by `facts.persistence`, which knows what they send.
_READ_ELSEWHERE = {
    "push_to_hub",
    "push_to_hub_merged",
    "push_to_hub_gguf",
    "push_to_hub_keras",
    "push_to_hub_torchao",
    "upload_folder",
    "upload_file",
    "upload_large_folder",
}


def on_mounted_volume(job: JobFacts, path: Value) -> bool | None:
    """Whether a path lies on a writable volume of the job; None where it cannot be told."""
    mounts = [volume.mount_path.rstrip("/") + "/" for volume in job.volumes if not volume.read_only]
    if not mounts:
        return False
    verdicts = {_under(mounts, option) for option in options(path)}
    return verdicts.pop() if len(verdicts) == 1 else None


def may_be_kept_on_volume(script: ScriptFacts, job: JobFacts) -> bool:
    """Whether a path that is saved to lies on a writable volume, or cannot be told not to."""
    if all(volume.read_only for volume in job.volumes):
        return False
    paths = [save.path for save in script.persistence.model_saves if save.kind == "local"]
    paths += [option.value for option in script.training.option("output_dir")]
    return any(on_mounted_volume(job, path) is not False for path in paths)


def _under(mounts: list[str], path: Value) -> bool | None:
    known = text(path)
    if known is None and isinstance(path, Text):
        known = path.prefix or None
    if known is None:
        return None
    return any((known.rstrip("/") + "/").startswith(mount) for mount in mounts)
