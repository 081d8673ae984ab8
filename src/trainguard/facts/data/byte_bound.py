"""How many tokens a text can have at most, from its bytes alone: proven from what tokenizer.json says, or not at all.

BPE begins with one symbol a character (of the byte alphabet, for byte-level BPE) and only ever joins them. A character
that the vocabulary does not hold is one unknown token, or nothing, or with `byte_fallback` as many tokens as it has
bytes. So a text has no more tokens than bytes once the normalizer is done; what a normalizer can add is counted here.
An added token stands for one byte at least.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

# A character may become this many times its bytes in NFC: unicode.org/faq/normalization, "maximum expansion factor",
# UTF-8. ASCII stays as it is.
_NFC_FACTOR = 3
_MARK = "▁"


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `ascii` tokens a byte of a text that is all ASCII, `other` a byte of any other, and one more."""

    ascii: int
    other: int

    def of(self, text: str) -> int:
        size = len(text.encode("utf-8", "surrogatepass")) if not text.isascii() else len(text)
        plain = size if size == len(text) else 0
        return self.ascii * plain + self.other * (size - plain) + 1


def byte_bound(
    normalizer: Any, pre_tokenizer: Any, model: Mapping[str, Any], vocabulary: Container[str]
) -> Bound | None:
    """The bound of a tokenizer, None where none is proven. The arguments are those of tokenizer.json."""
    if model.get("type") != "BPE":
        return None
    fallback = bool(model.get("byte_fallback"))
    if fallback and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")):
        return None
    ascii_cost, other = 1, 1
    mark_cost = len(_MARK.encode()) if fallback and _MARK not in vocabulary else 1
    for step in _steps(normalizer, "normalizers"):
        kind = step.get("type")
        if kind == "NFC":
            other *= _NFC_FACTOR
        elif kind == "Prepend" and step.get("prepend") == _MARK:
            ascii_cost, other = ascii_cost + mark_cost, other + mark_cost  # once for each piece between added tokens
        elif kind == "Replace" and step.get("pattern") == {"String": " "} and step.get("content") == _MARK:
            if mark_cost > 1:
                return None
        else:
            return None
    for step in _steps(pre_tokenizer, "pretokenizers"):
        kind = step.get("type")
        if kind in ("Split", "Digits", "Whitespace", "WhitespaceSplit", "Punctuation"):
            continue
        if kind == "ByteLevel" or (kind == "Metaspace" and mark_cost == 1):
            # A space may be put before each piece that has none: one more for a byte at least.
            if step.get("add_prefix_space") or (kind == "Metaspace" and step.get("prepend_scheme") != "never"):
                ascii_cost, other = ascii_cost + 1, other + 1
            continue
        return None
    return Bound(ascii_cost, other)


def _steps(part: Any, key: str) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    if isinstance(part, Mapping) and part.get("type") == "Sequence":
        return [each if isinstance(each, Mapping) else {} for each in part.get(key, ())]
    return [part] if isinstance(part, Mapping) else [{}]
