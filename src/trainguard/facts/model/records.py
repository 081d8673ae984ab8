"""What is read of a folder with a model, a tokenizer or an adapter: names, shapes and sizes, no weights.

Names of files are relative to the folder. Sizes are in bytes, lengths of tensors in elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from trainguard.facts.weights.records import TensorEntry, WeightsFile
from trainguard.facts.weights.shard_index import ShardIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """config.json as far as it concerns the weights; None where it does not say.

    For a model of several parts the values are those of its text part. `problem` says why it cannot be read.
    """

    problem: str | None = None
    model_type: str | None = None
    architectures: tuple[str, ...] = ()
    vocab_size: int | None = None
    hidden_size: int | None = None
    layers: int | None = None
    max_positions: int | None = None
    tied: bool | None = None
    quantized: bool = False
    layer_types: tuple[str, ...] = ()
    composite: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """The tokenizer's files, and its tokens by their ids. `highest_id` is None where it cannot be told."""

    files: tuple[str, ...] = ()
    problem: str | None = None
    problem_file: str | None = None
    highest_id: int | None = None
    ids: Mapping[int, str] = field(default_factory=dict)
    has_chat_template: bool = False
    eos_token: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A tensor that the model should have and that no file holds; `because` says how one can tell."""

    name: str
    because: str


ValueKind: TypeAlias = Literal["zeros", "zero-tail", "nan", "infinite", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadValues:
    """A tensor whose numbers cannot be right. `share` of its elements; None where only a sample was read.

    A file that could no longer be read while its numbers were read has the kind "unreadable", and no tensor.
    """

    file: str
    tensor: str
    kind: ValueKind
    share: float | None = None
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexMismatch:
    """A tensor that the index and a shard disagree about."""

    tensor: str
    shard: str
    kind: Literal["not-in-shard", "not-in-index"]


@dataclass(frozen=True, slots=True)
class Escape:
    """A file name or a link in the folder that leads out of it. `named_in` is the file that names it, or the link."""

    named_in: str
    target: str
    link: bool


MismatchKind: TypeAlias = Literal["layer-beyond", "shape", "no-such-module", "rank", "base-unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterMismatch:
    """Something about an adapter that its base, or its own configuration, contradicts."""

    kind: MismatchKind
    tensor: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFacts:
    """adapter_config.json and what its weights say. `mismatches` are against the base that was given, if any."""

    problem: str | None = None
    base_name: str | None = None
    peft_type: str | None = None
    rank: int | None = None
    targets: tuple[str, ...] = ()
    mismatches: tuple[AdapterMismatch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A folder (or one file) as it lies on the disk.

    `exists` is False where there is nothing at `path`; then `nearest` is what has a similar name, and `hub_id` is True
    where the text could be the id of a repository. `weights` are the files that a library would load, `other_pickles`
    the rest that one may unpickle; `tensors` are all of `weights` together, None where they cannot be told.
    `missing_shards` are names that the index (or the numbering of the files) promises.
    """

    path: Path
    exists: bool = True
    is_file: bool = False
    nearest: str | None = None
    hub_id: bool = False
    unreadable: str | None = None
    empty: bool = False
    files: tuple[str, ...] = ()
    config: ModelConfig | None = None
    chat_stop_tokens: tuple[str, ...] = ()
    weights: tuple[WeightsFile, ...] = ()
    other_pickles: tuple[WeightsFile, ...] = ()
    tensors: Mapping[str, TensorEntry] | None = None
    index: ShardIndex | None = None
    missing_shards: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    index_mismatches: tuple[IndexMismatch, ...] = ()
    stated_bytes: int | None = None
    tensor_bytes: int | None = None
    left_out: tuple[LeftOut, ...] = ()
    bad_values: tuple[BadValues, ...] = ()
    embedding: tuple[str, int] | None = None
    tokenizer: TokenizerFacts | None = None
    adapter: AdapterFacts | None = None
    base: ModelFacts | None = None
    escapes: tuple[Escape, ...] = ()
    deep: bool = False
    notes: tuple[str, ...] = ()

    def shown(self, name: str) -> str:
        """The path of a file of the folder, as it would be given."""
        return str(self.path / name) if not self.is_file else str(self.path)
