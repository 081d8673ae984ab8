"""Joins the records of a release's modules into its interface."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.indexing.cache import Cache, key_of
from trainguard.indexing.joining import Joiner
from trainguard.indexing.legacy import add_legacy_names
from trainguard.indexing.modules import read_module
from trainguard.indexing.raw import ModuleRecord
from trainguard.indexing.scope import Scope
from trainguard.indexing.sources import is_skipped
from trainguard.libraries.api.records import Constant, Definition, Interface, Module, Release


def read_interface(
    library: str, sources: Iterable[tuple[str, bool, str]], release: Release, *, cache: Cache | None = None
) -> Interface:
    """The interface of a library (its import name) in one release, from its modules (name, is package, text)."""
    modules: dict[str, ModuleRecord] = {}
    packages: set[str] = set()
    skipped: set[str] = set()
    for name, is_package, text in sources:
        if name != library and not name.startswith(f"{library}."):
            continue
        if is_package:
            packages.add(name)
        if is_skipped(name):
            skipped.add(name)
        else:
            modules[name] = _record(name, is_package, text, cache)
    scope = Scope(library, modules, packages, skipped)
    definitions: dict[str, Definition] = {}
    joiner = Joiner(scope, release)
    for name in sorted(modules):
        _add_module(name, scope, joiner, definitions)
    for name in sorted(skipped):
        definitions[name] = Module(getattr=True)
    add_legacy_names(scope, definitions)
    return Interface(package=library, release=release, definitions=dict(sorted(definitions.items())))


def _record(name: str, is_package: bool, text: str, cache: Cache | None) -> ModuleRecord:
    if cache is None:
        return read_module(name, text, is_package=is_package)
    key = key_of(text)
    record = cache.get(key)
    if record is None:
        record = read_module(name, text, is_package=is_package)
        cache.put(key, record)
    return record


def _add_module(name: str, scope: Scope, joiner: Joiner, definitions: dict[str, Definition]) -> None:
    record = scope.modules[name]
    names = {}
    for one, source in sorted(scope.names(name).items()):
        names[one] = (scope.canonical(source) if source and scope.is_own(source) else None) or source
        target = record["names"].get(one, "")
        # `create_repo = api.create_repo`, of `api = HfApi()`.
        if not source and target.startswith("=") and (bound := joiner.bound(name, target[1:])) is not None:
            definitions[f"{name}.{one}"] = bound
    getattr_ = bool(record.get("getattr")) or name in scope.unknown_stars
    # A package may define a name that a module below it has too: what can be called is what is meant.
    definitions[name] = Module(names=names, getattr=getattr_)
    for path, function in record["functions"].items():
        if path.count(".") == 0 and names.get(path) == "":
            definitions[f"{name}.{path}"] = joiner.function(name, path, function)
    for path, class_ in record["classes"].items():
        if names.get(path.partition(".")[0]) != "":
            continue
        definitions[f"{name}.{path}"] = joiner.class_(name, path, class_)
        definitions.update(joiner.methods(name, path))
    for path, text in record.get("constants", {}).items():
        if names.get(path) == "":
            definitions.setdefault(f"{name}.{path}", Constant(text))
