"""MODEL005: the tokenizer gives ids that the embedding does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainguard.facts.model.records import ModelFacts
from trainguard.findings import Finding, Location
from trainguard.rules._example_files import tensors
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import CONFIG, TENSORS, TOKENIZER, count, listed, model_files

# Placeholders that stand for pictures and sounds. Published text models carry such a token above their embedding
# (gemma-3-1b-it: <image_soft_token> has id 262144, the embedding 262144 rows), and text never contains it.
_PLACEHOLDER = re.compile(r"image|audio|video|vision|picture|speech", re.IGNORECASE)
_LARGER = TOKENIZER.replace('"added_tokens": []', '"added_tokens": [{"id": 4, "content": "<pad>"}]')


class ModelTokenizerMismatch(Rule):
    """The tokenizer gives ids beyond the last row of the embedding.

    *What it does*

    Compares the highest id of the tokenizer's files, added tokens included, with the rows of the embedding as the
    weights have it, or with `vocab_size` of config.json where there are no weights. An embedding with more rows is
    normal padding. Silent where only placeholders for pictures or sounds lie beyond, which text does not contain.

    *Why it costs you*

    The model loads without a word. The first batch with such a token fails with "device-side assert triggered" or an
    IndexError, which may be hours into the run.

    *Example*

    A tokenizer to which `<pad>` was added as id 32000, beside an embedding of 32,000 rows.

    *Use instead*

    ```python
    model.resize_token_embeddings(len(tokenizer))  # and save both
    ```
    """

    code = "MODEL005"
    name = "tokenizer-mismatch"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}),
        Example(
            files=model_files()
            | {"model/model.safetensors": tensors({**TENSORS, "model.embed_tokens.weight": ("F32", (64, 2))})},
            check={"path": "model"},
            why="An embedding that was padded to a multiple of 64.",
        ),
    )
    INVALID = (
        Example(
            files=model_files() | {"model/tokenizer.json": _LARGER},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "the tokenizer gives ids up to 4, and model.embed_tokens.weight has 4 rows, so 1 token fails when "
                    "it occurs: '<pad>' (4); call model.resize_token_embeddings(len(tokenizer)) and save both, or take "
                    "the model's own tokenizer",
                ),
            ),
        ),
        Example(
            files={
                "model/config.json": CONFIG,
                "model/model.gguf": "GGUF",
                "model/vocab.txt": "a\nb\nc\nd\ne\nf\n",
            },
            check={"path": "model"},
            findings=(
                (
                    None,
                    "the tokenizer gives ids up to 5, and config.json has vocab_size=4, so 2 tokens fail when they "
                    "occur: 'e' (4), 'f' (5); call model.resize_token_embeddings(len(tokenizer)) and save both, or "
                    "take the model's own tokenizer",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None or model.tokenizer is None or model.tokenizer.highest_id is None:
            return
        known = embedding_rows(model)
        if known is None:
            return
        name, rows = known
        if model.tokenizer.highest_id < rows:
            return
        beyond = {number: token for number, token in model.tokenizer.ids.items() if number >= rows}
        if not beyond or all(_PLACEHOLDER.search(token) for token in beyond.values()):
            return
        tokens = [f"{token!r} ({number})" for number, token in sorted(beyond.items())]
        fails = "fails when it occurs" if len(tokens) == 1 else "fail when they occur"
        message = (
            f"the tokenizer gives ids up to {model.tokenizer.highest_id}, and {name}, so {count(len(tokens), 'token')} "
            f"{fails}: {listed(tokens)}; call model.resize_token_embeddings(len(tokenizer)) and save both, or take the "
            "model's own tokenizer"
        )
        evidence = {"highest_id": model.tokenizer.highest_id, "rows": rows, "tokens": len(tokens)}
        yield self.finding(message, where=Location(model.shown(model.tokenizer.files[0])), evidence=evidence)


def embedding_rows(model: ModelFacts) -> tuple[str, int] | None:
    """Where the rows of the embedding are stated, in words, and how many; None where nobody can tell.

    An adapter has the embedding of its base, unless it has saved one of its own.
    """
    for facts in (model, model.base):
        if facts is None:
            continue
        if facts.embedding is not None:
            return f"{facts.embedding[0]} has {facts.embedding[1]} rows", facts.embedding[1]
        if facts.config is not None and facts.config.vocab_size and not facts.config.composite and not facts.tensors:
            return f"config.json has vocab_size={facts.config.vocab_size}", facts.config.vocab_size
    return None
