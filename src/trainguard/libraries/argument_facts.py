"""What the tables about argument values share: for which releases a fact holds, and of which classes.

The tables were derived from the libraries' own checks in transformers 5.23.0, trl 1.16.0, peft 0.21.2 and accelerate
1.15.0, and each entry was executed there (`tests/slow`). `since` and `until` come from the sources of all releases
from transformers 4.36, trl 0.7 and peft 0.7 on.
"""

from __future__ import annotations

from dataclasses import dataclass


class _Sentinel:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


GIVEN = _Sentinel("GIVEN")  # a value of which only is known that it is not None
REQUIRED = _Sentinel("REQUIRED")  # as a default: the fact says nothing where the argument is not given


@dataclass(frozen=True, slots=True)
class Since:
    """The releases of `package` for which a fact holds: from `since` to `until`, both included; empty for no limit."""

    package: str
    since: str = ""
    until: str = ""


# TRL's configurations that extend TrainingArguments.
GENERATING = frozenset({"GRPOConfig", "RLOOConfig"})
TRL_CONFIGS = GENERATING | {"SFTConfig", "DPOConfig", "KTOConfig", "RewardConfig"}
ARGUMENTS = TRL_CONFIGS | {"TrainingArguments", "Seq2SeqTrainingArguments"}

# trl 1.16.0, trainer/: the position of `args`, and the configuration that a trainer makes itself if it is given none.
TRAINERS = {
    "Trainer": (1, "TrainingArguments"),
    "Seq2SeqTrainer": (1, "Seq2SeqTrainingArguments"),
    "SFTTrainer": (1, "SFTConfig"),
    "RewardTrainer": (1, "RewardConfig"),
    "DPOTrainer": (2, "DPOConfig"),
    "KTOTrainer": (2, "KTOConfig"),
    "GRPOTrainer": (2, "GRPOConfig"),
    "RLOOTrainer": (2, "RLOOConfig"),
}
