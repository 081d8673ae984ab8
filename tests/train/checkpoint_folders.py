"""Checkpoint folders as a Trainer leaves them, made without a Trainer: every file that it loads, of a few bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trainguard.checkpoints import write_manifest


def checkpoint(output: Path, step: int, *, manifest: bool = True, value: float = 0.0, floats: int = 64) -> Path:
    """`checkpoint-<step>` in `output`; `value` fills its weights, of which there are `floats`."""
    folder = output / f"checkpoint-{step}"
    write_files(folder, step, value=value, floats=floats)
    if manifest:
        write_manifest(folder, step=step)
    return folder


def write_files(folder: Path, step: int, *, value: float = 0.0, floats: int = 64) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.full((floats,), value)}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    for name, state in (
        ("optimizer.pt", {"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"params": [0]}]}),
        ("scheduler.pt", {"last_epoch": step}),
        ("rng_state.pth", {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}),
    ):
        torch.save(state, folder / name)
    torch.save({}, folder / "training_args.bin")
    state = {"global_step": step, "max_steps": 1000, "epoch": step / 10, "log_history": []}
    (folder / "trainer_state.json").write_text(json.dumps(state))
