"""Does a checkpoint hold the weights that the model has? A state dict that a hook has changed is saved without a word.

Read are the headers of the safetensors files and a few numbers of a few tensors, right after the save. Where the saved
names are not understood (transformers 5.23 renames weights of some models as it saves them) nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainguard.findings import Finding
from trainguard.train.before import shown
from trainguard.train.nonfinite import is_plain

# The names that Trainer.save_model and peft give (transformers 5.23 utils/__init__.py; peft 0.21 utils/constants.py).
_FILES = ("model.safetensors", "adapter_model.safetensors")
_SHARDS = "model-*-of-*.safetensors"
_TENSORS = 8
_NUMBERS = 64
# Parts of adapters that are saved under other names than they have (peft 0.21, utils/save_and_load.py).
_RENAMED = ("modules_to_save", "original_module", "prompt", "trainable_tokens", "base_layer", "lora_magnitude")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is wrong with one saved tensor."""

    name: str
    words: str


def saved_differently(folder: Path, model: nn.Module, step: int) -> Finding | None:
    """The finding that a checkpoint does not hold the weights of the model; None where it does, or nobody can tell."""
    try:
        found = differences(folder, model)
    except Exception:  # files in another layout, or gone meanwhile
        return None
    if not found:
        return None
    names = [each.name for each in found]
    return Finding(
        severity="error",
        code="CKPT005",
        name="partial-save",
        message=(
            f"{folder.name} does not hold the model's weights: {found[0].name} {found[0].words}, {len(found):,} "
            f"tensors in all ({shown(names)}); a state_dict hook or an override of save_model changes them, so it gets "
            "no manifest and is not to be resumed from"
        ),
        step=step,
        evidence={"checkpoint": folder.name, "tensors": len(found), "names": names[:3]},
    )


def differences(folder: Path, model: nn.Module) -> list[Difference]:
    """How the saved tensors differ from the trainable parameters. Raises what safetensors raises."""
    from safetensors import safe_open

    paths = [folder / name for name in _FILES if (folder / name).is_file()][:1] or sorted(folder.glob(_SHARDS))
    home: dict[str, Path] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            home.update(dict.fromkeys(file.keys(), path))
    expected = _expected(model)
    both = [name for name in expected if name in home]
    if not both or len(both) * 2 < len(expected):
        return []
    found = [Difference(name=name, words="is missing") for name in _missing(model, expected, home)]
    chosen = {both[index * len(both) // min(_TENSORS, len(both))] for index in range(min(_TENSORS, len(both)))}
    for path in sorted(set(home.values())):
        with safe_open(path, framework="pt") as file:
            here = [name for name in both if home[name] == path]
            found += _compared(file, here, expected, chosen)
    return found


def _compared(
    file: Any, names: Sequence[str], expected: Mapping[str, Tensor], chosen: set[str]
) -> Iterator[Difference]:
    for name in names:
        here, part = expected[name], file.get_slice(name)
        shape = list(part.get_shape())
        if shape != list(here.shape):
            yield Difference(name=name, words=f"has the shape {shape} in place of {list(here.shape)}")
        elif name in chosen and here.ndim and here.shape[0]:
            # Whole rows from the start and the end, so that little is read of a large tensor.
            for row in {0, here.shape[0] - 1}:
                saved: Tensor = part[row : row + 1].reshape(-1)[:_NUMBERS]
                now = here[row : row + 1].reshape(-1)[:_NUMBERS].to("cpu", saved.dtype)
                if not torch.equal(saved.nan_to_num(), now.nan_to_num()) or not torch.equal(saved.isnan(), now.isnan()):
                    yield Difference(name=name, words="has other values")
                    break


def _expected(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters under the names that they are saved as."""
    adapters = [name for name in getattr(model, "peft_config", None) or {} if isinstance(name, str)]
    expected: dict[str, Tensor] = {}
    for name, each in model.named_parameters():
        if not each.requires_grad or not is_plain(each) or any(word in name for word in _RENAMED):
            continue
        saved_as = name
        for adapter in adapters:
            saved_as = saved_as.replace(f".{adapter}.", ".").removesuffix(f".{adapter}")
        expected[saved_as] = each.detach()
    return expected


def _missing(model: nn.Module, expected: Mapping[str, Tensor], home: Mapping[str, Path]) -> list[str]:
    """Trainable parameters that were not saved: none that is saved as another, and none that the model leaves out."""
    ignored = tuple(getattr(model, "_keys_to_ignore_on_save", None) or ())
    known = {name for name, _ in model.named_parameters(remove_duplicate=False)} | {n for n, _ in model.named_buffers()}
    if not getattr(model, "peft_config", None) and any(name not in known for name in home):
        return []
    saved = {expected[name].data_ptr() for name in expected if name in home}
    return [
        name
        for name, each in expected.items()
        if name not in home and each.data_ptr() not in saved and not any(part in name for part in ignored)
    ]
