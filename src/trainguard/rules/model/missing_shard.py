"""MODEL003: a part of the weights is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.model.records import ModelFacts
from trainguard.findings import Finding, Location
from trainguard.rules._example_files import Recipe, tensors
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import CONFIG, TENSORS, TOKENIZER, count, listed, model_files

_OWN_INDEX = "take the index that came with these shards"
_RANDOM = "transformers makes them up at random and only logs it"
_SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
# Buffers that older releases stored and newer ones compute; an index that leaves them out is of no account.
_BUFFERS = (".inv_freq", ".masked_bias", ".attn.bias", ".position_ids")
# How far the size that an index states may lie above the bytes found before something is missing: old indexes count
# tied tensors and buffers that are no longer stored.
_MOST_UNEXPLAINED = 0.001


def _sharded(present: tuple[str, ...], *, moved: bool = False) -> dict[str, str | Recipe]:
    """The model of the examples in two files, of which some are there; `moved` places a tensor in the wrong one."""
    names = sorted(TENSORS)
    parts = dict(zip(_SHARDS, (names[:6], names[6:]), strict=True))
    placed = {name: shard for shard, part in parts.items() for name in part}
    if moved:
        placed["model.norm.weight"] = _SHARDS[0]
    entries = ", ".join(f'"{name}": "{shard}"' for name, shard in placed.items())
    return {
        "model/config.json": CONFIG,
        "model/tokenizer.json": TOKENIZER,
        "model/model.safetensors.index.json": f'{{"metadata": {{"total_size": 248}}, "weight_map": {{{entries}}}}}',
        **{f"model/{shard}": tensors({name: TENSORS[name] for name in parts[shard]}) for shard in present},
    }


def _without(name: str) -> Recipe:
    return tensors({key: entry for key, entry in TENSORS.items() if key != name})


class MissingShard(Rule):
    """A shard is missing, the shard index lies, or a tensor was left out.

    *What it does*

    Compares the shard index with the files and with their headers. Where the architecture is known, compares the
    tensors with what config.json implies; else the layers with each other. Silent for architectures whose layers differ
    by design, and for buffers that newer releases no longer store.

    *Why it costs you*

    A missing file fails after the machine is up. A missing tensor does not: transformers fills it with random numbers,
    logs a warning among many, and trains on.

    *Example*

    `model.safetensors.index.json` names `model-00002-of-00004.safetensors`, and the folder does not have it.

    *Use instead*

    The missing file from its source: `hf download org/name model-00002-of-00004.safetensors --local-dir .`
    """

    code = "MODEL003"
    name = "missing-shard"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=_sharded(_SHARDS), check={"path": "model"}),
        Example(
            files=model_files()
            | {
                "model/config.json": CONFIG.replace("false", "true"),
                "model/model.safetensors": _without("lm_head.weight"),
            },
            check={"path": "model"},
            why="The output layer shares the embedding.",
        ),
    )
    INVALID = (
        Example(
            files=_sharded(_SHARDS[:1]),
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model lacks 1 of 2 shards: model-00002-of-00002.safetensors; download or save it again",
                ),
            ),
        ),
        Example(
            files=_sharded(_SHARDS, moved=True),
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model.safetensors.index.json places 1 tensor in shards that do not hold it: model.norm.weight (in "
                    "model-00001-of-00002.safetensors); take the index that came with these shards",
                ),
            ),
        ),
        Example(
            files=model_files() | {"model/model.safetensors": _without("model.layers.0.self_attn.q_proj.weight")},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model lacks 1 tensor: model.layers.0.self_attn.q_proj.weight (config.json says llama with 1 "
                    f"layers); {_RANDOM}, so download or save the model again",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None:
            return
        yield from self._shards(model)
        yield from self._index(model)
        if model.left_out and not _told_by_index(model):
            names = [left.name for left in model.left_out]
            message = (
                f"{model.path} lacks {count(len(names), 'tensor')}: {listed(names)} ({model.left_out[0].because}); "
                f"{_RANDOM}, so download or save the model again"
            )
            evidence = {"tensors": len(names), "first": names[0]}
            yield self.finding(message, where=Location(str(model.path)), evidence=evidence)

    def _shards(self, model: ModelFacts) -> Iterator[Finding]:
        missing = model.missing_shards
        if not missing:
            return
        promised = len(model.index.shards) if model.index is not None else len(missing) + len(model.weights)
        unfinished = f"; {model.unfinished[0]} is a download that did not end" if model.unfinished else ""
        again = "it" if len(missing) == 1 else "them"
        message = f"{model.path} lacks {len(missing)} of {count(promised, 'shard')}: {listed(missing)}{unfinished}"
        where = Location(model.shown(model.index.path.name) if model.index is not None else str(model.path))
        evidence = {"missing": list(missing), "shards": promised}
        yield self.finding(f"{message}; download or save {again} again", where=where, evidence=evidence)

    def _index(self, model: ModelFacts) -> Iterator[Finding]:
        index = model.index
        if index is None:
            return
        where = Location(model.shown(index.path.name))
        wrong = [f"{each.tensor} (in {each.shard})" for each in model.index_mismatches if each.kind == "not-in-shard"]
        if wrong:
            message = f"{index.path.name} places {count(len(wrong), 'tensor')} in shards that do not hold "
            message += (
                f"{'it' if len(wrong) == 1 else 'them'}: {listed(wrong)}; take the index that came with these shards"
            )
            yield self.finding(message, where=where, evidence={"tensors": len(wrong)})
        unknown = [
            f"{each.tensor} (in {each.shard})"
            for each in model.index_mismatches
            if each.kind == "not-in-index" and not each.tensor.endswith(_BUFFERS)
        ]
        if unknown:
            message = f"{index.path.name} leaves out {count(len(unknown), 'tensor')} that its shards hold: "
            message += f"{listed(unknown)}; {_OWN_INDEX}"
            yield self.finding(message, where=where, evidence={"tensors": len(unknown)})
        lacking = _unexplained_bytes(model)
        if lacking and not wrong and not unknown and not model.left_out:
            message = (
                f"{index.path.name} states {model.stated_bytes:,} bytes of tensors, and its shards hold "
                f"{model.tensor_bytes:,}: {lacking:,} are missing; download or save the model again"
            )
            evidence = {"stated_bytes": model.stated_bytes, "found_bytes": model.tensor_bytes}
            yield self.finding(message, where=where, evidence=evidence)


def _told_by_index(model: ModelFacts) -> bool:
    """Whether all that was left out is in the index, and so was named already."""
    named = {each.tensor for each in model.index_mismatches if each.kind == "not-in-shard"}
    return all(left.name in named for left in model.left_out)


def _unexplained_bytes(model: ModelFacts) -> int:
    """By how many bytes the index states more than there is, 0 where that may be honest."""
    stated, found = model.stated_bytes, model.tensor_bytes
    if stated is None or not found or stated <= found * (1 + _MOST_UNEXPLAINED):
        return 0
    ratio = stated / found
    if any(abs(ratio - whole) < 0.02 * whole for whole in (2, 4, 8)):
        return 0  # stated for another dtype, or for the model before it was quantized
    if model.config is not None and model.config.quantized:
        return 0
    tensors = model.tensors or {}
    if model.embedding is not None and "lm_head.weight" not in tensors:
        entry = tensors.get(model.embedding[0])
        if entry is not None and abs(stated - found - entry.size) <= found * _MOST_UNEXPLAINED:
            return 0  # the tied output layer was counted too
    return stated - found
