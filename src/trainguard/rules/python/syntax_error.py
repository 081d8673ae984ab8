"""PY001: the script cannot be parsed by the Python that the job runs."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.python._diagnostic_rule import DiagnosticRule


class SyntaxErrorRule(DiagnosticRule):
    """The job's Python cannot parse the script.

    *What it does*

    Parses the script as the Python of the job would, which may be older or newer than the one that trainguard runs
    on: Python 3.12 where nothing else is asked for. Shows the first error, with its line and column. A script in an
    older job must not use newer syntax: f-strings that reuse their quotes and `type` statements need 3.12, `match`
    needs 3.10.

    *Why it costs you*

    Python parses a whole file before it runs the first line. The job is queued, the machine starts, the packages are
    installed, and then it ends without having done anything.

    *Example*

    A bracket that is never closed, or an f-string that reuses its quotes in a job on Python 3.11.

    *Use instead*

    Correct the line that the finding names, or run the job on a Python that accepts the syntax.
    """

    code = "PY001"
    name = "syntax-error"
    severity = "error"
    kind = "syntax-error"

    VALID = (
        Example(
            script='row = {"loss": 0.5}\nprint(f"loss: {row["loss"]}")\n',
            why="legal since Python 3.12, which a job runs by default",
        ),
        Example(
            script='command = "match"\nmatch command:\n    case "match":\n        print("found")\n',
            why="legal since Python 3.10",
        ),
    )
    INVALID = (
        Example(
            script="def train(:\n    pass\n",
            findings=(
                (
                    1,
                    "Python 3.12 cannot parse this script, so nothing of it runs: Expected a parameter or the end "
                    "of the "
                    "parameter list (line 1, column 11); correct the line, or run the job on a Python that accepts it",
                ),
            ),
        ),
        Example(
            script="try:\n    import trl\nexcept ImportError, OSError:\n    pass\n",
            findings=(
                (
                    3,
                    "Python 3.12 cannot parse this script, so nothing of it runs: Multiple exception types must be "
                    "parenthesized on Python 3.12 (syntax was added in Python 3.14) (line 3, column 8); correct the "
                    "line, or run the job on a Python that accepts it",
                ),
            ),
            why="legal from Python 3.14 on only",
        ),
    )
