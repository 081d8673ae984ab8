"""Which distribution an import needs, and what each distribution and image brings with it.

The table of requirements is `packages.json`, which `scripts/build_packages.py` builds from the metadata on PyPI.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from trainguard.libraries.imports import DISTRIBUTIONS, NAMESPACES, SUBMODULES

# Beside this module: `importlib.resources` would cost more to import than the file to read.
_DATA = Path(__file__).with_name("packages.json")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules that other Pythons than the running one have or had: docs.python.org, "Removed" in What's New 3.8 to 3.14,
# and those that came with 3.11 to 3.14.
_OTHER_PYTHONS = _words(
    "aifc annotationlib asynchat asyncore audioop binhex cgi cgitb chunk compression concurrent crypt distutils "
    "formatter imghdr imp lib2to3 macpath mailcap msilib nis nntplib ossaudiodev parser pathlib pipes smtpd sndhdr "
    "spwd string sunau symbol telnetlib tomllib uu xdrlib zoneinfo graphlib _bootlocale __future__ __main__ winreg "
    "winsound msvcrt nt posix pwd grp fcntl resource termios tty readline"
)


def is_stdlib(name: str) -> bool:
    """Whether the top-level module `name` belongs to the standard library of any supported Python."""
    return name in sys.stdlib_module_names or name in _OTHER_PYTHONS


def distributions_of(import_name: str) -> tuple[str, ...]:
    """The distributions that provide a module (`cv2`, `google.protobuf`), any of which will do; the usual one first.

    A name without an entry is taken to be its own distribution's. Empty for the standard library and for
    namespaces shared by many distributions (`google`, `azure`), which tell nothing.
    """
    parts = import_name.split(".")
    top = parts[0]
    if not top or is_stdlib(top):
        return ()
    for length in range(min(len(parts), 3), 1, -1):
        if found := SUBMODULES.get(".".join(parts[:length])):
            return found
    if top in NAMESPACES:
        return ()
    return DISTRIBUTIONS.get(top, (re.sub(r"[-_.]+", "-", top).lower(),))


def distribution_of(import_name: str) -> str | None:
    """The usual distribution that provides a module, canonical; None for the standard library and namespaces."""
    return next(iter(distributions_of(import_name)), None)


def is_known(distribution: str) -> bool:
    """Whether it is known what this distribution (canonical name) requires."""
    return distribution in _table()["requires"]


def brought_by(distributions: Iterable[str], *, older: bool = False) -> frozenset[str]:
    """What `distributions` (`trl`, `trl[vllm]`) bring in, transitively, themselves left out unless brought too.

    `older` adds what older releases required beyond the newest: for declarations with an upper bound.
    """
    return _closure(frozenset(distributions), older)


@lru_cache(maxsize=512)
def _closure(distributions: frozenset[str], older: bool) -> frozenset[str]:
    table = _table()
    found: set[str] = set()
    seen: set[str] = set()
    queue = sorted(distributions)
    while queue:
        key = queue.pop()
        if key in seen:
            continue
        seen.add(key)
        name, _, extras = key.rstrip("]").partition("[")
        wanted: list[str] = list(table["requires"].get(name, ()))
        by_extra = table["extras"].get(name, {})
        for extra in filter(None, extras.split(",")):
            wanted += by_extra.get(extra, ())
        if older:
            wanted += table["older"].get(name, ())
        found.update(requirement.partition("[")[0] for requirement in wanted)
        queue += wanted
    return frozenset(found)


@cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads(_DATA.read_text("utf-8"))
    return table


# What an image holds beyond its Python, as seeds of a closure, by the image's name without its tag; () holds nothing.
# Sources: the Dockerfiles in pytorch/pytorch, huggingface/transformers (docker/), huggingface/trl (docker/),
# huggingface/accelerate (docker/), unslothai/unsloth, axolotl-ai-cloud/axolotl (docker/), vllm-project/vllm, hiyouga/
# LLaMA-Factory (docker/), and NVIDIA's release notes of its PyTorch container; read 2026-11.
_NOTHING: tuple[str, ...] = ()
_PYTORCH = ("torch", "torchvision", "torchaudio", "numpy", "pyyaml", "pillow", "requests", "tqdm", "packaging",
            "typing-extensions", "psutil", "setuptools")  # fmt: skip
_TRANSFORMERS = (*_PYTORCH, "transformers", "accelerate", "datasets", "evaluate", "peft", "optimum", "bitsandbytes",
                 "sentencepiece", "timm", "scikit-learn", "tensorboard", "requests", "huggingface-hub")  # fmt: skip
IMAGES: Mapping[str, tuple[str, ...]] = {
    "python": _NOTHING,
    "ghcr.io/astral-sh/uv": _NOTHING,
    "astral/uv": _NOTHING,
    "ubuntu": _NOTHING,
    "debian": _NOTHING,
    "nvidia/cuda": _NOTHING,
    "pytorch/pytorch": _PYTORCH,
    "huggingface/transformers-pytorch-gpu": _TRANSFORMERS,
    "huggingface/transformers-all-latest-gpu": _TRANSFORMERS,
    "huggingface/trl": (*_TRANSFORMERS, "trl", "peft", "deepspeed", "vllm"),
    "huggingface/accelerate": (*_PYTORCH, "accelerate", "transformers", "datasets", "evaluate", "scikit-learn"),
    "huggingface/peft-gpu": (*_TRANSFORMERS, "peft"),
    "unsloth/unsloth": (*_TRANSFORMERS, "unsloth", "vllm", "trl", "peft", "xformers"),
    "axolotlai/axolotl": (*_TRANSFORMERS, "axolotl", "deepspeed", "flash-attn", "trl", "wandb"),
    "axolotlai/axolotl-cloud": (*_TRANSFORMERS, "axolotl", "deepspeed", "flash-attn", "trl", "wandb"),
    "winglian/axolotl": (*_TRANSFORMERS, "axolotl", "deepspeed", "flash-attn", "trl", "wandb"),
    "hiyouga/llamafactory": (*_TRANSFORMERS, "llamafactory", "trl", "deepspeed", "vllm"),
    "vllm/vllm-openai": ("vllm", "torch", "transformers"),
    "nvcr.io/nvidia/pytorch": (*_PYTORCH, "torch", "transformer-engine", "flash-attn", "apex", "numpy", "scipy",
                               "pandas", "scikit-learn", "matplotlib", "tensorboard", "jupyterlab", "ninja"),
}  # fmt: skip
# Images that hold much that nobody lists: what is missing from the table may be there all the same.
_OPEN_IMAGES = ("nvcr.io/", "unsloth/", "axolotlai/", "winglian/", "huggingface/", "hiyouga/", "vllm/", "lmsysorg/",
                "rocm/", "intel/", "tensorflow/", "jupyter/", "anyscale/", "rayproject/")  # fmt: skip


def image_brings(image: str | None) -> frozenset[str] | None:
    """The distributions that an image holds; None where that cannot be told, so that no rule should judge."""
    name = image_name(image)
    if name is None or name.startswith(_OPEN_IMAGES) or name not in IMAGES:
        return None
    return frozenset(IMAGES[name]) | brought_by(IMAGES[name])


def image_surely_brings(image: str | None) -> frozenset[str]:
    """What an image holds for certain, also where it holds more that is not known."""
    seeds = IMAGES.get(image_name(image) or "", ())
    return frozenset(seeds) | brought_by(seeds)


def image_name(image: str | None) -> str | None:
    """`pytorch/pytorch` for `docker.io/pytorch/pytorch:2.6.0@sha256:…`; None without an image."""
    if not image:
        return None
    name = image.strip().partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = f"{head}{slash}{tail.partition(':')[0]}".lower()
    for prefix in ("docker.io/library/", "docker.io/", "index.docker.io/", "library/"):
        name = name.removeprefix(prefix)
    return name
