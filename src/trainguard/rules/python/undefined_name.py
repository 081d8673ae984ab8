"""PY002: the script reads a name that it defines nowhere."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.python._diagnostic_rule import DiagnosticRule


class UndefinedName(DiagnosticRule):
    """The script reads a name that it neither defines nor imports.

    *What it does*

    Reports names that no scope around the read defines and that are no builtins. Silent where a name may come from
    elsewhere: `from module import *`, `exec`, `globals()`, IPython's own names, annotations that are not evaluated,
    and a `try` that asks whether the name exists.

    *Why it costs you*

    Python notices when the line runs. A missing import at the end of a script surfaces after hours of training.

    *Example*

    `json.dump(...)` after the training, with no `import json`.

    *Use instead*

    Import or define the name, or correct its spelling.
    """

    code = "PY002"
    name = "undefined-name"
    severity = "error"
    kind = "undefined-name"

    VALID = (
        Example(
            script="from helpers import *\n\nprint(build_dataset())\n",
            why="the star may bring the name",
        ),
        Example(
            script="try:\n    get_ipython()\nexcept NameError:\n    print('no notebook')\n",
            why="asks whether the name exists",
        ),
        Example(
            script=(
                "from __future__ import annotations\n\n\ndef save(model: PreTrainedModel) -> None:\n    model.save()\n"
            ),
            why="the annotation is never evaluated",
        ),
    )
    INVALID = (
        Example(
            script='metrics = {"loss": 0.5}\nwith open("metrics.json", "w") as file:\n    json.dump(metrics, file)\n',
            findings=(
                (
                    3,
                    "`json` is not defined anywhere in this script: NameError when line 3 runs; add `import json`",
                ),
            ),
        ),
        Example(
            script='from datasets import load_dataset\n\ndataset = load_dataset("imdb")\nprint(datasett["train"])\n',
            findings=(
                (
                    4,
                    "`datasett` is not defined anywhere in this script: NameError when line 4 runs; "
                    "did you mean `dataset`?",
                ),
            ),
        ),
    )
