"""Ids of the hub that are misspelt, found where one letter of a word is wrong: the rest cannot be told offline."""

from __future__ import annotations

import os
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

# Models that are fine-tuned most (huggingface.co/models, by downloads and by derived models, 2025). The list need not
# be complete: it is only compared with, never taken for all there is.
WELL_KNOWN = (
    *(
        "Qwen/Qwen2.5-0.5B-Instruct",
        "Qwen/Qwen2.5-1.5B-Instruct",
        "Qwen/Qwen2.5-3B-Instruct",
        "Qwen/Qwen2.5-7B-Instruct",
    ),
    *("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-Coder-7B-Instruct"),
    *("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-4B-Instruct-2507"),
    *("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.2-1B"),
    *("meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-3B-Instruct", "meta-llama/Llama-2-7b-hf"),
    *("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
    *("google/gemma-2-2b", "google/gemma-2-2b-it", "google/gemma-2-9b", "google/gemma-2-9b-it", "google/gemma-3-1b-it"),
    *("google/gemma-3-4b-it", "google/gemma-3-270m", "microsoft/phi-2", "microsoft/Phi-3-mini-4k-instruct"),
    *("microsoft/Phi-3.5-mini-instruct", "microsoft/phi-4", "HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-360M"),
    *("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", "HuggingFaceTB/SmolLM2-1.7B"),
    *("HuggingFaceTB/SmolLM2-1.7B-Instruct", "HuggingFaceTB/SmolLM3-3B", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
    *("EleutherAI/pythia-70m", "EleutherAI/pythia-160m", "EleutherAI/gpt-neo-125m", "tiiuae/falcon-7b"),
    *("openai-community/gpt2", "facebook/opt-125m", "facebook/opt-350m", "bigscience/bloom-560m"),
    *("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
    *("allenai/OLMo-2-1124-7B", "ibm-granite/granite-3.3-2b-instruct", "openai/gpt-oss-20b"),
)
_WORD = re.compile(r"[a-z]+|\d+|[^a-z\d]+")
_SHORTEST_WORD = 5  # "it" and "pt" are both words of model names; "Instuct" is none
_MOST_CACHED = 1_000


def misspelt(given: str) -> str | None:
    """The id that `given` almost certainly means, None where it may be one itself.

    Only one word may differ, by one letter or two that are swapped, and numbers must agree: Qwen2.5-0.5B and
    Qwen2.5-1.5B both exist. Where a repository of just this name lies in the local cache of the hub, it is right.
    """
    cached = _cached()
    folded = given.casefold()
    known = {name.casefold(): name for name in (*cached, *WELL_KNOWN)}
    if folded in known:
        return None
    return next((name for other, name in known.items() if _one_letter_off(folded, other)), None)


def _one_letter_off(given: str, known: str) -> bool:
    ours, theirs = _WORD.findall(given), _WORD.findall(known)
    if len(ours) != len(theirs):
        return False
    different = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    if len(different) != 1:
        return False
    mine, right = different[0]
    return min(len(mine), len(right)) >= _SHORTEST_WORD and mine.isalpha() and right.isalpha() and _near(mine, right)


def _near(a: str, b: str) -> bool:
    """Whether one letter is added, lost or another, or two neighbours are swapped."""
    if len(a) > len(b):
        a, b = b, a
    start = next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) != len(b):
        return len(b) == len(a) + 1 and a[start:] == b[start + 1 :]
    rest_a, rest_b = a[start:], b[start:]
    swapped = [*rest_a[:2]][::-1] == [*rest_b[:2]] and rest_a[2:] == rest_b[2:]
    return rest_a[1:] == rest_b[1:] or (swapped and any(x != y for x, y in pairwise(rest_a[:2])))


@cache
def _cached() -> tuple[str, ...]:
    """The models in the local cache of the hub, whose folders are named models--org--name (huggingface_hub 1.x)."""
    home = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface"), "hub"
    )
    try:
        with os.scandir(Path(home)) as entries:
            names = [entry.name for _, entry in zip(range(_MOST_CACHED), entries, strict=False)]
    except (OSError, ValueError):
        return ()
    return tuple(
        name.removeprefix("models--").replace("--", "/") for name in sorted(names) if name.startswith("models--")
    )
