"""PY006: a line that raises whenever it runs."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.python._diagnostic_rule import DiagnosticRule


class CertainException(DiagnosticRule):
    """A line that raises whenever it runs.

    *What it does*

    Reports division by a literal zero, a key that a literal dict does not have, an index past the end of a literal
    list or tuple, attributes that None, numbers, strings and containers do not have, unpacking into the wrong number
    of names, and functions that call themselves on every path. Containers count only if nothing in the script can
    have changed them; an exception that is caught is none.

    *Why it costs you*

    The run ends at that line, however long it took to get there.

    *Example*

    `config = {"lr": 1e-4}` and later `config["learning_rate"]`.

    *Use instead*

    Correct the key, the index or the divisor; give a recursion a case in which it returns.
    """

    code = "PY006"
    name = "certain-exception"
    severity = "warn"
    kind = "certain-exception"

    VALID = (
        Example(
            script='config = {"lr": 1e-4}\nconfig["epochs"] = 3\nprint(config["epochs"])\n',
            why="the key is added before it is read",
        ),
        Example(
            script="def countdown(n):\n    if n == 0:\n        return\n    countdown(n - 1)\n\n\ncountdown(3)\n",
            why="the recursion has an end",
        ),
    )
    INVALID = (
        Example(
            script='config = {"lr": 1e-4, "epochs": 3}\nprint(config["learning_rate"])\n',
            findings=(
                (
                    2,
                    "`config` (line 1) has no key 'learning_rate', only 'lr', 'epochs'; correct the key or add it: "
                    "KeyError when line 2 runs",
                ),
            ),
        ),
        Example(
            script="steps = 0\nprint(100 / steps)\n",
            findings=(
                (
                    2,
                    "division by zero (`steps` is always 0 here); guard the division or correct the divisor: "
                    "ZeroDivisionError when line 2 runs",
                ),
            ),
        ),
        Example(
            script="def retry(task):\n    print(task)\n    return retry(task)\n",
            findings=(
                (
                    3,
                    "`retry` calls itself at line 3 on every path, with no way to stop: RecursionError once it is "
                    "called; "
                    "return before the call in the base case, or call something else",
                ),
            ),
        ),
    )
