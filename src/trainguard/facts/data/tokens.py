"""Special tokens of well-known chat templates, which no content may hold: it would end a turn or open another.

Left out on purpose: `<s>` (also HTML's strike-through), `</s>`, `[INST]`, `<pad>`, `<tool_call>`, `<think>`: ordinary
text and the content of sound data hold them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

TEMPLATE_TOKENS = (
    "<|im_start|>",  # ChatML: Qwen2.5/Qwen3, Hermes, SmolLM (tokenizer_config.json of Qwen/Qwen2.5-0.5B-Instruct)
    "<|im_end|>",
    "<|endoftext|>",  # GPT-2, Qwen, Phi
    "<|begin_of_text|>",  # Llama 3 (meta-llama/Llama-3.1-8B-Instruct)
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<|header_start|>",  # Llama 4
    "<|header_end|>",
    "<|eot|>",
    "<start_of_turn>",  # Gemma 2 and 3
    "<end_of_turn>",
    "<|assistant|>",  # Phi-3, Zephyr, GLM-4
    "<|user|>",
    "<|system|>",
    "<|end|>",  # Phi-3, gpt-oss
    "<|start|>",  # gpt-oss (harmony)
    "<|message|>",
    "<|channel|>",
    "<|return|>",
    "<|START_OF_TURN_TOKEN|>",  # Command R
    "<|END_OF_TURN_TOKEN|>",
    "<\uff5cUser\uff5c>",  # DeepSeek V3, with full-width bars
    "<\uff5cAssistant\uff5c>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
)


class TokenFinder:
    """Looks for the tokens in many texts at once: a text without the first character of any is soon put aside."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        known = sorted(set(tokens), key=lambda token: (-len(token), token))
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None
        # Texts are passed over by their lack of these; more than a few would cost more than the pattern itself.
        self._firsts = sorted({token[0] for token in known})
        self._first = self._firsts[0] if len(self._firsts) == 1 else None
        # Only of "<" is it known how an escape of it looks.
        self.first_byte = b"<" if self._firsts == ["<"] else None

    def any(self, texts: list[str]) -> bool:
        """Whether one of the texts holds a token."""
        if self._pattern is None:
            return False
        search = self._pattern.search
        first = self._first
        if first is not None:
            return any(search(text) for text in texts if first in text)
        return any(search(text) for text in texts)

    def harmless(self, text: str) -> bool:
        """Whether there is something in the text, and no token for sure."""
        if not text or text.isspace():
            return False
        return self._pattern is None or (self._first is not None and self._first not in text)

    def first(self, text: str) -> re.Match[str] | None:
        """The first token in the text."""
        return None if self._pattern is None else self._pattern.search(text)


def is_telling(token: str) -> bool:
    """Whether a tokenizer's special token is never ordinary text: `<|…|>`, `<start_of_turn>`; not `<s>`, `[INST]`."""
    return len(token) >= _MIN_TELLING and not _ORDINARY.fullmatch(token)


_MIN_TELLING = 5
# HTML tags, a word in brackets, and what sound content holds: </s>, <unk>, <pad>, [MASK], <tool_call>.
_ORDINARY = re.compile(r"</?[a-zA-Z]+>|</?(?:tool_calls?|tool_response|think|unused\d+)>|\[/?[A-Z_ ]+\]|[\w\s]+")
_QUOTED = re.compile(r"""(['"])(\w{2,40})\1""")


class _Added(msgspec.Struct):
    content: str
    special: bool = False


class _Tokenizer(msgspec.Struct):
    added_tokens: list[_Added] = []


# The largest tokenizer.json of a well-known model (Gemma 3, 262,144 tokens) has 33 MB.
_MAX_TOKENIZER_BYTES = 200_000_000


def special_tokens_of(tokenizer_json: Path) -> tuple[str, ...]:
    """The special tokens of a tokenizer.json (tokenizers 0.23, `added_tokens`); none where it cannot be read."""
    from trainguard.facts.data.ranges import open_regular

    try:
        descriptor = open_regular(tokenizer_json)
    except OSError:
        return ()
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_size > _MAX_TOKENIZER_BYTES:
            return ()
        try:
            found = msgspec.json.decode(file.read(), type=_Tokenizer)
        except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            return ()
    return tuple(each.content for each in found.added_tokens if each.special)


def template_roles(templates: Iterable[str]) -> tuple[str, ...]:
    """The words that chat templates hold in quotes: the roles that they know are among them."""
    return tuple(sorted({found[2] for text in templates for found in _QUOTED.finditer(text[:1_000_000])}))
