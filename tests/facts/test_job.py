from __future__ import annotations

import base64
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard.facts.job import JobFacts, declared_distributions, read_job, with_pep723
from trainguard.facts.pep723 import read_pep723

SCRIPT = "import trl\nprint(trl)\n"
KEYS = ["operation", "script", "script_args", "command", "image", "dependencies", "with", "python", "hardware_flavor",
        "flavor", "hardware", "timeout", "env", "secrets", "schedule", "volumes", "trackio_space_id", "trackio_project",
        "token_injected", "remote", "local", "backend", "labels", "name", "namespace"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["hf://a/b:/c", "A=1", "trl>=1, torch", "2h", "run", "python train.py", "[1]", "{}", ">=3.1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=10))
def test_any_json_value_is_read(arguments: dict[str, Any]) -> None:
    job = read_job(arguments)
    assert job.python_version.startswith("3.")
    assert job.timeout_seconds is not None or job.timeout_error is not None
    declared_distributions(job)
    block = read_pep723("# /// script\n# dependencies = ['trl']\n# [tool.hf-jobs]\n# flavor = 'l4x1'\n# ///\n")
    with_pep723(job, block, use_hf_jobs_table=True)


@pytest.mark.parametrize("arguments", [None, 3, "run", [], [1], float("nan"), b"x", object()])
def test_what_is_no_mapping_is_not_checked(arguments: object) -> None:
    job = read_job(arguments)
    assert not job.checked
    assert job.problems


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timeout": [1]}, ()),
        ({"env": 3}, ("env",)),
        ({"secrets": 3.5}, ("secrets",)),
        ({"dependencies": {"trl": "1"}}, ("dependencies",)),
        ({"dependencies": ["trl", 3]}, ("dependency",)),
        ({"hardware_flavor": ["a10g"]}, ("hardware_flavor",)),
        ({"script": 3}, ("script",)),
        ({"command": {"a": 1}}, ("command",)),
        ({"volumes": [3]}, ("volume",)),
    ],
)
def test_wrong_types_are_named(arguments: dict[str, Any], words: tuple[str, ...]) -> None:
    job = read_job(arguments)
    for word in words:
        assert any(word in problem for problem in job.problems)


@pytest.mark.parametrize(
    ("operation", "checked"),
    [("run", True), ("scheduled run", True), ("Scheduled_Run", True), ("uv run", True), (None, True), ("", True),
     ("ps", False), ("logs", False), ("scheduled ps", False), ("cancel", False), (3, False), ("scheduled delete",
     False)],
)  # fmt: skip
def test_only_runs_are_checked(operation: object, checked: bool) -> None:
    assert read_job({"operation": operation, "script": SCRIPT}).checked is checked


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (SCRIPT, "inline"), ("import torch; print(1)", "inline"), ("print('hi')", "inline"), ("train.py", "path"),
        ("/home/me/my script.py", "path"), ("C:\\x\\train.py", "path"), ("trl/scripts/sft.py", "path"),
        ("https://x.org/sft.py", "url"), ("lighteval", "command"), ("train.py\n", "path"),
    ],
)  # fmt: skip
def test_kinds_of_scripts(script: str, kind: str) -> None:
    assert read_job({"script": script}).script_kind == kind


def test_a_program_as_script_is_a_command() -> None:
    job = read_job({"script": "trl", "script_args": ["sft", "--model", "m"]})
    assert job.command is not None
    assert job.command.launches[0].subcommand == "sft"
    assert not job.docker_mode


@pytest.mark.parametrize("key", ["hardware_flavor", "flavor", "hardware"])
def test_every_name_of_the_flavor(key: str) -> None:
    job = read_job({key: "a10g-large"})
    assert job.flavor is not None
    assert job.flavor_given
    assert job.flavor.total_gpu_memory_gb == 24


def test_defaults() -> None:
    job = read_job({"script": SCRIPT})
    assert (job.flavor_name, job.flavor_given) == ("cpu-basic", False)
    assert (job.timeout_seconds, job.timeout_given) == (1800, False)
    assert job.python_version == "3.12"
    assert job.image == "ghcr.io/astral-sh/uv:python3.12-bookworm"
    assert read_job({"command": ["python"]}).image == "python:3.12"
    assert job.remote
    assert not job.dependencies_given
    assert JobFacts().timeout_seconds == 1800


@pytest.mark.parametrize(
    ("timeout", "given_", "seconds"),
    [(None, False, 1800), ("", False, 1800), (0, True, 1800), ("0h", True, 0), (90, True, 90), ("2H", True, None),
     (False, True, None), (float("nan"), True, None)],
)  # fmt: skip
def test_timeouts(timeout: object, given_: bool, seconds: float | None) -> None:
    job = read_job({"timeout": timeout})
    assert (job.timeout_given, job.timeout_seconds) == (given_, seconds)
    assert (job.timeout_error is not None) is (seconds is None)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("trl", ["trl"]),
        ("trl, peft torch", ["trl", "peft", "torch"]),
        ("trl[vllm,peft]>=1,<2, torch", ["trl", "torch"]),
        ("trl >= 1.0, datasets", ["trl", "datasets"]),
        ('["trl", "torch"]', ["trl", "torch"]),
        ("trl\npeft\n", ["trl", "peft"]),
        (["Flash_Attn==2.8"], ["flash-attn"]),
        (["trl; python_version < '3.13'"], ["trl"]),
        (("trl", "", " "), ["trl"]),
        ([], []),
    ],
)
def test_dependencies_in_every_shape(value: object, names: list[str]) -> None:
    job = read_job({"script": SCRIPT, "dependencies": value})
    assert [requirement.name for requirement in job.dependencies] == names
    assert job.dependencies_given
    assert job.problems == ()


def test_extras_and_bounds_of_a_requirement() -> None:
    (one,) = read_job({"dependencies": ["trl[vllm,PEFT]>=1.0,<2"]}).dependencies
    assert one.key == "trl[peft,vllm]"
    assert one.specifier == ">=1.0,<2"
    assert one.bounded
    (other,) = read_job({"dependencies": ["trl>=1.0"]}).dependencies
    assert not other.bounded


@pytest.mark.parametrize(
    ("secrets", "names"),
    [({"HF_TOKEN": "$HF_TOKEN"}, {"HF_TOKEN"}), (["HF_TOKEN", "WANDB_API_KEY=x"], {"HF_TOKEN", "WANDB_API_KEY"}),
     ("HF_TOKEN", {"HF_TOKEN"}), ("HF_TOKEN,WANDB_API_KEY", {"HF_TOKEN", "WANDB_API_KEY"}), (None, set()),
     ('{"HF_TOKEN": "x"}', {"HF_TOKEN"}), ([{"name": "HF_TOKEN", "value": "x"}], {"HF_TOKEN"})],
)  # fmt: skip
def test_secrets_in_every_shape(secrets: object, names: set[str]) -> None:
    job = read_job({"secrets": secrets})
    assert job.secrets == names
    assert job.has_token is ("HF_TOKEN" in names)


def test_secret_values_are_not_in_the_representation() -> None:
    job = read_job({"secrets": {"HF_TOKEN": "hf_" + "a" * 34}})
    assert job.secret_values["HF_TOKEN"].startswith("hf_")
    assert "hf_a" not in repr(job)


def test_secrets_are_not_written_out_in_the_command() -> None:
    token = "hf_" + "a" * 34
    job = read_job({"command": "python train.py $HF_TOKEN $N", "secrets": {"HF_TOKEN": token}, "env": {"N": "3"}})
    assert job.command is not None
    assert job.command.launches[0].argv == ("python", "train.py", "$HF_TOKEN", "3")
    job = read_job({"command": "python train.py $MY_API_KEY", "env": {"MY_API_KEY": token}})
    assert job.command is not None
    assert job.command.launches[0].argv[-1] == "$MY_API_KEY"


def test_a_script_shipped_in_a_secret_is_read() -> None:
    encoded = base64.b64encode(b"import trl\n").decode()
    command = ["bash", "-c", "echo $UV_SCRIPT_ENCODED | base64 -d > /tmp/s.py && uv run /tmp/s.py"]
    job = read_job({"command": command, "secrets": {"UV_SCRIPT_ENCODED": encoded}})
    assert job.command is not None
    assert job.command.inline_sources == ("import trl\n",)


def test_the_command_may_log_in() -> None:
    assert read_job({"command": "hf auth login --token x && python t.py"}).has_token
    assert read_job({"command": "export HF_TOKEN=$T; python t.py"}).has_token
    assert not read_job({"command": "python t.py"}).has_token


def test_environment_and_monitoring() -> None:
    job = read_job({"env": {"A": 1, "TRACKIO_PROJECT": "mine"}, "trackio_space_id": "o/s", "trackio_project": "p"})
    assert job.env == {"A": "1", "TRACKIO_PROJECT": "mine", "TRACKIO_SPACE_ID": "o/s"}
    assert read_job({"env": ["A=1", "B=x=y"]}).env == {"A": "1", "B": "x=y"}
    assert read_job({"token_injected": True}).has_token


@pytest.mark.parametrize(
    ("volumes", "kind", "mount", "read_only"),
    [
        (["hf://buckets/o/b:/mnt"], "bucket", "/mnt", False),
        ("hf://buckets/o/b/sub:/mnt:ro", "bucket", "/mnt", True),
        (["hf://o/m:/data:rw"], "model", "/data", True),
        (["hf://datasets/o/d@main/train:/d"], "dataset", "/d", True),
        ([{"type": "bucket", "source": "o/b", "mount_path": "/x"}], "bucket", "/x", False),
        ([{"type": "dataset", "source": "o/b", "mountPath": "/x", "readOnly": False}], "dataset", "/x", True),
        ({"type": "bucket", "source": "o/b", "mountPath": "/x"}, "bucket", "/x", False),
        ({"/x": "hf://buckets/o/b"}, "bucket", "/x", False),
        ({"hf://buckets/o/b": "/x"}, "bucket", "/x", False),
        (["./data:/data"], "local", "/data", True),
    ],
)
def test_volumes(volumes: object, kind: str, mount: str, read_only: bool) -> None:
    (volume,) = read_job({"volumes": volumes}).volumes
    assert (volume.kind, volume.mount_path, volume.read_only) == (kind, mount, read_only)


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        ({"python": "3.11"}, "3.11"), ({"python": "python3.10"}, "3.10"), ({"python": "3.11.4"}, "3.11"),
        ({"python": 3.13}, "3.13"), ({"python": ">=3.10"}, "3.12"), ({"python": "<3.12"}, "3.11"),
        ({"python": "cpython-3.13"}, "3.13"), ({"python": "garbage"}, "3.12"), ({"python": "python312"}, "3.12"),
        ({"command": ["x"], "image": "python:3.10-slim"}, "3.10"), ({"image": "ghcr.io/astral-sh/uv:python3.13"},
        "3.13"),
        ({"image": "x/y:2.1-py310-cuda"}, "3.10"), ({"image": "pytorch/pytorch:2.6.0-cuda12"}, "3.12"),
        ({"python": "3.11", "image": "python:3.10"}, "3.11"), ({"python": ">=3.13"}, "3.14"), ({"python": ">=9"},
        "3.12"),
    ],
)  # fmt: skip
def test_the_python_of_the_job(arguments: dict[str, Any], version: str) -> None:
    assert read_job(arguments).python_version == version


def test_an_enum_member_is_its_value() -> None:
    class Hardware(str, Enum):  # noqa: UP042 - as JobHardware of the hub client is
        BIG = "a100-large"

    assert read_job({"flavor": Hardware.BIG}).flavor_name == "a100-large"


def test_the_block_of_the_script_adds_and_the_arguments_win() -> None:
    block = read_pep723(
        "# /// script\n# dependencies = ['peft']\n# requires-python = '<3.12'\n# [tool.hf-jobs]\n# flavor = 'h200'\n"
        "# timeout = '3h'\n# secrets = ['HF_TOKEN']\n# env = { A = '1', B = '2' }\n"
        "# volumes = ['hf://buckets/o/b:/out']\n# ///\n"
    )
    job = read_job({"script": SCRIPT, "dependencies": ["trl"], "timeout": "1h", "env": {"A": "0"}})
    plain = with_pep723(job, block)
    assert [requirement.name for requirement in plain.dependencies] == ["trl", "peft"]
    assert plain.python_version == "3.11"
    assert (plain.flavor_name, plain.timeout_seconds) == ("cpu-basic", 3600)
    merged = with_pep723(job, block, use_hf_jobs_table=True)
    assert (merged.flavor_name, merged.timeout_seconds) == ("h200", 3600)
    assert merged.env == {"A": "0", "B": "2"}
    assert merged.has_token
    assert merged.volumes[0].mount_path == "/out"
    assert "flavor_name" in merged.from_script
    assert "timeout_seconds" not in merged.from_script
    assert with_pep723(job, None) is job


def test_what_a_job_has_installed() -> None:
    declared = declared_distributions(read_job({"script": SCRIPT, "dependencies": ["trl"]}))
    assert declared.complete
    assert declared.has("torch")
    assert declared.has("datasets")
    assert not declared.has("peft")
    assert declared.direct == {"trl"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": "pip install -r requirements.txt && python train.py"},
        {"command": "python train.py", "image": "me/own:latest"},
        {"command": "python train.py", "image": "hf.co/spaces/me/space"},
        {"script": SCRIPT, "dependencies": ["trl", "some-private-package-xyz"]},
        {"script": SCRIPT, "dependencies": ["./dist.tar.gz"]},
        {"script": SCRIPT, "image": "unsloth/unsloth:latest"},
    ],
)
def test_what_cannot_be_told_is_incomplete(arguments: dict[str, Any]) -> None:
    declared = declared_distributions(read_job(arguments))
    assert not declared.complete
    assert declared.unknown


def test_installations_by_the_script_and_the_command_count() -> None:
    job = read_job({"command": "pip install trl && python train.py", "image": "pytorch/pytorch:2.9.0"})
    declared = declared_distributions(job, ["peft>=0.10", "bitsandbytes"])
    assert declared.complete
    assert declared.has("trl")
    assert declared.has("bitsandbytes")
    assert declared.has("torchvision")
    assert not declared.has("wandb")
