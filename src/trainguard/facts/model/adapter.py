"""An adapter of peft, and whether it belongs to a base model, by names and shapes alone.

Names as peft 0.21 saves them (utils/save_and_load.py, `get_peft_model_state_dict`): "base_model.model." and the path of
the module in the base, then `lora_A.weight` (rank x in), `lora_B.weight` (out x rank), `lora_magnitude_vector` (out).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.facts.model.json_files import read_object
from trainguard.facts.model.records import AdapterFacts, AdapterMismatch, ModelFacts
from trainguard.facts.weights.files import UnsoundError
from trainguard.facts.weights.records import TensorEntry

CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_PAIR = re.compile(r"^(.*)\.lora_([AB])(?:\.\w+)?\.weight$")
_MAGNITUDE = re.compile(r"^(.*)\.lora_magnitude_vector(?:\.\w+)?(?:\.weight)?$")
_IN_STACK = re.compile(r"^(?:.*?\.)?((?:layers|layer|h|blocks|block))\.(\d+)\.(.+)$")
_PLAIN_DTYPES = frozenset({"F64", "F32", "F16", "BF16"})
# Ways of LoRA whose matrices are not rank x in and out x rank (peft 0.21, tuners/lora/config.py).
_OTHER_SHAPES = (
    "use_qalora",
    "use_bdlora",
    "target_parameters",
    "layer_replication",
    "megatron_config",
    "arrow_config",
)


@dataclass(frozen=True, slots=True)
class _Module:
    """A module of the base that has a matrix: its tensor and its shape."""

    name: str
    shape: tuple[int, ...]


def read_adapter(folder: Path, tensors: Mapping[str, TensorEntry] | None, base: ModelFacts | None) -> AdapterFacts:
    """What adapter_config.json says, held against the adapter's tensors and, where given, against the base."""
    try:
        config = read_object(folder / CONFIG_FILE)
    except UnsoundError as error:
        return AdapterFacts(problem=str(error))
    rank = config.get("r")
    targets = config.get("target_modules")
    kind = config.get("peft_type")
    base_name = config.get("base_model_name_or_path")
    plain = kind == "LORA" and tensors is not None and not any(config.get(name) for name in _OTHER_SHAPES)
    mismatches: list[AdapterMismatch] = []
    if plain and tensors is not None:
        mismatches += _ranks(config, tensors)
        if base is not None and base.tensors:
            mismatches += _against_base(config, tensors, base)
    return AdapterFacts(
        base_name=base_name if isinstance(base_name, str) and base_name else None,
        peft_type=kind if isinstance(kind, str) else None,
        rank=rank if isinstance(rank, int) else None,
        targets=tuple(each for each in targets if isinstance(each, str)) if isinstance(targets, list) else (),
        mismatches=tuple(mismatches),
    )


def _ranks(config: Mapping[str, Any], tensors: Mapping[str, TensorEntry]) -> Iterator[AdapterMismatch]:
    """Matrices whose rank is not the one that the configuration says; peft cannot load them."""
    rank, patterns = config.get("r"), config.get("rank_pattern")
    if not isinstance(rank, int) or not isinstance(patterns or {}, dict):
        return
    for name, entry in sorted(tensors.items()):
        match = _PAIR.match(name)
        if match is None or len(entry.shape) != 2:
            continue
        expected = _pattern(patterns or {}, match[1], rank)
        found = entry.shape[0 if match[2] == "A" else 1]
        if isinstance(expected, int) and found != expected:
            words = f"{name} has rank {found}, and {CONFIG_FILE} says r={expected}"
            yield AdapterMismatch(kind="rank", tensor=name, words=words)


def _pattern(patterns: Mapping[str, Any], module: str, default: int) -> object:
    """The rank of a module, as `get_pattern_key` of peft 0.21 (utils/other.py) finds it; None where nobody can tell."""
    if any(re.escape(key) != key.replace(".", "\\.") for key in patterns if isinstance(key, str)):
        return None  # a regular expression of somebody else is not run
    for key, value in patterns.items():
        if module == key or module.endswith("." + key):
            return value
    return default


def _against_base(
    config: Mapping[str, Any], tensors: Mapping[str, TensorEntry], base: ModelFacts
) -> Iterator[AdapterMismatch]:
    modules, heights = _modules(base)
    if not modules:
        return
    quantized = base.config is not None and base.config.quantized
    unknown: list[str] = []
    known = 0
    for name, entry in sorted(tensors.items()):
        match = _PAIR.match(name) or _MAGNITUDE.match(name)
        if match is None:
            continue
        key = _key(match[1])
        stack = _IN_STACK.match(match[1])
        if stack is not None and (height := heights.get(stack[1])) is not None and int(stack[2]) >= height:
            words = f"{name} belongs to layer {int(stack[2])}, and the base has layers 0 to {height - 1}"
            yield AdapterMismatch(kind="layer-beyond", tensor=name, words=words)
        elif key in modules:
            known += 1
            other = _shape_words(name, entry, modules[key], match.re is _MAGNITUDE) if not quantized else None
            if other is not None:
                yield AdapterMismatch(kind="shape", tensor=name, words=other)
        elif "expert" not in name:
            unknown.append(name)
    # Libraries rename and fuse modules while loading, so one that is not found proves nothing; all of them do.
    if unknown and not known and not quantized and not config.get("modules_to_save"):
        leaf = _key(unknown[0].partition(".lora_")[0]).rpartition(".")[2]
        if not any(key.rpartition(".")[2] == leaf for key in modules):
            words = f"it adapts {leaf}, and the base has no such module ({_leaves(modules)})"
            yield AdapterMismatch(kind="no-such-module", tensor=unknown[0], words=words)


def _leaves(modules: Mapping[str, object]) -> str:
    leaves = sorted({key.rpartition(".")[2] for key in modules if "." in key})
    return "it has " + ", ".join(leaves[:8]) + (", …" if len(leaves) > 8 else "") if leaves else "it has no layers"


def _modules(base: ModelFacts) -> tuple[dict[str, list[_Module]], dict[str, int]]:
    """The base's modules with a matrix by their keys, and the number of layers by the word for them."""
    modules: dict[str, list[_Module]] = defaultdict(list)
    heights: dict[str, int] = {}
    for name, entry in (base.tensors or {}).items():
        stack = _IN_STACK.match(name)
        if stack is not None and len(stack[2]) < 6:
            heights[stack[1]] = max(heights.get(stack[1], 0), int(stack[2]) + 1)
        module, dot, last = name.rpartition(".")
        if dot and last in ("weight", "qweight") and len(entry.shape) == 2:
            shape = entry.shape if entry.dtype in _PLAIN_DTYPES else ()
            modules[_key(module)].append(_Module(name, shape))
    return modules, heights


def _key(module: str) -> str:
    """A module's path from its layer on; what stands before differs between a model and its wrappers."""
    stack = _IN_STACK.match(module)
    if stack is None:
        return module.rpartition(".")[2]
    return f"{stack[1]}.{stack[2]}.{stack[3]}"


def _shape_words(name: str, entry: TensorEntry, modules: list[_Module], magnitude: bool) -> str | None:
    """Why a matrix fits none of the base's modules of this name. Either may lie transposed (GPT-2's Conv1D)."""
    if any(len(module.shape) != 2 for module in modules):
        return None
    found = max(entry.shape) if magnitude else entry.shape[1 if ".lora_A" in name else 0] if entry.shape else 0
    if any(found in module.shape for module in modules):
        return None
    shape = "x".join(map(str, modules[0].shape))
    side = "takes" if ".lora_A" in name else "gives"
    return f"{name} {side} {found:,} features, and {modules[0].name} of the base is {shape}"
