"""What is read of training data: counts of everything, places of the first few.

Numbers of lines and rows count from 1. In text formats (JSON Lines, CSV, plain text, gzip and zstd of these) a place is
a line of the uncompressed text; in Parquet and JSON arrays it is a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

FileFormat: TypeAlias = Literal["jsonl", "json", "parquet", "csv", "text"]
Compression: TypeAlias = Literal["gzip", "zstd"]
# How a row states an example; the names are those of TRL's "Dataset formats and types" (trl 1.16, dataset_formats).
Layout: TypeAlias = Literal[
    "messages",  # chat: messages of role and content
    "sharegpt",  # chat: conversations of from and value
    "prompt-completion",
    "text",
    "preference",  # chosen, rejected, with or without prompt
    "kto",  # prompt, completion, label
    "prompt",  # prompt alone (GRPO, RLOO)
    "tokens",  # input_ids: already tokenized, which trl 1.16 (SFTTrainer._prepare_dataset) takes as it is
]
ProblemKind: TypeAlias = Literal[
    "empty-file",  # no bytes, or no row
    "malformed-json",  # not JSON, not an object, two objects on one line, cut off
    "messages-missing",  # no layout that a trainer takes, or a part of the layout is missing
    "messages-empty",
    "unknown-role",
    "content-not-string",
    "bad-encoding",  # invalid UTF-8, byte order mark, UTF-16, lone surrogates
    "no-assistant-turn",
    "role-order",
    "empty-content",
    "hostile-line",  # over the limit of bytes, or nested too deep
    "wrong-extension",
    "template-token-in-content",
    "mixed-schemas",
    "unreadable-input",
]

MAX_SAMPLES = 5
# Characters of a sample's text. Long enough to recognise a line by, short enough for one row of a terminal.
MAX_SAMPLE_CHARACTERS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One place where a problem is. `text` is the raw text there, shortened; whoever shows it makes it visible.

    `column` counts characters of the line from 1. `detail` says what is wrong at this very place ("role 'human'").
    """

    path: str
    line: int | None = None
    column: int | None = None
    text: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of problem: how many rows have it, and the first few of them in the order of the files.

    `counts` divides the rows by what exactly is wrong, such as {"human": 812, "gpt": 812} for unknown roles.
    """

    kind: ProblemKind
    count: int
    samples: tuple[Sample, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long the examples are. `exact` is False where tokens are estimated from bytes, without a tokenizer.

    `counted` is the number of rows behind the figures, fewer than all where lengths were sampled. `percentiles` maps
    1, 5, 25, 50, 75, 90, 95, 99 to tokens; `histogram` holds (first length, length after the last, rows) in order;
    `over` maps 512, 1024, 2048, 4096, 8192 to the share (0 to 1) of rows that are longer.
    """

    exact: bool
    counted: int
    shortest: int
    longest: int
    mean: float
    percentiles: Mapping[int, int]
    histogram: tuple[tuple[int, int, int], ...]
    over: Mapping[int, float]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """What `max_length` (tokens) cuts. `exact` is False for an estimate without a tokenizer.

    `lost_answers` are the rows of which nothing that is learnt remains: the answer begins after `max_length`. None
    where it cannot be told.
    """

    max_length: int
    over: int
    longest: int
    lost_answers: int | None
    exact: bool
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Rows that say the same as an earlier row. `near` are rows that resemble an earlier one (MinHash).

    `near` is None where they were not looked for; `looked_at` is the number of rows that the search for them saw.
    """

    exact: int
    near: int | None = None
    looked_at: int = 0
    threshold: float = 0.0
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Rows of the evaluation data that stand in the training data, exactly or nearly (MinHash)."""

    eval_path: str
    eval_rows: int
    exact: int
    near: int | None = None
    threshold: float = 0.0
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file of the data. `bytes` are those on the disk."""

    path: str
    bytes: int
    rows: int
    format: FileFormat | None
    compression: Compression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """Training data as it is: one file, or a folder of shards.

    `rows` are the rows that could be read. `layout` is the one that most rows have, None where there is none;
    `conversational` whether its texts are lists of messages. `roles` counts messages by role, `turns` rows by their
    number of messages. `template_judged` says that a chat template has decided on the order of roles.
    """

    path: str
    files: tuple[DataFile, ...] = ()
    rows: int = 0
    layout: Layout | None = None
    conversational: bool = False
    layouts: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    roles: Mapping[str, int] = field(default_factory=dict)
    turns: Mapping[int, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    lengths: Lengths | None = None
    truncation: Truncation | None = None
    duplicates: Duplicates | None = None
    leak: Leak | None = None
    tokenizer: str | None = None
    template_judged: bool = False
    batch_size: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def problem(self, kind: ProblemKind) -> Problem | None:
        """The problem of this kind, None where no row has it."""
        return next((each for each in self.problems if each.kind == kind), None)
