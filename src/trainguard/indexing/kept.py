"""What of a release is worth keeping. transformers brings thousands of private layers of models: of those only the
names are kept, so that nothing is taken for missing."""

from __future__ import annotations

from trainguard.indexing.scope import Scope

_CALLED = frozenset({"__init__", "__new__", "__call__", "__post_init__", "__init_subclass__", "__enter__", "__exit__"})


class Kept:
    """The policy for one release."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._folder = f"{scope.package}.models." if scope.package == "transformers" else None
        self._auto = f"{scope.package}.models.auto."
        self._classes = self._exported() if self._folder else set()

    def _exported(self) -> set[str]:
        """The classes of models that are exported, and all that they derive from."""
        exported: set[str] = set()
        for package in self._scope.packages:
            record = self._scope.modules.get(package)
            if record is not None and (record.get("lazy") or record.get("structure")):
                for source in self._scope.names(package).values():
                    if source and (path := self._scope.canonical(source)) is not None:
                        exported.add(path)
        waiting = list(exported)
        while waiting:
            path = waiting.pop()
            module, _, name = path.rpartition(".")
            record = self._scope.modules.get(module)
            raw = record["classes"].get(name) if record is not None else None
            for base in raw.get("bases", []) if raw is not None else []:
                above = self._scope.reference(module, base) if base != "?" else None
                if above is not None and above not in exported:
                    exported.add(above)
                    waiting.append(above)
        return exported

    def _is_model(self, module: str) -> bool:
        return self._folder is not None and module.startswith(self._folder) and not module.startswith(self._auto)

    def class_(self, module: str, path: str) -> bool:
        return not self._is_model(module) or f"{module}.{path}" in self._classes

    def method(self, module: str, method: str) -> bool:
        if method.startswith("__") and method.endswith("__") and method not in _CALLED:
            return False  # nobody calls an operator by its name
        return not self._is_model(module) or method in _CALLED or not method.startswith("_")

    def function(self, module: str, path: str) -> bool:
        return "." in path or not self._is_model(module) or not path.startswith("_")

    def constants(self, module: str) -> bool:
        return not self._is_model(module)
