"""The run that the campaigns hurt: a tiny model that saves every few steps, the same bit for bit whenever it is whole.

Dropout is on and the data are shuffled, so that a resume which restores no random states, or takes the data up at
another place, ends in other weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Arm = Literal["guarded", "callback", "stock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`arm` says which Trainer; `hidden` sets the size of a checkpoint (about 24 bytes a weight)."""

    arm: Arm = "guarded"
    steps: int = 60
    save_steps: int = 4
    keep: int | None = 3
    hidden: int = 64
    vocabulary: int = 256
    background: bool = True
    space_wait_seconds: float = 0.0


def train(
    plan: Plan,
    output_dir: Path,
    *,
    resume: bool | None,
    on_begin: Callable[[int], None] = lambda _: None,
    on_step: Callable[[int], None] = lambda _: None,
    on_save: Callable[[bool], None] = lambda _: None,
) -> str:
    """Trains to the end; the hash of the final weights.

    With `resume=None` it is decided as a careful script does: where `get_last_checkpoint` finds one once the Trainer
    has been made.

    `on_begin` gets the step that the run begins at, `on_step` each step that is done, `on_save` True before a save and
    False after it.
    """
    trainer = make_trainer(plan, output_dir, on_begin, on_step, on_save)
    if resume is None:
        from transformers.trainer_utils import get_last_checkpoint

        resume = output_dir.is_dir() and get_last_checkpoint(str(output_dir)) is not None
    trainer.train(resume_from_checkpoint=True if resume else None)
    return weights_of(trainer)


def weights_of(trainer: Any) -> str:
    """A hash of all weights, with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(trainer.model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def make_trainer(
    plan: Plan,
    output_dir: Path,
    on_begin: Callable[[int], None],
    on_step: Callable[[int], None],
    on_save: Callable[[bool], None],
) -> Any:
    """The Trainer of an arm, ready to train."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from trainguard.train.verified_saves import VerifiedSaves

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=plan.vocabulary,
            hidden_size=plan.hidden,
            intermediate_size=2 * plan.hidden,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            attention_dropout=0.1,
        )
    )
    tokens = torch.randint(0, plan.vocabulary, (48, 16), generator=torch.Generator().manual_seed(1))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    arguments = TrainingArguments(
        output_dir=str(output_dir),
        max_steps=plan.steps,
        save_steps=plan.save_steps,
        save_total_limit=plan.keep,
        logging_steps=plan.save_steps,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=7,
    )

    class Watch(TrainerCallback):
        def on_train_begin(self, *told: Any, **_: Any) -> None:
            on_begin(told[1].global_step)

        def on_step_end(self, *told: Any, **_: Any) -> None:
            on_step(told[1].global_step)

    class Told:
        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            on_save(True)
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            on_save(False)

    callbacks: list[Any] = [Watch()]
    bases: tuple[type, ...] = (Told, Trainer)
    if plan.arm == "guarded":
        bases = (Told, VerifiedSaves, Trainer)
    elif plan.arm == "callback":
        from trainguard import GuardCallback

        # A run that was killed behind its last save is restarted with nothing left to do, which is no fault here.
        callbacks.append(GuardCallback(actions={"RUN015": "log"}))
    kind: Any = type("CampaignTrainer", bases, {})
    trainer = kind(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)
    if plan.arm == "guarded":
        trainer.verify_in_background = plan.background
        trainer.space_wait_seconds = plan.space_wait_seconds
    return trainer


def in_fork(work: Callable[[], Any], home: Path) -> Any:
    """What `work` returns (plain values), from a fork of this process, which has everything imported.

    Its output goes to `log` in `home`. Raises RuntimeError where it failed.
    """
    answer = home / "answer"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            log = os.open(home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            answer.write_text(json.dumps({"is": work()}))
        except BaseException:
            with contextlib.suppress(OSError):
                answer.write_text(json.dumps({"failed": traceback.format_exc()}))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    told = json.loads(answer.read_text()) if answer.is_file() else {"failed": "it crashed"}
    if "failed" in told:
        raise RuntimeError(told["failed"])
    return told["is"]


def warm_up() -> None:
    """Imports what a run imports, without starting a thread: a fork takes along one thread only."""
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments  # noqa: F401

    import trainguard.facts.checkpoint.latest
    import trainguard.train.verified_saves  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":  # the run alone, for a look: benchmarks/campaign_run.py FOLDER
    print(train(Plan(), Path(sys.argv[1]), resume=False))
