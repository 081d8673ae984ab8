"""The file of interfaces: what is written is read again, whatever the order of additions, and damage is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainguard.errors import UnreadableInputError
from trainguard.indexing.writer import LibraryHistory, write
from trainguard.libraries.api import codec
from trainguard.libraries.api.index import Index
from trainguard.libraries.api.records import (
    KEYWORD_ONLY,
    VAR_KEYWORD,
    Class,
    Constant,
    Definition,
    Deprecation,
    Function,
    Interface,
    Module,
    Parameter,
    Release,
)
from trainguard.libraries.api.store import MAGIC, Store

DEFINITIONS: dict[str, Definition] = {
    "lib": Module({"Thing": "lib.things.Thing", "things": "", "VERSION": ""}),
    "lib.things": Module({"Thing": "", "np": "numpy"}, getattr=True),
    "lib.parts": Module({"Part": ""}, partial=True),
    "lib.things.Thing": Class(
        bases=("torch.nn.Module", "?"),
        kind="dataclass",
        fields=(
            Parameter("size", 1, None, "int"),
            Parameter("mode", 1, "'a'", "str | None", ("a", "b", None, 1, True)),
            Parameter("late", KEYWORD_ONLY, "list()"),
        ),
        members=("go", "p", "stop"),
        values=(("A", "a"), ("B", 2)),
        has_init=True,
        getattr=True,
        deprecations=(Deprecation("old", "new", True, "5.0", True, "`old` is going away"), Deprecation("gone")),
    ),
    "lib.things.Thing.go": Function(
        parameters=(Parameter("self"), Parameter("x", 1, "None"), Parameter("kwargs", VAR_KEYWORD)),
        kind="method",
        taken=("token",),
        forwards=("super.go", "?"),
        refuses_rest=True,
        deprecations=(Deprecation("x", removal="2.0", accepted=False),),
    ),
    "lib.VERSION": Constant("'1.0'"),
}


def interface(version: str, definitions: dict[str, Definition], **more: object) -> Interface:
    return Interface(package="lib", release=Release(version=version, **more), definitions=definitions)  # type: ignore[arg-type]


def written(path: Path, interfaces: list[Interface]) -> Index:
    history = LibraryHistory("lib", "the-lib")
    for each in interfaces:
        history.add(each)
    write(path, [history])
    return Index([Store.open(path)])


@pytest.mark.parametrize("path", list(DEFINITIONS))
def test_a_definition_survives_encoding(path: str) -> None:
    import json

    atoms = json.loads(json.dumps(codec.encode(DEFINITIONS[path])))
    assert codec.decode(atoms) == DEFINITIONS[path]


@pytest.mark.parametrize("numbers", [[], [0], [0, 1, 2], [3, 1, 2, 7], [5, 4, 3], [0, 2, 3, 4, 10, 12]])
def test_runs_keep_numbers_and_order(numbers: list[int]) -> None:
    assert codec.numbers(codec.runs(numbers)) == numbers


def test_what_is_written_is_read(tmp_path: Path) -> None:
    release = {"date": "2026-01-02", "python": ">=3.9", "requires": ("numpy>=1", "lib2; python_version<'3.10'")}
    index = written(tmp_path / "index.bin", [interface("1.0", DEFINITIONS, **release, yanked=True)])
    for path, definition in DEFINITIONS.items():
        assert index.definition("lib", "1.0", path) == definition
    (read,) = index.releases("lib")
    assert (read.version, read.date, read.python, read.requires, read.yanked) == ("1.0", *release.values(), True)
    assert index.definition("lib", "1.0", "lib.nothing") is None
    assert index.definition("lib", "2.0", "lib") is None
    assert index.definition("other", "1.0", "other") is None


def test_each_release_has_its_own(tmp_path: Path) -> None:
    first = {"lib": Module({"f": "", "g": ""}), "lib.f": Function((Parameter("a"),)), "lib.g": Function()}
    second = {"lib": Module({"f": ""}), "lib.f": Function((Parameter("a"), Parameter("b", 1, "1")))}
    index = written(tmp_path / "i", [interface("1.0", first), interface("1.1", second), interface("2.0", first)])
    assert index.definition("lib", "1.1", "lib.g") is None
    assert index.definition("lib", "2.0", "lib.g") == Function()
    assert index.definition("lib", "1.1", "lib.f") == second["lib.f"]
    assert index.name("lib", "1.1", "lib", "g") is None
    assert index.name("lib", "1.0", "lib", "g") == ""
    assert list(index.paths("lib", "1.1", "lib")) == ["lib", "lib.f"]


def test_a_large_module_is_read_by_parts(tmp_path: Path) -> None:
    names = {f"name{number}": "" for number in range(400)} | {"Model": "lib.models.Model", "_a": "", "R": ""}
    index = written(tmp_path / "i", [interface("1.0", {"lib": Module(names)})])
    assert index.name("lib", "1.0", "lib", "Model") == "lib.models.Model"
    assert index.name("lib", "1.0", "lib", "_a") == ""
    assert index.name("lib", "1.0", "lib", "R") == ""
    assert index.name("lib", "1.0", "lib", "Modl") is None
    assert index.names("lib", "1.0", "lib") == names


def test_the_same_releases_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    one = interface("1.0", DEFINITIONS, date="2026-01-01")
    two = interface("1.1", {"lib": Module({"f": ""}), "lib.f": Function()}, date="2026-02-01")
    three = interface("2.0", {**DEFINITIONS, "lib.f": Function((Parameter("a"),))}, date="2026-03-01")
    written(tmp_path / "all", [one, two, three])
    for name, order in {"b": [three, one, two], "c": [two, three, one], "d": [one, three, two]}.items():
        written(tmp_path / name, order)
        assert (tmp_path / name).read_bytes() == (tmp_path / "all").read_bytes()


def test_releases_can_be_added_to_a_file(tmp_path: Path) -> None:
    one, three = interface("1.0", DEFINITIONS), interface("2.0", {"lib": Module({})})
    two = interface("1.1", {"lib": Module({"f": ""}), "lib.f": Function()})
    written(tmp_path / "all", [one, two, three])
    written(tmp_path / "two", [one, three])
    history = LibraryHistory("lib", "the-lib")
    history.continue_from(Store.open(tmp_path / "two"))
    history.add(two)
    write(tmp_path / "more", [history])
    assert (tmp_path / "more").read_bytes() == (tmp_path / "all").read_bytes()


def test_a_release_is_added_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lib 1\.0 is there already"):
        written(tmp_path / "i", [interface("1.0", DEFINITIONS), interface("1.0", DEFINITIONS)])


def test_another_store_adds_releases_and_libraries(tmp_path: Path) -> None:
    written(tmp_path / "own", [interface("1.5", {"lib": Module({"own": ""})})])
    written(tmp_path / "ours", [interface("1.0", DEFINITIONS), interface("2.0", DEFINITIONS)])
    index = Index([Store.open(tmp_path / "own"), Store.open(tmp_path / "ours")])
    assert index.versions("lib") == ("1.0", "1.5", "2.0")
    assert index.name("lib", "1.5", "lib", "own") == ""
    assert index.name("lib", "2.0", "lib", "own") is None


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no index", MAGIC, MAGIC + b"\xff\xff\xff\x7f", MAGIC + b"\1\0\0\0x"]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.bin"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match="index"):
        Store.open(path)


def test_a_damaged_block_is_said(tmp_path: Path) -> None:
    path = tmp_path / "index.bin"
    written(path, [interface("1.0", DEFINITIONS)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableInputError, match="damaged"):
        Store.open(path).spans("lib")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match="cannot be read"):
        Store.open(tmp_path / "none.bin")


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path = tmp_path / "index.bin"
    path.write_bytes(b"before")

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        written(path, [interface("1.0", DEFINITIONS)])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
