from __future__ import annotations

import json
import sys
from importlib.resources import files

import pytest

from trainguard.libraries import options
from trainguard.libraries.packages import (
    brought_by,
    distribution_of,
    distributions_of,
    image_brings,
    image_name,
    image_surely_brings,
    is_known,
    is_stdlib,
)


@pytest.mark.parametrize(
    "name", ["", "os", "json", "distutils", "imp", "asyncore", "tomllib", "cgi", "telnetlib", "google"]
)
def test_modules_that_need_no_distribution(name: str) -> None:
    assert distribution_of(name) is None


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("yaml", "pyyaml"), ("PIL", "pillow"), ("PIL.Image", "pillow"), ("sklearn.metrics", "scikit-learn"),
        ("cv2", "opencv-python"), ("bs4", "beautifulsoup4"), ("flash_attn", "flash-attn"), ("dateutil",
        "python-dateutil"),
        ("google.protobuf", "protobuf"), ("google.cloud.storage", "google-cloud-storage"), ("trl", "trl"),
        ("torch.nn", "torch"), ("huggingface_hub", "huggingface-hub"), ("tensorboardX", "tensorboardx"),
        ("some_private_thing", "some-private-thing"), ("Levenshtein", "levenshtein"), ("rouge_score", "rouge-score"),
    ],
)  # fmt: skip
def test_the_distribution_of_an_import(name: str, distribution: str) -> None:
    assert distribution_of(name) == distribution


def test_several_distributions_may_do() -> None:
    assert "opencv-python-headless" in distributions_of("cv2")
    assert "lightning" in distributions_of("pytorch_lightning")


def test_the_standard_library_of_every_python() -> None:
    assert all(is_stdlib(name) for name in sys.stdlib_module_names)
    assert is_stdlib("distutils")
    assert is_stdlib("annotationlib")
    assert not is_stdlib("torch")


@pytest.mark.parametrize(
    ("declared", "absent"),
    [
        ("transformers", {"torch", "accelerate", "peft", "datasets", "bitsandbytes"}),
        ("datasets", {"torch", "transformers", "accelerate"}),
        ("trl", {"peft", "bitsandbytes", "wandb", "trackio", "vllm", "deepspeed", "liger-kernel", "flash-attn"}),
        ("accelerate", {"transformers", "datasets", "deepspeed"}),
        ("torch", {"torchvision", "transformers"}),
        ("nobody-knows-this", {"torch"}),
    ],
)
def test_what_is_not_brought(declared: str, absent: set[str]) -> None:
    assert brought_by([declared]).isdisjoint(absent)


@pytest.mark.parametrize(
    ("declared", "present"),
    [
        ("trl", {"accelerate", "datasets", "transformers", "torch", "numpy", "huggingface-hub", "pyarrow", "tqdm"}),
        (
            "transformers",
            {"huggingface-hub", "numpy", "packaging", "pyyaml", "regex", "tokenizers", "safetensors", "tqdm"},
        ),
        ("datasets", {"pyarrow", "pandas", "numpy", "fsspec", "dill", "multiprocess", "xxhash", "huggingface-hub"}),
        ("accelerate", {"torch", "psutil", "safetensors", "numpy"}),
        ("peft", {"torch", "transformers", "accelerate", "safetensors"}),
        ("trl[peft]", {"peft", "transformers"}),
        ("trl[vllm]", {"vllm", "fastapi"}),
        ("transformers[torch]", {"torch", "accelerate"}),
        ("unsloth", {"trl", "peft", "bitsandbytes", "transformers", "torch"}),
        ("lightning", {"torch", "torchmetrics", "pytorch-lightning"}),
        ("sentence-transformers", {"transformers", "torch", "scikit-learn"}),
        ("bitsandbytes", {"torch", "numpy"}),
        ("flash-attn", {"torch", "einops"}),
        ("deepspeed", {"torch", "einops", "psutil"}),
        ("torchvision", {"torch", "pillow", "numpy"}),
        ("evaluate", {"datasets", "dill"}),
        ("vllm", {"torch", "transformers"}),
        ("trackio", {"huggingface-hub"}),
    ],
)
def test_what_is_brought(declared: str, present: set[str]) -> None:
    assert present <= brought_by([declared])
    assert is_known(declared.partition("[")[0])


def test_older_releases_brought_other_things() -> None:
    now, then = brought_by(["transformers"]), brought_by(["transformers"], older=True)
    assert now < then
    assert {"requests", "filelock"} <= then


def test_images() -> None:
    assert image_brings("python:3.12") == frozenset()
    assert image_brings("ghcr.io/astral-sh/uv:python3.12-bookworm") == frozenset()
    pytorch = image_brings("pytorch/pytorch:2.9.0-cuda12.8-cudnn9-devel")
    assert pytorch is not None
    assert {"torch", "torchvision", "numpy"} <= pytorch
    assert "transformers" not in pytorch
    for image in ("unsloth/unsloth", "me/own:1", "hf.co/spaces/a/b", "nvcr.io/nvidia/pytorch:25.01-py3", None, ""):
        assert image_brings(image) is None
    assert "unsloth" in image_surely_brings("unsloth/unsloth:latest")
    assert image_surely_brings("me/own:1") == frozenset()


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("docker.io/library/python:3.12", "python"), ("docker.io/pytorch/pytorch@sha256:00", "pytorch/pytorch"),
        ("localhost:5000/own/image:1", "localhost:5000/own/image"), (None, None), ("", None),
    ],
)  # fmt: skip
def test_names_of_images(image: str | None, name: str | None) -> None:
    assert image_name(image) == name


def test_options_that_need_a_package() -> None:
    assert options.optimizer_package("paged_adamw_8bit") == ("bitsandbytes",)
    assert options.optimizer_package("adamw_torch_8bit") == ("torchao",)
    assert options.optimizer_package("adamw_torch_fused") is None
    assert options.optimizer_package("adafactor") is None
    assert options.attention_package("sdpa") is None
    assert options.attention_package("flash_attention_2") == ("flash-attn", "kernels")
    assert options.attention_package("kernels-community/flash-attn2") == ("kernels",)
    assert options.REPORT_TO_PACKAGES["wandb"] == ("wandb",)


def test_the_data_file_is_well_formed() -> None:
    table = json.loads(files("trainguard.libraries").joinpath("packages.json").read_text("utf-8"))
    assert len(table["requires"]) > 500
    assert table["date"] >= "2026-11-01"
    for name, requires in table["requires"].items():
        assert name == name.lower()
        assert all(isinstance(requirement, str) and " " not in requirement for requirement in requires)
    choices = [
        *options.OPTIMIZER_PACKAGES.values(),
        *options.REPORT_TO_PACKAGES.values(),
        *options.FLAG_PACKAGES.values(),
    ]
    assert all(choice == tuple(name.lower() for name in choice) for choice in choices)
