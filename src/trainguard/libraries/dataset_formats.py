"""Which columns each trainer of TRL reads, by release.

Read from the trainers' `_prepare_dataset`, `tokenize_*` and collators in the wheels of trl 0.7.0 to 1.16.0; the rows
that hold for 1.16.0 were also run (`tests/facts/columns_truth.json`). What a release reads but was not looked at has
no row, and nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from packaging.version import InvalidVersion, Version

# What stands in a column: a string, a number or a bool, a list of `{"role": …, "content": …}`, a list of
# `{"from": …, "value": …}`, another list.
ColumnKind: TypeAlias = Literal["text", "number", "chat", "turns", "list"]

# Columns that make a row one of images: another preparation reads it.
IMAGE_COLUMNS = frozenset({"image", "images"})


@dataclass(frozen=True, slots=True)
class Format:
    """What a trainer reads from `since` on, before `until` (None: no end is known).

    One of the `layouts` has to be there in full; `kinds` are what a column must hold to count as part of one.
    `companions` are pairs of columns: where the first is there the second is read with it, whatever else is there.
    `same_kind` are columns that are joined to one: text to text, messages to messages. `tokenized` are columns that
    switch the reading of all others off.
    """

    trainer: str
    since: str
    until: str | None
    layouts: tuple[tuple[str, ...], ...]
    source: str
    companions: tuple[tuple[str, str], ...] = ()
    same_kind: tuple[str, ...] = ()
    kinds: tuple[tuple[str, frozenset[ColumnKind]], ...] = ()
    tokenized: tuple[tuple[str, ...], ...] = ()

    @property
    def written_layouts(self) -> tuple[tuple[str, ...], ...]:
        """The layouts that people write, those of tokenized rows left out."""
        return tuple(layout for layout in self.layouts if layout not in self.tokenized) or self.layouts

    @property
    def wanted(self) -> str:
        """The layouts as one reads them: `messages`, `text` or `prompt` + `completion`."""
        named = [" + ".join(f"`{name}`" for name in layout) for layout in self.written_layouts]
        return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"


_SFT_LAYOUTS = (("messages",), ("text",), ("prompt", "completion"), ("conversations",), ("input_ids",))
_INPUT_IDS = (("input_ids",),)
_PAIRS = (("chosen", "rejected"),)
_PROMPTED_PAIRS = (("prompt", "chosen", "rejected"),)
_UNPAIRED = (("prompt", "completion", "label"),)
_OLD_REWARD = ("input_ids_chosen", "attention_mask_chosen", "input_ids_rejected", "attention_mask_rejected")
_PROMPT = (("prompt",),)

FORMATS: tuple[Format, ...] = (
    # 0.12 set the default of `dataset_text_field` to "text"; before, what is read cannot be told from the columns.
    Format("SFTTrainer", "0.12.0", "0.17.0", _SFT_LAYOUTS, "trainer/sft_trainer.py, _prepare_dataset",
           tokenized=_INPUT_IDS),
    # From 0.17 on `if "prompt" in example:` reads `completion`, before `messages` and `text` are looked for.
    Format("SFTTrainer", "0.17.0", "0.19.0", _SFT_LAYOUTS, "trainer/sft_trainer.py, tokenize",
           companions=(("prompt", "completion"),), tokenized=_INPUT_IDS),
    # From 0.19 on only `conversations` of from/value are converted (`is_conversational_from_value`).
    Format("SFTTrainer", "0.19.0", "1.0.0", _SFT_LAYOUTS, "trainer/sft_trainer.py, tokenize",
           companions=(("prompt", "completion"),), tokenized=_INPUT_IDS,
           kinds=(("messages", frozenset({"chat", "turns", "list"})), ("conversations", frozenset({"turns", "list"})))),
    Format("SFTTrainer", "1.0.0", None, _SFT_LAYOUTS, "trainer/sft_trainer.py, tokenize_fn",
           companions=(("prompt", "completion"),), tokenized=_INPUT_IDS, same_kind=("prompt", "completion"),
           kinds=(("messages", frozenset({"chat", "turns", "list"})), ("conversations", frozenset({"turns", "list"})))),
    # From 0.12 on `extract_prompt` takes the prompt from what `chosen` and `rejected` begin with.
    Format("DPOTrainer", "0.7.0", "0.12.0", _PROMPTED_PAIRS, "trainer/dpo_trainer.py, tokenize_row"),
    Format("DPOTrainer", "0.12.0", "1.0.0", _PAIRS, "trainer/dpo_trainer.py, tokenize_row"),
    Format("DPOTrainer", "1.0.0", None, _PAIRS, "trainer/dpo_trainer.py, tokenize_fn",
           same_kind=("prompt", "chosen", "rejected")),
    Format("ORPOTrainer", "0.8.2", "0.12.0", _PROMPTED_PAIRS, "trainer/orpo_trainer.py, tokenize_row"),
    Format("ORPOTrainer", "0.12.0", None, _PAIRS, "orpo_trainer.py, tokenize_row"),
    Format("CPOTrainer", "0.8.2", "0.12.0", _PROMPTED_PAIRS, "trainer/cpo_trainer.py, tokenize_row"),
    Format("CPOTrainer", "0.12.0", None, _PAIRS, "cpo_trainer.py, tokenize_row"),
    # From 0.12 on pairs are taken apart (`unpair_preference_dataset`), which makes the labels.
    Format("KTOTrainer", "0.8.0", "0.12.0", _UNPAIRED, "trainer/kto_trainer.py, _tokenize"),
    Format("KTOTrainer", "0.12.0", None, (*_UNPAIRED, *_PAIRS), "kto_trainer.py, _prepare_dataset"),
    Format("BCOTrainer", "0.10.1", None, (*_UNPAIRED, *_PAIRS), "bco_trainer.py, _tokenize"),
    # Before 0.12 the rows had to be tokenized by the script.
    Format("RewardTrainer", "0.7.0", "0.12.0", (_OLD_REWARD,), "trainer/utils.py, RewardDataCollatorWithPadding"),
    Format("RewardTrainer", "0.12.0", "0.24.0", (*_PAIRS, _OLD_REWARD), "trainer/reward_trainer.py, __init__",
           tokenized=(_OLD_REWARD,)),
    Format("RewardTrainer", "0.24.0", "0.29.0", (*_PAIRS, ("chosen_input_ids", "rejected_input_ids")),
           "trainer/reward_trainer.py, _prepare_dataset", tokenized=(("chosen_input_ids", "rejected_input_ids"),)),
    Format("RewardTrainer", "0.29.0", None,
           (*_PAIRS, ("chosen_ids", "rejected_ids"), ("chosen_input_ids", "rejected_input_ids")),
           "trainer/reward_trainer.py, _prepare_dataset", same_kind=("prompt", "chosen", "rejected"),
           tokenized=(("chosen_ids", "rejected_ids"), ("chosen_input_ids", "rejected_input_ids"))),
    Format("GRPOTrainer", "0.14.0", None, _PROMPT, "trainer/grpo_trainer.py, _generate_and_score_completions"),
    # Before 0.22 RLOO read token ids under other names.
    Format("RLOOTrainer", "0.22.0", None, _PROMPT, "trainer/rloo_trainer.py, _generate_and_score_completions"),
)  # fmt: skip

# Arguments of a trainer by which it does not read its rows as the table says. Every trainer: a collator of one's own
# may read anything (`input_ids`, images). SFT: `formatting_func` makes `text`. GRPO: an environment brings prompts.
OWN_READING = frozenset({"data_collator", "environment_factory", "rollout_func"})
TRAINERS = frozenset(each.trainer for each in FORMATS)


def formats_of(trainer: str) -> Iterator[Format]:
    return (each for each in FORMATS if each.trainer == trainer)


def format_for(trainer: str, version: str | None) -> Format | None:
    """What `trainer` reads in a release of trl (None: the newest); None where nothing is known of it."""
    found = list(formats_of(trainer))
    if version is None:
        return next((each for each in found if each.until is None), None)
    try:
        asked = Version(version)
    except InvalidVersion:
        return None
    for each in found:
        if Version(each.since) <= asked and (each.until is None or asked < Version(each.until)):
            return each
    return None
