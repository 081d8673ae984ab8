"""MODEL001: there is no model where one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.model.records import ModelFacts
from trainguard.facts.model.weight_files import OTHER_WEIGHTS, SINGLE_SAFETENSORS, SINGLE_TORCH
from trainguard.findings import Finding, Location
from trainguard.rules._example_files import folder
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import CONFIG, TOKENIZER, model_files

_DOWNLOAD = "; a model of the hub has to be here first: hf download {0} --local-dir {1}"


class ModelNotFound(Rule):
    """No model lies where one is asked for.

    *What it does*

    Fires where the path does not exist, cannot be read or is an empty folder; where a config.json stands alone, without
    weights in any form; and where weights under the names of transformers stand without a config.json. It names what
    has a similar name nearby. Silent for folders that hold a tokenizer alone.

    *Why it costs you*

    The machine is started, the data is tokenized, and then the model cannot be loaded.

    *Example*

    `trainguard check models/lama-3` where the folder is named `models/llama-3`.

    *Use instead*

    The path that the finding proposes, or a download before the run: `hf download org/name --local-dir name`.
    """

    code = "MODEL001"
    name = "not-found"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}),
        Example(files={"tok/tokenizer.json": TOKENIZER}, check={"path": "tok"}, why="A tokenizer alone."),
        Example(
            files={"model/config.json": CONFIG, "model/model.gguf": "GGUF", "model/tokenizer.json": TOKENIZER},
            check={"path": "model"},
            why="Weights of another form, which are not looked into.",
        ),
    )
    INVALID = (
        Example(
            files=model_files("models/llama-3"),
            check={"path": "models/lama-3"},
            findings=((None, "models/lama-3 is neither a folder nor a file; did you mean models/llama-3?"),),
        ),
        Example(
            check={"path": "meta-llama/Llama-3.2-1B"},
            findings=(
                (
                    None,
                    "meta-llama/Llama-3.2-1B is neither a folder nor a file"
                    + _DOWNLOAD.format("meta-llama/Llama-3.2-1B", "Llama-3.2-1B"),
                ),
            ),
        ),
        Example(
            files={"model": folder()},
            check={"path": "model"},
            findings=((None, "model is an empty folder; download or save the model into it"),),
        ),
        Example(
            files={"model/config.json": CONFIG, "model/tokenizer.json": TOKENIZER},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model has a config.json and no weights (model.safetensors, a shard index, pytorch_model.bin); "
                    "download or save the model again",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None:
            return
        where = Location(str(model.path))
        for message in _messages(model):
            nearest = model.nearest
            yield self.finding(message, where=where, fix=nearest, evidence={"nearest": nearest} if nearest else None)


def _messages(model: ModelFacts) -> Iterator[str]:
    path = str(model.path)
    if not model.exists:
        words = f"{path} is neither a folder nor a file"
        if model.unreadable is not None:
            yield f"{path}: {model.unreadable}; give the user who trains the right to read it"
        elif model.nearest is not None:
            yield f"{words}; did you mean {model.nearest}?"
        elif model.hub_id:
            yield words + _DOWNLOAD.format(path, path.rpartition("/")[2])
        else:
            yield f"{words}; give the path of a folder that holds the model"
    elif model.unreadable is not None:
        yield f"{path}: {model.unreadable}; give the path of a folder that holds the model"
    elif not model.is_file:
        yield from _lacking(model)


def _lacking(model: ModelFacts) -> Iterator[str]:
    path = str(model.path)
    has_weights = bool(model.weights or model.index or model.missing_shards or model.other_pickles or model.escapes)
    other = any(name.endswith(OTHER_WEIGHTS) for name in model.files)
    if not model.files and model.empty:
        yield f"{path} is an empty folder; download or save the model into it"
    elif model.adapter is not None:
        if not has_weights and not other:
            yield (
                f"{path} has an adapter_config.json and no weights (adapter_model.safetensors); "
                "download or save the adapter again"
            )
    elif model.config is not None and not has_weights and not other and model.config.problem is None:
        unfinished = f"; {model.unfinished[0]} is a download that did not end" if model.unfinished else ""
        yield (
            f"{path} has a config.json and no weights (model.safetensors, a shard index, pytorch_model.bin)"
            f"{unfinished}; download or save the model again"
        )
    elif model.config is None and (model.index is not None or {SINGLE_SAFETENSORS, SINGLE_TORCH} & set(model.files)):
        yield f"{path} has weights and no config.json, so transformers cannot tell what they are; add the model's own"
