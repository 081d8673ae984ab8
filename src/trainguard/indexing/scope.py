"""The names of a release's modules, joined: where each comes from, and where the thing behind it is defined."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping

from trainguard.indexing.raw import ModuleRecord

_BUILTINS = frozenset(dir(builtins))


class Scope:
    """The modules of one release. Paths are absolute and dotted."""

    def __init__(
        self, library: str, modules: Mapping[str, ModuleRecord], packages: set[str], skipped: set[str]
    ) -> None:
        self.package = library
        self.modules = modules
        self.packages = packages
        self.skipped = skipped
        self.unknown_stars: set[str] = set()
        self._children: dict[str, list[str]] = {}
        for name in [*modules, *skipped]:
            self._children.setdefault(name.rpartition(".")[0], []).append(name)
        self._names: dict[str, dict[str, str]] = {}
        self._busy: set[str] = set()

    def absolute(self, module: str, target: str) -> str:
        """The path of an import target that stands in a module."""
        path, _, name = target.partition(":")
        level = len(path) - len(path.lstrip("."))
        path = path[level:]
        if level:
            parts = module.split(".")
            strip = level - 1 if module in self.packages else level
            base = ".".join(parts[: len(parts) - strip]) if strip else module
            path = f"{base}.{path}" if path else base
        return f"{path}.{name}" if name else path

    def names(self, module: str) -> dict[str, str]:
        """The top-level names of a module: '' where it defines them, else the path that it takes them from."""
        if module in self._names:
            return self._names[module]
        record = self.modules.get(module)
        if record is None or module in self._busy:
            return {}
        self._busy.add(module)
        names: dict[str, str] = {}
        children = {child.rpartition(".")[2] for child in self._children.get(module, ())}
        for star in record.get("stars", []):
            found = self._starred(module, self.absolute(module, star))
            # Importing a module below puts it where a star may have put another one's: `datasets.hub`.
            names.update((name, at) for name, at in found if name not in children or at not in self.modules)
        for name, target in record["names"].items():
            names[name] = self._target(module, target)
        for name, target in record.get("lazy", {}).items():
            if target or not names.get(name):
                names[name] = self.absolute(module, target) if target else names.get(name, "")
        for prefix in record.get("structure", []):
            names.update(self._exported(f"{module}.{prefix}" if prefix else module))
        for child in children:
            names.setdefault(child, "")
        self._busy.discard(module)
        # A name that a package takes from its own submodule of that name stands for what is in it.
        self._names[module] = {name: "" if path == f"{module}.{name}" else path for name, path in names.items()}
        return self._names[module]

    def _target(self, module: str, target: str) -> str:
        if not target:
            return ""
        if target.startswith("="):
            head, _, rest = target[1:].partition(".")
            known = self.modules[module]["names"].get(head)
            if known is None or known == target:
                return ""
            if rest and not known and head not in self.modules[module]["classes"]:
                return ""  # an attribute of an object
            base = self._target(module, known) or f"{module}.{head}"
            return f"{base}.{rest}" if rest else base
        return self.absolute(module, target)

    def _starred(self, module: str, source: str) -> Iterator[tuple[str, str]]:
        """What `from SOURCE import *` brings."""
        if source not in self.modules:
            # Beside a lazy table stars stand for type checkers alone, and nobody notices where they lead nowhere
            # (`from configuration_xlstm import *` in transformers 4.57 to 5.19).
            if not self.is_own(source) and "structure" not in self.modules[module]:
                self.unknown_stars.add(module)
            return
        names = self.names(source)
        exported = self.modules[source].get("all")
        if exported is None:
            exported = [name for name in names if not name.startswith("_")]
        if source in self.unknown_stars:
            self.unknown_stars.add(module)
        for name in exported:
            yield name, f"{source}.{name}"

    def _exported(self, folder: str) -> Iterator[tuple[str, str]]:
        """What `define_import_structure` finds below a folder (transformers/utils/import_utils.py, since 4.46)."""
        for name, record in self.modules.items():
            if name.startswith(f"{folder}.") and name not in self.packages:
                for exported in record.get("exported", []):
                    yield exported, f"{name}.{exported}"

    def canonical(self, path: str, depth: int = 0) -> str | None:
        """Where the thing at a path of this library is defined, None where nothing is known at that path."""
        if depth > 20:
            return None
        if "." not in path:
            return path if path in self.modules else None
        parent, _, name = path.rpartition(".")
        if parent in self.modules:
            source = self.names(parent).get(name)
            if source is None:
                return path if path in self.modules or path in self.skipped else None
            return path if source == "" else self._follow(source, depth)
        # A member of a class, or a path through a second name of a module.
        base = self.canonical(parent, depth + 1)
        if base is None:
            return None
        if base == parent:
            return path
        return self.canonical(f"{base}.{name}", depth + 1)

    def _follow(self, source: str, depth: int) -> str:
        if not self.is_own(source):
            return source
        return self.canonical(source, depth + 1) or source

    def is_own(self, path: str) -> bool:
        return path == self.package or path.startswith(f"{self.package}.")

    def reference(self, module: str, reference: str) -> str | None:
        """The path of a dotted name in a module's scope, of builtins too; None where it cannot be told."""
        head, _, rest = reference.partition(".")
        source = self.names(module).get(head)
        if source is None:
            return f"builtins.{reference}" if head in _BUILTINS else None
        base = source or f"{module}.{head}"
        path = f"{base}.{rest}" if rest else base
        return self._follow(path, 0)
