"""The releases of training libraries that a container image states in its name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trainguard.libraries.packages import image_name

# Images whose tag is a library's release (huggingface/trl:1.2.0), by their names on Docker Hub.
_TAGGED: Mapping[str, str] = {
    "huggingface/trl": "trl",
    "huggingface/transformers-pytorch-gpu": "transformers",
}
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+)")
# AWS writes `…-transformers4.49.0-gpu-…`, Google Cloud `….transformers.4-46-1.…` (their lists of deep learning
# containers).
_IN_TAG = re.compile(r"transformers[.\-]?(\d+)[.\-](\d+)[.\-](\d+)(?![\d])")


def image_releases(image: str | None) -> Mapping[str, str]:
    """Import name to version; empty for an image that states none, as `huggingface/trl:latest`."""
    name = image_name(image)
    if name is None or image is None:
        return {}
    tag = image.strip().partition("@")[0].rpartition("/")[2].partition(":")[2]
    found: dict[str, str] = {}
    if (library := _TAGGED.get(name)) is not None and (match := _RELEASE.fullmatch(tag)):
        found[library] = match[1]
    if "pytorch" in image and (match := _IN_TAG.search(f"{name.rpartition('/')[2]}:{tag}")):
        found["transformers"] = ".".join(match.groups())
    return found
