"""From requirements to versions: as pip and uv choose, and silent where the index does not decide."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.libraries.release_records import recorded_releases

from trainguard.libraries.api.records import Release
from trainguard.libraries.resolution import Resolution, resolve
from trainguard.libraries.resolution_metadata import admits_outside, read_wanted

# What pip 26.3 and uv 0.13.9 answered on 2026-11-21 with all of PyPI before them, and pip with an index of nothing
# but the recorded releases ("pip, offline"): rows of installer, Python, requirements, and the versions of the indexed
# libraries, null where the installer found no solution. Answers cut short by a broken connection are left out.
RECORDED: list[Any] = json.loads(Path(__file__).with_name("resolved.json").read_text("utf-8"))

# Where little is told, since installers differ.
DISPUTED: dict[tuple[str, ...], set[str]] = {
    ("huggingface-hub==0.36.0", "trl"): {"trl", "datasets", "transformers", "accelerate", "huggingface_hub"},
}


def resolved(*requirements: str, **options: Any) -> Resolution:
    return resolve(requirements, recorded_releases(), **options)


@pytest.mark.parametrize(("installer", "python", "requirements", "versions"), RECORDED)
def test_agrees_with_an_installer(
    installer: str, python: str, requirements: list[str], versions: dict[str, str] | None
) -> None:
    found = resolved(*requirements, python=python)
    if versions is None:
        assert found.conflict is not None
        assert not found.versions
        return
    assert found.conflict is None
    # What cannot be told is left out, and then the installer may have chosen anything.
    assert found.versions == {name: version for name, version in versions.items() if name not in found.unknown}
    assert versions.keys() == found.versions.keys() | found.unknown.keys()
    if found.unknown.keys() <= DISPUTED.get(tuple(requirements), set()):
        return
    if not any("sentence-transformers" in text or "vllm" in text or "unsloth" in text for text in requirements):
        assert not found.unknown


def test_nothing_asked_is_nothing_installed() -> None:
    assert resolved() == Resolution()
    assert resolved("torch", "numpy<2") == Resolution()


def test_names_are_those_of_distributions_and_the_answer_those_of_imports() -> None:
    assert resolved("HuggingFace.Hub==0.36.0").versions == {"huggingface_hub": "0.36.0"}


def test_says_which_requirement_decided() -> None:
    why = resolved("trl==0.12.2").why
    assert (why["trl"].text, why["trl"].newest) == ("trl==0.12.2", False)
    assert why["transformers"].text == "transformers<4.47.0 (of trl 0.12.2)"
    assert (why["accelerate"].by, why["accelerate"].newest) == ("trl 0.12.2", True)


@pytest.mark.parametrize(
    ("requirements", "unknown"),
    [
        (["git+https://github.com/huggingface/transformers"], "transformers"),
        (["transformers @ git+https://github.com/huggingface/transformers@main"], "transformers"),
        (["transformers @ file:///tmp/transformers"], "transformers"),
        (["./dist/trl-1.17.0.dev0-py3-none-any.whl"], "trl"),
        (["trl==99.0"], "trl"),
        (["trl==0.3.1"], "trl"),
        (["trl==0.12.1.post7"], "trl"),
        (["trl>=2"], "trl"),
        (["trl<0.5"], "trl"),
        (["transformers==5.0.0rc1"], "transformers"),
    ],
)
def test_a_release_outside_the_index_is_unknown(requirements: list[str], unknown: str) -> None:
    found = resolved(*requirements)
    assert found.conflict is None
    assert unknown in found.unknown
    assert unknown not in found.versions


def test_what_depends_on_an_unknown_release_is_unknown_unless_pinned() -> None:
    found = resolved("git+https://github.com/huggingface/transformers", "trl", "safetensors==0.7.0")
    assert found.versions == {"trl": "1.16.0", "accelerate": "1.15.0", "datasets": "5.2.0", "safetensors": "0.7.0"}
    assert found.unknown.keys() == {"transformers", "huggingface_hub"}


@pytest.mark.parametrize("unreadable", ["-e .", ".", "git+ssh://git@example.org/team/tools.git"])
def test_what_cannot_be_read_may_hold_back_all_but_pins(unreadable: str) -> None:
    found = resolved(unreadable, "trl==1.0.0", "peft")
    assert found.versions == {"trl": "1.0.0"}
    assert {"peft", "transformers", "accelerate", "datasets", "huggingface_hub", "safetensors"} == found.unknown.keys()


def test_packages_known_to_hold_back() -> None:
    assert resolved("unsloth", "trl").unknown["trl"] == "unsloth may hold it back"
    assert "transformers" in resolved("trl[vllm]").unknown
    assert not resolved("evaluate", "trl", "torch", "wandb").unknown
    assert "datasets" in resolved("evaluate<0.2", "datasets").unknown


def test_other_packages_that_the_job_pins_count() -> None:
    """The recorded releases say nothing of packages beside the libraries; these do."""
    releases = {
        "transformers": (
            Release(version="4.40.0", requires=("tokenizers<0.20,>=0.19", "numpy>=1.17")),
            Release(version="5.0.0", requires=("tokenizers<0.24,>=0.23.1", "numpy>=2")),
        )
    }
    for beside, version in (
        ("tokenizers==0.19.1", "4.40.0"), ("tokenizers<0.20", "4.40.0"), ("tokenizers~=0.23.2", "5.0.0"),
        ("tokenizers>=0.20", "5.0.0"), ("numpy<2", "4.40.0"), ("numpy==1.26.*", "4.40.0"), ("numpy>=1.2", "5.0.0"),
    ):  # fmt: skip
        assert resolve(["transformers", beside], releases).versions == {"transformers": version}
    impossible = resolve(["transformers==5.0.0", "numpy<2"], releases)
    assert (impossible.conflict, dict(impossible.versions)) == (None, {"transformers": "5.0.0"})


def test_extras_that_the_index_says_nothing_of() -> None:
    bare = {
        name: tuple(replace(r, requires=tuple(t for t in r.requires if "extra" not in t)) for r in found)
        for name, found in recorded_releases().items()
    }
    found = resolve(["trl[peft]"], bare)
    assert found.versions["trl"] == "1.16.0"
    assert found.unknown == {"peft": "trl[peft] decides about it"}
    assert resolve(["trl[peft]", "peft==0.18.0"], bare).versions["peft"] == "0.18.0"


def test_a_dependency_newer_than_the_index_is_unknown_and_holds_nothing_back() -> None:
    releases = {
        "a": (Release(version="1.0", requires=("b>=1",)), Release(version="2.0", requires=("b>=3",))),
        "b": (Release(version="1.0"), Release(version="2.0")),
    }
    found = resolve(["a"], releases)
    assert found.unknown["b"] == "b 2.0 or newer is a release that the index does not know"
    assert found.conflict is None


def test_a_password_in_an_address_is_not_repeated() -> None:
    found = resolved("trl @ git+https://ann:hunter2@example.org/trl")
    assert "hunter2" not in str(found)


def test_yanked_releases_are_taken_only_when_pinned() -> None:
    assert resolved("transformers==4.46.0").versions["transformers"] == "4.46.0"
    assert resolved("transformers>=4.45.2,<4.46.1").versions["transformers"] == "4.45.2"


def test_exclude_newer() -> None:
    found = resolved("trl", exclude_newer=date(2025, 1, 31))
    assert (found.versions["trl"], found.versions["transformers"]) == ("0.14.0", "4.48.2")
    assert "trl" in resolved("trl", exclude_newer=date(2020, 1, 1)).unknown
    conflict = resolved("trl==1.16.0", exclude_newer=date(2026, 1, 31)).conflict
    assert conflict is not None
    assert conflict.kind == "date"
    assert conflict.words == (
        "trl==1.16.0 was published on 2026-10-15, but the job takes nothing newer than 2026-01-31 (exclude-newer)"
    )


def test_what_is_installed_stays_where_it_fits() -> None:
    there = {"transformers": "4.57.1", "huggingface_hub": "0.36.0", "trl": "0.24.0", "datasets": "4.3.0"}
    kept = resolved("trl", installed=there).versions
    assert (kept["trl"], kept["transformers"], kept["accelerate"]) == ("0.24.0", "4.57.1", "1.15.0")
    newer = resolved("trl<1", installed=there, upgrade=True).versions
    assert (newer["trl"], newer["transformers"]) == ("0.29.1", "4.57.1")
    moved = resolved("transformers>=5", installed=there).versions
    assert (moved["transformers"], moved["huggingface_hub"]) == ("5.23.0", "2.4.0")
    assert resolved("trl", dependencies=False).versions == {"trl": "1.16.0"}


def test_what_may_be_installed_is_unknown_unless_pinned_or_upgraded() -> None:
    maybe = dict.fromkeys(recorded_releases())
    assert not resolved("trl", installed=maybe).versions
    assert resolved("trl==1.0.0", installed=maybe).versions == {"trl": "1.0.0"}
    assert resolved("trl", installed=maybe, upgrade=True).versions == {"trl": "1.16.0"}


def test_markers_are_those_of_the_jobs_python_on_linux() -> None:
    text = "trl==1.0.0; python_version >= '3.12' and sys_platform == 'linux'"
    assert "trl" in resolved(text, python="3.12").versions
    assert resolved(text, python="3.11") == Resolution()
    assert resolved("trl>=1 ; platform_system == 'Darwin'") == Resolution()


CONFLICTS = [
    (("trl==0.12.2", "transformers>=5"), "3.12", "versions",
     "trl==0.12.2 needs transformers<4.47.0 (its own metadata), but the job asks for transformers>=5",
     ("trl>=0.13.0", "transformers<4.47.0")),
    (("trl==1.16.0",), "3.10", "python",
     "trl==1.16.0 needs Python >=3.11 (its own metadata), but the job runs Python 3.10",
     ("trl==1.14.2", "Python >=3.11")),
    (("trl>=1.0", "trl<0.9"), "3.12", "versions", "the job asks for trl>=1.0 and for trl<0.9, which exclude each other",
     ()),
    (("trl==1.16.0", "transformers==4.20"), "3.12", "versions",
     "trl==1.16.0 needs transformers>=4.56.2 (its own metadata), but the job asks for transformers==4.20",
     ("transformers>=4.56.2",)),
    (("transformers>=5", "peft", "huggingface_hub<1"), "3.12", "versions",
     "transformers>=5 needs huggingface-hub<3.0,>=1.31.0 (transformers 5.23.0; its other releases exclude it too), but "
     "the job asks for huggingface_hub<1", ("transformers==4.57.6", "huggingface-hub==2.4.0")),
    (("trackio==0.43.0", "transformers==4.57.1"), "3.12", "versions",
     "trackio==0.43.0 and transformers==4.57.1 cannot be installed together: trackio 0.43.0 needs "
     "huggingface-hub<3,>=1.10.0; transformers 4.57.1 needs huggingface-hub<1.0,>=0.34.0",
     ("trackio==0.20.2", "transformers==5.23.0")),
]  # fmt: skip


@pytest.mark.parametrize(("requirements", "python", "kind", "words", "remedies"), CONFLICTS)
def test_conflicts_in_words(
    requirements: tuple[str, ...], python: str, kind: str, words: str, remedies: tuple[str, ...]
) -> None:
    conflict = resolved(*requirements, "bitsandbytes", "torch", python=python).conflict
    assert conflict is not None
    assert (conflict.kind, conflict.words, conflict.remedies) == (kind, words, remedies)
    assert set(conflict.requirements) <= set(requirements)


@pytest.mark.parametrize(("requirements", "python", "kind", "words", "remedies"), CONFLICTS)
def test_every_remedy_resolves(
    requirements: tuple[str, ...], python: str, kind: str, words: str, remedies: tuple[str, ...]
) -> None:
    for remedy in remedies:
        wanted = read_wanted(remedy)
        if remedy.startswith("Python "):
            assert resolved(*requirements, python=remedy.removeprefix("Python >=")).conflict is None
            continue
        assert wanted is not None
        changed = [text for text in requirements if read_wanted(text).name != wanted.name]  # type: ignore[union-attr]
        found = resolved(*changed, remedy, python=python)
        assert found.conflict is None
        assert not found.unknown


@pytest.mark.parametrize(
    "requirements",
    [
        ("transformers", "huggingface-hub>=3"),  # a transformers that takes it may be out by then
        ("trl==0.12.2", "transformers<4"),  # no lower bound in that release
        ("trl==99.0", "transformers<4"),
        ("trl>=0.12.2,!=0.13.0,<0.13.0.1", "transformers>=4"),
        ("trl @ https://example.org/trl.zip", "transformers<4"),
    ],
)
def test_no_conflict_where_other_releases_might_do(requirements: tuple[str, ...]) -> None:
    assert resolved(*requirements).conflict is None


@pytest.mark.parametrize(
    ("specifier", "older", "newer"),
    [
        ("", True, True), (">=1.0", False, True), (">=0.5", True, True), (">=9", False, True), ("<1", True, False),
        ("<=1.0", True, False), ("<9", True, True), ("==0.1", True, False), ("==9.1", False, True),
        ("==1.2", False, False), ("~=0.1.0", True, False), ("~=9.0", False, True), ("==9.*", False, True),
        ("==0.1.*", True, False), ("!=1.0", True, True), (">=0.1,<0.5", True, False),
    ],
)  # fmt: skip
def test_ranges_that_reach_beyond_the_index(specifier: str, older: bool, newer: bool) -> None:
    """The index holds 0.7 to 5.0. A lower bound within it excludes what is older."""
    assert admits_outside(specifier, "older", "0.7") is older
    assert admits_outside(specifier, "newer", "5.0") is newer


def test_a_hostile_text_is_no_requirement() -> None:
    hostile = ["trl" * 3000, "trl[" + "a," * 3000, "trl==" + "1." * 3000, "[" * 5000, "trl >=" + "=" * 500, "\x00", ""]
    for text in hostile:
        started = time.perf_counter()
        resolved(text)
        assert time.perf_counter() - started < 2


def test_a_search_without_end_is_given_up() -> None:
    """Every release of each library refuses all releases of the next: nothing is known, and soon."""
    releases = {
        f"lib{i}": tuple(
            Release(version=f"1.{j}", requires=(f"lib{(i + 1) % 6}=={(j * 7 + i) % 40}.5", f"lib{(i + 2) % 6}"))
            for j in range(40)
        )
        for i in range(6)
    }
    started = time.perf_counter()
    found = resolve([f"lib{i}" for i in range(6)], releases)
    assert time.perf_counter() - started < 20
    assert not found.versions


def test_is_fast_once_warm() -> None:
    resolved("trl", "peft")
    started = time.process_time()
    for _ in range(20):
        resolved("trl", "peft")
    assert (time.process_time() - started) / 20 < 0.02  # 1.3 ms of processor time where it was written
