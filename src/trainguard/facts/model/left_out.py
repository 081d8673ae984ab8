"""Tensors that a model should have and that none of its files holds.

Two ways to know. For architectures whose layers are all alike, the configuration fixes the names. For the others, the
layers are held against each other: one that lacks what all its like have is suspicious, and anything else is an
architecture of its own. What transformers does not find it makes up at random and only logs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from trainguard.facts.model.records import LeftOut, ModelConfig

_LAYER = re.compile(r"^(.*?\b(?:layers|layer|h|blocks|block))\.(\d+)\.(.+)$")
_ATTENTION = tuple(f"self_attn.{name}_proj.weight" for name in ("q", "k", "v", "o"))
_GATED = tuple(f"mlp.{name}_proj.weight" for name in ("gate", "up", "down"))
_TWO_NORMS = ("input_layernorm.weight", "post_attention_layernorm.weight")
_QKV_BIAS = tuple(f"self_attn.{name}_proj.bias" for name in ("q", "k", "v"))
_QK_NORM = ("self_attn.q_norm.weight", "self_attn.k_norm.weight")
_FOUR_NORMS = (*_TWO_NORMS, "pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight")
_USUAL = (*_ATTENTION, *_GATED, *_TWO_NORMS)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every layer has, and whether the head shares the embedding where config.json does not say."""

    layer: tuple[str, ...]
    tied: bool


# Names as `modeling_*.py` of transformers 5.23 makes them; defaults of `tie_word_embeddings` from `configuration_*.py`.
# Biases that a configuration switches on are left to the comparison of layers.
_PLANS: Mapping[str, _Plan] = {
    "llama": _Plan(_USUAL, False),
    "mistral": _Plan(_USUAL, False),
    "qwen2": _Plan((*_USUAL, *_QKV_BIAS), False),
    "qwen3": _Plan((*_USUAL, *_QK_NORM), False),
    "gemma": _Plan(_USUAL, True),
    "gemma2": _Plan((*_ATTENTION, *_GATED, *_FOUR_NORMS), True),
    "gemma3_text": _Plan((*_ATTENTION, *_GATED, *_FOUR_NORMS, *_QK_NORM), True),
}


def left_out(names: Collection[str], config: ModelConfig | None) -> tuple[LeftOut, ...]:
    """What is missing among the tensors of a whole model, in order of names; empty where nothing can be told."""
    plan = _PLANS.get(config.model_type or "") if config is not None else None
    if config is not None and plan is not None and not config.quantized and _is_causal(config):
        return tuple(_against_plan(names, config, plan))
    quantized = config is not None and config.quantized
    if config is not None and "block_configs" in config.raw:
        return ()  # each layer is stated by itself (DeciLM and its kin), and some have no attention
    return tuple(_among_layers(names, config, quantized=quantized))


def _is_causal(config: ModelConfig) -> bool:
    return any(name.endswith("ForCausalLM") for name in config.architectures)


def _against_plan(names: Collection[str], config: ModelConfig, plan: _Plan) -> Iterator[LeftOut]:
    present = set(names)
    if "model.embed_tokens.weight" not in present and not any(name.startswith("model.layers.") for name in present):
        return  # other names than those of transformers: nothing to hold against
    because = f"config.json says {config.model_type}"
    expected = ["model.embed_tokens.weight", "model.norm.weight"]
    tied = plan.tied if config.tied is None else config.tied
    for number in range(config.layers or 0):
        expected += [f"model.layers.{number}.{suffix}" for suffix in plan.layer]
    for name in expected:
        # With a shared embedding, either of its two names will do.
        if name not in present and not (tied and name == "model.embed_tokens.weight" and "lm_head.weight" in present):
            layers = f" with {config.layers} layers" if ".layers." in name else ""
            yield LeftOut(name, because + layers)
    if not tied and "lm_head.weight" not in present:
        yield LeftOut("lm_head.weight", f"{because} with an output layer of its own (tie_word_embeddings is false)")
    for each in _among_layers(names, config, quantized=False):
        if each.name not in expected and not each.name.endswith(".*"):
            yield each


def _among_layers(names: Collection[str], config: ModelConfig | None, *, quantized: bool) -> Iterator[LeftOut]:
    stacks: dict[str, dict[int, set[str]]] = {}
    for name in names:
        match = _LAYER.match(name)
        if match is not None and len(match[2]) < 6:
            suffix = _module(match[3]) if quantized else match[3]
            stacks.setdefault(match[1], {}).setdefault(int(match[2]), set()).add(suffix)
    layers = config.layers if config is not None else None
    for prefix, stack in sorted(stacks.items()):
        if len(stack) < 2:
            continue
        highest = max(stack)
        promised = layers if layers is not None and len(stacks) == 1 and not _composite(config) else highest + 1
        for number in sorted(set(range(max(promised, highest + 1))) - set(stack)):
            # A stack of which whole layers are missing in the middle; the end only where the configuration says so.
            yield LeftOut(f"{prefix}.{number}.*", f"there are layers up to {max(highest, promised - 1)}")
        yield from _odd_layer(prefix, stack, config)


def _composite(config: ModelConfig | None) -> bool:
    return config is None or config.composite


def _module(suffix: str) -> str:
    """The module of a tensor: of `q_proj.weight.absmax` as of `q_proj.qweight` it is `q_proj`."""
    return suffix.partition(".weight")[0] if ".weight" in suffix else suffix.rpartition(".")[0] or suffix


def _odd_layer(prefix: str, stack: Mapping[int, set[str]], config: ModelConfig | None) -> Iterator[LeftOut]:
    """The one layer that lacks what every other layer of its kind has."""
    promised = config.layers if config is not None else None
    types = config.layer_types if config is not None else ()
    kinds: dict[str, list[int]] = {}
    for number in sorted(stack):
        if promised is None or number < promised:  # layers behind are heads for several tokens at once (MTP)
            kinds.setdefault(types[number] if number < len(types) else "", []).append(number)
    for numbers in kinds.values():
        if len(numbers) < 4:
            continue  # of two or three layers nobody can say which one is the rule
        counted = Counter(frozenset(stack[number]) for number in numbers)
        usual, count = counted.most_common(1)[0]
        if len(counted) != 2 or count != len(numbers) - 1:
            continue
        odd = next(number for number in numbers if stack[number] != usual)
        # The first layer of several architectures has no norm of its own (ModernBERT, EAGLE), or more than the others.
        missing = sorted(usual - stack[odd])
        if stack[odd] - usual or (odd == numbers[0] and any("norm" in name or "ln" in name for name in missing)):
            continue
        for name in missing:
            yield LeftOut(f"{prefix}.{odd}.{name}", f"the other {count} layers have it")
