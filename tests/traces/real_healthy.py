"""Real runs with nothing wrong."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.traces.make_real import Run, end, trainer_of


def resumed(run: Any, folder: Path, records: list[Any]) -> None:
    """Stopped in the middle, saved, resumed by a second trainer."""
    from tests.traces.real_parts import StopAt

    saving = {"save_strategy": "steps", "save_steps": 20}
    first = trainer_of(run, folder, records, args=saving, callbacks=[StopAt(run.args.get("stop_here", 53))])
    first.train()
    del records[-1]  # killed: no summary was written
    second = trainer_of(run, folder, records, args=saving)
    second.train(resume_from_checkpoint=str(folder / "checkpoint-40"))
    end(records, second)


def two_files(run: Any, folder: Path, records: list[Any]) -> None:
    """One model, one file after the other, each with steps and a schedule of its own; harder text in the second."""
    from tests.traces.real_parts import texts

    first = trainer_of(run, folder, records)
    records.append({"event": "file", "name": "a.jsonl", "t": 0.0})
    first.train()
    records.append({"event": "file", "name": "b.jsonl", "t": records[-1]["t"] + 0.5})
    second = trainer_of(run, folder, records, model=first.model, train_dataset=texts(400, 9, noise=0.6))
    second.train()


def follow(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """Reward: share of the words that follow the rule."""
    rewards = []
    for completion in completions:
        words = [int(word[1:]) for word in completion.split() if word.startswith("w")]
        good = sum((b - a) % 60 == 7 for a, b in pairwise(words))
        rewards.append(good / 7)
    return rewards


def few(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """Reward: the share of small words; easy to learn."""
    return [
        sum(word.startswith("w") and int(word[1:]) < 30 for word in completion.split()) / 8
        for completion in completions
    ]


def negative(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """Reward below zero: minus the mean number of the words."""
    return [
        -sum(int(word[1:]) for word in completion.split() if word.startswith("w")) / 100 for completion in completions
    ]


def accuracy(prediction: Any) -> dict[str, float]:
    import numpy as np

    guesses, labels = prediction.predictions[:, :-1].argmax(-1), prediction.label_ids[:, 1:]
    return {"accuracy": float(np.mean(guesses[labels != -100] == labels[labels != -100]))}


def runs() -> list[Run]:
    from peft import LoraConfig
    from tests.traces.real_parts import rows, texts
    from transformers import EarlyStoppingCallback

    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return [
        Run(name="real-sft-2e-3", kind="sft", about="SFT, linear"),
        Run(
            name="real-sft-5e-3-cosine",
            kind="sft",
            about="SFT, cosine with warm-up",
            args={"learning_rate": 5e-3, "lr_scheduler_type": "cosine", "warmup_steps": 10, "max_steps": 120},
        ),
        Run(
            name="real-sft-3e-4-logged-every-5",
            kind="sft",
            about="SFT, small rate, a point every five steps",
            args={"learning_rate": 3e-4, "logging_steps": 5, "max_steps": 200},
        ),
        Run(
            name="real-sft-batch-of-one",
            kind="sft",
            about="single examples",
            args={"per_device_train_batch_size": 1, "max_steps": 150},
        ),
        Run(
            name="real-sft-accumulation",
            kind="sft",
            about="four micro-batches a step",
            args={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
            parts={"data_seed": 3},
        ),
        Run(
            name="real-sft-lora",
            kind="sft",
            about="LoRA on a random model: slow",
            args={"learning_rate": 1e-2, "max_steps": 100},
            parts={"peft_config": lora},
            declared={"peft": True},
        ),
        Run(
            name="real-sft-lora-logged-every-2",
            kind="sft",
            about="LoRA, constant rate",
            args={"learning_rate": 2e-2, "max_steps": 120, "logging_steps": 2, "lr_scheduler_type": "constant"},
            parts={"peft_config": lora},
            declared={"peft": True},
        ),
        Run(
            name="real-sft-evaluated",
            kind="sft",
            about="SFT with evaluations",
            args={"eval_strategy": "steps", "eval_steps": 10, "max_steps": 100},
            parts={"eval_dataset": lambda: texts(60, 5)},
        ),
        Run(
            name="real-sft-evaluated-on-start",
            kind="sft",
            about="an evaluation before the first step",
            args={"eval_strategy": "steps", "eval_steps": 20, "eval_on_start": True},
            parts={"eval_dataset": lambda: texts(60, 5)},
        ),
        Run(
            name="real-sft-resumed",
            kind="sft",
            about="stopped at 53, resumed at 40",
            drive=resumed,
            declared={"resume": True},
        ),
        Run(
            name="real-sft-resumed-cosine",
            kind="sft",
            about="stopped at 59, resumed at 40, cosine",
            args={"lr_scheduler_type": "cosine", "warmup_steps": 8, "max_steps": 100},
            drive=resumed,
            declared={"resume": True},
        ),
        Run(
            name="real-trainer-resumed",
            kind="trainer",
            about="the stock Trainer, resumed",
            drive=resumed,
            declared={"resume": True},
        ),
        Run(
            name="real-sft-three-epochs",
            kind="sft",
            about="three epochs of few examples",
            args={"max_steps": -1, "num_train_epochs": 3, "per_device_train_batch_size": 4},
            parts={"count": 120},
        ),
        Run(
            name="real-sft-ten-epochs",
            kind="sft",
            about="ten epochs of very few: nearly learnt by heart",
            args={"max_steps": -1, "num_train_epochs": 10, "per_device_train_batch_size": 4, "learning_rate": 3e-3},
            parts={"count": 40},
        ),
        Run(
            name="real-sft-two-files",
            kind="sft",
            about="a second, harder file with a schedule of its own",
            args={"max_steps": 50, "lr_scheduler_type": "constant"},
            declared={"max_steps": 100},
            drive=two_files,
        ),
        Run(
            name="real-sft-restarts",
            kind="sft",
            about="cosine with restarts",
            args={
                "lr_scheduler_type": "cosine_with_restarts",
                "lr_scheduler_kwargs": {"num_cycles": 3},
                "max_steps": 120,
                "learning_rate": 4e-3,
            },
            declared={"num_cycles": 3},
        ),
        Run(
            name="real-sft-early-stopping",
            kind="sft",
            about="early stopping declared, and it comes",
            args={
                "eval_strategy": "steps",
                "eval_steps": 10,
                "max_steps": 400,
                "learning_rate": 8e-3,
                "load_best_model_at_end": True,
                "metric_for_best_model": "eval_loss",
                "save_strategy": "steps",
                "save_steps": 10,
            },
            parts={"count": 60, "eval_dataset": lambda: texts(60, 5), "callbacks": lambda: [EarlyStoppingCallback(2)]},
            declared={"early_stopping_patience": 2},
            also="RUN005",
        ),
        Run(
            name="real-trainer-5e-4",
            kind="trainer",
            about="the stock Trainer from scratch",
            args={"learning_rate": 5e-4, "max_steps": 120},
        ),
        Run(
            name="real-trainer-accuracy",
            kind="trainer",
            about="an accuracy that starts low",
            args={"eval_strategy": "steps", "eval_steps": 20, "max_steps": 120, "warmup_steps": 10},
            parts={"eval_dataset": lambda: rows(40, 3), "compute_metrics": accuracy},
        ),
        Run(
            name="real-trainer-adafactor",
            kind="trainer",
            about="another optimizer",
            args={"optim": "adafactor", "learning_rate": 1e-2, "max_steps": 100, "logging_steps": 2},
        ),
        Run(
            name="real-trainer-sgd-slow",
            kind="trainer",
            about="SGD: slow, but it falls",
            args={"optim": "sgd", "learning_rate": 0.3, "max_steps": 120, "lr_scheduler_type": "constant"},
        ),
        Run(
            name="real-dpo",
            kind="dpo",
            about="DPO",
            args={"learning_rate": 5e-4, "max_steps": 60},
            declared={"beta": 0.1},
        ),
        Run(
            name="real-dpo-warmup",
            kind="dpo",
            about="DPO, half of it warm-up",
            args={"learning_rate": 2e-4, "max_steps": 80, "warmup_steps": 40, "logging_steps": 2},
            declared={"beta": 0.1},
        ),
        Run(
            name="real-dpo-small-rate",
            kind="dpo",
            about="DPO that moves slowly",
            args={"learning_rate": 5e-5, "max_steps": 80},
            declared={"beta": 0.1},
        ),
        Run(
            name="real-grpo",
            kind="grpo",
            about="GRPO: easy reward",
            args={"learning_rate": 2e-3, "max_steps": 60},
            parts={"reward": few},
        ),
        Run(
            name="real-grpo-kl",
            kind="grpo",
            about="GRPO with a KL term",
            args={"learning_rate": 1e-3, "max_steps": 60, "beta": 0.04},
            parts={"reward": few},
            declared={"beta": 0.04},
        ),
        Run(
            name="real-grpo-rare-reward",
            kind="grpo",
            about="GRPO whose reward is mostly zero at first",
            args={"learning_rate": 2e-3, "max_steps": 60, "logging_steps": 2},
            parts={"reward": follow},
            also="RUN027 RUN018 RUN020",
        ),
        Run(
            name="real-grpo-negative",
            kind="grpo",
            about="GRPO with rewards below zero",
            args={"learning_rate": 2e-3, "max_steps": 60},
            parts={"reward": negative},
        ),
        Run(
            name="real-grpo-solved",
            kind="grpo",
            about="every output earns the highest reward in the end: nothing is left to learn",
            args={"learning_rate": 3e-2, "max_steps": 60},
            parts={"reward": few},
            also="RUN027 RUN018 RUN020 RUN004",
        ),
        Run(name="real-reward", kind="reward", about="a reward model", args={"learning_rate": 1e-3, "max_steps": 80}),
        Run(
            name="real-reward-small-rate",
            kind="reward",
            about="a reward model that learns slowly",
            args={"learning_rate": 1e-4, "max_steps": 100, "logging_steps": 2},
        ),
        Run(
            name="real-kto",
            kind="kto",
            about="KTO",
            args={"learning_rate": 5e-4, "max_steps": 60},
            declared={"beta": 0.1},
        ),
    ]
