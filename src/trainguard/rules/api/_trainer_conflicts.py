"""Arguments of a trainer that it refuses together, or with its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trainguard.facts.values import ABSENT, Constant, Instance, Items, Value, options, text, truth
from trainguard.findings import Location
from trainguard.libraries.argument_facts import Since
from trainguard.rules.api._option_values import combinations, first_if_all, renamed
from trainguard.rules.api._trainers import TrainerUse, is_certainly_given, is_certainly_none, made_by, same_name


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to write instead."""

    message: str
    where: Location
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConflict:
    """One check that the trainers named by `trainers` make of their arguments. `source` cites it."""

    key: str
    trainers: frozenset[str]
    find: Callable[[TrainerUse], Problem | None]
    where: Since
    source: str


_ALL = frozenset(
    {"Trainer", "Seq2SeqTrainer", "SFTTrainer", "RewardTrainer", "DPOTrainer", "KTOTrainer", "GRPOTrainer"}
)
_OF_TRL = _ALL - {"Trainer", "Seq2SeqTrainer"}
_SCHEDULES = ("steps", "epoch")
# Methods of a streamed dataset that give another one, which has no length either (datasets 5.2.0, iterable_dataset.py).
_STREAM_METHODS = {
    "map", "filter", "shuffle", "take", "skip", "select_columns", "remove_columns", "rename_column", "rename_columns",
    "cast_column", "cast", "with_format", "add_column",
}  # fmt: skip


def _no_eval_dataset(use: TrainerUse) -> Problem | None:
    read = renamed(use.read, ("eval_strategy", "evaluation_strategy"))
    strategy, where = read("eval_strategy")
    found = first_if_all(
        combinations(read, {"eval_strategy": "no"}), lambda values: values["eval_strategy"] in _SCHEDULES
    )
    if found is None or not is_certainly_none(use.argument("eval_dataset")):
        return None
    return Problem(
        f'eval_strategy="{found.values["eval_strategy"]}" is refused, since the {use.name} is given no eval_dataset; '
        'pass one, or set eval_strategy="no"',
        where if strategy is not ABSENT else use.call.location,
        'eval_strategy="no"',
    )


def _endless(use: TrainerUse) -> Problem | None:
    data = use.argument("train_dataset")
    if not options(data) or not all(_is_stream(option, depth=0) for option in options(data)):
        return None
    found = first_if_all(combinations(use.read, {"max_steps": -1}), lambda values: values["max_steps"] <= 0)
    if found is None:
        return None
    return Problem(
        "train_dataset is streamed and has no length, so the run is refused without max_steps: the number of steps "
        "cannot be told; set max_steps, or load the data with streaming=False",
        use.call.argument_location("train_dataset"),
        "max_steps=1000",
    )


def _is_stream(value: Value, depth: int) -> bool:
    if not isinstance(value, Instance) or depth > 10:
        return False
    call = value.call
    if call.written_name == "load_dataset" and call.package == "datasets":
        return truth(call.argument("streaming")) is True and text(call.argument("split")) is not None
    if call.written_name in _STREAM_METHODS:
        return all(_is_stream(option, depth + 1) for option in options(call.receiver))
    return False


def _two_adapters(use: TrainerUse) -> Problem | None:
    config = use.argument("peft_config")
    if not is_certainly_given(config) or not _is_peft_model(use.model):
        return None
    return Problem(
        "peft_config is refused, since the model is a PeftModel already: the trainer would put an adapter on an "
        "adapter; drop get_peft_model, or peft_config",
        use.call.argument_location("peft_config"),
        "peft_config=None",
    )


def _is_peft_model(value: Value) -> bool:
    return made_by(value, "get_peft_model") and all(
        isinstance(option, Instance) and option.call.package == "peft" for option in options(value)
    )


def _own_reference(use: TrainerUse) -> Problem | None:
    if not same_name(use.call, "model", "ref_model") or isinstance(use.model, Constant):
        return None
    if use.call.argument("ref_model", 1) is ABSENT or not made_by(use.model, "from_pretrained", "from_config"):
        return None
    return Problem(
        "ref_model is the model itself, which is refused: the reference would change with it; drop ref_model, and the "
        "trainer makes a copy",
        use.call.argument_location("ref_model", 1),
        "ref_model=None",
    )


def _collator(use: TrainerUse) -> Problem | None:
    if not is_certainly_given(use.argument("data_collator")):
        return None
    found = first_if_all(
        combinations(use.read, {"packing": False, "padding_free": False, "packing_strategy": "bfd"}),
        lambda v: v["padding_free"] is True or (v["packing"] is True and v["packing_strategy"] in ("bfd", "bfd_split")),
    )
    if found is None:
        return None
    switch = "padding_free=True" if found.values["padding_free"] is True else "packing=True"
    return Problem(
        f"data_collator is refused with {switch}: sequences are joined without padding, which only the trainer's own "
        f"collator does; drop data_collator, or {switch}",
        use.call.argument_location("data_collator"),
        "data_collator=None",
    )


def _formatting(use: TrainerUse) -> Problem | None:
    if not is_certainly_given(use.argument("formatting_func")):
        return None
    found = first_if_all(
        combinations(use.read, {"completion_only_loss": None, "dataset_kwargs": None}),
        lambda v: v["completion_only_loss"] is True and not v["dataset_kwargs"],
    )
    if found is None:
        return None
    return Problem(
        "formatting_func is refused with completion_only_loss=True: it makes one text of prompt and completion, so the "
        "completion can no longer be told; apply it to the dataset before, or drop completion_only_loss",
        use.call.argument_location("formatting_func"),
        "completion_only_loss=False",
    )


def _own_loss(use: TrainerUse) -> Problem | None:
    if text(use.read("loss_type")[0]) != "dft" or not is_certainly_given(use.argument("compute_loss_func")):
        return None
    return Problem(
        'compute_loss_func is refused with loss_type="dft": both set the loss; keep one of them',
        use.call.argument_location("compute_loss_func"),
        "compute_loss_func=None",
    )


def _reward_weights(use: TrainerUse) -> Problem | None:
    weights, where = use.read("reward_weights")
    functions = use.call.argument("reward_funcs", 1)
    if not (isinstance(weights, Items) and weights.complete):
        return None
    if isinstance(functions, Items) and functions.complete:
        count = len(functions.items)
    elif functions.__class__.__name__ in ("Function", "Class"):
        count = 1
    else:
        return None
    if count == len(weights.items):
        return None
    return Problem(
        f"reward_weights has {len(weights.items)} weights for {count} reward function{'' if count == 1 else 's'}, "
        "which is refused; give one weight for each",
        where,
        "one weight for each of reward_funcs",
    )


def _synced_adapter(use: TrainerUse) -> Problem | None:
    switch, where = use.read("sync_ref_model")
    if truth(switch) is not True:
        return None
    if not (_is_peft_model(use.model) or is_certainly_given(use.argument("peft_config"))):
        return None
    return Problem(
        "sync_ref_model=True is refused with an adapter: the reference is the model without it, so there is nothing to "
        "update; set sync_ref_model=False",
        where,
        "sync_ref_model=False",
    )


def _quantized_twice(use: TrainerUse) -> Problem | None:
    if not is_certainly_given(use.argument("quantization_config")):
        return None
    if not made_by(use.model, "from_pretrained", "get_peft_model"):
        return None
    return Problem(
        "quantization_config is refused with a model that is loaded already; give it to from_pretrained, or pass the "
        "model's name to the trainer",
        use.call.argument_location("quantization_config"),
        "from_pretrained(..., quantization_config=...)",
    )


def _reference_of_adapter(use: TrainerUse) -> Problem | None:
    if not is_certainly_given(use.argument("peft_config")) or truth(use.read("force_use_ref_model")[0]) is not False:
        return None
    if not made_by(use.call.argument("ref_model", 1), "from_pretrained"):
        return None
    if truth(use.call.argument("force_use_ref_model")) is not False:
        return None
    return Problem(
        "ref_model is refused with peft_config: the reference is the model without its adapter; drop ref_model",
        use.call.argument_location("ref_model", 1),
        "ref_model=None",
    )


def _model_twice(use: TrainerUse) -> Problem | None:
    if not is_certainly_given(use.argument("model_init")) or not made_by(use.model, "from_pretrained", "from_config"):
        return None
    return Problem(
        "model and model_init are refused together: model_init makes the model; drop one of them",
        use.call.argument_location("model_init"),
        "model=None",
    )


def _optimizers_of_no_model(use: TrainerUse) -> Problem | None:
    pair = use.argument("optimizers")
    if not is_certainly_given(use.argument("model_init")) or not isinstance(pair, Items):
        return None
    if not any(is_certainly_given(item) for item in pair.items):
        return None
    return Problem(
        "optimizers is refused with model_init: each new model needs an optimizer of its own; override "
        "create_optimizer_and_scheduler",
        use.call.argument_location("optimizers"),
        "optim and lr_scheduler_type in the configuration",
    )


_TRAINER = "transformers 5.23.0, trainer.py"
_SFT = "trl 1.16.0, trainer/sft_trainer.py `SFTTrainer.__init__`"
_DPO = "trl 1.16.0, trainer/dpo_trainer.py `DPOTrainer.__init__`"
_GRPO = "trl 1.16.0, trainer/grpo_trainer.py `GRPOTrainer.__init__`"


def _conflict(
    key: str, trainers: Iterable[str], find: Callable[[TrainerUse], Problem | None], where: Since, source: str
) -> TrainerConflict:
    return TrainerConflict(key=key, trainers=frozenset(trainers), find=find, where=where, source=source)


TRAINER_CONFLICTS: tuple[TrainerConflict, ...] = (
    _conflict(
        "no-eval-dataset", _ALL, _no_eval_dataset, Since("transformers", "4.46.0"), f"{_TRAINER} `_validate_args`",
    ),
    _conflict("no-length", _ALL - {"GRPOTrainer"}, _endless, Since("transformers"), f"{_TRAINER} `_validate_args`"),
    _conflict(
        "model-and-model-init", {"Trainer", "Seq2SeqTrainer"}, _model_twice, Since("transformers", "5.2.0"),
        f"{_TRAINER} `Trainer.__init__`",
    ),
    _conflict(
        "optimizers-and-model-init", {"Trainer", "Seq2SeqTrainer"}, _optimizers_of_no_model, Since("transformers"),
        f"{_TRAINER} `_validate_args`",
    ),
    _conflict("two-adapters", _OF_TRL, _two_adapters, Since("trl", "0.27.0"), _SFT),
    _conflict("quantized-twice", {"DPOTrainer", "KTOTrainer"}, _quantized_twice, Since("trl", "1.8.0"), _DPO),
    _conflict("own-reference", {"DPOTrainer", "KTOTrainer"}, _own_reference, Since("trl", "0.11.0"), _DPO),
    _conflict("reference-of-adapter", {"DPOTrainer"}, _reference_of_adapter, Since("trl", "0.7.11", "0.27.2"), _DPO),
    _conflict("collator-and-packing", {"SFTTrainer"}, _collator, Since("trl", "0.20.0"), _SFT),
    _conflict("formatting-and-completion", {"SFTTrainer"}, _formatting, Since("trl", "0.18.0"), _SFT),
    _conflict("dft-and-own-loss", {"SFTTrainer"}, _own_loss, Since("trl", "0.23.0"), _SFT),
    _conflict("reward-weights", {"GRPOTrainer"}, _reward_weights, Since("trl", "0.15.0"), _GRPO),
    _conflict("synced-adapter", {"GRPOTrainer", "DPOTrainer"}, _synced_adapter, Since("trl", "0.29.0"), _GRPO),
)  # fmt: skip
