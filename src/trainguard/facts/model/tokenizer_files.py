"""The tokenizer's files: the highest id that it gives, and whether it has a chat template. No tokenizer is made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trainguard.facts.model.json_files import read_bytes, read_object
from trainguard.facts.model.records import TokenizerFacts
from trainguard.facts.weights.files import UnsoundError

# Any one of these is a vocabulary that some tokenizer of transformers 5.23 loads from (`vocab_files_names` of its
# tokenizers; mistral_common's tekken.json).
_VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "source.spm",
    "vocab.model",
    "merges.txt",
    "entity_vocab.json",
)
_MORE_ENDINGS = (".tiktoken", ".spm", ".tokenizer")
_CONFIG = "tokenizer_config.json"
# transformers 5.23, utils/hub.py: CHAT_TEMPLATE_FILE, CHAT_TEMPLATE_DIR, LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE.
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
TEMPLATE_FOLDER = "additional_chat_templates"


class _Added(msgspec.Struct):
    id: int
    content: str


class _Model(msgspec.Struct):
    vocab: dict[str, int] | list[tuple[str, float]] | None = None


class _Tokenizer(msgspec.Struct):
    model: _Model
    added_tokens: list[_Added] = []


def read_tokenizer(folder: Path, files: Collection[str], folders: Collection[str]) -> TokenizerFacts | None:
    """The tokenizer in `folder`, None where none of its files is there."""
    present = [name for name in files if name in _VOCABULARIES or name.endswith(_MORE_ENDINGS)]
    if not present and _CONFIG not in files:
        return None
    problem: tuple[str | None, str | None] = (None, None)
    config: Mapping[str, Any] = {}
    ids: dict[int, str] = {}
    try:
        name = _CONFIG
        config = read_object(folder / _CONFIG) if _CONFIG in files else {}
        for name in ("tokenizer.json", "vocab.json", "added_tokens.json", "vocab.txt", "tokenizer.model"):
            if name in files and (name in ("tokenizer.json", "added_tokens.json") or not ids):
                ids.update(_ids(folder / name))
    except UnsoundError as error:
        problem = (str(error), name)
    ids.update(_declared(config))
    template = config.get("chat_template")
    eos = config.get("eos_token")
    if isinstance(eos, dict):
        eos = eos.get("content")
    # A tokenizer may be made of its configuration alone (ByT5, characters), so the vocabulary is no must.
    return TokenizerFacts(
        files=tuple(sorted({*present, *({_CONFIG} & set(files))})),
        problem=problem[0],
        problem_file=problem[1],
        highest_id=max(ids) if ids and problem[0] is None else None,
        ids=ids,
        has_chat_template=bool(template)
        or any(name in files for name in _TEMPLATE_FILES)
        or TEMPLATE_FOLDER in folders
        or "chat_template" in folders,
        eos_token=eos if isinstance(eos, str) else None,
    )


def _ids(path: Path) -> dict[int, str]:
    if path.name == "tokenizer.json":
        return _fast(path)
    if path.name.endswith(".json"):
        return {value: name for name, value in read_object(path).items() if isinstance(value, int)}
    if path.name == "vocab.txt":
        lines = read_bytes(path).decode("utf-8", "replace").removesuffix("\n").split("\n")
        return dict(enumerate(lines))
    return dict(enumerate(_pieces(read_bytes(path))))


def _fast(path: Path) -> dict[int, str]:
    """The ids of a tokenizer.json, of its model and of what was added."""
    content = read_bytes(path)
    try:
        tokenizer = msgspec.json.decode(content, type=_Tokenizer)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not isinstance(error, msgspec.ValidationError):
            raise UnsoundError(f"it is no JSON: {error}") from None
        return {}  # a model whose vocabulary has another form, such as the characters of a WordLevel variant
    vocabulary = tokenizer.model.vocab
    if isinstance(vocabulary, dict):
        ids = {number: token for token, number in vocabulary.items()}
    else:
        ids = {number: piece for number, (piece, _) in enumerate(vocabulary or ())}
    ids.update((added.id, added.content) for added in tokenizer.added_tokens)
    return ids


def _declared(config: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The ids that tokenizer_config.json adds (`added_tokens_decoder`: {"32000": {"content": "<pad>"}})."""
    added = config.get("added_tokens_decoder")
    for number, token in added.items() if isinstance(added, dict) else ():
        if isinstance(number, str) and number.isdecimal() and len(number) < 10 and isinstance(token, dict):
            yield int(number), str(token.get("content", ""))


def _pieces(content: bytes) -> Iterator[str]:
    """The pieces of a SentencePiece model: field 1 of its protobuf message, and in each its field 1.

    sentencepiece 0.2, sentencepiece_model.proto, `ModelProto.pieces` and `SentencePiece.piece`.
    """
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        if tag & 7 != 2:
            raise UnsoundError("it is no SentencePiece model")
        length, at = _varint(content, at)
        if at + length > len(content):
            raise UnsoundError("it is a SentencePiece model that breaks off")
        if tag >> 3 == 1:
            piece = content[at : at + length]
            inner, start = _varint(piece, 1) if piece[:1] == b"\x0a" else (0, 0)
            yield piece[start : start + inner].decode("utf-8", "replace")
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 64:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise UnsoundError("it is no SentencePiece model")
