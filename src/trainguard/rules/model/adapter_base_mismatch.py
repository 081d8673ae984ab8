"""MODEL004: an adapter does not belong to its base."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.model.records import AdapterMismatch
from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import adapter_files, model_files

_BASE = "give the base that it was trained on"
_OWN = "take the adapter_config.json that was saved with these weights"


class AdapterBaseMismatch(Rule):
    """An adapter fits neither its base model nor, perhaps, its own configuration.

    *What it does*

    Compares the adapter's tensors with adapter_config.json (the rank of each matrix, with `rank_pattern`) and, where
    the base is given (`--base`), with the names and shapes of the base's tensors: layers that the base does not have,
    modules that it does not have, matrices that take or give another number of features. Nothing is loaded. Silent for
    modules that libraries rename or fuse while loading, for quantized bases, and for other methods than LoRA and DoRA.

    *Why it costs you*

    peft skips what it cannot place with one line in the log, so that the base is trained or served without its adapter;
    other differences fail once both are loaded.

    *Example*

    An adapter of a model with 32 layers on a base with 24.

    *Use instead*

    The base that `base_model_name_or_path` in adapter_config.json names.
    """

    code = "MODEL004"
    name = "adapter-base-mismatch"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files("base") | adapter_files(), check={"path": "adapter", "base": "base"}),
        Example(files=adapter_files(features=3), check={"path": "adapter"}, why="No base was given to compare with."),
    )
    INVALID = (
        Example(
            files=model_files("base") | adapter_files(features=3),
            check={"path": "adapter", "base": "base"},
            findings=(
                (
                    None,
                    "adapter does not fit base: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight takes 3 "
                    "features, and model.layers.0.self_attn.q_proj.weight of the base is 2x2 (and 1 more of this "
                    "kind); give the base that it was trained on",
                ),
            ),
        ),
        Example(
            files=adapter_files(rank=8),
            check={"path": "adapter"},
            findings=(
                (
                    None,
                    "adapter contradicts itself: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has "
                    "rank 2, and adapter_config.json says r=8 (and 1 more of this kind); take the adapter_config.json "
                    "that was saved with these weights",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None or model.adapter is None:
            return
        grouped: dict[str, list[AdapterMismatch]] = {}
        for mismatch in model.adapter.mismatches:
            grouped.setdefault(mismatch.kind, []).append(mismatch)
        named = model.adapter.base_name
        for kind, mismatches in grouped.items():
            more = f" (and {len(mismatches) - 1:,} more of this kind)" if len(mismatches) > 1 else ""
            if kind == "rank":
                message = f"{model.path} contradicts itself: {mismatches[0].words}{more}; {_OWN}"
            else:
                base = model.base.path if model.base is not None else "its base"
                advice = f"{_BASE}: {named}" if named else _BASE
                message = f"{model.path} does not fit {base}: {mismatches[0].words}{more}; {advice}"
            evidence = {"tensors": len(mismatches), "first": mismatches[0].tensor, "base_model_name_or_path": named}
            yield self.finding(message, where=Location(model.shown("adapter_config.json")), evidence=evidence)
