"""CKPT007: a checkpoint holds its weights in an older format."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.findings import Finding, Location
from trainguard.rules._example_files import raw
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.checkpoint._broken import concerned, shown_name
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, torch_file


class OutdatedFormat(Rule):
    """A checkpoint holds its weights in the older format of torch alone.

    *What it does*

    Fires where the newest checkpoint, or the one that it would be resumed from, has pytorch_model.bin or
    adapter_model.bin and no safetensors file.

    *Why it costs you*

    The Trainer still resumes from it. But the file is a pickle, which runs code where it is loaded without
    `weights_only=True`, its tensors cannot be checked without reading all of it, and transformers 5 writes safetensors
    only.

    *Example*

    A checkpoint that was saved by transformers 4 with `save_safetensors=False`.

    *Use instead*

    Resume from it, and let the next save write safetensors.
    """

    code = "CKPT007"
    name = "outdated-format"
    severity = "warn"
    area = "checkpoint"
    needs = frozenset({"checkpoint"})

    def check(self, subject: Subject) -> Iterator[Finding]:
        """One finding for the checkpoint that would be resumed from."""
        facts = subject.checkpoints
        if facts is None:
            return
        chosen = facts.latest_verified or facts.newest
        if chosen is None or chosen not in [*concerned(facts), facts.latest_verified]:
            return
        for problem in chosen.problems_of("outdated-format"):
            yield self.finding(
                f"{shown_name(chosen)}: {problem.words}, and no safetensors file is there; a Trainer resumes from it, "
                "but it is a pickle and runs code where it is loaded without weights_only=True: resume, and the next "
                "save writes safetensors",
                where=Location(str(chosen.path / problem.file)),
                evidence={"step": chosen.step},
            )

    _MESSAGE = (
        "holds its weights in torch's older format, and no safetensors file is there; a Trainer resumes from it, but "
        "it is a pickle and runs code where it is loaded without weights_only=True: resume, and the next save writes "
        "safetensors"
    )
    VALID = (
        Example(files=saved(10), check=OUT, why="It has safetensors."),
        Example(
            files={"out/checkpoint-10/pytorch_model.bin": torch_file("scheduler.pt", 10)} | saved(10),
            check=OUT,
            why="It has both, and the Trainer loads safetensors.",
        ),
    )
    INVALID = (
        Example(
            files={"out/checkpoint-10/pytorch_model.bin": torch_file("scheduler.pt", 10)}
            | saved(10, without=("model.safetensors",)),
            check=OUT,
            findings=((None, f"checkpoint-10: pytorch_model.bin {_MESSAGE}"),),
        ),
        Example(
            files={
                "out/checkpoint-10/adapter_model.bin": torch_file("scheduler.pt", 10),
                "out/checkpoint-10/adapter_config.json": raw(b'{"peft_type": "LORA"}', "the adapter's settings"),
            }
            | saved(10, without=("model.safetensors", "config.json")),
            check=OUT,
            findings=((None, f"checkpoint-10: adapter_model.bin {_MESSAGE}"),),
        ),
    )
