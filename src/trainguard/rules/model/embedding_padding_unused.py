"""MODEL008: much of the embedding is out of the tokenizer's reach."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding, Location
from trainguard.rules._example_files import tensors
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import TENSORS, model_files
from trainguard.rules.model.tokenizer_mismatch import embedding_rows

# Published models pad by up to 2,398 rows (deepseek-llm: 102,400 rows, 100,002 tokens) or 1.8 % (phi-2: 51,200 rows,
# 50,295 tokens), and speech models keep some 1,500 rows for timestamps that the tokenizer's file does not list
# (whisper). Beyond both of these bounds the tokenizer is another model's.
_MOST_PADDING_ROWS = 4096
_MOST_PADDING_SHARE = 0.15


class EmbeddingPaddingUnused(Rule):
    """The embedding has far more rows than the tokenizer has tokens.

    *What it does*

    Fires where more than 4,096 rows and more than 15 % of the embedding lie beyond the highest id of the tokenizer.
    Padding to a multiple of 64 or 256, and rows in reserve, are normal and do not fire.

    *Why it costs you*

    So many rows are the sign of a tokenizer of another model: ids then mean other tokens than the model has learned,
    and nothing fails. If it is the right one, memory and time go into rows that never occur.

    *Example*

    A tokenizer with 32,000 tokens beside an embedding of 128,256 rows.

    *Use instead*

    The tokenizer of the model's own repository; or `model.resize_token_embeddings(len(tokenizer))` where the vocabulary
    was cut on purpose.
    """

    code = "MODEL008"
    name = "embedding-padding-unused"
    severity = "warn"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}),
        Example(
            files=model_files()
            | {"model/model.safetensors": tensors({**TENSORS, "model.embed_tokens.weight": ("F32", (1024, 2))})},
            check={"path": "model"},
            why="Rows in reserve.",
        ),
    )
    INVALID = (
        Example(
            files=model_files()
            | {"model/model.safetensors": tensors({**TENSORS, "model.embed_tokens.weight": ("F32", (8192, 2))})},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model.embed_tokens.weight has 8192 rows, and the tokenizer gives ids up to 3, so 8,188 "
                    "rows (100%) never occur; take the model's own tokenizer, or call "
                    "model.resize_token_embeddings(len(tokenizer))",
                ),
            ),
        ),
        Example(
            files=model_files()
            | {"model/model.safetensors": tensors({**TENSORS, "model.embed_tokens.weight": ("BF16", (5000, 2))})},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model.embed_tokens.weight has 5000 rows, and the tokenizer gives ids up to 3, so 4,996 "
                    "rows (100%) never occur; take the model's own tokenizer, or call "
                    "model.resize_token_embeddings(len(tokenizer))",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None or model.embedding is None or model.tokenizer is None or model.tokenizer.highest_id is None:
            return
        known = embedding_rows(model)
        if known is None:
            return
        words, rows = known
        unused = rows - model.tokenizer.highest_id - 1
        if unused <= _MOST_PADDING_ROWS or unused <= rows * _MOST_PADDING_SHARE:
            return
        message = (
            f"{words}, and the tokenizer gives ids up to {model.tokenizer.highest_id}, so {unused:,} rows "
            f"({unused / rows:.0%}) never occur; take the model's own tokenizer, or call "
            "model.resize_token_embeddings(len(tokenizer))"
        )
        evidence = {"rows": rows, "highest_id": model.tokenizer.highest_id, "unused_rows": unused}
        yield self.finding(message, where=Location(model.shown(model.tokenizer.files[0])), evidence=evidence)
