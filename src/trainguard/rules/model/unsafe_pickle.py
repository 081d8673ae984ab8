"""MODEL006: a pickle that runs code while it is loaded."""

from __future__ import annotations

import pickle
from collections.abc import Iterable

from trainguard.findings import Finding, Location
from trainguard.rules._example_files import raw
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import listed, model_files

_ATTACK = raw(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", 'a pickle that calls os.system("true")')
_HONEST = raw(pickle.dumps({"learning_rate": 0.001}, protocol=2), "a pickle of a dict")


class UnsafePickle(Rule):
    """A file of the folder runs code while it is loaded.

    *What it does*

    Walks the opcodes of every file that is loaded as a pickle (`.bin`, `.pt`, `.pth`, `.ckpt`, `.pkl`, in torch's zip
    archives, its older formats, or bare, also inside each other) and fires for imports that run programs, evaluate
    text, open files or connections. Nothing is unpickled. Classes of the training libraries are fine: a Trainer's
    `training_args.bin`, optimizers, schedulers and states of random generators do not fire.

    *Why it costs you*

    `torch.load(weights_only=False)` and `pickle.load` run what the file says with your rights: your tokens, your data
    and your machine.

    *Example*

    `pytorch_model.bin` with `posix.system` among its imports.

    *Use instead*

    The same model as safetensors, from a source that you trust; and do not load this file.
    """

    code = "MODEL006"
    name = "unsafe-pickle"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}),
        Example(files=model_files() | {"model/training_args.bin": _HONEST}, check={"path": "model"}),
    )
    INVALID = (
        Example(
            files=model_files() | {"model/training_args.bin": _ATTACK},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "training_args.bin runs code while it is loaded: posix.system; do not load it, and take the model "
                    "as safetensors from a source that you trust",
                ),
            ),
        ),
        Example(
            files={"weights.pt": _ATTACK},
            check={"path": "weights.pt"},
            findings=(
                (
                    None,
                    "weights.pt runs code while it is loaded: posix.system; do not load it, and take the model as "
                    "safetensors from a source that you trust",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None:
            return
        for file in (*model.weights, *model.other_pickles):
            if file.dangerous:
                names = [str(each) for each in file.dangerous]
                message = (
                    f"{file.path.name} runs code while it is loaded: {listed(names)}; do not load it, and take the "
                    "model as safetensors from a source that you trust"
                )
                yield self.finding(message, where=Location(model.shown(file.path.name)), evidence={"imports": names})
