"""MODEL002: a file of the model is broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.model.records import BadValues, ModelFacts
from trainguard.findings import Finding, Location
from trainguard.rules._example_files import raw, tensors
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import CONFIG, TENSORS, TOKENIZER, count, listed, model_files

_AGAIN = "download or save it again"
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 16060617592\n"
_REASONS = {
    "zeros": "all zeros, which no training gives; the file was not written to its end",
    "zero-tail": "zeros to the end of the file; the file was not written to its end",
    "nan": "with NaN, so every output is NaN; go back to a checkpoint from before",
    "infinite": "with infinite numbers, so outputs become NaN; go back to a checkpoint from before",
}


class CorruptWeights(Rule):
    """A file of the model is broken, or holds numbers that cannot be right.

    *What it does*

    Holds every safetensors file against its format (length of the header, offsets without hole or overlap, sizes that
    fit shape and dtype, the exact length of the file), every file of torch against its own (directory and members of
    the zip, storages as long as their tensors, the older row of pickles), and reads config.json and the shard index.
    Recognises Git LFS pointers, ends of files that were never written, and tensors that are all zeros or hold NaN where
    their like do not: by a sample of each tensor, or by every byte with `--deep`. No weights are loaded.

    *Why it costs you*

    A truncated file fails after the machine is up. Zeros and NaN do not fail at all: transformers loads them without a
    word, and the run trains a model that is dead from its first step.

    *Example*

    `model.safetensors` with 13.1 GB of the 13.5 GB that its header lists.

    *Use instead*

    The file from its source again (`hf download`, `git lfs pull`), or the checkpoint before.
    """

    code = "MODEL002"
    name = "corrupt-weights"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}),
        Example(
            files={"model/model.safetensors": tensors({"proj.bias": ("F32", (8,))}, fill=0), "model/config.json": "{}"},
            check={"path": "model"},
            why="A bias may be zero.",
        ),
    )
    INVALID = (
        Example(
            files=model_files() | {"model/model.safetensors": tensors(TENSORS, cut=4)},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model.safetensors: its header lists 248 bytes of tensors, and only 244 follow: the last 4 bytes "
                    "are missing; download or save it again",
                ),
            ),
        ),
        Example(
            files=model_files() | {"model/model.safetensors": _POINTER},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model.safetensors: it is a Git LFS pointer, a text of a few lines that stands where the file "
                    "should be; fetch it with git lfs pull",
                ),
            ),
        ),
        Example(
            files={
                "model/config.json": CONFIG,
                "model/pytorch_model.bin": raw(b"<!DOCTYPE html>", "the page of a login"),
                "model/tokenizer.json": TOKENIZER,
            },
            check={"path": "model"},
            findings=(
                (None, "pytorch_model.bin: it is neither a zip archive nor a pickle; download or save it again"),
            ),
            why="What a download without a token may leave.",
        ),
        Example(
            files=model_files() | {"model/model.safetensors": tensors(TENSORS, fill=255)},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model.safetensors: 12 tensors with NaN, so every output is NaN; go back to a checkpoint from "
                    "before: lm_head.weight, model.embed_tokens.weight, model.layers.0.input_layernorm.weight and 9 "
                    "more",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None:
            return
        for name, problem, pointer in _problems(model):
            advice = "fetch it with git lfs pull" if pointer else _AGAIN
            yield self.finding(f"{name}: {problem}; {advice}", where=Location(model.shown(name)))
        yield from self._bad_values(model)

    def _bad_values(self, model: ModelFacts) -> Iterator[Finding]:
        grouped: dict[tuple[str, str], list[BadValues]] = {}
        for bad in model.bad_values:
            grouped.setdefault((bad.file, bad.kind), []).append(bad)
        for (file, kind), bads in grouped.items():
            if kind == "unreadable":
                message = f"{file}: it was cut short or became unreadable while it was read; {_AGAIN}"
                yield self.finding(message, where=Location(model.shown(file)))
                continue
            names = [bad.tensor + _share(bad) for bad in bads]
            message = f"{file}: {count(len(bads), 'tensor')} {_REASONS[kind]}: {listed(names)}"
            evidence = {"tensors": len(bads), "first": bads[0].tensor, "bytes": sum(bad.bytes for bad in bads)}
            yield self.finding(message, where=Location(model.shown(file)), evidence=evidence)


def _share(bad: BadValues) -> str:
    """How much of a tensor is affected, where every byte was read and not all is."""
    return f" ({bad.share:.3%})" if bad.share is not None and 0 < bad.share < 1 else ""


def _problems(model: ModelFacts) -> Iterator[tuple[str, str, bool]]:
    """(file, what is wrong with it, whether it is a Git LFS pointer)."""
    if model.config is not None and model.config.problem is not None:
        yield "config.json", model.config.problem, False
    if model.adapter is not None and model.adapter.problem is not None:
        yield "adapter_config.json", model.adapter.problem, False
    if model.index is not None and model.index.problem is not None:
        yield model.index.path.name, model.index.problem, model.index.pointer
    for file in model.weights:
        if file.problem is not None:
            yield file.path.name, file.problem, file.pointer
