"""Which options of the training libraries need a package that the libraries do not bring.

Read from transformers 5.23.0 (trainer_optimizer.py, integrations/, quantizers/, trainer.py) and trl 1.16.0 (trainer/,
generation/, import_utils.py). Each value is a choice: any of the distributions will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Choice: TypeAlias = tuple[str, ...]

# transformers 5.23.0, trainer_optimizer.py: `_BITSANDBYTES_OPTIMIZERS` and its siblings. "adafactor", "adamw_torch",
# "adamw_torch_fused", "sgd", "adagrad" and "rmsprop" are torch's or transformers' own.
OPTIMIZER_PACKAGES: Mapping[str, Choice] = {
    **dict.fromkeys(
        ("adamw_bnb_8bit", "adamw_8bit", "paged_adamw", "paged_adamw_32bit", "paged_adamw_8bit", "ademamix",
         "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "lion_32bit", "lion_8bit", "paged_lion_32bit",
         "paged_lion_8bit", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"),
        ("bitsandbytes",),
    ),
    **dict.fromkeys(
        ("galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise",
         "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise"),
        ("galore-torch",),
    ),
    **dict.fromkeys(("apollo_adamw", "apollo_adamw_layerwise"), ("apollo-torch",)),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit"), ("torchao",)),
    **dict.fromkeys(("schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd"), ("schedulefree",)),
    **dict.fromkeys(("lomo", "adalomo"), ("lomo-optim",)),
    "grokadamw": ("grokadamw",),
    "stable_adamw": ("torch-optimi",),
    "adamw_apex_fused": ("apex",),  # gone in transformers 5
    "adamw_anyprecision": ("torchdistx",),
    "adamw_torch_xla": ("torch-xla",),
    "adamw_torch_npu_fused": ("torch-npu",),
}  # fmt: skip

# transformers 5.23.0, integrations/integration_utils.py: each callback raises where its `is_..._available` is False.
# "kubeflow" needs a server, not a package; "all" and "none" need nothing.
REPORT_TO_PACKAGES: Mapping[str, Choice] = {
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    # Since PyTorch 1.14 `torch.utils.tensorboard` wants `tensorboard`; the callback falls back on tensorboardX.
    "tensorboard": ("tensorboard", "tensorboardx"),
    "mlflow": ("mlflow", "mlflow-skinny"),
    "comet_ml": ("comet-ml",),
    "azure_ml": ("azureml-core",),
    "neptune": ("neptune", "neptune-client"),
    "codecarbon": ("codecarbon",),
    "clearml": ("clearml",),
    "dagshub": ("dagshub",),
    "flyte": ("flytekit",),
    "dvclive": ("dvclive",),
    "swanlab": ("swanlab",),
}

# Options that need a package when they are switched on.
FLAG_PACKAGES: Mapping[str, Choice] = {
    "use_liger_kernel": ("liger-kernel",),  # transformers, integrations/liger.py
    "use_liger_loss": ("liger-kernel",),  # trl before 0.28
    "use_liger": ("liger-kernel",),  # trl before 0.16
    "use_vllm": ("vllm",),  # trl, generation/vllm_generation.py
    "use_peft": ("peft",),  # trl, trainer/utils.py `get_peft_config`
    "load_in_4bit": ("bitsandbytes",),  # transformers, quantizers/quantizer_bnb_4bit.py
    "load_in_8bit": ("bitsandbytes",),
    "use_kernels": ("kernels",),  # transformers, modeling_utils.py `set_use_kernels`
}

# Options that need a package when they are given at all (not None).
GIVEN_PACKAGES: Mapping[str, Choice] = {
    "deepspeed": ("deepspeed",),
    "peft_config": ("peft",),
    # transformers, integrations/accelerate.py `check_and_set_device_map`
    "device_map": ("accelerate",),
}

# Classes whose use needs a package, beside the one that the class is imported from.
CLASS_PACKAGES: Mapping[str, tuple[Choice, ...]] = {
    "BitsAndBytesConfig": (("bitsandbytes",), ("accelerate",)),
    "GPTQConfig": (("gptqmodel", "auto-gptq"), ("optimum",)),
    "AwqConfig": (("gptqmodel", "autoawq"), ("accelerate",)),
    "TorchAoConfig": (("torchao",),),
    "HqqConfig": (("hqq",),),
    "QuantoConfig": (("optimum-quanto",),),
    "EetqConfig": (("kernels", "eetq"),),
    "AqlmConfig": (("aqlm",),),
    "CompressedTensorsConfig": (("compressed-tensors",),),
    "AutoRoundConfig": (("auto-round",),),
    "HiggsConfig": (("flute-kernel",), ("fast-hadamard-transform",)),
    "SpQRConfig": (("spqr-quant",),),
    "VptqConfig": (("vptq",),),
    "FbgemmFp8Config": (("fbgemm-gpu", "fbgemm-gpu-genai"),),
}


def optimizer_package(optim: str) -> Choice | None:
    """The distributions, any of which `optim=` needs; None where it needs none or is not known."""
    return OPTIMIZER_PACKAGES.get(optim)


def attention_package(attn_implementation: str) -> Choice | None:
    """The distributions, any of which `attn_implementation=` needs.

    transformers 5.23.0 (modeling_utils.py) takes a hub kernel for flash attention where `kernels` is installed.
    """
    if "/" in attn_implementation:  # `org/name[:function]`: a kernel of the hub
        return ("kernels",)
    if attn_implementation == "flash_attention_2":
        return ("flash-attn", "kernels")
    if attn_implementation == "flash_attention_3":
        return ("flash-attn-3", "flash-attn", "kernels")
    return None
