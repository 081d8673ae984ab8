"""PY005: an operation that cannot work on the types that its operands are known to have."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.python._diagnostic_rule import DiagnosticRule


class TypeMismatch(DiagnosticRule):
    """An operation that cannot work on the types that its operands are known to have.

    *What it does*

    Reports operators, calls, loops and lookups that raise TypeError for certain, such as comparing a variable that can
    only be None with a number. Only values that the script itself fixes count: literals, what the standard library
    returns, and the script's own functions. Annotations, attributes and third-party values are no proof.

    *Why it costs you*

    The line raises TypeError whenever it runs, often long after the start.

    *Example*

    `os.environ["WORLD_SIZE"] > 1`: what the environment holds is text.

    *Use instead*

    Give the variable a value first, or convert it: `int(os.environ["WORLD_SIZE"]) > 1`.
    """

    code = "PY005"
    name = "type-mismatch"
    severity = "warn"
    kind = "type-mismatch"

    VALID = (
        Example(
            script="best = None\nfor loss in (0.5, 0.4):\n    if best is None or loss < best:\n        best = loss\n",
            why="compared only where it has a value",
        ),
        Example(
            script="limit = None\n\n\ndef load():\n    global limit\n    limit = 5\n\n\nload()\nprint(limit > 3)\n",
            why="a call sets the variable",
        ),
    )
    INVALID = (
        Example(
            script='max_steps = None\nif max_steps > 0:\n    print("limited")\n',
            findings=(
                (
                    2,
                    "`>` cannot work between `max_steps` (which can only be None here) and `0`; give it a value first: "
                    "TypeError when line 2 runs",
                ),
            ),
        ),
        Example(
            script='import os\n\nif os.environ["WORLD_SIZE"] > 1:\n    print("distributed")\n',
            findings=(
                (
                    3,
                    "`>` cannot work between `os.environ['WORLD_SIZE']` (here `str`) and `1`; convert one of them, for "
                    "instance with `int(...)` or `str(...)`: TypeError when line 3 runs",
                ),
            ),
        ),
    )
