"""CFG009: base model, tokenizer or max_length changed while checkpoints of the former value exist."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePath

from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts
from trainguard.facts.config.judging import shown_value
from trainguard.facts.config.records import ConfigFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import of_setting, place

LOCKED = ("base_model", "tokenizer", "max_length")


def _manifest(**run: object) -> str:
    return json.dumps({"format_version": 1, "step": 40, "created": "2025-01-01T00:00:00Z", "files": [], "run": run})


class LockedFieldChanged(Rule):
    """A field changed that the checkpoints of the run are bound to.

    *What it does*

    Compares base_model, tokenizer and max_length with what the manifest of the newest checkpoint in output_dir says
    that it was trained with. Another way to write the same model (a path instead of an id, another folder of the same
    name) is no change. Silent where the run is told never to resume.

    *Why it costs you*

    The run resumes from the checkpoint all the same: weights of one model under the name of another, or a schedule
    and a data position that were counted in other lengths.

    *Example*

    ```toml
    output_dir = "out"      # out/checkpoint-40 was trained with 2,048
    max_length = 4096
    ```

    *Use instead*

    ```toml
    output_dir = "out-4096"
    max_length = 4096
    ```
    """

    code = "CFG009"
    name = "locked-field-changed"
    severity = "error"
    area = "config"
    needs = frozenset({"config", "checkpoint"})

    VALID = (
        Example(
            files={
                "out/checkpoint-40/trainguard.json": _manifest(base_model="/old/place/name", max_length=2048),
                "run.toml": 'base_model = "org/name"\nmax_length = 2048\noutput_dir = "out"\n',
            },
            check={"source": "run.toml"},
            why="The same model by another way.",
        ),
        Example(
            files={
                "out/checkpoint-40/trainguard.json": _manifest(base_model="org/name", max_length=2048),
                "run.toml": 'base_model = "org/name"\nmax_length = 4096\noutput_dir = "out"\nsave.resume = "never"\n',
            },
            check={"source": "run.toml"},
            why="The run starts anew.",
        ),
    )
    INVALID = (
        Example(
            files={
                "out/checkpoint-40/trainguard.json": _manifest(base_model="org/name", max_length=2048),
                "run.toml": 'base_model = "org/name"\nmax_length = 4096\noutput_dir = "out"\n',
            },
            check={"source": "run.toml"},
            findings=(
                (
                    2,
                    "max_length at 2:14: got 4096, expected 2048, because checkpoint-40 in out was trained with that, "
                    "and the run would resume from it; put it back, or take another output_dir",
                ),
            ),
        ),
        Example(
            files={
                "out/checkpoint-40/trainguard.json": _manifest(base_model="org/name", max_length=1024),
                "config.json": '{"base_model": "org/other", "output_dir": "out"}',
            },
            check={"source": "config.json"},
            findings=(
                (
                    1,
                    'base_model at 1:16: got "org/other", expected "org/name", because checkpoint-40 in out was '
                    "trained with that, and the run would resume from it; put it back, or take another output_dir",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config, checkpoints = subject.config, subject.checkpoints
        if config is None or checkpoints is None or config.value("save.resume") == "never":
            return
        newest = next((each for each in reversed(checkpoints.checkpoints) if each.manifest and each.manifest.run), None)
        if newest is None or newest.manifest is None:
            return
        for name in LOCKED:
            former = newest.manifest.run.get(name)
            setting = config.setting(name)
            if setting is None or not setting.valid or setting.value is None or not _changed(former, setting.value):
                continue
            text = of_setting(
                setting,
                name,
                got=shown_value(setting.value),
                expected=shown_value(former),
                because=f"{newest.name} in {_shown(checkpoints, config)} was trained with that, and the run would "
                "resume from it; put it back, or take another output_dir",
            )
            yield self.finding(
                text, where=place(config, setting), fix=shown_value(former), evidence=_evidence(newest, name, former)
            )


def _evidence(newest: Checkpoint, name: str, former: object) -> dict[str, object]:
    return {"field": name, "checkpoint": newest.name, "former": former}


def _changed(former: object, value: object) -> bool:
    """Whether two values certainly mean different things; names of models do where their last parts differ."""
    if isinstance(former, bool) or type(former) is not type(value):
        return False
    if isinstance(former, str) and isinstance(value, str):
        return _last_part(former) != _last_part(value)
    return former != value


def _last_part(name: str) -> str:
    parts = PurePath(name.replace("\\", "/")).parts
    cached = next((part for part in parts if part.startswith("models--")), None)  # the cache of the hub
    return (cached.split("--")[-1] if cached is not None else parts[-1] if parts else name).casefold()


def _shown(checkpoints: CheckpointsFacts, config: ConfigFacts) -> str:
    setting = config.setting("output_dir")
    return str(setting.value) if setting is not None and setting.valid else checkpoints.path
