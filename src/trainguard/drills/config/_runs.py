"""Configurations for the drills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.model._folders import write_model


def write_run(scratch: Path, *, rows: int = 16, **changed: Any) -> Path:
    """A sound run with its model, tokenizer and data beside it, with some values changed."""
    write_model(scratch / "model", rows=rows)
    write_lines(scratch / "train.jsonl", numbered(20))
    values: dict[str, Any] = {
        "base_model": "model",
        "data": "train.jsonl",
        "output_dir": "out",
        "method": "full",
        "max_length": 64,
        "learning_rate": 2e-5,
        "batch_size": 4,
        "epochs": 1,
    }
    path = scratch / "config.json"
    path.write_text(json.dumps(values | changed, indent=2), encoding="utf-8")
    return path
