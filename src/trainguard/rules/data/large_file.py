"""DATA019: files above 1 GB."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Subject
from trainguard.rules.data._example_rows import GOOD, Large, chat, lines
from trainguard.rules.data._problems import DataRule

_LARGE_BYTES = 1_000_000_000  # the rule book: "files over 1 GB"


_LARGE = Large((chat(*GOOD) * 40).encode(), "a file of 1.1 GB", 1_100_000_000)
_MESSAGE = (
    "{}: load_dataset writes all of it into its cache before training begins; read it with streaming=True, or split it "
    "into shards of some 100 MB"
)


class LargeFile(DataRule):
    r"""A training file above 1 GB.

    *What it does*

    Names files of more than 1,000,000,000 bytes.

    *Why it costs you*

    `load_dataset` writes all of it into its cache a second time before training begins, in one process for one file,
    and tokenizing writes it a third time. A job with a small disk runs full by it.

    *Example*

    ```python
    load_dataset("json", data_files="train.jsonl")
    ```

    *Use instead*

    ```python
    load_dataset("json", data_files="train.jsonl", streaming=True)
    ```

    or shards of some 100 MB, which are read side by side (`num_proc`).
    """

    code = "DATA019"
    name = "large-file"
    severity = "info"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl"}),
        Example(files={"data/a.jsonl": chat(*GOOD), "data/b.jsonl": chat(*GOOD)}, check={"path": "data"}),
    )
    INVALID = (
        Example(
            files={"train.jsonl": _LARGE},
            check={"path": "train.jsonl", "sample": 10},
            findings=((None, _MESSAGE.format("train.jsonl has 1.1 GB")),),
        ),
        Example(
            files={"data/a.jsonl": chat(*GOOD), "data/b.jsonl": _LARGE},
            check={"path": "data", "sample": 10},
            findings=((None, _MESSAGE.format("data/b.jsonl has 1.1 GB")),),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        facts = subject.data
        large = [file for file in facts.files if file.bytes > _LARGE_BYTES] if facts is not None else []
        if not large:
            return
        first = large[0]
        more = len(large) - 1
        also = f" and {more:,} more {'files are' if more > 1 else 'file is'} as large" if more else ""
        yield self.finding(
            _MESSAGE.format(f"{first.path} has {first.bytes / 1e9:.1f} GB{also}"),
            where=Location(first.path),
            evidence={"bytes": first.bytes, "files": len(large), "limit_bytes": _LARGE_BYTES},
        )
