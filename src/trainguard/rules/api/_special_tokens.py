"""Special tokens that a training leaves untrained: new ones without their embeddings, and an end that is padding."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import ABSENT, Items, Table, is_none, text, texts, truth
from trainguard.findings import Location

Problem: TypeAlias = tuple[str, Location, str]

_EMBEDDINGS = ("embed", "wte", "lm_head", "shared")
_TRAINS_EMBEDDINGS = {"requires_grad", "requires_grad_", "trainable_token_indices", "setup_chat_format"}


def untrained_tokens(script: ScriptFacts) -> Iterator[Problem]:
    """LoRA configurations that train no embedding, where the script adds tokens and makes room for them.

    peft 0.21.2, utils/save_and_load.py: embeddings that were resized are *saved* with the adapter, but
    tuners/tuners_utils.py freezes all that is neither an adapter, nor in `modules_to_save`.
    """
    mentions = script.mentions
    if not {"resize_token_embeddings", "LoraConfig"} <= mentions or mentions & _TRAINS_EMBEDDINGS:
        return
    resizes = [call for call in script.calls_named("resize_token_embeddings") if _always(call)]
    added = [call for call in script.calls_named("add_tokens", "add_special_tokens") if _adds(call) and _always(call)]
    configs = [call for call in script.calls_named("LoraConfig") if call.package == "peft"]
    if not resizes or not added or len(configs) != 1 or not _leaves_embeddings(configs[0]):
        return
    yield (
        "the script adds tokens and resizes the embeddings, but this adapter trains neither: the new tokens keep "
        'their random embeddings; add modules_to_save=["embed_tokens", "lm_head"] or trainable_token_indices',
        configs[0].location,
        'modules_to_save=["embed_tokens", "lm_head"]',
    )


def _always(call: Call) -> bool:
    return call.block.outermost.kind == "body" and call.block.kind == "body"


def _adds(call: Call) -> bool:
    """Whether a call certainly adds tokens other than padding, which is never trained."""
    given = call.positional(0)
    if call.written_name == "add_tokens":
        return isinstance(given, Items) and bool(given.items)
    return isinstance(given, Table) and bool({"additional_special_tokens", "extra_special_tokens"} & set(given.entries))


def _leaves_embeddings(config: Call) -> bool:
    if config.may_have_more:
        return False
    saved, indices = config.argument("modules_to_save"), config.argument("trainable_token_indices")
    if not (saved is ABSENT or is_none(saved)) or not (indices is ABSENT or is_none(indices)):
        return False
    targets = config.argument("target_modules")
    if targets is ABSENT or text(targets) == "all-linear":
        return True
    names = texts(targets) if isinstance(targets, Items) else None
    return bool(names) and not any(word in name for name in names or () for word in _EMBEDDINGS)


def masked_end(script: ScriptFacts) -> Iterator[Problem]:
    """Where the end-of-text token becomes the padding token, and a collator takes that out of the labels.

    transformers 5.23.0, data/data_collator.py `DataCollatorForLanguageModeling`: `labels[labels == pad] = -100`.
    Silent where the script writes no end of text into its examples, as in training on blocks of running text.
    """
    if not {"pad_token", "eos_token", "DataCollatorForLanguageModeling"} <= script.mentions:
        return
    stores = [
        store
        for store in script.structure.attribute_stores.get("pad_token", [])
        if isinstance(store.value, ast.Attribute)
        and store.value.attr == "eos_token"
        and ast.dump(store.value.value) == ast.dump(store.base)
        and store.block.kind == "body"
        and script.resolver.is_live(store.block)
    ]
    if len(script.structure.attribute_stores.get("pad_token", [])) != 1 or not stores:
        return
    collators = [call for call in script.calls_named("DataCollatorForLanguageModeling") if _masks(call)]
    if collators and _writes_end(script) and not {"group_texts", "block_size", "add_special_tokens"} & script.mentions:
        yield (
            "the padding token is the end-of-text token, and DataCollatorForLanguageModeling takes every padding "
            "token out of the labels: the model never learns to stop; give the padding a token of its own",
            script.resolver.location(stores[0].node),
            'tokenizer.add_special_tokens({"pad_token": "<pad>"})',
        )


def _masks(call: Call) -> bool:
    # trl has a collator of this name too, which builds the labels from the completion.
    return call.package == "transformers" and truth(call.argument("mlm", 1)) is False and "mlm" in call.keywords


def _writes_end(script: ScriptFacts) -> bool:
    """Whether the script puts the end-of-text token into a text: `text + tokenizer.eos_token`, or an f-string."""
    for node in ast.walk(script.syntax.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_end(node.right):
            return True
        if isinstance(node, ast.FormattedValue) and _is_end(node.value):
            return True
    return False


def _is_end(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "eos_token"
