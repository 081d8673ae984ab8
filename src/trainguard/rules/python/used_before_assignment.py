"""PY003: a variable is read before the only line that could have given it a value."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.python._diagnostic_rule import DiagnosticRule


class UsedBeforeAssignment(DiagnosticRule):
    """A variable is read where it can have no value yet, or none any more.

    *What it does*

    Reports a read that comes before every assignment of the name in its scope, however far below that stands, and a
    read after `del name` or after the `except … as name` block that owned it.

    *Why it costs you*

    An assignment anywhere in a function makes the name local to all of it, so that the read raises UnboundLocalError
    even where the module has a variable of that name.

    *Example*

    A function that prints `best_loss` and sets it three hundred lines further down.

    *Use instead*

    Move the assignment above the first read, or declare `global name` where the module's variable is meant.
    """

    code = "PY003"
    name = "used-before-assignment"
    severity = "error"
    kind = "used-before-assignment"

    VALID = (
        Example(
            script="def report():\n    print(best_loss)\n\n\nbest_loss = 0.5\nreport()\n",
            why="the module's variable is there by the time of the call",
        ),
        Example(
            script="for step in range(3):\n    if step:\n        print(previous)\n    previous = step\n",
            why="assigned by the round before",
        ),
    )
    INVALID = (
        Example(
            script="best_loss = 9.0\n\n\ndef evaluate(loss):\n    if loss < best_loss:\n        best_loss = loss\n",
            findings=(
                (
                    5,
                    "`best_loss` is read at line 5 but only assigned at line 6 of the same function: UnboundLocalError "
                    "at run time; move the assignment above line 5, or declare `global best_loss` if the variable of "
                    "the module is meant",
                ),
            ),
        ),
        Example(
            script="def main():\n    print(total)\n" + "    print('step')\n" * 300 + "    total = 1\n",
            findings=(
                (
                    2,
                    "`total` is read at line 2 but only assigned at line 303 of the same function: "
                    "UnboundLocalError at "
                    "run time; move the assignment above line 2",
                ),
            ),
        ),
        Example(
            script="model = object()\ndel model\nprint(model)\n",
            findings=(
                (
                    3,
                    "`model` is read at line 3 after `del model` at line 2: NameError at run time; "
                    "delete it after its last use",
                ),
            ),
        ),
    )
