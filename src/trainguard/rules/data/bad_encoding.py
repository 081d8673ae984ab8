"""DATA007: bytes that are no UTF-8, byte order marks, lone surrogates."""

from __future__ import annotations

from trainguard.facts.data.records import DataFacts, Problem
from trainguard.rules._example_files import raw
from trainguard.rules.base import Example
from trainguard.rules.data._example_rows import GOOD, chat, lines
from trainguard.rules.data._problems import ProblemRule, detail, how_many


class BadEncoding(ProblemRule):
    r"""Text that is not UTF-8, or that no program can write as UTF-8.

    *What it does*

    Finds bytes that are no UTF-8, files in UTF-16 or UTF-32, a byte order mark at the beginning, and lone
    surrogates (`\ud83d` without its second half: half of an emoji). Valid text of any script is left alone.

    *Why it costs you*

    `load_dataset("json")` ends with `UnicodeDecodeError` at the first bad byte and with `ArrowInvalid` at half an
    emoji; Python's `json` refuses a byte order mark. A reader that replaces what it cannot read trains on question
    marks.

    *Example*

    ```json
    {"messages": [{"role": "user", "content": "Hi \ud83d"}, {"role": "assistant", "content": "Hello!"}]}
    ```

    *Use instead*

    UTF-8 without a byte order mark: `open(path, "w", encoding="utf-8")`, or `iconv -f LATIN1 -t UTF-8`.
    """

    code = "DATA007"
    name = "bad-encoding"
    severity = "error"
    kind = "bad-encoding"

    VALID = (
        Example(
            files=lines(chat(("user", "Was heißt שלום, 你好 und 👩‍👩‍👧?"), ("assistant", "Hallo! 😀"))),
            check={"path": "train.jsonl"},
            why="Text of any script, and an emoji made of several.",
        ),
        Example(
            files=lines(
                r'{"messages": [{"role": "user", "content": "\ud83d\ude00"}, {"role": "assistant", "content": "é"}]}'
            ),
            check={"path": "train.jsonl"},
            why="Two surrogates that belong together.",
        ),
    )
    INVALID = (
        Example(
            files=lines(
                chat(*GOOD),
                r'{"messages": [{"role": "user", "content": "Hi \ud83d"}, {"role": "assistant", "content": "Hello!"}]}',
            ),
            check={"path": "train.jsonl"},
            findings=(
                (
                    2,
                    "bad encoding in 1 line (line 2): \\ud83d is half of a surrogate pair; loaders "
                    "stop there, or train on what they put in its place; write the file as UTF-8 "
                    "without a byte order mark",
                ),
            ),
        ),
        Example(
            files={"train.jsonl": raw(chat(*GOOD).encode().replace(b"4", b"caf\xe9"), "one line in Latin-1")},
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "bad encoding in 1 line (line 1): byte 0xe9 is not UTF-8; loaders stop there, or "
                    "train on what they put in its place; write the file as UTF-8 without a byte "
                    "order mark",
                ),
            ),
        ),
        Example(
            files={"train.jsonl": raw(b"\xef\xbb\xbf" + chat(*GOOD).encode(), "one line behind a byte order mark")},
            check={"path": "train.jsonl"},
            findings=(
                (
                    1,
                    "bad encoding in 1 line (line 1): a UTF-8 byte order mark (EF BB BF) before the "
                    "first line; loaders stop there, or train on what they put in its place; write "
                    "the file as UTF-8 without a byte order mark",
                ),
            ),
        ),
    )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        count = how_many(facts, problem.count, problem.samples, noun="line")
        return (
            f"bad encoding in {count}{detail(problem)}; loaders stop there, or train on what they put "
            "in its place; write the file as UTF-8 without a byte order mark"
        )

    def can_repair(self, problem: Problem) -> bool:
        return not any(name.startswith("UTF-") for name in problem.counts)  # a whole file is converted, not mended
