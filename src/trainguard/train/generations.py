"""Answers to a few prompts at each evaluation, for what no loss shows: the same pattern in every output.

The random numbers and the mode of the model are as before afterwards.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainguard.errors import UnreadableInputError
from trainguard.train.labels import random_numbers_kept

_PROMPTS = 8
_NEW_TOKENS = 64
# All answers of one evaluation together: a large model on a CPU must not double the time of a run.
_SECONDS = 30.0
_THINK = "<think>"
_KEPT_CHARACTERS = 2000


def read_prompts(path: str | Path) -> list[str]:
    """The first prompts of a text file, one a line. Raises UnreadableInputError where there are none."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            lines = (line.strip() for line in file)
            prompts = [line for line, _ in zip(filter(None, lines), range(_PROMPTS), strict=False)]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInputError(f"prompts={str(path)!r} cannot be read as text: {error}") from None
    if not prompts:
        raise UnreadableInputError(f"prompts={str(path)!r} holds no prompt; write one a line")
    return prompts


def answers(model: nn.Module, processing_class: Any, prompts: list[str]) -> list[str]:
    """What the model answers, greedily, in at most 64 tokens each and 30 seconds together; [] where it cannot."""
    tokenizer = getattr(processing_class, "tokenizer", processing_class)
    if not callable(tokenizer) or not callable(getattr(model, "generate", None)):
        return []
    generate: Any = model.generate
    training = model.training
    until = time.monotonic() + _SECONDS
    given: list[str] = []
    with random_numbers_kept(), torch.no_grad():
        model.eval()
        try:
            for prompt in prompts:
                left = until - time.monotonic()
                if left <= 0:
                    break
                text, templated = _text(tokenizer, prompt)
                inputs = tokenizer(text, return_tensors="pt", add_special_tokens=not templated)
                ids = inputs["input_ids"].to(next(model.parameters()).device)
                output = generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=_NEW_TOKENS,
                    do_sample=False,
                    max_time=left,
                    pad_token_id=_first(tokenizer.pad_token_id, tokenizer.eos_token_id),
                )
                answer = tokenizer.decode(output[0][ids.shape[1] :], skip_special_tokens=False)
                given.append(answer[:_KEPT_CHARACTERS])
        finally:
            model.train(training)
    return given


def record_of(given: list[str]) -> dict[str, Any]:
    """The record of such answers, for the signals."""
    return {"samples": given, "think_share": sum(_THINK in answer for answer in given) / len(given)}


def _text(tokenizer: Any, prompt: str) -> tuple[str, bool]:
    """The prompt as the model is asked, and whether the chat template has put its special tokens in."""
    if getattr(tokenizer, "chat_template", None):
        messages = [{"role": "user", "content": prompt}]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)), True
    return prompt, False


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
