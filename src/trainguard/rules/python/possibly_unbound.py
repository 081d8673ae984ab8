"""PY004: a variable is assigned on some paths only, and read on all of them."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.python._diagnostic_rule import DiagnosticRule


class PossiblyUnbound(DiagnosticRule):
    """A variable is assigned on some paths only, and read on all of them.

    *What it does*

    Reports a read that no condition guards, below an `if` or a `try` with a path that goes on without the assignment.
    Silent where anything may tie the two together: the same condition around the read, an early return or assertion
    on what was asked, a chain of comparisons that may cover all values, a condition about an object's own attributes,
    or loops that may always run.

    *Why it costs you*

    The script works with the flags it was tried with, and raises NameError or UnboundLocalError with others.

    *Example*

    `if args.eval: dataset = load_dataset(...)`, followed by `Trainer(..., eval_dataset=dataset)`.

    *Use instead*

    Give the variable a value before the `if`, in its `else`, or in the handler.
    """

    code = "PY004"
    name = "possibly-unbound"
    severity = "warn"
    kind = "possibly-unbound"

    VALID = (
        Example(
            script=(
                "import sys\n\nif len(sys.argv) > 1:\n    path = sys.argv[1]\nif len(sys.argv) > 1:\n    print(path)\n"
            ),
            why="the same condition guards the read",
        ),
        Example(
            script=(
                "import sys\n\ntry:\n    value = int(sys.argv[1])\nexcept ValueError:\n    sys.exit('no number')\n"
                "print(value)\n"
            ),
            why="the handler leaves",
        ),
    )
    INVALID = (
        Example(
            script="import sys\n\nif len(sys.argv) > 1:\n    path = sys.argv[1]\nprint(path)\n",
            findings=(
                (
                    5,
                    "`path` is read at line 5 on every path but assigned only on some branches of the `if` at line 3: "
                    "NameError on the others; give it a value before line 3 or in every branch",
                ),
            ),
        ),
        Example(
            script=(
                "def read(path):\n    try:\n        text = open(path).read()\n    except OSError as error:\n"
                "        print(error)\n    return text\n"
            ),
            findings=(
                (
                    6,
                    "`text` is read at line 6 on every path but assigned in the `try` at line 2, and the handler at "
                    "line 4 goes on without it: UnboundLocalError on the others; give it a value in the handler, or "
                    "leave there",
                ),
            ),
        ),
    )
