"""How many tokens texts have, by the `tokenizers` library: exact, and with as little tokenizing as proofs allow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trainguard.facts.data.byte_bound import Bound, byte_bound
from trainguard.facts.data.separable import joint
from trainguard.facts.data.tokenizer import MAX_TOKENIZER_BYTES, TokenizerFacts, read_regular, read_tokenizer

if TYPE_CHECKING:
    import tokenizers

# A space that is no cut, inside a part that is looked up. No text with this character is cut.
_JOINT = "\x00"
# Before a part that begins a text. Neither is a text with this character cut.
_FIRST = "\x01"
_MARK = "▁"
# Parts that are remembered, at about 120 bytes each, and characters of them.
MAX_PARTS = 200_000
MAX_PART_CHARACTERS = 16 << 20
# Where more than this share of the parts is new, looking up costs more than it saves.
MAX_MISSES = 0.5
_TRIAL_PARTS = 50_000
# Texts that are counted both ways before lookups are trusted. The proof is in `separable`; this is for its author.
_TRIAL_TEXTS = 64


class TokenizerError(Exception):
    """The folder holds no tokenizer that can be used; the argument says why in one clause."""


class _File(msgspec.Struct):
    """What is read of tokenizer.json beside the library: all but the vocabulary."""

    normalizer: Any = None
    pre_tokenizer: Any = None
    added_tokens: list[dict[str, Any]] = []
    model: dict[str, Any] = {}


class _Head(msgspec.Struct):
    type: str | None = None
    dropout: float | None = None
    byte_fallback: bool | None = None
    ignore_merges: bool | None = None
    unk_token: str | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None


class _FileHead(_File):
    model: _Head = msgspec.field(default_factory=_Head)  # type: ignore[assignment]


class Counter:
    """The tokenizer of a folder. Counts are those of `transformers`, without truncation and padding."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.facts = folder, read_tokenizer(folder)
        if self.facts.problem is not None:
            raise TokenizerError(self.facts.problem)
        self._library, parts, model = _load(folder, self.facts)
        self.specials: int = self._library.num_special_tokens_to_add(False)
        vocabulary = self._library.get_vocab(with_added_tokens=False)
        self._joint = joint(parts.normalizer, parts.pre_tokenizer, model, parts.added_tokens, vocabulary)
        self._bound: Bound | None = byte_bound(parts.normalizer, parts.pre_tokenizer, model, vocabulary)
        del vocabulary
        self._known: dict[str, int] = {}
        self._characters = 0
        self._seen = self._missed = 0
        self._checked = 0
        self._before = self._one("a")

    def _one(self, text: str) -> int:
        return len(self._library.encode(text, add_special_tokens=False).ids)

    @property
    def bound(self) -> Bound | None:
        return self._bound

    @property
    def cuts(self) -> bool:
        """Whether tokens are looked up by parts."""
        return self._joint is not None

    def at_most(self, text: str) -> int | None:
        """No fewer than the tokens of `text` without special tokens, None where there is no such bound."""
        return None if self._bound is None else self._bound.of(text)

    def at_most_before(self, text: str, end: int) -> int | None:
        """No fewer than the tokens of `text` that begin before the character `end`, None where there is no bound."""
        if self._joint is None or self._bound is None:
            return self.at_most(text[:end])
        cut = text.rfind(" ", 0, end)
        while cut > 0 and self._joint.match(text, cut):
            cut = text.rfind(" ", 0, cut)
        if cut <= 0:
            return self.at_most(text[:end])
        return self.counts([text[:cut]])[0] + self._bound.of(text[cut:end])

    def counts(self, texts: Sequence[str], limits: Sequence[int | None] | None = None) -> list[int]:
        """The tokens of each text, special tokens of the post-processor not counted.

        Where `limits` gives a number for a text and the text certainly has no more tokens, any number up to that limit
        may stand for it: then its unknown parts need not be tokenized.
        """
        if self._joint is None:
            return self._direct(texts)
        counts: list[int | None] = [None] * len(texts)
        cut: list[tuple[int, list[str]]] = []
        new: set[str] = set()
        known = self._known
        for index, text in enumerate(texts):
            if _JOINT in text or _FIRST in text or _MARK in text:
                continue
            parts = self._joint.sub(_JOINT, text).split(" ")
            parts[0] = _FIRST + parts[0]  # the first part has no space before it
            self._seen += len(parts)
            try:
                counts[index] = sum(map(known.__getitem__, parts))
            except KeyError:
                limit = limits[index] if limits is not None else None
                if limit is not None and (most := self._most(parts, limit)) is not None:
                    counts[index] = most
                    continue
                new.update([part for part in parts if part not in known])
                cut.append((index, parts))
        if new:
            self._missed += len(new)
            self._learn(list(new))
            for index, parts in cut:
                counts[index] = sum(map(known.__getitem__, parts))
        rest = [index for index, count in enumerate(counts) if count is None]
        for index, count in zip(rest, self._direct([texts[index] for index in rest]), strict=True):
            counts[index] = count
        done = [count for count in counts if count is not None]
        self._watch(texts, done, limits)
        return done

    def _most(self, parts: list[str], limit: int) -> int | None:
        """A bound of the tokens of the parts, where it is within the limit: unknown parts by their bytes."""
        if self._bound is None:
            return None
        known = list(map(self._known.get, parts))
        most = sum(count for count in known if count is not None)
        for part, count in zip(parts, known, strict=True):
            if count is None:
                most += self._bound.of(part) + self._bound.ascii  # with the space before it
                if most > limit:
                    return None
        return most

    def _learn(self, parts: list[str]) -> None:
        """Counts parts as they stand behind a word and a space; one that begins a text is marked."""
        texts = [part[1:] if part[0:1] == _FIRST else "a " + part for part in parts]
        counts = self._direct([text.replace(_JOINT, " ") for text in texts])
        for part, count in zip(parts, counts, strict=True):
            self._known[part] = count if part[0:1] == _FIRST else count - self._before
            self._characters += len(part)

    def _direct(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        return [len(each) for each in self._library.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _watch(self, texts: Sequence[str], counts: list[int], limits: Sequence[int | None] | None) -> None:
        if self._checked < _TRIAL_TEXTS:
            trial = min(len(texts), _TRIAL_TEXTS - self._checked)
            self._checked += trial
            asked = limits or [None] * len(texts)
            for right, count, limit in zip(self._direct(texts[:trial]), counts[:trial], asked[:trial], strict=True):
                if right == count or (limit is not None and right <= count <= limit):
                    continue
                self._joint = None
                counts[:] = self._direct(texts)
                break
        if self._seen > _TRIAL_PARTS and self._missed > MAX_MISSES * self._seen:
            self._joint = None
        if len(self._known) > MAX_PARTS or self._characters > MAX_PART_CHARACTERS:
            self._known.clear()
            self._characters = 0
        if self._joint is None:
            self._known.clear()

    def ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        return [each.ids for each in self._library.encode_batch_fast(list(texts), add_special_tokens=special)]

    def kept_characters(self, text: str, tokens: int) -> int:
        """How many characters of `text` its first `tokens` tokens reach into (special tokens not counted)."""
        encoding = self._library.encode(text, add_special_tokens=False)
        if len(encoding) <= tokens:
            return len(text)
        for index in range(tokens - 1, -1, -1):
            span = encoding.token_to_chars(index)
            if span is not None:
                return int(span[1])
        return 0


def _load(folder: Path, facts: TokenizerFacts) -> tuple[tokenizers.Tokenizer, _File, dict[str, Any]]:
    try:
        from tokenizers import AddedToken, Tokenizer
    except ImportError:
        raise TokenizerError('the tokenizers library is not installed (pip install "trainguard[data]")') from None
    try:
        raw = read_regular(folder / "tokenizer.json", MAX_TOKENIZER_BYTES) or b""
        head = msgspec.json.decode(raw, type=_FileHead)
        library = Tokenizer.from_str(raw.decode("utf-8"))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library panics on some files, and a panic is no Exception
        raise TokenizerError(f"its tokenizer.json cannot be loaded: {' '.join(str(error).split())[:200]}") from None
    library.no_truncation()
    library.no_padding()
    added = {str(each.get("content")) for each in head.added_tokens}
    # transformers 5.23, TokenizersBackend.__init__: special tokens that tokenizer.json does not list are added.
    missing = [text for text in facts.control_tokens if text not in added]
    if missing:
        library.add_special_tokens([AddedToken(text, special=True) for text in missing])
        head.added_tokens.extend({"content": text, "special": True} for text in missing)
    return library, head, msgspec.to_builtins(head.model)


def quiet_threads(threads: int) -> None:
    """How many threads the library starts in this process, before its first batch."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def words(text: str) -> int:
    """Runs without white space: no tokenizer in common use makes one token of two of them."""
    return len(re.findall(r"\S+", text)) if "\x00" in text else len(text.split())


__all__ = ["Counter", "Mapping", "TokenizerError", "quiet_threads", "words"]
