"""Where the text comes from: wheels and their metadata."""

from __future__ import annotations

import zipfile

import pytest

from trainguard.indexing.metadata import parse_release, read_release
from trainguard.indexing.sources import Source, folder_sources, installed_sources, is_skipped, wheel_sources

METADATA = """\
Metadata-Version: 2.1
Name: lib
Version: 1.2.3
Requires-Python: >=3.10
Requires-Dist: torch>=2.0
Requires-Dist: numpy; python_version < "3.12"
Requires-Dist: pytest; extra == "dev"

Text.
"""


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "lib-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("lib/__init__.py", "x = 1")
        file.writestr("lib/sub/m.py", "y = 1")
        file.writestr("lib/tests/test_m.py", "z = 1")
        file.writestr("lib/not-a-module.py", "")
        file.writestr("lib/data.txt", "")
        file.writestr("lib-1.2.3.dist-info/METADATA", METADATA)
    return path


def test_the_modules_of_a_wheel(wheel):
    assert list(wheel_sources(wheel)) == [
        Source("lib", True, "x = 1"),
        Source("lib.sub.m", False, "y = 1"),
        Source("lib.tests.test_m", False, ""),  # known to exist, not read
    ]


def test_the_modules_of_a_folder(tmp_path, wheel):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    assert sorted(folder_sources(tmp_path / "site", "lib")) == sorted(wheel_sources(wheel))


def test_the_modules_of_an_installed_distribution():
    assert Source("packaging", True, "") in [source._replace(text="") for source in installed_sources("packaging")]


def test_a_release(wheel):
    release = read_release(wheel, date="2026-01-02", yanked=True)
    assert (release.version, release.date, release.python, release.yanked) == ("1.2.3", "2026-01-02", ">=3.10", True)
    assert release.requires == ("torch>=2.0", 'numpy; python_version < "3.12"')


def test_a_release_without_requirements():
    assert parse_release("Name: lib\nVersion: 1\n").requires == ()


def test_what_is_not_read():
    assert is_skipped("transformers.models.llama.modular_llama")
    assert is_skipped("transformers.utils.dummy_pt_objects")
    assert is_skipped("lib.tests.test_m")
    assert not is_skipped("transformers.convert_slow_tokenizer")
    assert not is_skipped("lib.commands.test")
