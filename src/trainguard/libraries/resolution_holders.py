"""Packages beside the indexed libraries that decide which releases of those are installed.

Such a package pins training libraries in its own metadata, which the index does not hold: with `unsloth`, the newest
trl is not what gets installed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from trainguard.libraries.packages import brought_by
from trainguard.libraries.resolution_metadata import Wanted

# Packages that require indexed libraries and whose newest releases take the newest of them: their Requires-Dist on
# PyPI, read 2026-11 (evaluate 0.4.6, timm 1.0.31, gradio 6.31.0, diffusers 0.42.1, lm-eval 0.4.13,
# sentence-transformers 6.2.0, setfit 1.2.0, tokenizers 0.23.3, smolagents 1.26.0, optimum 2.3.0, lighteval 0.13.0,
# torchtune 0.6.1, compressed-tensors 0.20.0, xgrammar 0.2.8, mergekit 0.1.5, transformer-lens 4.3.0, speechbrain
# 1.1.2, and the others at their newest). Others hold back: unsloth 2026.10.9 takes trl<=1.15.0, vllm 0.33.0
# transformers<5.21.0, llmcompressor 0.14.0.1 transformers<=5.17.0, litellm 1.109.1 huggingface-hub<2.0.
_FREE = frozenset(
    {"bert-score", "compressed-tensors", "diffusers", "evaluate", "faster-whisper", "gradio", "gradio-client",
     "lighteval", "lm-eval", "mergekit", "open-clip-torch", "optimum", "optimum-quanto", "sentence-transformers",
     "setfit", "smolagents", "speechbrain", "tabpfn", "timm", "tokenizers", "torchtune", "transformer-lens",
     "xgrammar"}
)  # fmt: skip


def held_back(wanted: Iterable[Wanted], indexed: Collection[str]) -> dict[str, str]:
    """Which of the `indexed` distributions a package among `wanted`, or one that an extra brings, may hold back.

    Keys are distributions, values the names of the packages.
    """
    held: dict[str, str] = {}
    for each in wanted:
        if each.name in indexed and not each.extras:
            continue
        key = f"{each.name}[{','.join(sorted(each.extras))}]" if each.extras else each.name
        for name in sorted({each.name, *brought_by((key,))}):
            # An older release of a package that takes everything today may have held something back.
            older = name == each.name and (each.bounded or each.direct)
            if name in indexed or (name in _FREE and not older):
                continue
            for distribution in brought_by((name,)):
                if distribution in indexed:
                    held.setdefault(distribution, name)
    return held
