"""`trainguard run` with real trainings on the CPU: scripts as people write them, broken in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal
import torch
from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer, TrainerCallback, TrainingArguments
torch.set_num_threads(1)
class Fault(TrainerCallback):
    def on_step_end(self, args, state, control, **others):
        if state.global_step == 5 and not os.path.exists("faulted") and int(os.environ.get("RANK", 0)) == 0:
            open("faulted", "w").close()
            FAULT
def main():
    (args,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
    rows = [{"input_ids": torch.randint(0, 64, (8,)), "labels": torch.randint(0, 64, (8,))} for _ in range(40)]
    config = GPT2Config(
        vocab_size=64, n_embd=8, n_layer=1, n_head=1, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    trainer = Trainer(model=GPT2LMHeadModel(config), args=args, train_dataset=rows, callbacks=[Fault()])
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    print("steps", trainer.state.global_step, flush=True)
main()
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
TEAR = "os.truncate('out/checkpoint-4/model.safetensors', 100); os.kill(os.getpid(), signal.SIGKILL)"
OOM = "raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB')"
OPTIONS = (
    "--output_dir out --max_steps 10 --save_steps 2 --logging_steps 1 --per_device_train_batch_size 4 "
    "--gradient_accumulation_steps 1 --report_to none --use_cpu"
).split()


@pytest.mark.parametrize(
    ("launcher", "fault", "goes_on_from", "added"),
    [
        ([sys.executable], KILL, "checkpoint-4", []),
        ([sys.executable], TEAR, "checkpoint-2", []),
        ([sys.executable], OOM, "checkpoint-4", ["2", "2"]),
        (["torchrun", "--standalone", "--nproc-per-node", "2"], KILL, "checkpoint-4", []),
        (["accelerate", "launch", "--cpu", "--num_processes", "1"], KILL, "checkpoint-4", []),
    ],
    ids=["kill", "torn", "gpu-oom", "torchrun", "accelerate"],
)
def test_a_trainer_script_goes_on(
    tmp_path: Path, launcher: list[str], fault: str, goes_on_from: str, added: list[str]
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("FAULT", fault), encoding="utf-8")
    first, second = attempts(tmp_path, [*launcher, "train.py", *OPTIONS])
    assert first["checkpoint"] is None
    assert first["words"] == [*launcher, "train.py", *OPTIONS]
    assert Path(second["checkpoint"]).name == goes_on_from
    assert second["words"][-2:] == ["--resume_from_checkpoint", str(tmp_path / "out" / goes_on_from)]
    if added:
        sizes = dict(zip(second["words"][:-2:1], second["words"][1:-1], strict=True))
        names = ("--per_device_train_batch_size", "--gradient_accumulation_steps")
        assert [sizes[name] for name in names] == added


def attempts(folder: Path, words: list[str]) -> list[dict[str, Any]]:
    """Runs the words to their good end; how each attempt was started."""
    done = subprocess.run(
        [sys.executable, "-m", "trainguard", "run", "--retry-delay", "0", "--", *words],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.rstrip().endswith("steps 10")
    (kept,) = folder.rglob("events.jsonl")
    events = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    return [each for each in events if each["event"] == "started"]
