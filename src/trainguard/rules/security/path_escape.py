"""SEC002: a file that leads out of its folder."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding, Location
from trainguard.rules._example_files import link, tensors
from trainguard.rules.base import Example, Rule, Subject

_INDEX = '{"metadata": {}, "weight_map": {"w": "%s"}}'
_WEIGHTS = tensors({"w": ("F32", (2, 2))})
_NAMED = (
    "{} names {!r}, which lies outside of the folder, so it is not read; take the model from a source that you trust"
)
_LINKED = (
    "{} is a link to {!r}, outside of the folder, so it is not read; copy the file into the folder, or give the path "
    "of the folder where it lies"
)


class PathEscape(Rule):
    """A file name or a link in a model folder leads out of it.

    *What it does*

    Fires for names in a shard index that are absolute or climb with `..`, and for links that lead out of the folder.
    What they lead to is not read. The links of the hub's cache, from `snapshots/` to `blobs/` of the same repository,
    are fine, and so are links to a file of the same name, as people make them who share weights between folders.

    *Why it costs you*

    A folder that was downloaded can make a loader open any file that you may read, and a later `push_to_hub` can
    publish it.

    *Example*

    `"lm_head.weight": "../../.ssh/id_rsa"` in `model.safetensors.index.json`.

    *Use instead*

    Names of files that lie in the folder; a copy instead of a link.
    """

    code = "SEC002"
    name = "path-escape"
    severity = "error"
    area = "security"
    needs = frozenset({"model"})

    VALID = (
        Example(
            files={
                "model/model.safetensors.index.json": _INDEX % "model-00001-of-00001.safetensors",
                "model/model-00001-of-00001.safetensors": _WEIGHTS,
            },
            check={"path": "model"},
        ),
        Example(
            files={
                "models--a--b/blobs/4d7a": _WEIGHTS,
                "models--a--b/snapshots/c0ffee/model.safetensors": link("../../blobs/4d7a"),
            },
            check={"path": "models--a--b/snapshots/c0ffee"},
            why="The hub's cache is made of such links.",
        ),
        Example(
            files={
                "shared/model.safetensors": _WEIGHTS,
                "model/model.safetensors": link("../shared/model.safetensors"),
            },
            check={"path": "model"},
            why="Weights that several folders share.",
        ),
    )
    INVALID = (
        Example(
            files={
                "other.safetensors": _WEIGHTS,
                "model/model.safetensors.index.json": _INDEX % "../other.safetensors",
            },
            check={"path": "model"},
            findings=((None, _NAMED.format("model.safetensors.index.json", "../other.safetensors")),),
        ),
        Example(
            files={
                "secret.json": "{}",
                "model/config.json": link("../secret.json"),
                "model/model.safetensors": _WEIGHTS,
            },
            check={"path": "model"},
            findings=((None, _LINKED.format("config.json", "../secret.json")),),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None:
            return
        for escape in model.escapes:
            message = (_LINKED if escape.link else _NAMED).format(escape.named_in, escape.target)
            yield self.finding(
                message, where=Location(model.shown(escape.named_in)), evidence={"target": escape.target}
            )
