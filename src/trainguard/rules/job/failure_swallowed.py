"""JOB023: a failure of training, saving or pushing that ends the job as a success."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import replace

from trainguard.facts.calls import Call
from trainguard.facts.command import starts_training
from trainguard.facts.failure_paths import Swallow, swallows
from trainguard.facts.handlers import reached_calls
from trainguard.facts.persistence import Save
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Block, position
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

# Saves whose loss is the loss of the model. Others (`upload_file` of a card, `save_state`) come beside it.
_MODEL_SAVES = frozenset(
    {"save_model", "save_pretrained", "save_pretrained_merged", "push_to_hub", "push_to_hub_merged",
     "upload_folder", "upload_large_folder"}
)  # fmt: skip
_NOT_THE_MODEL = ("card", "config", "log", "readme", "tokenizer", "processor", "metric", "result", "plot")


class FailureSwallowed(Rule):
    """Training, saving or pushing fails, and the job ends as a success.

    *What it does*

    Fires when `trainer.train()`, a save of the model or its push stands inside a handler (`except Exception`,
    `contextlib.suppress`) that neither raises nor exits with a non-zero code, or when the command of a job
    ends a training with `|| true`.

    *Why it costs you*

    The job is reported as completed, nothing retries it, and the missing model is noticed when the machine and
    what was on its disk are gone.

    *Example*

    ```python
    try:
        trainer.train()
    except Exception as error:
        print(f"training failed: {error}")
    ```

    *Use instead*

    ```python
    try:
        trainer.train()
    except Exception as error:
        print(f"training failed: {error}")
        raise
    ```
    """

    code = "JOB023"
    name = "failure-swallowed"
    severity = "warn"
    area = "job"
    needs = frozenset()

    def check(self, subject: Subject) -> Iterable[Finding]:
        if subject.script is not None:
            yield from self._in_script(subject, subject.script)
        yield from self._in_command(subject)

    def _in_script(self, subject: Subject, script: ScriptFacts) -> Iterator[Finding]:
        if not script.handlers and "suppress" not in script.mentions:
            return
        stopped: dict[ast.AST, tuple[Swallow, list[str]]] = {}
        for call, block, kind in _critical(script):
            for swallow in swallows(script, block):
                if not _made_good(subject, script, swallow, call, kind):
                    stopped.setdefault(swallow.node, (swallow, []))[1].append(_shown(call))
        for swallow, calls in sorted(stopped.values(), key=lambda each: position(each[0].node)):
            what = " or ".join(dict.fromkeys(calls))
            yield self.finding(
                f"if {what} fails, `{swallow.written}` swallows the error, and the job ends with exit code 0 "
                "and counts as completed; end it with `raise`, or exit with a non-zero code"
                if swallow.handler is not None
                else f"if {what} fails, `{swallow.written}` swallows the error, and the job ends with exit code "
                "0 and counts as completed; take the call out of the `with`",
                where=swallow.where,
                fix="`raise` at the end of the handler, or sys.exit(1)"
                if swallow.handler is not None
                else "call it outside of `with suppress(…)`",
            )

    def _in_command(self, subject: Subject) -> Iterator[Finding]:
        job = subject.job
        if job is None or job.command is None or not job.checked:
            return
        for launch in job.command.launches:
            if launch.failure_ignored and starts_training(replace(job.command, launches=(launch,))):
                start = " ".join(launch.argv[:3])
                yield self.finding(
                    f"the command ignores the exit code of the training that `{start}` starts (`|| true`): if it "
                    "fails, the job counts as completed all the same; take the `|| true` away",
                    fix="the command without `|| true`",
                )

    _HEAD = 'from trl import SFTTrainer\ntrainer = SFTTrainer(model="Qwen/Qwen2.5-0.5B", train_dataset=data)\n'
    _SWALLOWED = (
        "swallows the error, and the job ends with exit code 0 and counts as completed; "
        "end it with `raise`, or exit with a non-zero code"
    )
    VALID = (
        Example(
            script=_HEAD + "try:\n    trainer.train()\nexcept Exception as error:\n    print(error)\n    raise\n",
            why="The handler raises again.",
        ),
        Example(
            script=_HEAD + "try:\n    trainer.train()\nexcept KeyboardInterrupt:\n    print('stopped by hand')\n"
            'trainer.push_to_hub("run 1")\n',
            why="Only an interruption by hand is caught, on purpose.",
        ),
        Example(
            script="import sys\n" + _HEAD + "failed = []\n"
            "for seed in (1, 2):\n"
            "    try:\n"
            "        trainer.train()\n"
            "    except Exception:\n"
            "        failed.append(seed)\n"
            "sys.exit(1 if failed else 0)\n",
            why="The failures are collected, and the exit code tells of them.",
        ),
        Example(
            script=_HEAD + "trainer.train()\n"
            "for attempt in range(3):\n"
            "    try:\n"
            "        trainer.push_to_hub()\n"
            "        break\n"
            "    except OSError as error:\n"
            "        print(error)\n"
            "else:\n"
            '    raise RuntimeError("the push failed three times")\n',
            why="The last failure of the retries is raised.",
        ),
        Example(
            script=_HEAD + "try:\n"
            "    trainer.train(resume_from_checkpoint=True)\n"
            "except ValueError:\n"
            "    trainer.train()\n",
            why="Without a checkpoint the training starts anew: nothing is swallowed.",
        ),
        Example(
            script=_HEAD + "trainer.train()\ntrainer.push_to_hub()\n"
            "try:\n    print(trainer.model.generate(ids))\nexcept Exception as error:\n    print(error)\n",
            why="Only a sample after the push may fail.",
        ),
        Example(
            script=_HEAD + "def report(error):\n"
            "    print(error)\n"
            "    raise SystemExit(1)\n"
            "try:\n"
            "    trainer.train()\n"
            "except Exception as error:\n"
            "    report(error)\n",
            why="The function that the handler calls exits with 1.",
        ),
        Example(
            job={"image": "acme/trainer:1", "command": 'bash -c "nvidia-smi || true; accelerate launch train.py"'},
            why="Only the first command may fail.",
        ),
    )
    INVALID = (
        Example(
            script=_HEAD
            + "try:\n    trainer.train()\n    trainer.push_to_hub()\nexcept Exception as error:\n    print(error)\n",
            findings=((6, f"if `trainer.train()` or `trainer.push_to_hub()` fails, `except Exception` {_SWALLOWED}"),),
        ),
        Example(
            script="import sys\n" + _HEAD + "try:\n    trainer.train()\nexcept RuntimeError:\n    sys.exit(0)\n",
            findings=((6, f"if `trainer.train()` fails, `except RuntimeError` {_SWALLOWED}"),),
            why="An exit with 0 is the exit of a success.",
        ),
        Example(
            script=_HEAD + "def main():\n"
            "    trainer.train()\n"
            "    trainer.save_model()\n"
            "    return 0\n"
            "try:\n"
            "    main()\n"
            "except:\n"
            "    import traceback\n"
            "    traceback.print_exc()\n",
            findings=((9, f"if `trainer.train()` or `trainer.save_model()` fails, `except` {_SWALLOWED}"),),
            why="The function that the `try` calls trains.",
        ),
        Example(
            script="from contextlib import suppress\n" + _HEAD + "trainer.train()\n"
            "with suppress(Exception):\n"
            "    trainer.push_to_hub()\n",
            findings=(
                (
                    5,
                    "if `trainer.push_to_hub()` fails, `with suppress(Exception)` swallows the error, and the job "
                    "ends with exit code 0 and counts as completed; take the call out of the `with`",
                ),
            ),
        ),
        Example(
            script=_HEAD + "def main():\n"
            "    try:\n"
            "        trainer.train()\n"
            "    except Exception:\n"
            "        return 1\n"
            "    return 0\n"
            "main()\n",
            findings=((6, f"if `trainer.train()` fails, `except Exception` {_SWALLOWED}"),),
            why="Nobody passes the 1 on to `sys.exit`.",
        ),
        Example(
            job={"image": "acme/trainer:1", "command": 'bash -c "accelerate launch train.py || true"'},
            findings=(
                (
                    None,
                    "the command ignores the exit code of the training that `accelerate launch train.py` starts "
                    "(`|| true`): if it fails, the job counts as completed all the same; take the `|| true` away",
                ),
            ),
        ),
    )


def _critical(script: ScriptFacts) -> Iterator[tuple[Call, Block, str]]:
    """The calls whose failure is the failure of the run, the block that it leaves, and what they do."""
    training = script.training
    for start in training.starts:
        yield start, start.block, "train"
    loop = training.loop
    if loop is not None and not training.starts:
        around = [block for block in loop.block.ancestors() if block.kind == "loop"]
        if around and around[-1].parent is not None:
            yield loop, around[-1].parent, "train"
    for save in _model_saves(script):
        yield save.call, save.call.block, save.kind


def _model_saves(script: ScriptFacts) -> list[Save]:
    return [
        save
        for save in script.persistence.model_saves
        if save.call.names & _MODEL_SAVES and not any(word in _context(save.call) for word in _NOT_THE_MODEL)
    ]


def _context(call: Call) -> str:
    folder = call.node.keywords and " ".join(ast.unparse(k.value) for k in call.node.keywords if k.arg == "folder_path")
    return f"{call.receiver_text} {folder or ''}".lower()


def _made_good(subject: Subject, script: ScriptFacts, swallow: Swallow, call: Call, kind: str) -> bool:
    """Whether the script does the same thing in another way, in the handler or later, or has done it before."""
    instead = list(reached_calls(script, swallow.statements))
    if kind == "train":
        again = [start for start in script.training.starts if start.node is not call.node]
        return any(c.node is start.node for c in instead for start in script.training.starts) or any(
            _after(start, swallow) and any(b.kind == "if" for b in start.block.ancestors()) for start in again
        )
    saves = _model_saves(script)
    nodes = {c.node for c in instead}
    others = [save for save in saves if save.call.node is not call.node and not _within(save.call, swallow.statement)]
    lasting = [save for save in saves if save.kind != "local" or _local_lasts(subject)]
    if any(save.call.node in nodes for save in lasting) or any(
        save.kind == "upload" for save in _uploads(script, nodes)
    ):
        return True
    if kind == "local":
        return any(save.kind != "local" or _after(save.call, swallow) for save in others)
    # What was pushed before makes this one an extra; what is pushed later makes it good.
    return any(save.kind != "local" for save in others)


def _uploads(script: ScriptFacts, nodes: set[ast.Call]) -> list[Save]:
    return [save for save in script.persistence.saves if save.call.node in nodes]


def _local_lasts(subject: Subject) -> bool:
    """Whether what is saved on the machine outlives the job, as far as anyone has said."""
    job = subject.job
    return job is None or not job.remote or bool(job.volumes)


def _within(call: Call, statement: ast.stmt) -> bool:
    end = (statement.end_lineno or 0, statement.end_col_offset or 0)
    return position(statement) <= position(call.node) < end


def _after(call: Call, swallow: Swallow) -> bool:
    return position(call.node) >= (swallow.statement.end_lineno or 0, swallow.statement.end_col_offset or 0)


def _shown(call: Call) -> str:
    return f"`{call.receiver_text}.{call.written_name}()`" if call.receiver_text else f"`{call.written_name}()`"
