"""Numbers that an argument may not have: the library refuses them, or nothing is learned with them.

Each entry was executed with transformers 5.23.0, trl 1.16.0, peft 0.21.2 and torch 2.13.0 (`tests/slow`), but for those
that do not raise and whose `why` says what happens instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trainguard.libraries.argument_facts import ARGUMENTS, GENERATING, REQUIRED, Since

Test: TypeAlias = Callable[[float], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Values of `argument` for which `bad` holds. `why` follows the value in a message, `allowed` says what to take.

    `also` are other arguments that decide, with their defaults, and `only` says for which of their values the entry
    holds. `optimizer`: about Adam alone. `made`: the constructor refuses it.
    """

    argument: str
    owners: frozenset[str]
    bad: Test
    why: str
    allowed: str
    instead: str
    where: Since
    source: str
    also: Mapping[str, Any] = field(default_factory=dict)
    only: Callable[[Mapping[str, Any]], bool] = lambda _: True
    optimizer: bool = False
    made: bool = False
    package: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        return {self.argument: REQUIRED, **self.also}

    def is_out(self, values: Mapping[str, Any]) -> bool:
        """Whether these values are out of range; booleans and texts are no numbers."""
        value = values[self.argument]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.bad(value) and self.only(values)


def _below(limit: float) -> Test:
    return lambda value: value < limit


def _outside(low: float, high: float) -> Test:
    """Outside of `low` to `high`, both included."""
    return lambda value: not low <= value <= high


def _outside_below(low: float, high: float) -> Test:
    """Outside of `low` to `high`, the latter excluded."""
    return lambda value: not low <= value < high


_HF = Since("transformers")
_TORCH = "torch 2.13.0, optim/adamw.py and optim/adam.py `__init__`"
_LORA = "peft 0.21.2, tuners/lora/layer.py `LoraLayer.update_layer`"
_LOADER = "torch 2.13.0, utils/data/sampler.py `BatchSampler.__init__`"

RANGES: tuple[Range, ...] = (
    Range(
        argument="learning_rate",
        owners=ARGUMENTS,
        bad=lambda value: value <= 0,
        why="trains nothing: the weights stay as they are, or are refused",
        allowed="a number above 0 and below 1, such as 2e-5",
        instead="2e-5",
        where=_HF,
        source=_TORCH,
        optimizer=True,
    ),
    Range(
        argument="learning_rate",
        owners=ARGUMENTS,
        bad=lambda value: value >= 1,
        why="makes the first step destroy the weights",
        allowed="a number above 0 and below 1, such as 2e-5",
        instead="2e-5",
        where=_HF,
        # Adam's step has the size of the learning rate in each weight, and weights of language models are about 0.02.
        source="Kingma and Ba, Adam, 2015, section 2.1",
        optimizer=True,
    ),
    Range(
        argument="per_device_train_batch_size",
        owners=ARGUMENTS,
        bad=_below(1),
        why="is refused: a batch has at least one example",
        allowed="1 or more",
        instead="8",
        where=_HF,
        source=_LOADER,
    ),
    Range(
        argument="per_device_eval_batch_size",
        owners=ARGUMENTS,
        bad=_below(1),
        why="is refused at the first evaluation: a batch has at least one example",
        allowed="1 or more",
        instead="8",
        where=_HF,
        source=_LOADER,
        also={"eval_strategy": REQUIRED},
        only=lambda values: values["eval_strategy"] in ("steps", "epoch"),
    ),
    Range(
        argument="gradient_accumulation_steps",
        owners=ARGUMENTS,
        bad=_below(1),
        why="makes no sense: a step is the sum of that many batches",
        allowed="1 or more",
        instead="1",
        where=_HF,
        source="transformers 5.23.0, trainer.py `Trainer.set_initial_training_values`",
    ),
    Range(
        argument="warmup_ratio",
        owners=ARGUMENTS,
        bad=_outside(0, 1),
        why="is refused: it is a share of the run",
        allowed="a number from 0 to 1, such as 0.1",
        instead="0.1",
        where=Since("transformers", "", "4.57.6"),
        source="transformers 4.57.6, training_args.py `__post_init__`",
        made=True,
    ),
    Range(
        argument="warmup_steps",
        owners=ARGUMENTS,
        bad=_below(0),
        why="is refused",
        allowed="0 or more",
        instead="0",
        where=Since("transformers", "5.23.0"),
        source="transformers 5.23.0, training_args.py `_validate_args`",
        made=True,
    ),
    Range(
        argument="warmup_steps",
        owners=ARGUMENTS,
        bad=_below(0),
        why="is refused",
        allowed="0 or more",
        instead="0",
        where=Since("transformers", "4.44.0", "4.57.6"),
        source="transformers 4.57.6, training_args.py `__post_init__`",
        made=True,
    ),
    *(
        Range(
            argument=beta,
            owners=ARGUMENTS,
            bad=_outside_below(0, 1),
            why="is refused by Adam",
            allowed="a number from 0 to below 1",
            instead=usual,
            where=_HF,
            source=_TORCH,
            optimizer=True,
        )
        for beta, usual in (("adam_beta1", "0.9"), ("adam_beta2", "0.999"))
    ),
    Range(
        argument="adam_epsilon",
        owners=ARGUMENTS,
        bad=_below(0),
        why="is refused by Adam",
        allowed="a small number above 0, such as 1e-8",
        instead="1e-8",
        where=_HF,
        source=_TORCH,
        optimizer=True,
    ),
    Range(
        argument="dataloader_num_workers",
        owners=ARGUMENTS,
        bad=_below(0),
        why="is refused",
        allowed="0 or more",
        instead="0",
        where=_HF,
        source="torch 2.13.0, utils/data/dataloader.py `DataLoader.__init__`",
    ),
    Range(
        argument="torch_empty_cache_steps",
        owners=ARGUMENTS,
        bad=_below(1),
        why="is refused",
        allowed="1 or more, or leave it out",
        instead="100",
        where=Since("transformers", "4.43.0"),
        source="transformers 5.23.0, training_args.py `_validate_args`",
        made=True,
    ),
    *(
        Range(
            argument=steps,
            owners=ARGUMENTS,
            bad=lambda value: value > 1 and value != int(value),
            why="is refused: above 1 it counts steps, which are whole",
            allowed="a whole number, or a share below 1",
            instead="100",
            where=_HF,
            source="transformers 5.23.0, training_args.py `_validate_args`",
            also={strategy: default},
            only=lambda values, strategy=strategy: values[strategy] == "steps",  # type: ignore[misc]
            made=True,
        )
        for steps, strategy, default in (
            ("logging_steps", "logging_strategy", "steps"),
            ("save_steps", "save_strategy", "steps"),
            ("eval_steps", "eval_strategy", "no"),
        )
    ),
    # -- trl ---------------------------------------------------------------------
    Range(
        argument="num_generations",
        owners=frozenset({"GRPOConfig"}),
        bad=_below(2),
        why="is refused: an advantage compares the completions of a prompt",
        allowed="2 or more",
        instead="8",
        where=Since("trl", "0.17.0"),
        source="trl 1.16.0, trainer/grpo_config.py `__post_init__`",
        made=True,
    ),
    Range(
        argument="num_generations",
        owners=frozenset({"RLOOConfig"}),
        bad=_below(2),
        why="is refused: an advantage compares the completions of a prompt",
        allowed="2 or more",
        instead="2",
        where=Since("trl", "0.22.0"),
        source="trl 1.16.0, trainer/rloo_config.py `__post_init__`",
        made=True,
    ),
    Range(
        argument="temperature",
        owners=GENERATING,
        bad=lambda value: value <= 0,
        why="is refused: the completions of a prompt must differ, and log-probabilities are divided by it",
        allowed="a number above 0, such as 1.0",
        instead="1.0",
        where=Since("trl", "0.14.0"),
        source="transformers 5.23.0, generation/logits_process.py `TemperatureLogitsWarper`",
    ),
    # -- peft --------------------------------------------------------------------
    Range(
        argument="r",
        owners=frozenset({"LoraConfig"}),
        bad=_below(1),
        why="is refused: an adapter has at least rank 1",
        allowed="1 or more, such as 16",
        instead="16",
        where=Since("peft"),
        source=_LORA,
        package="peft",
    ),
    Range(
        argument="lora_dropout",
        owners=frozenset({"LoraConfig"}),
        bad=lambda value: value >= 1,
        why="drops all that the adapter sees, or is refused",
        allowed="a number from 0 to below 1, such as 0.05",
        instead="0.05",
        where=Since("peft"),
        source=_LORA,
        package="peft",
    ),
)
