"""The values that options accept where a library checks them outside of their declaration.

The index reads choices from enumerations, `Literal` and metadata. These ones stand in constructors, loss functions and
trainers. The steps were read in the sources of all releases from transformers 4.36, trl 0.7, peft 0.7, accelerate 0.25
and datasets 2.14 on, and the newest executed with a misspelt value: trl 1.16.0, peft 0.21.2, accelerate 1.15.0,
datasets 5.2.0 and transformers 5.23.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The strings that `argument` of the class or function `path` (where it is defined) accepts.

    `steps` are releases of its library and what is accepted from each on; before the first, and after `until` if it is
    given, nothing is known. `several`: a list of them too. `folded`: upper and lower case are the same. `patterns`:
    choices after which more may follow (`pissa_niter_4`). `unless`: arguments that hand the check to something else.
    `by`: how the names of classes end that check it after the call; where a script has its own, nothing is certain. An
    empty `by`: the call itself fails. `within`: a class of the script is such a class only if it writes one of these
    methods. Other things than strings, and the empty string, are never judged.
    """

    path: str
    argument: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    source: str
    until: str = ""
    several: bool = False
    folded: bool = False
    patterns: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    within: tuple[str, ...] = ()

    def at(self, version: str) -> tuple[str, ...] | None:
        """What a release accepts, None where that is not known."""
        try:
            number = Version(version)
        except InvalidVersion:
            return None
        if self.until and number > Version(self.until):
            return None
        known = [choices for since, choices in self.steps if Version(since) <= number]
        return known[-1] if known else None

    def accepts(self, value: str, version: str) -> bool:
        """Whether a release accepts a string, or may accept it."""
        choices = self.at(version)
        if not value or choices is None or value in choices:
            return True
        folded = value.lower()
        if self.folded and folded in {choice.lower() for choice in choices}:
            return True
        return any(folded.startswith(pattern) for pattern in self.patterns if pattern in choices)


_LIGER = ("use_liger_loss", "use_liger_kernel")  # Liger's loss takes the value then, and knows other ones

_DPO = (
    *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired"),
    *("discopop", "apo_zero", "apo_down", "sft"),
)
_DPO_PAIR = tuple(name.replace("aot_unpaired", "aot_pair") for name in _DPO)
_GRPO = ("grpo", "bnpo", "dr_grpo")
_REPORTS = (
    *("all", "none", "azure_ml", "comet_ml", "mlflow", "neptune", "tensorboard", "wandb", "codecarbon", "clearml"),
    *("dagshub", "flyte", "dvclive"),
)
_DYNAMO = (
    *("no", "eager", "aot_eager", "inductor", "aot_ts_nvfuser", "nvprims_nvfuser", "cudagraphs", "ofi", "fx2trt"),
    *("onnxrt", "tensorrt"),
)
_XLA = ("aot_torchxla_trace_once", "torchxla_trace_once")
_INITS = ("gaussian", "loftq")

CHOICES: tuple[Choices, ...] = (
    # A list since 0.20; before, the declaration says what is accepted.
    Choices(
        path="trl.trainer.dpo_config.DPOConfig",
        argument="loss_type",
        steps=(
            ("0.20.0", _DPO_PAIR),
            ("0.28.0", (*_DPO, "aot_pair")),  # renamed with a warning in dpo_config.py
            ("0.29.0", _DPO),
            ("1.4.0", (*_DPO, "sigmoid_norm")),
        ),
        source="trl 1.16.0, trainer/dpo_trainer.py: Unknown loss type",
        several=True,
        unless=_LIGER,
        by=("Trainer",),
    ),
    Choices(
        path="trl.trainer.grpo_config.GRPOConfig",
        argument="loss_type",
        steps=(
            ("0.17.0", _GRPO),
            ("0.22.0", (*_GRPO, "dapo")),
            ("0.26.0", (*_GRPO, "dapo", "cispo", "sapo")),
            ("0.28.0", (*_GRPO, "dapo", "cispo", "sapo", "luspo")),
            ("1.0.0", (*_GRPO, "dapo", "cispo", "sapo", "luspo", "vespo")),
        ),
        source="trl 1.16.0, trainer/grpo_trainer.py: Unknown loss type",
        unless=_LIGER,
        by=("Trainer",),
    ),
    Choices(
        path="trl.trainer.grpo_config.GRPOConfig",
        argument="scale_rewards",
        steps=(("0.22.0", ("group", "batch", "none")),),
        source="trl 1.16.0, trainer/grpo_trainer.py: Invalid value for scale_rewards",
        unless=("multi_objective_aggregation",),  # "normalize_then_sum" does not look at it
        by=("Trainer",),
    ),
    Choices(
        path="trl.trainer.grpo_config.GRPOConfig",
        argument="importance_sampling_level",
        steps=(("0.20.0", ("token", "sequence")),),
        source="trl 1.16.0, trainer/grpo_trainer.py: Unknown importance sampling level",
        unless=_LIGER,
        by=("Trainer",),
    ),
    Choices(
        path="peft.tuners.lora.config.LoraConfig",
        argument="task_type",
        steps=(
            ("0.14.0", ("SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION")),
        ),
        source="peft 0.21.2, config.py: Invalid task type",
    ),
    Choices(
        path="peft.tuners.lora.config.LoraConfig",
        argument="init_lora_weights",
        steps=(
            ("0.7.0", _INITS),
            ("0.11.0", (*_INITS, "pissa")),
            ("0.12.0", (*_INITS, "pissa", "olora")),
            ("0.14.0", (*_INITS, "pissa", "olora", "eva")),
            ("0.15.0", (*_INITS, "pissa", "olora", "eva", "corda")),
            ("0.16.0", (*_INITS, "pissa", "olora", "eva", "corda", "orthogonal")),
            ("0.19.0", (*_INITS, "pissa", "olora", "eva", "corda", "orthogonal", "lora_ga")),
            ("0.20.0", (*_INITS, "pissa", "olora", "eva", "corda", "orthogonal", "lora_ga", "mica")),
        ),
        source="peft 0.21.2, tuners/lora/layer.py: Unknown initialization",
        folded=True,
        patterns=("pissa", "corda"),
        by=("LoraLayer", "LoraModel", "LoraConfig"),
    ),
    # `Literal` since 0.8.
    Choices(
        path="peft.tuners.lora.config.LoraConfig",
        argument="bias",
        steps=(("0.7.0", ("none", "all", "lora_only")),),
        until="0.7.1",
        source="peft 0.7.1, tuners/lora/model.py: Requested bias",
        by=("LoraLayer", "LoraModel", "LoraConfig"),
    ),
    Choices(
        path="accelerate.accelerator.Accelerator",
        argument="mixed_precision",
        steps=(("0.25.0", ("no", "fp16", "bf16", "fp8")),),
        source="accelerate 1.15.0, accelerator.py: Unknown mixed_precision mode",
    ),
    Choices(
        path="accelerate.accelerator.Accelerator",
        argument="dynamo_backend",
        steps=(
            ("0.25.0", (*_DYNAMO, "ipex", "tvm")),
            ("0.32.0", (*_DYNAMO, *_XLA, "ipex", "tvm")),
            ("1.5.0", (*_DYNAMO, *_XLA, "ipex", "tvm", "hpu_backend")),
            ("1.13.0", (*_DYNAMO, *_XLA, "tvm", "hpu_backend")),
            ("1.15.0", (*_DYNAMO, *_XLA, "tvm", "hpu_backend", "neuron")),
        ),
        source="accelerate 1.15.0, utils/dataclasses.py: TorchDynamoPlugin",
        folded=True,
    ),
    Choices(
        path="datasets.load.load_dataset",
        argument="verification_mode",
        steps=(("2.14.0", ("all_checks", "basic_checks", "no_checks")),),
        source="datasets 5.2.0, load.py: VerificationMode(...)",
        unless=("save_infos",),  # checks all then, whatever is given
    ),
    Choices(
        path="datasets.load.load_dataset",
        argument="download_mode",
        steps=(("2.14.0", ("reuse_dataset_if_exists", "reuse_cache_if_exists", "force_redownload")),),
        source="datasets 5.2.0, load.py: DownloadMode(...)",
    ),
    Choices(
        path="transformers.training_args.TrainingArguments",
        argument="report_to",
        steps=(
            ("4.36.0", _REPORTS),
            ("4.50.0", (*_REPORTS, "swanlab")),
            ("4.54.0", (*_REPORTS, "swanlab", "trackio")),
            ("5.4.0", (*_REPORTS, "swanlab", "trackio", "kubeflow")),
        ),
        source="transformers 5.23.0, integrations/integration_utils.py: is not supported, only",
        several=True,
        by=("Trainer",),
        within=("__init__",),
    ),
)
ARGUMENTS = frozenset(known.argument for known in CHOICES)


@lru_cache(maxsize=1)
def _by_place() -> dict[tuple[str, str], Choices]:
    return {(known.path, known.argument): known for known in CHOICES}


def choices_for(path: str, argument: str) -> Choices | None:
    """What is known of an argument of the class or function that is defined at `path`."""
    return _by_place().get((path, argument))


def choices_of(path: str, argument: str, version: str) -> tuple[str, ...] | None:
    """The strings that an argument accepts in a release of its library; None where that is not known."""
    known = choices_for(path, argument)
    return known.at(version) if known is not None else None
