"""`trainguard train` in a folder of its own with a fault in it; without the guard, trl's SFTTrainer alone."""

from __future__ import annotations

import atexit
import json
import runpy
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.forking import Ran, run_forked
from trainguard.drills.guard import Guard

OUTPUT, OWN_CODE = "out", "own.py"
ROWS, BATCH, SAVE_STEPS = 40, 4, 2
STEPS = ROWS // BATCH


def write_run(folder: Path, **changed: Any) -> Path:
    """A sound run of ten steps that saves after every second one, with some values changed."""
    shutil.copytree(_base(), folder / "base")
    write_lines(folder / "train.jsonl", numbered(ROWS))
    values: dict[str, Any] = {
        "base_model": "base",
        "data": "train.jsonl",
        "output_dir": OUTPUT,
        "method": "full",
        "max_length": 64,
        "learning_rate": 1e-3,
        "batch_size": BATCH,
        "epochs": 1,
        "logging_steps": 1,
        "save": {"steps": SAVE_STEPS},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(values | changed, indent=2), encoding="utf-8")
    return path


def train(
    guard: Guard,
    folder: Path,
    *,
    fault: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    gpu: bool = False,
) -> Ran:
    """Runs the configuration in `folder` with other `settings`, and with a fault of `_faults`."""
    return guard.run(in_fork, folder, gpu=gpu, fault=dict(fault or {}), settings=dict(settings or {}))


def own_code(folder: Path, text: str, *, at: int = 1, place: str = "train") -> dict[str, Any]:
    """The fault of a module of the user's own, whose `go` is called at the `at`-th time in a place of the run."""
    (folder / OWN_CODE).write_text(text, encoding="utf-8")
    return {"what": "own-code", "at": at, "place": place}


def in_fork(*, guarded: bool, fault: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """In the fork: makes the fault, then trains."""
    if fault:
        from trainguard.drills.training._faults import install

        install(fault)
    if not guarded:
        _alone(json.loads(Path("config.json").read_bytes()) | settings)
        return
    assignments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    sys.argv = ["trainguard", "train", "config.json", "--format", "json", *assignments]
    runpy.run_module("trainguard", run_name="__main__")  # as `python -m trainguard` does; it raises SystemExit


def _alone(values: Mapping[str, Any]) -> None:
    """The same run as a script makes it that knows no guard: it goes on from the newest checkpoint that there is."""
    import torch
    from datasets import load_dataset  # type: ignore[import-untyped]
    from transformers.trainer_utils import get_last_checkpoint
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    torch.set_num_threads(1)
    arguments = SFTConfig(
        output_dir=values["output_dir"],
        max_length=values["max_length"],
        learning_rate=values["learning_rate"],
        per_device_train_batch_size=values["batch_size"],
        gradient_accumulation_steps=values.get("gradient_accumulation", 1),
        num_train_epochs=values["epochs"],
        save_steps=values["save"]["steps"],
        logging_steps=1,
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    rows = load_dataset("json", data_files=values["data"], split="train")
    trainer = SFTTrainer(model=values["base_model"], args=arguments, train_dataset=rows)
    output = Path(values["output_dir"])
    trainer.train(resume_from_checkpoint=output.is_dir() and get_last_checkpoint(str(output)) is not None)  # type: ignore[no-untyped-call]


@cache
def _base() -> Path:
    """The model, made once."""
    folder = Path(tempfile.mkdtemp(prefix="trainguard-drill-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ran = run_forked(make_base, {"folder": str(folder / "base")}, folder)
    if ran.code != 0:
        raise RuntimeError(f"the model could not be made: {ran.log[-500:]}")
    return folder / "base"


def make_base(*, folder: str) -> None:
    """In the fork: writes the model."""
    from trainguard.drills.training import _tiny

    _tiny.make_base(folder)


def names(folder: Path, pattern: str = "checkpoint-*") -> Sequence[str]:
    """The checkpoints that are there, oldest first."""
    found = [path.name for path in (folder / OUTPUT).glob(pattern)]
    return sorted(found, key=lambda name: int(name.partition("-")[2]))
