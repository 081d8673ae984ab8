"""Names of transformers 5 that no table holds: old ones that `_LazyModule.__getattr__` or a finder still serves."""

from __future__ import annotations

import re

from trainguard.indexing.scope import Scope
from trainguard.libraries.api.records import Definition, Module

_FAST_IMAGE_PROCESSOR = re.compile(r"\.models\.\w+\.image_processing_(?!pil_)\w+(?<!_fast)$")


def add_legacy_names(scope: Scope, definitions: dict[str, Definition]) -> None:
    """Add what is served beside the tables, in place."""
    suffixes = {one for record in scope.modules.values() for one in record.get("suffixes", [])}
    converted = {
        one for record in scope.modules.values() for one in record.get("keys", {}).get("SLOW_TO_FAST_CONVERTERS", [])
    }
    for package in scope.packages:
        record = scope.modules.get(package)
        module = definitions.get(package)
        if record is None or not isinstance(module, Module) or not (record.get("lazy") or record.get("structure")):
            continue
        names = dict(module.names)
        # utils/import_utils.py, `_LazyModule.__getattr__`: `XTokenizerFast` and `XImageProcessorFast` are `X…`.
        for name, source in module.names.items():
            if f"{_family(name)}Fast" in suffixes:
                names.setdefault(f"{name}Fast", source)
        if "TokenizerFast" in suffixes:
            folder = package.rpartition(".")[2].replace("_", "")
            for name in converted:
                if package == scope.package or folder in name.lower():
                    names.setdefault(name, "")
                    names.setdefault(f"{name}Fast", "")
        for alias, target in record.get("aliases", {}).items():
            if alias.isidentifier():
                names.setdefault(alias, "")
                _add_alias(scope, definitions, f"{package}.{alias}", f"{package}.{target}")
        if len(names) > len(module.names):
            definitions[package] = Module(names=dict(sorted(names.items())), getattr=module.getattr)
        if "*" in record.get("aliases", {}):
            for name in [one for one in scope.modules if _FAST_IMAGE_PROCESSOR.search(one)]:
                _add_alias(scope, definitions, f"{name}_fast", name)


def _family(name: str) -> str:
    for family in ("Tokenizer", "ImageProcessor"):
        if name.endswith(family):
            return family
    return ""


def _add_alias(scope: Scope, definitions: dict[str, Definition], alias: str, target: str) -> None:
    """A module that can be imported under a second path."""
    if alias in definitions or target not in scope.modules:
        return
    module = definitions.get(target)
    if isinstance(module, Module):
        names = {name: source or f"{target}.{name}" for name, source in module.names.items()}
        definitions[alias] = Module(names=names, getattr=module.getattr)
