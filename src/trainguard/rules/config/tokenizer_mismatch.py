"""CFG006: a tokenizer that is not the model's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from trainguard.facts.config.judging import shown_value
from trainguard.facts.config.records import ConfigFacts
from trainguard.facts.model.records import ModelFacts, TokenizerFacts
from trainguard.findings import Finding
from trainguard.rules._example_files import Recipe, tensors
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import of_setting, place

# Fewer tokens say nothing about two vocabularies.
_FEWEST_COMPARED = 100
# Two releases of one tokenizer share nearly all ids, those of two families next to none but the first few hundred,
# which are single bytes in both.
_SHARE_ALIKE = 0.5
_FAST = "tokenizer.json"
# Placeholders for pictures and sounds, which text never contains: gemma-3-1b-it has <image_soft_token> as id 262,144
# beside an embedding of as many rows.
_PLACEHOLDER = re.compile(r"image|audio|video|vision|picture|speech", re.IGNORECASE)


def _tokenizer(*words: str) -> str:
    vocabulary = {word: number for number, word in enumerate(words)}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": vocabulary}})


_MODEL: dict[str, str | Recipe] = {
    "model/config.json": '{"model_type": "llama", "vocab_size": 3}',
    "model/model.safetensors": tensors({"model.embed_tokens.weight": ("F32", (3, 2))}),
}


class TokenizerMismatch(Rule):
    """The tokenizer is not one for this model.

    *What it does*

    Compares the ids of the tokenizer with the rows of the model's embedding, both read from their files; and, where
    the model's folder has a tokenizer of its own, the tokens of the two. A tokenizer that is smaller than the
    embedding is normal: rows are rounded up.

    *Why it costs you*

    An id without a row is an index out of range, on a GPU an assertion that names no cause. Ids that mean other words
    load in silence, and the model learns to speak another one's alphabet.

    *Example*

    ```toml
    base_model = "models/Llama-2-7b"   # 32,000 rows
    tokenizer = "models/Llama-3-8B"    # ids up to 128,255
    ```

    *Use instead*

    ```toml
    base_model = "models/Llama-2-7b"
    ```
    """

    code = "CFG006"
    name = "tokenizer-mismatch"
    severity = "error"
    area = "config"
    needs = frozenset({"config"})

    VALID = (
        Example(
            files={
                **_MODEL,
                "tokenizer/tokenizer.json": _tokenizer("a", "b"),
                "run.toml": 'base_model = "model"\ntokenizer = "tokenizer"\n',
            },
            check={"source": "run.toml"},
            why="Rows that no token uses are normal.",
        ),
        Example(
            files={"run.toml": 'base_model = "org/name"\ntokenizer = "org/other"\n'},
            check={"source": "run.toml"},
            why="What lies on the hub cannot be compared.",
        ),
    )
    INVALID = (
        Example(
            files={
                **_MODEL,
                "tokenizer/tokenizer.json": _tokenizer("a", "b", "c", "d"),
                "run.toml": 'base_model = "model"\ntokenizer = "tokenizer"\n',
            },
            check={"source": "run.toml"},
            findings=(
                (
                    2,
                    'tokenizer at 2:13: got "tokenizer" with ids up to 3 ("d"), expected none above 2, because the '
                    'embedding of "model" has 3 rows; leave tokenizer out to take the model\'s own, or resize the '
                    "embedding first",
                ),
            ),
        ),
        Example(
            files={
                **_MODEL,
                "model/tokenizer.json": _tokenizer("a", "b", "c", "d", "e"),
                "run.toml": 'base_model = "model"\n',
            },
            check={"source": "run.toml"},
            findings=(
                (
                    1,
                    'base_model at 1:14: got "model", whose own tokenizer has ids up to 4 ("e"), expected none above '
                    "2, because its embedding has 3 rows; put the tokenizer that belongs to it into the folder, or "
                    "resize the embedding first",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config, model = subject.config, subject.model
        if config is None or model is None or model.adapter is not None:
            return
        rows = _rows(model)
        other = subject.tokenizer.tokenizer if subject.tokenizer is not None else None
        if other is not None:
            yield from self._other(config, model, other, rows)
        elif model.tokenizer is not None and (config.named.tokenizer is None or config.named.tokenizer.kind == "local"):
            yield from self._own(config, model.tokenizer, rows)

    def _other(
        self, config: ConfigFacts, model: ModelFacts, other: TokenizerFacts, rows: int | None
    ) -> Iterator[Finding]:
        setting, base = config.setting("tokenizer"), config.setting("base_model")
        if setting is None or base is None:
            return
        if rows is not None and (highest := _beyond(other, rows)) is not None:
            text = of_setting(
                setting,
                "tokenizer",
                got=f"{shown_value(setting.value)} with ids up to {_named(highest, other)}",
                expected=f"none above {rows - 1:,}",
                because=f"the embedding of {shown_value(base.value)} has {rows:,} rows; leave tokenizer out to take "
                "the model's own, or resize the embedding first",
            )
            yield self.finding(text, where=place(config, setting), evidence={"highest_id": highest, "rows": rows})
        elif model.tokenizer is not None and (shared := _shared(model.tokenizer, other)) is not None:
            same, compared = shared
            text = of_setting(
                setting,
                "tokenizer",
                got=f"{shown_value(setting.value)}, in which {same:,} of {compared:,} ids mean what they mean in "
                f"{shown_value(base.value)}",
                expected="the tokenizer that the model was trained with",
                because="its embedding knows the tokens by their ids; leave tokenizer out to take the model's own",
            )
            yield self.finding(text, where=place(config, setting), evidence={"same": same, "compared": compared})

    def _own(self, config: ConfigFacts, tokenizer: TokenizerFacts, rows: int | None) -> Iterator[Finding]:
        setting = config.setting("base_model")
        highest = _beyond(tokenizer, rows) if rows is not None else None
        if setting is None or rows is None or highest is None:
            return
        text = of_setting(
            setting,
            "base_model",
            got=f"{shown_value(setting.value)}, whose own tokenizer has ids up to {_named(highest, tokenizer)}",
            expected=f"none above {rows - 1:,}",
            because=f"its embedding has {rows:,} rows; put the tokenizer that belongs to it into the folder, or resize "
            "the embedding first",
        )
        yield self.finding(text, where=place(config, setting), evidence={"highest_id": highest, "rows": rows})


def _rows(model: ModelFacts) -> int | None:
    """The rows of the input embedding: those of its tensor, or of its configuration where there are no weights."""
    if model.embedding is not None:
        return model.embedding[1]
    if model.weights or model.config is None or model.config.composite:
        return None
    return model.config.vocab_size


def _beyond(tokenizer: TokenizerFacts, rows: int) -> int | None:
    """The highest id that has no row, None where all have one that text can hold."""
    if tokenizer.highest_id is None or tokenizer.highest_id < rows:
        return None
    beyond = [number for number, token in tokenizer.ids.items() if number >= rows and not _PLACEHOLDER.search(token)]
    return max(beyond, default=None)


def _named(number: int, tokenizer: TokenizerFacts) -> str:
    token = tokenizer.ids.get(number)
    return f"{number:,} ({shown_value(token)})" if token else f"{number:,}"


def _shared(own: TokenizerFacts, other: TokenizerFacts) -> tuple[int, int] | None:
    """(ids that mean the same, ids compared) where the two are of different families, else None.

    Only of two tokenizer.json: the ids of a SentencePiece file are shifted in some models (XLM-R, mBART, NLLB).
    """
    if _FAST not in own.files or _FAST not in other.files or own.problem is not None or other.problem is not None:
        return None
    ours: Mapping[int, str] = own.ids
    compared = [number for number in other.ids if number in ours]
    same = sum(ours[number] == other.ids[number] for number in compared)
    if len(compared) < _FEWEST_COMPARED or same >= _SHARE_ALIKE * len(compared):
        return None
    return same, len(compared)
