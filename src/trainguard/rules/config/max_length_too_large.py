"""CFG008: a max_length beyond the model's positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainguard.facts.config.judging import shown_value
from trainguard.facts.model.records import ModelConfig
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import of_setting, place

# Models whose positions are relative or that have none, whatever their configuration says (transformers 5.23,
# models/{mpt,bloom,t5,mt5,umt5,longt5,xlnet,mamba,mamba2,rwkv}); those of an encoder and a decoder count two lengths.
_WITHOUT_LIMIT = frozenset(
    {"bloom", "longt5", "mamba", "mamba2", "mpt", "mt5", "rwkv", "t5", "transfo-xl", "umt5", "xlnet"}
)
# Models with a table of learnt positions: a longer sequence is an index out of range (models/{gpt2,opt,…}/modeling_*).
_LEARNT = frozenset(
    {"biogpt", "codegen", "ctrl", "gpt2", "gpt_bigcode", "gpt_neo", "gptj", "openai-gpt", "opt", "xglm"}
)
_TEXT_PARTS = ("text_config", "language_config", "llm_config")


def _model(text: str) -> dict[str, str]:
    return {"model/config.json": text}


class MaxLengthTooLarge(Rule):
    """max_length is beyond the positions that the model knows.

    *What it does*

    Reads the positions from the model's config.json, the scaling of its rotary embedding taken into account. Silent for
    models without absolute positions and for models with code of their own. What fits into the GPU's memory is told by
    the estimate of memory, not here.

    *Why it costs you*

    A model with a table of positions fails at the first longer example, hours into the run perhaps; one with rotary
    positions goes on, and what it learns beyond them is noise.

    *Example*

    ```toml
    base_model = "models/gpt2"     # 1,024 positions
    max_length = 4096
    ```

    *Use instead*

    ```toml
    base_model = "models/gpt2"
    max_length = 1024
    ```
    """

    code = "CFG008"
    name = "max-length-too-large"
    severity = "error"
    area = "config"
    needs = frozenset({"config", "model"})

    VALID = (
        Example(
            files={
                **_model('{"model_type": "llama", "max_position_embeddings": 4096}'),
                "run.toml": 'base_model = "model"\nmax_length = 4096\n',
            },
            check={"source": "run.toml"},
        ),
        Example(
            files={
                **_model(
                    '{"model_type": "qwen2", "max_position_embeddings": 32768, "rope_scaling": {"rope_type": "yarn", '
                    '"factor": 4.0, "original_max_position_embeddings": 32768}}'
                ),
                "run.toml": 'base_model = "model"\nmax_length = 131072\n',
            },
            check={"source": "run.toml"},
            why="The rotary embedding is scaled.",
        ),
        Example(
            files={
                **_model('{"model_type": "t5", "n_positions": 512}'),
                "run.toml": 'base_model = "model"\nmax_length = 2048\n',
            },
            check={"source": "run.toml"},
            why="Its positions are relative.",
        ),
    )
    INVALID = (
        Example(
            files={
                **_model('{"model_type": "gpt2", "n_positions": 1024}'),
                "run.toml": 'base_model = "model"\nmax_length = 4096\n',
            },
            check={"source": "run.toml"},
            findings=(
                (
                    2,
                    'max_length at 2:14: got 4,096, expected at most 1,024, because "model" has a table of 1,024 '
                    "positions, and the first longer example is an index out of range",
                ),
            ),
        ),
        Example(
            files={
                **_model('{"model_type": "llama", "max_position_embeddings": 2048}'),
                "config.json": '{"base_model": "model", "max_length": 8192}',
            },
            check={"source": "config.json"},
            findings=(
                (
                    1,
                    'max_length at 1:39: got 8,192, expected at most 2,048, because "model" has learnt positions up to '
                    "2,048; to go beyond them, set rope_parameters in its config.json",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config, model = subject.config, subject.model
        if config is None or model is None or model.config is None:
            return
        setting, base = config.setting("max_length"), config.setting("base_model")
        limit = config.value("max_length")
        positions = positions_of(model.config)
        if setting is None or base is None or limit is None or positions is None or limit <= positions:
            return
        name = shown_value(base.value)
        if model.config.model_type in _LEARNT:
            because = (
                f"{name} has a table of {positions:,} positions, and the first longer example is an index out of range"
            )
        else:
            because = (
                f"{name} has learnt positions up to {positions:,}; to go beyond them, set rope_parameters in its "
                "config.json"
            )
        text = of_setting(setting, "max_length", got=f"{limit:,}", expected=f"at most {positions:,}", because=because)
        evidence = {"max_length": limit, "positions": positions}
        yield self.finding(text, where=place(config, setting), fix=str(positions), evidence=evidence)


def positions_of(config: ModelConfig) -> int | None:
    """The longest sequence that a model has positions for, None where it has no limit or it cannot be told."""
    raw = config.raw
    if config.model_type in _WITHOUT_LIMIT or raw.get("is_encoder_decoder") or raw.get("auto_map"):
        return None
    text = next((part for name in _TEXT_PARTS if isinstance(part := raw.get(name), Mapping)), raw)
    if text.get("alibi") or text.get("position_embedding_type") == "alibi":
        return None
    stated = _whole(text, "max_position_embeddings") or (
        _whole(text, "n_positions") if config.model_type in _LEARNT else None
    )
    if stated is None:
        return None
    return max([stated, *_scaled(text, stated)])


def _scaled(text: Mapping[str, Any], stated: int) -> Iterator[int]:
    """The lengths that the scaling of a rotary embedding reaches.

    transformers 5.23, modeling_rope_utils.py: `rope_parameters`, before 5.0 `rope_scaling`; perhaps one for each type
    of layer. yarn, longrope and llama3 count from `original_max_position_embeddings`, the others from the model's.
    """
    for name in ("rope_parameters", "rope_scaling"):
        given = text.get(name)
        if not isinstance(given, Mapping):
            continue
        for each in (given, *(value for value in given.values() if isinstance(value, Mapping))):
            factor = each.get("factor")
            if isinstance(factor, int | float) and not isinstance(factor, bool) and 1 <= factor < 10_000:
                yield int(factor * (_whole(each, "original_max_position_embeddings") or stated))


def _whole(table: Mapping[str, Any], name: str) -> int | None:
    value = table.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 1 else None
