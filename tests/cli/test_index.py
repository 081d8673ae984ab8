"""`trainguard index`: what a user adds is known, shown, compared and taken out again; mistakes are said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from tests.cli.helpers import run

OLD = """
from dataclasses import dataclass

@dataclass
class Config:
    size: int = 1
    mode: str = "a"

def train(config, steps=10): ...
def removed(): ...
"""
NEW = """
from dataclasses import dataclass
from typing import Literal

@dataclass
class Config:
    length: int = 1
    mode: Literal["a", "b"] = "b"

def train(config, steps, *, resume=None): ...
def added(): ...
"""


def wheel(folder: Path, version: str, text: str, name: str = "our_trainers") -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: trl>=1.0\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", text)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRAINGUARD_CACHE", str(folder))
    return folder


@pytest.fixture
def added(tmp_path: Path, cache: Path) -> Path:
    for version, text in {"1.0": OLD, "1.1": NEW}.items():
        result = run("index", "add", "our-trainers", "--wheel", str(wheel(tmp_path, version, text)))
        assert result.returncode == 0, result.stderr
    return cache


def test_the_libraries_are_listed() -> None:
    result = run("index", "list")
    assert result.returncode == 0
    for name in ("transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub", "trackio", "kernels"):
        assert f"\n{name} " in result.stdout


def test_the_list_as_json() -> None:
    rows = json.loads(run("index", "list", "--format", "json").stdout)["libraries"]
    trl = next(row for row in rows if row["library"] == "trl")
    assert trl["oldest"] == "0.7.0"
    assert trl["releases"] > 80
    assert trl["added_by_you"] == 0


def test_the_releases_of_a_library() -> None:
    result = run("index", "list", "trl")
    assert "\n0.12.2 " in result.stdout
    assert "transformers<4.47.0" in result.stdout


def test_what_is_added_is_known_to_checks(added: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import our_trainers\n\nour_trainers.Config(size=2)\n")
    old = run("check", str(script), "--with", "our-trainers==1.0", "--select", "API")
    new = run("check", str(script), "--with", "our-trainers==1.1", "--select", "API")
    assert "API002" not in old.stdout
    assert "API002" in new.stdout
    assert (added / "index.bin").exists()


def test_two_releases_are_compared(added: Path) -> None:
    assert added.exists()
    found = json.loads(run("index", "diff", "our_trainers", "1.0", "1.1", "--format", "json").stdout)["changes"]
    kinds = {(each["kind"], each["path"].removeprefix("our_trainers."), each.get("argument", "")) for each in found}
    assert kinds >= {
        ("removed", "removed", ""),
        ("added", "added", ""),
        ("argument-removed", "Config", "size"),
        ("argument-added", "Config", "length"),
        ("default-changed", "Config", "mode"),
        ("argument-added", "train", "resume"),
    }
    text = run("index", "diff", "our_trainers", "1.0", "1.1").stdout
    assert "our_trainers.Config(mode=): 'a' -> 'b'" in text
    only = run("index", "diff", "our_trainers", "1.0", "1.1", "--only", "removed").stdout
    assert "our_trainers.removed" in only
    assert "Config" not in only


def test_a_name_is_shown(added: Path) -> None:
    assert added.exists()
    text = run("index", "show", "our_trainers.Config").stdout
    assert "our_trainers 1.1" in text
    assert "one of 'a', 'b'" in text
    old = json.loads(run("index", "show", "our_trainers.train", "--version", "1.0", "--format", "json").stdout)
    assert [row["name"] for row in old["parameters"]] == ["config", "steps"]
    assert old["parameters"][1]["default"] == "10"


def test_adding_again_changes_nothing(added: Path, tmp_path: Path) -> None:
    before = (added / "index.bin").read_bytes()
    assert run("index", "add", "our-trainers", "--wheel", str(wheel(tmp_path, "1.1", NEW))).returncode == 0
    assert (added / "index.bin").read_bytes() == before


def test_what_was_added_is_taken_out(added: Path) -> None:
    result = run("index", "remove", "our-trainers")
    assert "2 releases taken out" in result.stdout
    assert not (added / "index.bin").exists()
    assert run("index", "remove", "our-trainers").returncode == 2


def test_a_library_of_this_environment(cache: Path) -> None:
    result = run("index", "add", "click")
    assert result.returncode == 0, result.stderr
    assert "takes" in run("index", "show", "click.echo").stdout
    assert cache.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "trll"), "did you mean trl?"),
        (("show", "trl.SFTConfg"), "did you mean SFTConfig?"),
        (("show", "trl.SFTConfig", "--version", "0.0.1"), "trl 0.0.1 is not in the index"),
        (("show", "trl.SFTConfig", "--version", "new"), "is no version"),
        (("diff", "trl", "1.0.0", "99"), "trl 99 is not in the index"),
        (("diff", "trl", "1.0.0", "1.1.0", "--only", "remove"), "did you mean removed?"),
        (("add", "no-such-package-here"), "is not installed here"),
        (("add", "click==0.0.1"), "is installed here, not 0.0.1"),
        (("add", "a b"), "is no package"),
        (("add", "click", "--wheel", "x.whl", "--fetch"), "exclude each other"),
        (("remove", "trl"), "not in your own index"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_mistakes_are_said(words: tuple[str, ...], said: str) -> None:
    result = run("index", *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_broken_wheel_is_said(tmp_path: Path, cache: Path, content: bytes) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    path.write_bytes(content)
    result = run("index", "add", "x", "--wheel", str(path))
    assert result.returncode == 2
    assert "is no wheel that can be read" in result.stderr
    assert not (cache / "index.bin").exists()


def test_a_wheel_without_python_is_said(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.0.dist-info/METADATA", "Name: x\nVersion: 1.0\n")
    result = run("index", "add", "x", "--wheel", str(path))
    assert result.returncode == 2
    assert "no Python modules" in result.stderr
    assert not cache.exists()


def test_a_damaged_index_of_the_user_is_said(cache: Path) -> None:
    cache.mkdir()
    (cache / "index.bin").write_bytes(b"damaged")
    result = run("index", "list")
    assert result.returncode == 2
    assert str(cache / "index.bin") in result.stderr
