"""Checkpoints for the examples of rules: folders such as a Trainer saves, a few hundred bytes each."""

from __future__ import annotations

import io
import json
import pickle  # only written, never read
import zipfile
from collections.abc import Mapping
from functools import cache
from typing import Any

from trainguard.rules._example_files import Raw, Recipe, tensors

_RATE = 1e-4


@cache
def torch_file(name: str, step: int) -> Raw:
    """A file such as torch.save writes: optimizer.pt, scheduler.pt or rng_state.pth of a step."""
    values: dict[str, Any] = {
        "optimizer.pt": {"state": {0: {"step": step}}, "param_groups": [{"lr": _RATE, "params": [0]}]},
        "scheduler.pt": {"last_epoch": step, "_step_count": step + 1, "_last_lr": [_RATE]},
        "rng_state.pth": {"python": (3, (1, 2, 3), None), "numpy": ("MT19937", (1, 2), 0, 0, 0.0), "cpu": (1, 2)},
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(values[name], protocol=2))
        archive.writestr("archive/version", "3\n")
    return Raw(content.getvalue(), f"as torch.save writes it at step {step}")


def weights(cut: int = 0, hidden: int = 4) -> Raw:
    return tensors(
        {"model.embed_tokens.weight": ("F32", (8, hidden)), "model.norm.weight": ("F32", (hidden,))}, cut=cut
    )


def state(step: int, **fields: Any) -> str:
    values = {
        "epoch": 0.5,
        "global_step": step,
        "max_steps": 100,
        "log_history": [{"loss": 2.5, "step": step}],
        **fields,
    }
    return json.dumps(values) + "\n"


def saved(step: int, *, without: tuple[str, ...] = (), **changed: str | Recipe) -> dict[str, str | Recipe]:
    """The files of out/checkpoint-<step>, in the order in which a Trainer writes them.

    `without` leaves files out; `changed` replaces them, by names with `_` for `.` (`trainer_state_json`).
    """
    files: dict[str, str | Recipe] = {
        "config.json": '{"model_type": "llama", "hidden_size": 4}',
        "model.safetensors": weights(),
        "optimizer.pt": torch_file("optimizer.pt", step),
        "scheduler.pt": torch_file("scheduler.pt", step),
        "rng_state.pth": torch_file("rng_state.pth", step),
        "trainer_state.json": state(step),
    }
    by_word = {name.replace(".", "_"): name for name in files}
    files.update({by_word[word]: content for word, content in changed.items()})
    return {f"out/checkpoint-{step}/{name}": content for name, content in files.items() if name not in without}


OUT: Mapping[str, Any] = {"path": "out"}
