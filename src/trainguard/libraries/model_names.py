"""What the names of repositories say: how large a model is, and whether two names mean the same thing."""

from __future__ import annotations

import re

# The count of parameters as model names give it: `Qwen2.5-0.5B`, `SmolLM2-135M`, `pythia-70m-deduped`, `8x7B`.
# No "k": in a name it is a context length (`Phi-3-mini-4k-instruct`).
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:[._]\d+)?)(b|m)(?![a-z0-9])", re.IGNORECASE)
_UNIT = {"m": 1e6, "b": 1e9}

# Names that say "small", and those of families whose small ones are large all the same.
_SMALL = re.compile(
    r"(?<![a-z])(?:tiny|mini|minilm|micro|nano|small|smoke|toy|test|testing|dummy|debug|random)(?![a-z])", re.IGNORECASE
)
_LARGE_ALL_THE_SAME = re.compile(
    r"tinyllama|tiny-?vicuna|phi-?\d.*mini|mistral.*small|mini-?max|minicpm|nemotron|devstral|magistral|granite",
    re.IGNORECASE,
)

# What is added to a name when the same weights or rows are stored in another form.
_SAME_IN_ANOTHER_FORM = re.compile(
    r"(?:bnb|unsloth|4bit|8bit|int4|int8|fp8|fp16|bf16|awq|gptq|gguf|ggml|mlx|onnx|hf|safetensors|parquet|arrow|mirror|copy|"
    r"backup|fork|dynamic)+",
)


def parameters_named(name: str) -> float | None:
    """The count of parameters that a model's name states, None where it states none."""
    found = _PARAMETERS.findall(name.rpartition("/")[2])
    if not found:
        return None
    return max(
        float(experts or 1) * float(count.replace("_", ".")) * _UNIT[unit.lower()] for experts, count, unit in found
    )


def named_small(name: str) -> bool:
    """Whether a model's name calls it small, tiny or a test model."""
    return bool(_SMALL.search(name)) and not _LARGE_ALL_THE_SAME.search(name)


_FILE = re.compile(
    r"\.(?:jsonl?|csv|tsv|parquet|arrow|txt|gz|zst|zip|tar|py|bin|safetensors|pth?|ckpt|gguf)$", re.IGNORECASE
)


def is_path(name: str) -> bool:
    """Whether a name is a place on a disk or in a store, not `owner/name` of a hub."""
    return (
        name.startswith((".", "/", "~"))
        or "://" in name
        or "\\" in name
        or name.count("/") > 1
        or bool(_FILE.search(name))
    )


def same_thing(a: str, b: str) -> bool:
    """Whether two names of repositories mean the same model or data: another owner, another stored form."""
    return _core(a) == _core(b)


def _core(name: str) -> str:
    words = [word for word in re.split(r"[-_. ]+", name.rstrip("/").rpartition("/")[2].casefold()) if word]
    while len(words) > 1 and _SAME_IN_ANOTHER_FORM.fullmatch(words[-1]):
        words.pop()
    return "".join(words)
