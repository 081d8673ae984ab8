"""The modules of a library as text: from a wheel, an installed distribution or a folder."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# Modules that no training script names: tests, scripts that convert checkpoints, the sources of generated modelling
# code, stand-ins for what is not installed. They are known to exist, and nothing else is said of them.
_SKIPPED = re.compile(
    r"\.(tests|conftest|test_utils\.scripts|add_new_model\w*)(\.|$)|\.(convert_\w+|modular_\w+|dumm(y|ies)_\w+_objects)$"
)
# Not skipped: it says which tokenizers transformers 5 makes up.
_KEPT = re.compile(r"\.convert_slow_tokenizer$")


class Source(NamedTuple):
    """One module: its dotted name, whether it is a package (`__init__.py`), its text (none where it is skipped)."""

    name: str
    is_package: bool
    text: str


def is_skipped(module: str) -> bool:
    """Whether nothing is read of a module but that it exists."""
    return _SKIPPED.search(module) is not None and _KEPT.search(module) is None


def wheel_sources(path: Path) -> Iterator[Source]:
    """The modules of a wheel, in order of their paths."""
    with zipfile.ZipFile(path) as wheel:
        for name in sorted(wheel.namelist()):
            if (module := _module_of(name)) is not None:
                text = "" if is_skipped(module[0]) else wheel.read(name).decode("utf-8", "replace")
                yield Source(*module, text)


def installed_sources(distribution: str) -> Iterator[Source]:
    """The modules of a distribution of this environment. An editable install may list none of its files.

    Raises `importlib.metadata.PackageNotFoundError`.
    """
    for file in sorted(metadata.files(distribution) or [], key=str):
        if (module := _module_of(str(PurePosixPath(file)))) is not None:
            yield _source(module, Path(str(file.locate())))


def folder_sources(folder: Path, package: str | None = None) -> Iterator[Source]:
    """The modules below a folder that would be on `sys.path`, or of one package in it."""
    for path in sorted((folder / package if package else folder).rglob("*.py")):
        if (module := _module_of(path.relative_to(folder).as_posix())) is not None:
            yield _source(module, path)


def _source(module: tuple[str, bool], path: Path) -> Source:
    return Source(*module, "" if is_skipped(module[0]) else path.read_text(encoding="utf-8", errors="replace"))


def _module_of(path: str) -> tuple[str, bool] | None:
    """The dotted name of a file of a distribution, None where it is no module (scripts, data, metadata)."""
    if not path.endswith(".py"):
        return None
    parts = path[: -len(".py")].split("/")
    is_package = parts[-1] == "__init__"
    if is_package:
        parts.pop()
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts), is_package
