"""What is wrong with a handful of generated outputs, if all of them share it. Pure: texts in, a name out."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal

Pattern = Literal["empty", "same", "repeated", "alike", "think"]
# Fewer outputs that are the same prove nothing: the prompts may be.
FEWEST = 3
# The share of outputs that must have the pattern: one that differs among ten is still a collapse.
MOST = 0.85
# Two outputs that agree and have this length do so by no chance; shorter ones may be the labels of a classifier.
LONG_TEXT = 24
# Text that repeats itself: English prose of a few hundred characters packs to 0.5 to 0.6 with zlib, source code and
# lists to 0.25 and more, a looping model to 0.15 and less (measured on pages of this project; cf. Holtzman 2020,
# "The Curious Case of Neural Text Degeneration", arXiv 1904.09751, on loops).
PACKED, PACKED_FROM = 0.18, 160
# Shorter texts: one word makes up half of ten or more, or three words in a row come back and back.
WORDS, WORD_SHARE, TRIPLE_SHARE = 10, 0.5, 0.55
CHARACTERS = 12
# Prefix and suffix in common, as a share of every output and in characters, so that only a name or a number differs.
# Shorter frames are answers in one form ("The sentiment of this review is positive.").
ALIKE, ALIKE_FROM = 0.85, 80
# A refusal in every output needs less in common: its first words.
_REFUSAL = re.compile(
    r"\b(i am sorry|i'm sorry|i apologi[sz]e|i cannot|i can't|i can not|i am unable|i'm unable|as an ai)\b[^.!?]{0,24}"
)
# Tags in which models reason: DeepSeek-R1 and Qwen3 write <think>, others the rest (their chat templates).
_THINK = re.compile(r"<\|?/?(think|thinking|thought|thoughts|reasoning|scratchpad|reflection)\|?>", re.IGNORECASE)
_STRUCTURE = ("{", "[", "<", "|", "```")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The pattern, the share of outputs with it, an excerpt, and whether it could be a short legitimate answer."""

    pattern: Pattern
    share: float
    excerpt: str
    short: bool = False


def shared_pattern(outputs: tuple[str, ...], *, thinks: bool | None) -> Shared | None:
    """The pattern that the outputs share, if any. `thinks` True: reasoning tags are wanted."""
    count = len(outputs)
    if not count:
        return None
    bare = [" ".join(_THINK.sub(" ", text).split()) if thinks else " ".join(text.split()) for text in outputs]
    whole = [" ".join(text.split()) for text in outputs]
    empty = sum(not text for text in whole)
    if empty >= MOST * count:
        return Shared(pattern="empty", share=empty / count, excerpt="")
    looping = [text for text in bare if repeats_itself(text)]
    if len(looping) >= MOST * count:
        return Shared(pattern="repeated", share=len(looping) / count, excerpt=excerpt(looping[0]))
    if not thinks and all(_THINK.search(text) for text in whole):
        return Shared(pattern="think", share=1.0, excerpt=excerpt(whole[0]))
    if count < FEWEST:
        return None
    text, times = Counter(bare).most_common(1)[0]
    if times >= MOST * count and text:
        return Shared(pattern="same", share=times / count, excerpt=excerpt(text), short=len(text) < LONG_TEXT)
    if _alike(bare):
        return Shared(pattern="alike", share=1.0, excerpt=excerpt(bare[0]))
    return None


def repeats_itself(text: str) -> bool:
    """Whether a text, its white space already single, says the same over and over."""
    if len(text) < CHARACTERS:
        return False
    if len(text) >= PACKED_FROM:
        raw = text.encode("utf-8", "replace")
        if len(zlib.compress(raw, 6)) < PACKED * len(raw):
            return True
    words = text.split(" ")
    if len(words) >= WORDS:
        return _share(words) >= WORD_SHARE or (len(words) >= 2 * WORDS and _looping_triples(words) >= TRIPLE_SHARE)
    # No words: one character, or a few, over and over ("!!!!!!", "hahahaha", Chinese).
    compact = text.replace(" ", "")
    for size in (1, 2, 3, 4):
        if len(compact) >= max(CHARACTERS, 4 * size) and _period(compact, size) >= 0.9:
            return True
    return len(words) >= 5 and len(set(words)) == 1


def _share(words: list[str]) -> float:
    return Counter(words).most_common(1)[0][1] / len(words)


def _looping_triples(words: list[str]) -> float:
    """The share of the triples of words that were there before: near 1 in a loop, below 0.1 in prose."""
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples)


def _period(text: str, size: int) -> float:
    """The share of characters that are the one `size` places before."""
    return sum(a == b for a, b in zip(text, text[size:], strict=False)) / (len(text) - size)


def _alike(outputs: list[str]) -> bool:
    """Whether all but a small piece is the same in all outputs, or all refuse in the same words.

    Structured outputs share their frame by right.
    """
    refusals = {match.group() if (match := _REFUSAL.search(text[:400].lower())) else None for text in outputs}
    if len(refusals) == 1 and None not in refusals:
        return True
    if min(map(len, outputs)) < ALIKE_FROM or all(text.startswith(_STRUCTURE) for text in outputs):
        return False
    low, high = min(outputs), max(outputs)
    prefix = _common(low, high)
    backwards = [text[::-1] for text in outputs]
    suffix = _common(min(backwards), max(backwards))
    common = prefix + suffix
    return common >= ALIKE_FROM and common >= ALIKE * max(map(len, outputs))


def _common(one: str, other: str) -> int:
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def excerpt(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
