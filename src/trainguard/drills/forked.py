"""The server of `forking`: it has loaded the training libraries, and runs each question in a fork of itself.

`python -m trainguard.drills.forked` reads a JSON line a question, `{"function": "module:name", "arguments": {...},
"folder": ...}`, and answers with two lines: the fork's process id, and how it ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

RESULT, LOG, OUTPUT = "result.json", "log.txt", "stdout.txt"
# What the drills train with; whatever is missing is what a drill's `needs` name.
_LIBRARIES = (
    "torch",
    "transformers.trainer",
    "peft",
    "datasets",
    "trl.trainer.sft_trainer",
    "trainguard.cli.app",
    "trainguard.train.running",
    "trainguard.train.file_guard",
    "trainguard.train.trainer",
    "trainguard.train.setup",
)


def main() -> None:
    import warnings

    warnings.simplefilter("ignore")
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    for line in sys.stdin:
        question = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(answers.fileno())  # or whoever reads it waits for this process, should the server end
            _child(question)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)  # here and in the child: whoever is first, it can be ended from now on
        print(json.dumps({"pid": child}), file=answers)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), file=answers)


def _child(question: dict[str, Any]) -> None:
    """Runs the function and ends this process, without whatever the server would do at its end."""
    folder, code = Path(question["folder"]), 1
    try:
        os.setpgid(0, 0)
        _redirect(Path(os.devnull), 0)
        _redirect(folder / OUTPUT, 1)
        _redirect(folder / LOG, 2)
        os.chdir(folder)
        if not question["gpu"]:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        module, _, name = question["function"].partition(":")
        value = getattr(importlib.import_module(module), name)(**question["arguments"])
        (folder / RESULT).write_text(json.dumps(value), encoding="utf-8")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(path: Path, descriptor: int) -> None:
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(opened, descriptor)
    os.close(opened)


if __name__ == "__main__":
    main()
