"""DATA008: examples that are longer than max_length."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.data.records import DataFacts, Truncation
from trainguard.findings import Finding
from trainguard.rules.base import Example, Subject
from trainguard.rules.data._example_rows import GOOD, chat, described, lines, row
from trainguard.rules.data._problems import DataRule, how_many, location, sample_evidence


class TruncatedExamples(DataRule):
    r"""Examples that `max_length` cuts, and those that lose their whole answer by it.

    *What it does*

    Counts the rows that have more tokens than `max_length`, with the chat template and the tokenizer where they are
    given. Without a tokenizer the lengths are estimated from the bytes, carefully, and the message says so. It tells
    how many rows lose their whole answer: the prompt alone fills `max_length`.

    *Why it costs you*

    A trainer cuts from the end without a word, and the answers stand at the end. A row whose answer is cut off teaches
    nothing, or teaches to stop in mid-sentence; it still costs its full share of the time.

    *Example*

    ```text
    trainguard data train.jsonl --tokenizer my-model --max-length 1024
    ```

    *Use instead*

    A `max_length` that holds the rows, if the memory allows it; or split or drop the long ones yourself, so that you
    decide what is lost.
    """

    code = "DATA008"
    name = "truncated-examples"
    severity = "warn"

    VALID = (
        Example(files=lines(chat(*GOOD)), check={"path": "train.jsonl", "max_length": 512}),
        Example(
            files=described("one text of 4,000 words", row(text="word " * 4000)),
            check={"path": "train.jsonl"},
            why="Without max_length there is nothing to compare with.",
        ),
    )
    INVALID = (
        Example(
            files=described(
                "a short row, and one that asks to sum up 800 words",
                chat(*GOOD),
                chat(("user", "Sum up: " + "one and " * 400), ("assistant", "Ones.")),
            ),
            check={"path": "train.jsonl", "max_length": 128},
            findings=(
                (
                    2,
                    "by estimate, 1 of 2 rows (50 %, line 2) is longer than max_length=128 and loses "
                    "its whole answer; the longest has about 803 tokens, and a trainer cuts off the "
                    "end, where the answer is; check with the tokenizer (--tokenizer), then raise "
                    "max_length, or split or drop the long rows",
                ),
            ),
        ),
        Example(
            files=described(
                "a row with a completion of 1,600 words, and a short one",
                row(prompt="Write.", completion=" and on" * 800),
                row(prompt="2 + 2 =", completion=" 4"),
            ),
            check={"path": "train.jsonl", "max_length": 256},
            findings=(
                (
                    1,
                    "by estimate, 1 of 2 rows (50 %, line 1) is longer than max_length=256; the "
                    "longest has about 1,601 tokens, and a trainer cuts off the end, where the answer "
                    "is; check with the tokenizer (--tokenizer), then raise max_length, or split or drop "
                    "the long rows",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        facts = subject.data
        cut = facts.truncation if facts is not None else None
        if facts is None or cut is None or cut.over < 1:
            return
        evidence = sample_evidence(facts, cut.over, cut.samples)
        evidence |= {"max_length": cut.max_length, "longest_tokens": cut.longest, "exact": cut.exact}
        if cut.lost_answers is not None:
            evidence["lost_answers"] = cut.lost_answers
        yield self.finding(_message(facts, cut), where=location(facts, cut.samples), evidence=evidence)


def _message(facts: DataFacts, cut: Truncation) -> str:
    about = "" if cut.exact else "by estimate, "
    longest = f"the longest has {'' if cut.exact else 'about '}{cut.longest:,} tokens"
    lost = ""
    if cut.lost_answers == cut.over:
        lost = " and lose their whole answer" if cut.over != 1 else " and loses its whole answer"
    elif cut.lost_answers:
        lose = "lose their" if cut.lost_answers != 1 else "loses its"
        lost = f", and {cut.lost_answers:,} {lose} whole answer"
    are = "is" if cut.over == 1 else "are"
    remedy = (
        f"raise max_length to {cut.longest:,} if the memory allows it, or split or drop the long rows"
        if cut.exact
        else "check with the tokenizer (--tokenizer), then raise max_length, or split or drop the long rows"
    )
    return (
        f"{about}{how_many(facts, cut.over, cut.samples, percent=True)} {are} longer than "
        f"max_length={cut.max_length}{lost}; {longest}, and a trainer cuts off the end, where the answer is; {remedy}"
    )
