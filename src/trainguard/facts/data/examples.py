"""A row as the text that a trainer tokenizes, and where in it the part that is learnt begins.

After SFTTrainer._prepare_dataset of trl 1.16 (sft_trainer.py: add_eos, tokenize_fn) for messages, prompt and
completion, and text; after its DPO and KTO trainers for preferences, which tokenize prompt and answer the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainguard.facts.data.content import messages_of, shared_prefix
from trainguard.facts.data.template import RefusedError, Renderer


@dataclass(frozen=True, slots=True)
class Rendered:
    """One text to be tokenized. `special` tells whether the tokenizer adds its special tokens (not for a template).

    `prompt` is the text that stands before all that is learnt, tokenized by itself as the trainers do; None where there
    is none of its own.
    """

    text: str
    special: bool
    prompt: str | None = None


class Example:
    """A row, to be rendered by `renderer`. `eos` is the text of the end token, None where there is none."""

    def __init__(self, row: Mapping[str, Any], renderer: Renderer, eos: str | None) -> None:
        self._row, self._renderer, self._eos = row, renderer, eos
        tools = row.get("tools")
        try:
            tools = json.loads(tools) if isinstance(tools, str) else tools
        except (ValueError, RecursionError):
            raise RefusedError("tools that are no JSON") from None
        self._tools = tools if isinstance(tools, list) else None
        variables = row.get("chat_template_kwargs")
        self._variables = variables if isinstance(variables, Mapping) else {}
        self._messages: list[dict[str, Any]] | None = None

    def render(self) -> list[Rendered]:
        """The texts of the row: one, or two for a preference; none for a row without a layout. Raises RefusedError."""
        row = self._row
        prompt, chosen = row.get("prompt"), row.get("chosen")
        if chosen is not None:
            answers = [chosen, row.get("rejected")]
            if prompt is None:
                prompt, answers = split_prompt(answers)
            return self._answers(prompt, answers)
        if prompt is not None:
            completion = row.get("completion")
            if completion is None:
                return self._prompt_alone(prompt)
            return self._answers(prompt, [completion])
        messages = messages_of(row.get("messages")) or messages_of(row.get("conversations"))
        if messages:
            self._messages = messages
            return [Rendered(self._chat(messages), special=False)]
        text = row.get("text")
        return [Rendered(self._ended(text), special=True)] if isinstance(text, str) else []

    def answer(self, text: str) -> int | None:
        """Where in the chat `text` the first answer of an assistant begins; 0 where the chat begins with it.

        None where there is none. Where a template renders the beginning differently by itself, the answer is taken
        to begin too early rather than too late.
        """
        messages = self._messages
        if messages is None:
            return None
        first = next((at for at, each in enumerate(messages) if each.get("role") in ("assistant", "gpt")), None)
        if first is None:
            return None
        if first == 0:
            return 0
        marked = self._renderer.first_answer(messages, tools=self._tools, variables=self._variables)
        if marked is not None:
            return marked
        try:
            before = self._chat(messages[:first], generation_prompt=True)
        except RefusedError:
            content = messages[first].get("content")
            found = text.find(content.strip()) if isinstance(content, str) and content.strip() else -1
            return found if found >= 0 else None
        return shared_prefix(before, text)

    def _chat(self, messages: list[dict[str, Any]], *, generation_prompt: bool = False) -> str:
        return self._renderer.render(
            messages, tools=self._tools, generation_prompt=generation_prompt, variables=self._variables
        )

    def _ended(self, text: str) -> str:
        return text if self._eos is None or text.endswith(self._eos) else text + self._eos

    def _prompt_alone(self, prompt: Any) -> list[Rendered]:
        messages = messages_of(prompt)
        if messages:
            return [Rendered(self._chat(messages, generation_prompt=True), special=False)]
        return [Rendered(prompt, special=True)] if isinstance(prompt, str) else []

    def _answers(self, prompt: Any, answers: list[Any]) -> list[Rendered]:
        if isinstance(prompt, str) and all(isinstance(each, str) for each in answers):
            return [Rendered(self._ended(prompt + each), special=True, prompt=prompt) for each in answers]
        before = messages_of(prompt)
        after = [messages_of(each) for each in answers]
        if before is None or not all(after):
            return []
        alone = self._chat(before, generation_prompt=True) if before else None
        texts = [self._chat(before + each) for each in after if each]
        return [Rendered(text, special=False, prompt=alone) for text in texts]


def split_prompt(answers: list[Any]) -> tuple[Any, list[Any]]:
    """What both answers of a preference begin with is its prompt: trl 1.16, data_utils.py, extract_prompt."""
    chosen, rejected = answers
    if isinstance(chosen, str) and isinstance(rejected, str):
        length = shared_prefix(chosen, rejected)
        if length and chosen[length - 1] == " ":
            length -= 1
        return chosen[:length], [chosen[length:], rejected[length:]]
    if isinstance(chosen, list) and isinstance(rejected, list):
        length = 0
        while length < min(len(chosen), len(rejected)) and chosen[length] == rejected[length]:
            length += 1
        return chosen[:length], [chosen[length:], rejected[length:]]
    return None, answers
