"""What a job has installed when its script starts, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.libraries.release_records import recorded_releases

from trainguard.asking import Options, ask
from trainguard.facts.api import ApiFacts
from trainguard.facts.image_releases import image_releases
from trainguard.facts.install_steps import installation
from trainguard.facts.installed import installed_versions
from trainguard.facts.job import JobFacts, read_job, with_pep723
from trainguard.facts.script import ScriptFacts, read_script
from trainguard.libraries.resolution_records import Resolution
from trainguard.rules.api.unsatisfiable_versions import UnsatisfiableVersions
from trainguard.rules.base import Example, Subject

NEWEST = {
    "accelerate": "1.15.0",
    "datasets": "5.2.0",
    "huggingface_hub": "2.4.0",
    "safetensors": "0.8.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
}


def block(*lines: str) -> str:
    return "\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///", "import trl", ""])


def read(job: Mapping[str, Any] | None, script: str | None = None) -> tuple[JobFacts | None, ScriptFacts | None]:
    facts = read_script(script) if script is not None else None
    found = read_job({"script": script, **job} if script is not None else job) if job is not None else None
    if found is not None and facts is not None:
        found = with_pep723(found, facts.pep723)
    return found, facts


def installed(job: Mapping[str, Any] | None, script: str | None = None, *, stated: bool = True) -> Resolution:
    return installed_versions(*read(job, script), recorded_releases(), stated=stated)


def command(text: str, **more: Any) -> Resolution:
    return installed({"command": text, **more})


def test_a_script_alone_is_assumed_to_run_with_the_newest_of_what_it_imports() -> None:
    found = installed(None, "import os\nimport torch\nfrom trl import SFTTrainer\nfrom peft.tuners import lora\n")
    assert found.assumed
    assert found.versions == {**NEWEST, "peft": "0.21.2"}
    assert installed(None, "import torch\n") == Resolution(assumed=True)
    assert installed({}, "import trl\n", stated=False).assumed
    assert installed({"local": True}, "import trl\n").assumed
    assert not installed({"local": True, "dependencies": ["trl"]}, "import trl\n").assumed


def test_a_job_without_dependencies_has_none() -> None:
    assert installed({}, "import trl\n") == Resolution()
    assert installed({"command": ["python", "train.py"], "image": "pytorch/pytorch:2.6.0"}) == Resolution()


def test_the_jobs_dependencies() -> None:
    assert installed({"dependencies": ["trl"]}, "import trl\n").versions == NEWEST
    found = installed({"dependencies": "trl==0.24.0, transformers<5", "python": "3.10"}, "import trl\n")
    assert (found.versions["trl"], found.versions["transformers"]) == ("0.24.0", "4.57.6")


def test_the_scripts_block_with_its_date_and_its_sources() -> None:
    dated = block('dependencies = ["trl"]', "[tool.uv]", 'exclude-newer = "2025-01-31"')
    assert installed(None, dated).versions["trl"] == "0.14.0"
    assert installed({}, dated).versions["transformers"] == "4.48.2"
    midnight = block('dependencies = ["trl==0.14.0"]', "[tool.uv]", 'exclude-newer = "2025-01-29T00:00:00Z"')
    assert "trl" in installed(None, midnight).unknown
    source = block(
        'dependencies = ["trl", "transformers"]',
        "[tool.uv.sources]",
        'transformers = { git = "https://github.com/huggingface/transformers" }',
    )
    assert installed(None, source).versions.keys() == {"trl", "accelerate", "datasets"}
    constrained = block('dependencies = ["trl==1.0.0"]', "[tool.uv]", 'constraint-dependencies = ["transformers<5.2"]')
    assert installed(None, constrained).versions == {"trl": "1.0.0"}
    relative = block('dependencies = ["trl"]', "[tool.uv]", 'exclude-newer = "1 week"')
    assert not installed(None, relative).versions


def test_python_of_the_block() -> None:
    assert installation(*read(None, block('requires-python = ">=3.10,<3.11"'))).python == "3.10"
    old = installed(None, block('requires-python = "==3.10.*"', 'dependencies = ["trl"]'))
    assert old.versions["trl"] == "1.14.2"


def test_the_launchers_packages_lie_over_those_of_the_block() -> None:
    found = installed({"dependencies": ["trl==0.24.0"]}, block('dependencies = ["trl==0.12.2", "transformers<5"]'))
    assert found.conflict is None
    assert (found.versions["trl"], found.versions["transformers"]) == ("0.24.0", "5.23.0")  # as uv has it


def test_installations_act_one_after_another() -> None:
    both = command("pip install trl==0.12.2 && pip install -U 'transformers>=5' && python train.py")
    assert both.conflict is None
    assert (both.versions["trl"], both.versions["transformers"]) == ("0.12.2", "5.23.0")
    assert command("pip install trl==0.12.2; pip install trl; python t.py").versions["trl"] == "0.12.2"
    assert command("pip install trl==0.12.2; pip install -U trl; python t.py").versions["trl"] == "1.16.0"
    assert command("uv pip install trl==0.12.2 --no-deps && python t.py").versions == {"trl": "0.12.2"}
    assert command("pip install trl --exclude-newer 2025-01-31 && python t.py").versions["trl"] == "0.14.0"
    together = command("uv run --with trl==0.20.0 --with 'transformers<5' t.py")
    assert (together.versions["trl"], together.versions["transformers"]) == ("0.20.0", "4.57.6")
    assert command("uv run --with trl==0.12.2 --with 'transformers>=5' t.py").conflict is not None


@pytest.mark.parametrize(
    "text",
    [
        "pip install -r requirements.txt && pip install trl==1.0.0 && python t.py",
        "pip install -e . && pip install trl==1.0.0 && python t.py",
        "pip install trl==1.0.0 transformers -c constraints.txt && python t.py",
        "pip install --pre trl==1.0.0 && python t.py",
        "pip install $EXTRA && pip install trl==1.0.0 && python t.py",
    ],
)
def test_what_cannot_be_read_leaves_only_pins(text: str) -> None:
    found = command(text)
    assert found.versions == {"trl": "1.0.0"}
    assert "transformers" in found.unknown


def test_a_pin_does_not_outlive_an_installation_that_cannot_be_read() -> None:
    assert not command("pip install trl==1.0.0 && pip install -r requirements.txt && python t.py").versions


def test_a_requirements_file_that_the_command_writes() -> None:
    text = "printf 'trl==0.24.0\\ntransformers<5\\n' > r.txt && pip install -r r.txt && python t.py"
    assert command(text).versions["transformers"] == "4.57.6"


@pytest.mark.parametrize(
    ("image", "releases"),
    [
        ("huggingface/trl:1.2.0", {"trl": "1.2.0"}),
        ("docker.io/huggingface/trl:1.2.0@sha256:abc", {"trl": "1.2.0"}),
        ("huggingface/trl:latest", {}),
        ("huggingface/trl", {}),
        ("huggingface/transformers-pytorch-gpu:4.46.3", {"transformers": "4.46.3"}),
        ("1.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-training:2.5.1-transformers4.49.0-gpu-py311-cu124",
         {"transformers": "4.49.0"}),
        ("us-docker.pkg.dev/deeplearning-platform-release/gcr.io/"
         "huggingface-pytorch-training-cu121.2-3.transformers.4-46-1.ubuntu2204.py310", {"transformers": "4.46.1"}),
        ("ann/trl:1.2.0", {}),
        (None, {}),
    ],
)  # fmt: skip
def test_images_that_state_a_release(image: str | None, releases: dict[str, str]) -> None:
    assert image_releases(image) == releases


def test_what_an_image_holds_stays() -> None:
    found = command("pip install peft && python t.py", image="huggingface/trl:1.2.0")
    assert found.versions == {"trl": "1.2.0"}
    assert "peft" in found.unknown
    assert command("pip install -U peft; python t.py", image="huggingface/trl:latest").versions == {"peft": "0.21.2"}
    assert not command("pip install trl; python t.py", image="ann/trainer:3").versions
    assert command("pip install trl; python t.py", image="python:3.12").versions == NEWEST
    assert "trl" not in command("python t.py", image="huggingface/trl:77.0.0").versions


def test_an_image_whose_python_is_not_known() -> None:
    """Newest releases that leave out Python 3.10 are not certain there."""
    found = command("pip install trl peft; python t.py", image="pytorch/pytorch:2.2.0-cuda12.1-cudnn8-runtime")
    assert found.versions["peft"] == "0.21.2"
    assert {"trl", "transformers"} <= found.unknown.keys()
    pinned = command("pip install trl==1.16.0; python t.py", image="pytorch/pytorch:2.2.0-cuda12.1-cudnn8-runtime")
    assert pinned.conflict is None


def test_a_python_with_which_the_installation_fails_runs_no_script() -> None:
    """trl 1.16.0 wants Python 3.11: an image that has it brings what newer ones bring too."""
    found = command("pip install trl==1.16.0 && python t.py", image="pytorch/pytorch:2.8.0-cuda12.8-cudnn9-devel")
    assert found.versions == NEWEST
    assert found.unknown == {}


def test_an_override_may_allow_what_contradicts_itself() -> None:
    text = block('dependencies = ["trl==0.12.2", "transformers>=5"]', "[tool.uv]", 'override-dependencies = ["torch"]')
    assert installed(None, text).conflict is None


def test_a_block_is_an_environment_of_its_own_for_uv_alone() -> None:
    script = block('dependencies = ["trl==1.0.0"]')
    uv = installed({"command": "pip install peft && uv run --with trl==0.20.0 t.py", "script": None}, None)
    assert uv.versions["peft"] == "0.21.2"
    facts = read_script(script)
    job = with_pep723(read_job({"command": "pip install peft && uv run t.py"}), facts.pep723)
    assert "peft" not in installed_versions(job, facts, recorded_releases()).versions
    job = with_pep723(read_job({"command": "pip install peft && python t.py"}), facts.pep723)
    assert "trl" not in installed_versions(job, facts, recorded_releases()).versions


def test_what_the_script_installs_itself_may_change_versions() -> None:
    found = installed({"dependencies": ["trl==1.0.0"]}, "import os\nos.system('pip install trl==0.12.2')\n")
    assert "trl" in found.unknown
    assert found.conflict is None
    added = installed({"dependencies": ["transformers"]}, "import os\nos.system('pip install peft==0.18.0')\n")
    assert added.versions["peft"] == "0.18.0"
    assert added.versions["transformers"] == "5.23.0"


def _asked(example: Example) -> list[tuple[int | None, str]]:
    job, script = read(example.job, example.script)
    resolution = installed_versions(job, script, recorded_releases())
    api = cast("ApiFacts", SimpleNamespace(resolution=resolution))
    answers = ask([UnsatisfiableVersions()], Subject(script=script, job=job, api=api), Options())
    assert not answers.errors
    return [(finding.where.line if finding.where else None, finding.message) for finding in answers.findings]


@pytest.mark.parametrize("example", [*UnsatisfiableVersions.VALID, *UnsatisfiableVersions.INVALID])
def test_examples_of_the_rule(example: Example) -> None:
    assert _asked(example) == list(example.findings)


@pytest.mark.parametrize("job", [{"dependencies": 7}, {"command": ["pip", "install"]}, {"dependencies": ["", "%"]}])
def test_nonsense_is_no_error(job: dict[str, Any]) -> None:
    assert not installed(job).versions
