r"""Where a text can be cut so that each part has the tokens it has in the whole: before a space, for most tokenizers.

A text of English or code is made of few different words. Where a cut before each space is proven harmless, the number
of tokens of a text is the sum of numbers that are looked up, some ten times as fast as tokenizing it again.

A cut stands before a space whose left neighbour is no white space. It is harmless

* for byte-level BPE, when no match of the pre-tokenizer's regular expression holds a space behind anything but white
  space (then a match that begins left of the cut ends there too), and when no lookaround but `(?!\S)` behind white
  space decides on a match (what stands left of the cut is no white space, so it never looks across);
* for BPE over whole texts with "▁" for the space, when no token of the vocabulary holds "▁" behind another character
  (then no merge crosses the cut, and merges left and right of it do not depend on each other).

Both need a normalizer that looks at no more than the character itself (NFC never composes with a space), and added
tokens that neither hold nor swallow spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SPACE_MARK = "▁"
# Characters that may stand left of a cut where a normalizer writes "▁" before the text behind an added token: no added
# token may end with one of them, so that the cut is never at such a place.
_PLAIN_LEFT = "0-9A-Za-z.,;:!?"
_ANY_LEFT = re.compile(r"(?<=\s) ")
_PLAIN_LEFT_ONLY = re.compile(rf"(?<![{_PLAIN_LEFT}]) ")

# tokenizers 0.23, pre_tokenizers/byte_level.rs: the expression of ByteLevel(use_regex=True).
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CLASSES_WITHOUT_SPACE = "LMNPSC"  # Unicode general categories; the space is of Zs


def joint(
    normalizer: Any,
    pre_tokenizer: Any,
    model: Mapping[str, Any],
    added: Sequence[Mapping[str, Any]],
    vocabulary: Iterable[str],
) -> re.Pattern[str] | None:
    """The spaces that are no cut, or None where cuts are not proven. The arguments are those of tokenizer.json."""
    contents = [str(each.get("content", "")) for each in added]
    if any(re.search(r"\s", text) for text in contents) or any(
        each.get(flag) for each in added for flag in ("lstrip", "rstrip", "single_word")
    ):
        return None
    if model.get("dropout") is not None or model.get("type") not in ("BPE", None):
        return None
    if _is_byte_level(normalizer, pre_tokenizer):
        return _ANY_LEFT
    if not _is_marked(normalizer, pre_tokenizer) or model.get("ignore_merges"):
        return None
    if any(_SPACE_MARK in text for text in contents) or re.search(
        rf"[{_PLAIN_LEFT}]$", "\n".join(contents), re.MULTILINE
    ):
        return None
    inner = re.compile(rf"[^{_SPACE_MARK}]{_SPACE_MARK}")
    found = False
    for token in vocabulary:
        found = found or token == _SPACE_MARK
        if _SPACE_MARK in token and inner.search(token):
            return None
    return _PLAIN_LEFT_ONLY if found else None


def _steps(part: Any, key: str) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    if isinstance(part, Mapping) and part.get("type") == "Sequence":
        return [each for each in part.get(key, ()) if isinstance(each, Mapping)]
    return [part] if isinstance(part, Mapping) else [{}]


def _is_byte_level(normalizer: Any, pre_tokenizer: Any) -> bool:
    if any(step.get("type") != "NFC" for step in _steps(normalizer, "normalizers")):
        return False
    steps = _steps(pre_tokenizer, "pretokenizers")
    if not steps or steps[-1].get("type") != "ByteLevel":
        return False
    for step in steps[:-1]:
        if step.get("type") == "Digits":
            continue
        pattern = step.get("pattern")
        expression = pattern.get("Regex") if isinstance(pattern, Mapping) else None
        if step.get("type") != "Split" or step.get("behavior") != "Isolated" or step.get("invert"):
            return False
        if not isinstance(expression, str) or not spaces_lead(expression):
            return False
    return True


def _is_marked(normalizer: Any, pre_tokenizer: Any) -> bool:
    """Whether spaces become "▁", and nothing else happens before BPE."""
    replaced = False
    for step in _steps(normalizer, "normalizers"):
        if step.get("type") == "Prepend" and step.get("prepend") == _SPACE_MARK and not replaced:
            continue
        if (
            step.get("type") == "Replace"
            and step.get("pattern") == {"String": " "}
            and step.get("content") == _SPACE_MARK
        ):
            replaced = True
            continue
        return False
    steps = _steps(pre_tokenizer, "pretokenizers")
    if replaced and all(step.get("type") == "Split" and step.get("pattern") == {"String": " "} for step in steps):
        return True  # Gemma's tokenizer.json splits at a space, of which none is left
    return (
        not replaced
        and len(steps) == 1
        and steps[0].get("type") == "Metaspace"
        and steps[0].get("replacement") == _SPACE_MARK
    )


def spaces_lead(expression: str) -> bool:
    """Whether no match of the regular expression (Oniguruma) holds a space behind anything but white space.

    False wherever this little reader of expressions does not understand all of it.
    """
    try:
        alternatives = _Reader(expression).read()
    except (_UnknownError, IndexError, RecursionError):
        return False
    return all(_leads(atoms) for atoms in alternatives)


# What an atom may match: no space; only white space, with the space or without; a space or something else; a lookahead.
_NEVER, _ONLY, _BREAK, _BOTH, _LOOK = "never", "only", "break", "both", "look"


def _leads(atoms: list[tuple[str, bool]]) -> bool:
    behind = False  # something that is no white space may have been matched
    for kind, single in atoms:
        if kind == _LOOK:
            if behind:
                return False
        elif kind == _BREAK:
            continue
        elif kind == _NEVER:
            behind = True
        elif behind or (kind == _BOTH and not single):
            return False
        elif kind == _BOTH:
            behind = True
    return True


class _UnknownError(Exception):
    """A construct that is not judged."""


class _Reader:
    """Reads the constructs that pre-tokenizers use: classes, escapes, groups of literals, quantifiers, `(?!\\S)`."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def read(self) -> list[list[tuple[str, bool]]]:
        alternatives: list[list[tuple[str, bool]]] = [[]]
        while self.at < len(self.text):
            if self.text[self.at] == "|":
                self.at += 1
                alternatives.append([])
                continue
            kind, single = self._atom()
            alternatives[-1].append((kind, self._quantified(single)))
        return alternatives

    def _quantified(self, single: bool) -> bool:
        rest = self.text[self.at :]
        found = re.match(r"(?:[*+?]|\{(\d+)(,\d*)?\})[+?]?", rest)
        if found is None:
            return single
        self.at += found.end()
        return single and found[0][0] == "?"

    def _atom(self) -> tuple[str, bool]:
        text = self.text
        if text.startswith(r"(?!\S)", self.at):
            self.at += len(r"(?!\S)")
            return _LOOK, True
        char = text[self.at]
        if char == "(":
            return self._group(), False
        if char == "[":
            return self._class(), True
        if char == "\\":
            return self._escape(), True
        if char in ".^$*+?{})":
            raise _UnknownError
        self.at += 1
        return (_ONLY if char == " " else _NEVER), True

    def _group(self) -> str:
        """A group that matches no white space at all, such as `(?i:'s|'t|'ll)`; any other is not judged."""
        found = re.match(r"\((?:\?i:|\?:)?([^()\[\]\\.\s]*)\)", self.text[self.at :])
        if found is None or found[1].startswith("?"):
            raise _UnknownError
        self.at += found.end()
        return _NEVER

    def _escape(self) -> str:
        found = re.match(
            r"\\(?:p\{\^?([A-Za-z]+)\}|([srntvfSd'/\"!#$%&*+,.:;<=>?@^_`{|}~()\[\]\\-]))", self.text[self.at :]
        )
        if found is None or "^" in found[0][:4]:
            raise _UnknownError
        self.at += found.end()
        if found[1] is not None:
            return _NEVER if found[1][0] in _CLASSES_WITHOUT_SPACE and len(found[1]) <= 2 else _unknown()
        return _ONLY if found[2] == "s" else _BREAK if found[2] in "rntvf" else _NEVER

    def _class(self) -> str:
        self.at += 1
        negated = self.text[self.at] == "^"
        self.at += negated
        holds_space = holds_other = holds_break = all_space = False
        while self.text[self.at] != "]":
            char = self.text[self.at]
            if char == "[" or self.text.startswith("&&", self.at):
                raise _UnknownError
            if char == "\\":
                escape = self.text[self.at : self.at + 2]
                kind = self._escape()
                holds_space, holds_other = holds_space or kind == _ONLY, holds_other or kind == _NEVER
                holds_break = holds_break or kind == _BREAK
                all_space = all_space or escape == r"\s"
            else:
                self.at += 1
                if self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                    high = self.text[self.at + 1]
                    if high == "\\" or not "!" <= char <= high:  # from "!" on, no range holds the space
                        raise _UnknownError
                    self.at += 2
                holds_space, holds_other = holds_space or char == " ", holds_other or char != " "
        self.at += 1
        if negated:
            return _NEVER if all_space else _BOTH
        if holds_space:
            return _BOTH if holds_other else _ONLY
        return _BREAK if holds_break and not holds_other else _NEVER


def _unknown() -> str:
    raise _UnknownError
