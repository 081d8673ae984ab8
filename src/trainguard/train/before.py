"""What is looked at before the first step: parameters, optimizer, adapter, planned steps, schedule, batches, output.

Each check gives findings and changes nothing: not the weights, not the order of the data, not the random numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from trainguard.findings import Finding
from trainguard.signals.codes import run_finding
from trainguard.train.soundness import batch_findings, finite_weights, writable_output

_SHOWN = 3  # names in a message
# Trainable parameters below this share of the model, all of them of norms: LayerNorms of a Llama are 0.004 % to 0.1 %
# of its parameters, the smallest LoRA of peft's examples (r=8 on two projections) is 0.06 %, but is no norm.
_NORMS_SHARE = 0.01
_NORM = re.compile(r"(^|[._])(\w*norm\w*|ln(_\w+|\d+)?)([._]|$)", re.IGNORECASE)
# Optimizers whose `param_groups` are not the parameters that they step: they step in hooks (transformers 5.23,
# optimization.py LayerWiseDummyOptimizer; lomo-optim), or own flat copies.
_OWN_WAYS = re.compile(r"LayerWiseDummy|Lomo|DeepSpeed|Zero|Dummy|Distributed|Megatron", re.IGNORECASE)


def before_first_step(
    *,
    model: nn.Module | None,
    args: Any,
    max_steps: int | None,
    global_step: int = 0,
    optimizer: Any = None,
    lr_scheduler: Any = None,
    dataloader: Any = None,
    processing_class: Any = None,
) -> list[Finding]:
    """Everything that is wrong before the first step. A check that fails inside trainguard says nothing."""
    checks: list[Callable[[], Iterator[Finding]]] = [lambda: steps(args, max_steps, global_step, dataloader)]
    if model is not None:
        checks += [
            lambda: trainable(model),
            lambda: owned(model, optimizer, args),
            lambda: placed(model, args),
            lambda: finite_weights(model),
        ]
    checks += [
        lambda: planned(lr_scheduler, max_steps, args),
        lambda: batch_findings(dataloader, model, args, processing_class),
    ]
    if getattr(args, "should_save", True):  # the others write nothing, and may not see the folder
        checks.append(lambda: writable_output(args))
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception:  # what is unusual about a model or a data set must not keep it from training
            continue
    return findings


def steps(args: Any, max_steps: int | None, global_step: int, dataloader: Any = None) -> Iterator[Finding]:
    """Steps that are planned: some, and more than are already done."""
    if max_steps is None:
        return
    if max_steps <= 0:
        epochs = getattr(args, "num_train_epochs", None)
        yield run_finding(
            "RUN015",
            f"no training step is planned: max_steps={getattr(args, 'max_steps', None)} and num_train_epochs={epochs}, "
            "so the Trainer would report success without having trained; set num_train_epochs above 0, or max_steps",
            step=global_step,
            fix="num_train_epochs=1",
            evidence={"max_steps": max_steps, "num_train_epochs": epochs},
        )
    elif global_step >= max_steps:
        yield run_finding(
            "RUN015",
            f"the run resumes at step {global_step:,} and {max_steps:,} steps are planned, so none would be trained "
            "and the Trainer would report success; train without resume_from_checkpoint, or set max_steps above "
            f"{global_step:,}",
            step=global_step,
            fix=f"max_steps={global_step + max_steps}",
            evidence={"global_step": global_step, "max_steps": max_steps},
        )
    elif (batches := _length(dataloader)) == 0:
        rows = _length(getattr(dataloader, "dataset", None))
        size = getattr(args, "per_device_train_batch_size", None)
        yield run_finding(
            "RUN015",
            f"the training data give no batch ({rows} examples, per_device_train_batch_size={size}, "
            f"dataloader_drop_last={getattr(args, 'dataloader_drop_last', None)}), so no step would be trained; "
            "add examples, or lower per_device_train_batch_size",
            step=global_step,
            evidence={"batches": batches, "examples": rows, "per_device_train_batch_size": size},
        )


def trainable(model: nn.Module) -> Iterator[Finding]:
    """Something must be trainable, and not the norms alone; of an adapter, what is trainable must be in use."""
    named = list(model.named_parameters())
    total = sum(each.numel() for _, each in named)
    training = [(name, each) for name, each in named if each.requires_grad]
    peft = is_peft(model)
    if not training:
        remedy = (
            "load the adapter with PeftModel.from_pretrained(..., is_trainable=True)"
            if peft
            else "call model.requires_grad_(True), or attach an adapter with peft_config=LoraConfig(...)"
        )
        yield run_finding(
            "RUN016",
            f"none of the model's {total:,} parameters is trainable, so nothing can be learnt; {remedy}",
            fix=remedy,
            evidence={"parameters": total, "trainable": 0},
        )
        return
    if peft:
        yield from adapter(model, training)
        return
    count = sum(each.numel() for _, each in training)
    norms = [name for name, _ in training if _NORM.search(name)]
    rest = [name for name, each in training if name not in set(norms) and not (name.endswith("bias"))]
    if norms and not rest and count < _NORMS_SHARE * total:
        yield run_finding(
            "RUN016",
            f"only {count:,} of {total:,} parameters are trainable ({count / total:.3%}), all of them of norms and "
            f"biases ({shown(norms)}), so the model hardly learns; unfreeze its layers with requires_grad_(True), or "
            "attach an adapter with peft_config=LoraConfig(...)",
            severity="warn",
            evidence={"parameters": total, "trainable": count, "names": norms[:_SHOWN]},
        )


def adapter(model: nn.Module, training: Sequence[tuple[str, nn.Parameter]]) -> Iterator[Finding]:
    """Of a PEFT model: the adapter is switched on, not merged, and the active one is what trains."""
    layers = [each for each in model.modules() if hasattr(each, "disable_adapters") and hasattr(each, "merged")]
    if not layers:
        return
    prefixes = tuple({prefix for each in layers for prefix in getattr(each, "adapter_layer_names", ())})
    ours = [name for name, _ in training if any(f".{prefix}." in f".{name}." for prefix in prefixes)]
    others = len(training) - len(ours)
    if not ours or others:
        return  # other weights train beside the adapter (modules_to_save, say), or prompts do: no opinion
    if all(each.disable_adapters for each in layers):
        why, remedy = "is switched off", "model.enable_adapter_layers()"
    elif all(each.merged for each in layers):
        why, remedy = "is merged into the base model, which is frozen", "model.unmerge_adapter()"
    else:
        active = {name for each in layers for name in _names(getattr(each, "active_adapters", ()))}
        if any(f".{name}." in f".{parameter}." for name in active for parameter in ours):
            return
        held = sorted({name for each in layers for name in getattr(each, "lora_A", {})} - active)
        why = (
            f"is not the active one ({shown(sorted(active)) or 'none'}), while {shown(held) or 'another'} is trainable"
        )
        remedy = f"model.set_adapter({held[0]!r})" if held else "model.set_adapter(...)"
    yield run_finding(
        "RUN016",
        f"the adapter {why}, so its {len(ours):,} trainable tensors get no gradient and nothing is learnt; call "
        f"{remedy} before training",
        fix=remedy,
        evidence={"trainable_tensors": len(ours), "adapter_layers": len(layers)},
    )


def owned(model: nn.Module, optimizer: Any, args: Any = None) -> Iterator[Finding]:
    """The optimizer steps the trainable parameters, and no others of the model."""
    groups = _groups(optimizer, args)
    if groups is None:
        return
    named = {id(each): (name, each) for name, each in model.named_parameters(remove_duplicate=False)}
    held = {id(each) for group in groups for each in group.get("params", ())}
    training = {key: name for key, (name, each) in named.items() if each.requires_grad}
    if not training or any(_is_sharded(each) for _, each in named.values()):
        return
    missing = [name for key, name in training.items() if key not in held]
    foreign = len(held - named.keys())
    frozen = [named[key][0] for key in held if key in named and key not in training]
    numbers = {"trainable": len(training), "missing": len(missing), "foreign": foreign, "frozen": len(frozen)}
    remedy = "[p for p in model.parameters() if p.requires_grad]"
    if len(missing) == len(training):
        what = f"but {foreign:,} that are none of this model" if foreign else f"but {len(frozen):,} frozen ones"
        yield run_finding(
            "RUN016",
            f"the optimizer holds none of the model's {len(training):,} trainable parameters {what}, so its steps "
            f"change nothing that the model uses; build it from {remedy} of the model that the Trainer gets, after the "
            "last change of the model",
            fix=remedy,
            evidence=numbers,
        )
    elif missing:
        beside = f" and {foreign:,} that are none of this model" if foreign else ""
        yield run_finding(
            "RUN021",
            f"the optimizer lacks {len(missing):,} of {len(training):,} trainable parameters "
            f"({shown(missing)}){beside}, so these never change; "
            f"build it from {remedy} after the last change of the model, or freeze them",
            fix=remedy,
            evidence={**numbers, "names": missing[:_SHOWN]},
        )
    elif frozen and not is_peft(model):
        # AdamW(model.parameters()) of a model with an adapter is common, and does no harm.
        yield run_finding(
            "RUN021",
            f"the optimizer holds {len(frozen):,} parameters that are frozen ({shown(frozen)}), as where the freeze "
            f"came after the optimizer was built; these do not learn: freeze first, then build it from {remedy}",
            fix=remedy,
            evidence={**numbers, "names": frozen[:_SHOWN]},
        )


def placed(model: nn.Module, args: Any) -> Iterator[Finding]:
    """The weights are there, and of the type that was asked for."""
    empty = [name for name, each in model.named_parameters() if each.device.type == "meta"]
    if empty and not _is_distributed(args) and getattr(model, "hf_device_map", None) is None:
        yield run_finding(
            "RUN016",
            f"{len(empty):,} parameters have no data, they are on the meta device ({shown(empty)}); load the model "
            "with from_pretrained, or move it with to_empty and initialize it",
            evidence={"parameters": len(empty), "names": empty[:_SHOWN]},
        )
    kwargs = getattr(args, "model_init_kwargs", None)
    declared = kwargs.get("dtype", kwargs.get("torch_dtype")) if isinstance(kwargs, dict) else None
    wanted = str(declared).removeprefix("torch.") if declared is not None else ""
    if wanted not in ("float32", "float16", "bfloat16") or getattr(model, "is_quantized", False):
        return
    count: dict[str, int] = {}
    for _, each in model.named_parameters():
        if each.is_floating_point():
            dtype = str(each.dtype).removeprefix("torch.")
            count[dtype] = count.get(dtype, 0) + each.numel()
    if count and wanted not in count:
        most = max(count, key=lambda dtype: count[dtype])
        yield run_finding(
            "RUN016",
            f"the weights are {most}, but model_init_kwargs asks for {wanted}; the Trainer uses it only where model is "
            f"a name: load the model with dtype={wanted!r} yourself",
            severity="info",
            evidence={"dtype": most, "declared": wanted},
        )


def planned(lr_scheduler: Any, max_steps: int | None, args: Any = None) -> Iterator[Finding]:
    """The learning-rate schedule is made for the steps that will be trained."""
    horizon = schedule_steps(lr_scheduler)
    if horizon is None or not max_steps or max_steps <= 0 or horizon <= 0:
        return
    numbers = {"schedule_steps": horizon, "max_steps": max_steps}
    # Two steps: whoever counts the last, incomplete batch otherwise is no fault.
    if horizon < min(0.95 * max_steps, max_steps - 2):
        yield run_finding(
            "RUN019",
            f"the learning-rate schedule ends at step {horizon:,} and {max_steps:,} steps are planned, so the last "
            f"{max_steps - horizon:,} have a learning rate of 0 or its end value; give it "
            f"num_training_steps={max_steps}",
            fix=f"num_training_steps={max_steps}",
            evidence=numbers,
        )
        return
    accumulation = getattr(args, "gradient_accumulation_steps", 1)
    if not isinstance(accumulation, int) or accumulation < 2:
        return
    # A schedule that is longer on purpose (over several files) is no fault; one that counts micro-batches is.
    if math.isclose(horizon / max_steps, accumulation, rel_tol=0.02):
        yield run_finding(
            "RUN019",
            f"the learning-rate schedule is made for {horizon:,} steps and {max_steps:,} are planned, just "
            f"gradient_accumulation_steps={accumulation} times fewer: it counts micro-batches, so the learning rate "
            f"hardly falls; give it num_training_steps={max_steps}",
            fix=f"num_training_steps={max_steps}",
            evidence={**numbers, "gradient_accumulation_steps": accumulation},
        )


def schedule_steps(lr_scheduler: Any) -> int | None:
    """The steps for which a schedule of transformers is made; None where it does not say.

    `get_scheduler` makes a LambdaLR of a partial with the keyword num_training_steps (transformers 5.23,
    optimization.py get_linear_schedule_with_warmup and its neighbours).
    """
    inner = getattr(lr_scheduler, "scheduler", lr_scheduler)  # accelerate's wrapper
    for function in getattr(inner, "lr_lambdas", None) or ():
        value = getattr(function, "keywords", {}).get("num_training_steps")
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def is_peft(model: nn.Module) -> bool:
    return bool(getattr(model, "peft_config", None))


def shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _groups(optimizer: Any, args: Any) -> list[dict[str, Any]] | None:
    """The groups of an optimizer that steps the model's own tensors; None where it works otherwise, or is not there."""
    while hasattr(optimizer, "optimizer") and hasattr(optimizer, "step_was_skipped"):  # accelerate's wrapper
        optimizer = optimizer.optimizer
    groups = getattr(optimizer, "param_groups", None)
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return None
    if _OWN_WAYS.search(type(optimizer).__name__) or _is_distributed(args):
        return None
    return groups


def _is_distributed(args: Any) -> bool:
    """Whether parameters are sharded or replaced: DeepSpeed and FSDP keep flat copies of them."""
    if getattr(args, "deepspeed", None) or getattr(args, "fsdp", None):
        return True
    state = getattr(args, "distributed_state", None)
    kind = str(getattr(state, "distributed_type", "")).upper()
    return any(word in kind for word in ("DEEPSPEED", "FSDP", "MEGATRON", "XLA", "TP"))


def _is_sharded(parameter: nn.Parameter) -> bool:
    return hasattr(parameter.data, "to_local") or hasattr(parameter, "ds_id")


def _names(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else [each for each in value if isinstance(each, str)]


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except (TypeError, NotImplementedError, AttributeError):
        return None
