"""Options of trl's configurations that are refused together (see `argument_conflicts`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.libraries.argument_conflict_record import Conflict, switched_on
from trainguard.libraries.argument_facts import GENERATING, REQUIRED, Since

TRL = "trl"
_DPO = "trl 1.16.0, trainer/dpo_trainer.py `DPOTrainer.__init__`"
_GENERATING = "trl 1.16.0, trainer/grpo_config.py and rloo_config.py `__post_init__`"


def _divergence(values: Mapping[str, Any]) -> bool:
    # trl 1.16.0, trainer/dpo_trainer.py: `f_divergence_loss_types`.
    supported = {"sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"}
    return values["f_divergence_type"] != "reverse_kl" and not set(losses(values)) <= supported


def losses(values: Mapping[str, Any]) -> list[str]:
    loss = values["loss_type"]
    return [loss] if isinstance(loss, str) else list(loss)


TRL_CONFLICTS: tuple[Conflict, ...] = (
    Conflict(
        key="packing-without-length",
        owners=frozenset({"SFTConfig"}),
        defaults={"max_length": REQUIRED, "packing": False, "dataset_kwargs": None},
        refused=lambda v: v["packing"] is True and v["max_length"] is None and not v["dataset_kwargs"],
        message="packing=True is refused with max_length=None: packing fills sequences up to that length; give "
        "max_length a number",
        fix="max_length=1024",
        where=Since(TRL, "0.16.0"),
        source="trl 1.16.0, trainer/sft_trainer.py `SFTTrainer._prepare_dataset`",
        made=False,
    ),
    Conflict(
        key="padding-free-with-length",
        owners=frozenset({"SFTConfig"}),
        defaults={"padding_free": False, "packing": False, "max_length": 1024},
        refused=lambda v: v["padding_free"] is True and v["packing"] is False and v["max_length"] is not None,
        message="padding_free=True without packing is refused while max_length is {max_length}: it would not be "
        "enforced; add packing=True, or max_length=None for data that is short enough",
        fix="packing=True",
        where=Since(TRL, "1.0.0"),
        source="trl 1.16.0, trainer/sft_trainer.py `SFTTrainer.__init__`",
        made=False,
    ),
    Conflict(
        key="loss-weights",
        owners=frozenset({"DPOConfig"}),
        defaults={"loss_weights": None, "loss_type": REQUIRED},
        refused=lambda v: v["loss_weights"] is not None and len(v["loss_weights"]) != len(losses(v)),
        message="loss_weights={loss_weights} does not fit loss_type={loss_type}: each loss has one weight",
        fix="as many loss_weights as losses in loss_type",
        where=Since(TRL, "0.29.0"),
        source="trl 1.16.0, trainer/dpo_config.py `DPOConfig.__post_init__`",
    ),
    Conflict(
        key="f-divergence-loss",
        owners=frozenset({"DPOConfig"}),
        defaults={"f_divergence_type": "reverse_kl", "loss_type": "sigmoid"},
        refused=_divergence,
        message="f_divergence_type={f_divergence_type} is refused with loss_type={loss_type}: that loss is defined for "
        'the reverse KL alone; keep f_divergence_type="reverse_kl"',
        fix='f_divergence_type="reverse_kl"',
        where=Since(TRL, "1.10.0"),
        source=_DPO,
        made=False,
    ),
    Conflict(
        key="weighting-with-aot",
        owners=frozenset({"DPOConfig"}),
        defaults={"use_weighting": False, "loss_type": "sigmoid"},
        refused=lambda v: v["use_weighting"] is True and bool({"aot", "aot_unpaired"} & set(losses(v))),
        message="use_weighting=True is refused with loss_type={loss_type}: that loss sorts the samples, so weights "
        "would go to other pairs; set use_weighting=False",
        fix="use_weighting=False",
        where=Since(TRL, "0.29.0"),
        source=_DPO,
        made=False,
    ),
    Conflict(
        key="exo-without-smoothing",
        owners=frozenset({"DPOConfig"}),
        defaults={"loss_type": "sigmoid", "label_smoothing": 0.0},
        refused=lambda v: "exo_pair" in losses(v) and v["label_smoothing"] == 0.0,
        message='loss_type="exo_pair" is refused with label_smoothing=0: its loss takes the logarithm of it; the paper '
        "recommends label_smoothing=1e-3",
        fix="label_smoothing=1e-3",
        where=Since(TRL, "0.29.0"),
        source=_DPO,
        made=False,
    ),
    Conflict(
        key="precompute-and-sync",
        owners=frozenset({"DPOConfig"}),
        defaults={"sync_ref_model": False, "precompute_ref_log_probs": False},
        refused=switched_on("sync_ref_model", "precompute_ref_log_probs"),
        message="sync_ref_model=True and precompute_ref_log_probs=True are refused together: the reference model "
        "changes while its log-probabilities were computed once; keep one of them",
        fix="precompute_ref_log_probs=False",
        where=Since(TRL, "0.12.0"),
        source=_DPO,
        made=False,
    ),
    Conflict(
        key="kto-precompute-and-sync",
        owners=frozenset({"KTOConfig"}),
        defaults={"sync_ref_model": False, "precompute_ref_log_probs": False},
        refused=switched_on("sync_ref_model", "precompute_ref_log_probs"),
        message="sync_ref_model=True and precompute_ref_log_probs=True are refused together: the reference model "
        "changes while its log-probabilities were computed once; keep one of them",
        fix="precompute_ref_log_probs=False",
        where=Since(TRL, "1.7.0"),
        source="trl 1.16.0, trainer/kto_trainer.py `KTOTrainer.__init__`",
        made=False,
    ),
    Conflict(
        key="kto-batch-of-one",
        owners=frozenset({"KTOConfig"}),
        defaults={"per_device_train_batch_size": REQUIRED, "loss_type": "kto"},
        refused=lambda v: v["loss_type"] == "kto" and v["per_device_train_batch_size"] == 1,
        message="per_device_train_batch_size=1 is refused by KTO: its KL term is estimated from the other examples of "
        "the batch; take 2 or more, and fewer gradient_accumulation_steps",
        fix="per_device_train_batch_size=2",
        where=Since(TRL, "0.12.0"),
        source="trl 1.16.0, trainer/kto_trainer.py `KTOTrainer.__init__`",
        made=False,
    ),
    Conflict(
        key="generation-batch-and-steps",
        owners=GENERATING,
        defaults={"generation_batch_size": None, "steps_per_generation": None},
        refused=lambda v: v["generation_batch_size"] is not None and v["steps_per_generation"] is not None,
        message="generation_batch_size and steps_per_generation are refused together: one follows from the other; keep "
        "one of them",
        fix="steps_per_generation={steps_per_generation}",
        where=Since(TRL, "0.22.0"),
        source=_GENERATING,
    ),
    Conflict(
        key="generation-batch-divisible",
        owners=GENERATING,
        defaults={"generation_batch_size": REQUIRED, "num_generations": REQUIRED, "steps_per_generation": None},
        refused=lambda v: (
            v["steps_per_generation"] is None
            and v["num_generations"] >= 2
            and v["generation_batch_size"] % v["num_generations"] != 0
        ),
        message="generation_batch_size={generation_batch_size} is no multiple of num_generations={num_generations}: a "
        "batch holds all completions of a prompt",
        fix="generation_batch_size={num_generations}",
        where=Since(TRL, "0.22.0"),
        source=_GENERATING,
    ),
    Conflict(
        key="auto-batch-size",
        owners=GENERATING,
        defaults={"auto_find_batch_size": False},
        refused=switched_on("auto_find_batch_size"),
        message="auto_find_batch_size=True is refused here: a smaller batch would no longer hold all completions of a "
        "prompt; lower per_device_train_batch_size instead",
        fix="auto_find_batch_size=False",
        where=Since(TRL, "1.9.0"),
        source=_GENERATING,
    ),
    Conflict(
        key="completions-repo",
        owners=frozenset({"GRPOConfig"}),
        defaults={"log_completions_hub_repo": None, "log_completions": False},
        refused=lambda v: v["log_completions_hub_repo"] is not None and v["log_completions"] is False,
        message="log_completions_hub_repo is refused without log_completions=True: nothing is logged that could be "
        "uploaded",
        fix="log_completions=True",
        where=Since(TRL, "0.28.0"),
        source=_GENERATING,
    ),
    Conflict(
        key="sync-without-reference",
        owners=frozenset({"GRPOConfig"}),
        defaults={"sync_ref_model": False, "beta": 0.0},
        refused=lambda v: v["sync_ref_model"] is True and v["beta"] == 0.0,
        message="sync_ref_model=True is refused with beta=0.0: without a KL term there is no reference model to "
        "update; set beta, or sync_ref_model=False",
        fix="sync_ref_model=False",
        where=Since(TRL, "0.28.0"),
        source="trl 1.16.0, trainer/grpo_trainer.py `GRPOTrainer.__init__`",
        made=False,
    ),
)
