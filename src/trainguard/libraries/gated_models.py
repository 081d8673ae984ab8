"""Models of the hub that nobody can download without an access token.

Only families whose every repository is gated are listed: docs/hub/models-gated.md, and the model pages (the
conditions that stand above the card), read 2026-11. Gemma 4 is not gated; Mistral and StarCoder2 have
repositories that are open.
"""

from __future__ import annotations

import re

_GATED = re.compile(
    r"meta-llama/(?:Meta-)?(?:Llama|CodeLlama|LlamaGuard|Prompt-Guard)[\w.-]*"
    r"|google/(?:code|rec|pali|shield|med)?gemma-(?:1\.1|2b|7b|[23]n?-|3-)[\w.-]*"
    r"|google/paligemma2?-[\w.-]+"
    r"|stabilityai/stable-diffusion-3(?:\.5)?-[\w.-]+"
    r"|black-forest-labs/FLUX\.1-(?:dev|Fill-dev|Kontext-dev)"
)


def is_gated(repository: str) -> bool:
    """Whether a model is known to be gated."""
    return _GATED.fullmatch(repository) is not None
