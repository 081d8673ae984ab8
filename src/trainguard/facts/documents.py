"""YAML, JSON and TOML documents that stand in a script as strings."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

from trainguard.facts.values import UNKNOWN, Constant, Table, Value, from_python

# A longer document is data, not options.
_MAX_TEXT = 100_000


def _yaml(document: str) -> Any:
    import yaml

    # The C loader where libyaml was built in: ten times faster, the same results.
    return yaml.load(document, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _toml(document: str) -> Any:
    import tomllib

    return tomllib.loads(document)


LOADERS: dict[str, Callable[[str], Any]] = {
    "yaml.safe_load": _yaml,
    "yaml.load": _yaml,
    "yaml.full_load": _yaml,
    "omegaconf.OmegaConf.create": _yaml,
    "json.loads": json.loads,
    "tomllib.loads": _toml,
    "ast.literal_eval": ast.literal_eval,
}


def loaded(document: Value, load: Callable[[str], Any]) -> Value:
    """A YAML, JSON or TOML document that stands in the script as a string."""
    if isinstance(document, Table):  # OmegaConf.create({…})
        return document
    if isinstance(document, Constant) and isinstance(document.value, str) and len(document.value) < _MAX_TEXT:
        try:
            return from_python(load(document.value))
        except Exception:  # a broken document is for the script to meet, not for its reader
            return UNKNOWN
    return UNKNOWN
