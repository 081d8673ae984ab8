"""JOB020: an error handler that changes the task."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from trainguard.facts.calls import Call
from trainguard.facts.changes import Region
from trainguard.facts.data_loads import data_loads
from trainguard.facts.handlers import catches_failures, consequences, goes_on, reached_calls
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Handler
from trainguard.facts.trained_model import model_load_name
from trainguard.facts.values import (
    certain_texts,
    number,
    text,
    texts,
)
from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._scope_changes import LORA_MAKERS, model_swap, task_change

_EVALUATION = re.compile(r"eval|val|test|held|dev", re.IGNORECASE)

# What a `try` body does when its failure is one of the run.
_WORK = {"train", "fit", "from_pretrained", "map", "filter", "init", "login", "backward", "load_dataset", "prepare"}
_SWITCHES = {"WANDB_DISABLED": {"true", "1"}, "WANDB_MODE": {"disabled"}, "TRACKIO_DISABLED": {"true", "1"}}


class ScopeChangedOnError(Rule):
    """An error handler changes the task: shorter sequences, LoRA, fewer rows, another model, no monitoring.

    *What it does*

    Fires when the handler of an out-of-memory or other general error goes on with a lower `max_length`, with LoRA
    instead of full fine-tuning, with fewer rows or epochs, with another model, or with monitoring switched off.
    A smaller batch, gradient checkpointing, another attention and a retry of the same are left alone.

    *Why it costs you*

    The job completes with a model that nobody asked for, and its results are compared with runs of another task.

    *Example*

    ```python
    try:
        trainer.train()
    except torch.cuda.OutOfMemoryError:
        args.max_length = 512
        SFTTrainer(model, args=args, train_dataset=data).train()
    ```

    *Use instead*

    ```python
    args = SFTConfig(per_device_train_batch_size=1, gradient_accumulation_steps=16, gradient_checkpointing=True)
    ```
    """

    code = "JOB020"
    name = "scope-changed-on-error"
    severity = "warn"
    area = "job"
    needs = frozenset({"script"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None:
            return
        seen: set[Location] = set()
        for handler in script.handlers:
            if not script.resolver.is_live(handler.block) or not catches_failures(script, handler):
                continue
            if not _works(script, handler) or not goes_on(script, handler):
                continue
            region = Region(script, handler, consequences(handler))
            found = [(what, where) for what, where in _task_changes(region) if where not in seen]
            if found:
                seen.update(where for _, where in found)
                caught = ast.unparse(handler.node.type)[:60] if handler.node.type is not None else ""
                what = ", ".join(dict.fromkeys(what for what, _ in found))
                yield self.finding(
                    f"`except {caught}`".replace(" `", "`")
                    + f" changes the task and goes on: {what}; raise instead, and "
                    "keep the task: a smaller per_device_train_batch_size with more gradient_accumulation_steps, "
                    "gradient_checkpointing=True, or a larger GPU",
                    where=found[0][1],
                    fix="`raise`, and a setting that fits without changing the task",
                )

    _HEAD = (
        "import torch\n"
        "from trl import SFTConfig, SFTTrainer\n"
        'args = SFTConfig("out", max_length=2048, report_to="trackio")\n'
        'trainer = SFTTrainer("Qwen/Qwen2.5-1.5B", args=args, train_dataset=data)\n'
        "try:\n"
        "    trainer.train()\n"
    )
    _END = (
        "; raise instead, and keep the task: a smaller per_device_train_batch_size with more "
        "gradient_accumulation_steps, gradient_checkpointing=True, or a larger GPU"
    )
    VALID = (
        Example(
            script=_HEAD + "except torch.cuda.OutOfMemoryError:\n"
            "    args.per_device_train_batch_size = 1\n"
            "    args.gradient_accumulation_steps = 16\n"
            "    SFTTrainer('Qwen/Qwen2.5-1.5B', args=args, train_dataset=data).train()\n",
            why="The same effective batch in smaller parts.",
        ),
        Example(
            script=_HEAD + "except torch.cuda.OutOfMemoryError:\n    print('try max_length=512')\n    raise\n",
            why="The shorter length is only proposed.",
        ),
        Example(
            script=_HEAD + "except RuntimeError:\n"
            "    torch.cuda.empty_cache()\n"
            "    args.gradient_checkpointing = True\n"
            "    trainer.train()\n",
            why="The same task with less memory.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                'NAME = "Qwen/Qwen2.5-1.5B"\n'
                "try:\n"
                '    model = AutoModelForCausalLM.from_pretrained(NAME, attn_implementation="flash_attention_2")\n'
                "except (ImportError, ValueError):\n"
                '    model = AutoModelForCausalLM.from_pretrained(NAME, attn_implementation="sdpa")\n'
            ),
            why="Another attention computes the same.",
        ),
        Example(
            script=(
                "from trl import SFTConfig\n"
                "max_length = 2048\n"
                "if debug:\n"
                "    max_length = 256\n"
                "    data = data.select(range(100))\n"
                'args = SFTConfig("out", max_length=max_length)\n'
            ),
            why="The user asks for the small run.",
        ),
        Example(
            script=("try:\n    import wandb\n    report_to = 'wandb'\nexcept ImportError:\n    report_to = 'none'\n"),
            why="An optional package.",
        ),
    )
    INVALID = (
        Example(
            script=_HEAD + "except torch.cuda.OutOfMemoryError:\n    args.max_length = 512\n    trainer.train()\n",
            findings=(
                (
                    8,
                    "`except torch.cuda.OutOfMemoryError` changes the task and goes on: max_length 512 instead of 2048"
                    + _END,
                ),
            ),
        ),
        Example(
            script=(
                "from peft import LoraConfig\n"
                "from trl import SFTTrainer\n"
                "def run(use_lora=False, max_length=4096):\n"
                "    config = LoraConfig() if use_lora else None\n"
                "    SFTTrainer(model, peft_config=config, train_dataset=data).train()\n"
                "try:\n"
                "    run()\n"
                "except RuntimeError:\n"
                "    run(use_lora=True, max_length=1024)\n"
            ),
            findings=(
                (
                    9,
                    "`except RuntimeError` changes the task and goes on: LoRA instead of full fine-tuning, max_length "
                    "1024 instead of 4096" + _END,
                ),
            ),
            why="The arguments of a function of the script carry the change.",
        ),
        Example(
            script=(
                "from trl import SFTTrainer\n"
                "seq_len = int(args.seq_len)\n"
                "while True:\n"
                "    try:\n"
                "        SFTTrainer(model, args=config(seq_len), train_dataset=data).train()\n"
                "        break\n"
                "    except RuntimeError as error:\n"
                '        if "out of memory" not in str(error):\n'
                "            raise\n"
                "        seq_len //= 2\n"
            ),
            findings=((10, "`except RuntimeError` changes the task and goes on: seq_len is cut" + _END),),
            why="Each failure halves the length.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                "try:\n"
                '    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-7B")\n'
                "except:\n"
                '    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-0.5B")\n'
            ),
            findings=(
                (
                    5,
                    "`except` changes the task and goes on: the model Qwen/Qwen2.5-0.5B instead of Qwen/Qwen2.5-7B"
                    + _END,
                ),
            ),
        ),
        Example(
            script=(
                "import os\n"
                "import wandb\n"
                "try:\n"
                '    wandb.init(project="sft")\n'
                "except Exception:\n"
                '    os.environ["WANDB_MODE"] = "disabled"\n'
            ),
            findings=((6, "`except Exception` changes the task and goes on: monitoring off (WANDB_MODE)" + _END),),
        ),
    )


def _works(script: ScriptFacts, handler: Handler) -> bool:
    """Whether the `try` does a part of the run: loads, prepares, trains, starts the tracker."""
    makers = {trainer.node for trainer in script.training.trainers}
    calls = reached_calls(script, handler.statement.body)
    return any(call.written_name in _WORK or call.node in makers for call in calls)


def _task_changes(region: Region) -> Iterator[tuple[str, Location]]:
    for change in region.changes():
        what = task_change(change)
        if what is not None:
            yield what, change.where
    yield from _other_models(region)
    yield from _lora_made(region)
    yield from _fewer_rows(region)
    yield from _switched_off(region)


# -- calls ---------------------------------------------------------------------------------


def _other_models(region: Region) -> Iterator[tuple[str, Location]]:
    loads = {call.node: call for call in region.script.persistence.model_loads}
    before = [call for call in reached_calls(region.script, region.handler.statement.body) if call.node in loads]
    old: set[str] = set()
    for call in before:
        names = texts(model_load_name(call))
        if not names:
            return
        old |= names
    for call in region.calls():
        if call.node in loads and (what := model_swap(frozenset(old), texts(model_load_name(call)) or frozenset())):
            yield what, call.location


def _lora_made(region: Region) -> Iterator[tuple[str, Location]]:
    """An adapter that only the handler makes, in a script that knows no other."""
    made = [call for call in region.calls() if call.names & LORA_MAKERS]
    if not made or any(
        "peft" in name.lower() or "lora" in name.lower() for c in region.calls_outside() for name in c.names
    ):
        return
    if region.script.training.trains:
        yield "LoRA instead of full fine-tuning", made[0].location


def _fewer_rows(region: Region) -> Iterator[tuple[str, Location]]:
    script = region.script
    before = list(reached_calls(script, region.handler.statement.body))
    if not any(call.written_name in ("select", "take") for call in before):
        for call in region.calls():
            if _takes_some(call):
                yield f"fewer rows ({call.receiver_text}.{call.written_name})", call.location
    whole = {
        name
        for load in data_loads(script, region.handler.statement.body)
        for name in load.names
        if not _is_sliced(load.call)
    }
    for load in data_loads(script, region.statements):
        if load.names and load.names <= whole and _is_sliced(load.call):
            yield f"a part of {min(load.names)}", load.call.location


def _takes_some(call: Call) -> bool:
    """`data.select(range(1000))`, `data.take(1000)`: a part of the training rows."""
    if _EVALUATION.search(call.receiver_text) or not call.node.args:
        return False
    argument = call.node.args[0]
    if call.written_name == "take":
        return number(call.positional(0)) is not None
    is_range = isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name) and argument.func.id == "range"
    return call.written_name == "select" and is_range


def _is_sliced(call: Call) -> bool:
    return any("[" in split and ":" in split for split in certain_texts(call.argument("split")))


def _switched_off(region: Region) -> Iterator[tuple[str, Location]]:
    resolver = region.script.resolver
    for name, values in _SWITCHES.items():
        for store in region.script.structure.item_stores.get(name, []):
            if store.value is None or not region.holds(store.position) or not resolver.is_live(store.block):
                continue
            if (text(resolver.evaluate(store.value, store.block)) or "").lower() in values:
                yield f"monitoring off ({name})", resolver.location(store.node)
