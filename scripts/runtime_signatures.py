"""Prints what the installed training libraries take at run time, as JSON lines. Standard library only.

    python runtime_signatures.py LIBRARY... > signatures.jsonl

Runs in any environment that holds the libraries. It imports every module of them (of `transformers/models` only what
the library exports), and writes an object a line, by `what`:

- `version`: `library`, `version`
- `module`: `path`, `names` (all public names that it has)
- `callable`: `path` (as it is reached), `parameters` as [name, kind, default]; a default is null (required),
  ["literal", its source], ["factory", ""] (a dataclass makes it anew) or ["other", its type]; and `behind`: where
  `inspect.signature` sees no more than `*args, **kwargs` of a wrapper, the parameters of what the wrapper calls
- `dummy`: `path`, `backends` that are missing, so that a stand-in without a signature is in its place
- `refused`: `path`, `error`: a module or name that cannot be imported here
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

Line = dict[str, Any]
_SCALARS = (type(None), bool, int, float, str, bytes)
# Reached through what the library exports; by themselves thousands of modules that no script names.
_NOT_WALKED = ("transformers.models", "transformers.kernels")


def main(libraries: list[str]) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what the libraries print goes elsewhere
    os.dup2(2, 1)
    for library in libraries:
        for line in lines_of(library):
            out.write(json.dumps(line) + "\n")
    out.close()


def lines_of(library: str) -> Iterator[Line]:
    root, error = imported(library)
    if root is None:
        yield {"what": "refused", "path": library, "error": error}
        return
    yield {"what": "version", "library": library, "version": str(root.__version__)}
    seen: set[int] = set()
    for path in module_paths(library, root):
        module, error = imported(path)
        if module is None:
            yield {"what": "refused", "path": path, "error": error}
            continue
        names = [name for name in dir(module) if not name.startswith("_")]
        there = []
        for name in names:
            thing, error = taken(module, name)
            if error:
                yield {"what": "refused", "path": f"{path}.{name}", "error": error}
                continue
            there.append(name)
            if id(thing) not in seen and belongs(thing, library):
                seen.add(id(thing))
                yield from described(f"{path}.{name}", thing, library)
        yield {"what": "module", "path": path, "names": there}


def module_paths(path: str, root: types.ModuleType) -> list[str]:
    """A package and the modules below it; those that begin with an underscore are their library's own affair."""
    paths = [path]
    for info in pkgutil.iter_modules(getattr(root, "__path__", [])):
        below = f"{path}.{info.name}"
        if info.name.startswith("_") or below in _NOT_WALKED:
            continue
        package = imported(below)[0] if info.ispkg else None
        paths += module_paths(below, package) if package is not None else [below]
    return paths


def imported(path: str) -> tuple[types.ModuleType | None, str]:
    return guarded(lambda: importlib.import_module(path))


def taken(module: types.ModuleType, name: str) -> tuple[Any, str]:
    return guarded(lambda: getattr(module, name))


def guarded(get: Any) -> tuple[Any, str]:
    """The value, or why there is none. Libraries raise anything at import time, SystemExit included."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return get(), ""
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def belongs(thing: Any, library: str) -> bool:
    """Whether the library itself defines a class or function."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return False
    return str(getattr(thing, "__module__", "")).partition(".")[0] == library


def described(path: str, thing: Any, library: str) -> Iterator[Line]:
    if ".dummy_" in f".{thing.__module__}" or type(thing).__name__ == "DummyObject":
        yield {"what": "dummy", "path": path, "backends": list(getattr(thing, "_backends", []))}
        return
    if not inspect.isclass(thing):
        yield from signature_line(path, lambda: [parameters_of(thing)])
        return
    if not getattr(thing, "_is_protocol", False):  # nobody constructs a Protocol
        yield from signature_line(path, lambda: of_constructor(thing))
    for name in dir(thing):
        if name.startswith("_"):
            continue
        owner = next((c for c in thing.__mro__ if name in vars(c)), None)
        if owner is None or (owner is not thing and not is_inherited_worth(thing, owner, library)):
            continue
        raw = vars(owner)[name]
        if isinstance(raw, (staticmethod, classmethod)) or inspect.isfunction(raw):
            yield from signature_line(f"{path}.{name}", partial(of_method, raw))


def is_inherited_worth(thing: type, owner: type, library: str) -> bool:
    """Inherited methods are compared where they come from the same library, but not again for each model."""
    return owner.__module__.partition(".")[0] == library and not thing.__module__.startswith("transformers.models.")


def signature_line(path: str, told: Callable[[], list[list[inspect.Parameter]]]) -> Iterator[Line]:
    """The line of one callable; none where Python itself cannot tell what it takes."""
    try:
        first, *others = told()
    except (ValueError, TypeError, NameError):
        return
    yield {"what": "callable", "path": path, "parameters": plain(first), "behind": [plain(other) for other in others]}


def plain(parameters: list[inspect.Parameter]) -> list[list[Any]]:
    return [[p.name, int(p.kind), default_of(p.default)] for p in parameters]


def parameters_of(thing: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(thing).parameters.values())


def of_constructor(thing: type) -> list[list[inspect.Parameter]]:
    """What a class takes, and where a metaclass or `__new__` stands before `__init__`, what that takes."""
    parameters = parameters_of(thing)
    if anything(parameters) or "__call__" in vars(type(thing)):
        return [parameters, without_first(parameters_of(thing.__init__))]  # type: ignore[misc]
    return [parameters]


def of_method(raw: Any) -> list[list[inspect.Parameter]]:
    """What a method takes in a call on an object or class, and what the method behind its wrapper takes."""
    function = raw if inspect.isfunction(raw) else raw.__func__
    found = []
    for each in dict.fromkeys([function, behind(function)]):
        parameters = parameters_of(each)
        # A wrapper may carry the signature of a method that has been bound already.
        bound = isinstance(raw, staticmethod) or inspect.ismethod(inspect.unwrap(each))
        found.append(parameters if bound else without_first(parameters))
    return found if anything(found[0]) else found[:1]


def behind(function: Any) -> Any:
    """The function of the same name that a wrapper without `functools.wraps` calls, else the function itself."""
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # a cell that has not been filled
            held = cell.cell_contents
            if inspect.isfunction(held) and held.__module__ == function.__module__ and "." in held.__qualname__:
                return held
    return function


def anything(parameters: list[inspect.Parameter]) -> bool:
    """Whether they are `*args, **kwargs`, or one of these, and no more."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return bool(parameters) and all(p.kind in kinds for p in parameters)


def without_first(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Without `self` or `cls`; `*args` takes it in and stays."""
    return parameters[1:] if parameters and parameters[0].kind < inspect.Parameter.VAR_POSITIONAL else parameters


def default_of(value: Any) -> list[str] | None:
    if value is inspect.Parameter.empty:
        return None
    if type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
        return ["factory", ""]
    return ["literal", repr(value)] if is_literal(value) else ["other", type(value).__name__]


def is_literal(value: Any) -> bool:
    if type(value) in (tuple, list, set, frozenset):
        return type(value) in (tuple, list) and all(is_literal(item) for item in value)
    if type(value) is dict:
        return all(is_literal(item) for pair in value.items() for item in pair)
    return type(value) in _SCALARS


if __name__ == "__main__":
    main(sys.argv[1:])
