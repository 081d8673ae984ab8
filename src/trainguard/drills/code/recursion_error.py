"""Row 79: RecursionError."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_CERTAIN = """def retry(task):
    attempt = task
    return retry(attempt)


retry("train")
"""


class EndlessRecursion(CodeDrill):
    number = 79
    raises = "RecursionError"
    scripts = (Script(code="PY006", text=_CERTAIN, line=3, says=("calls itself",), severity="warn"),)
    own = "def go(batch):\n    return go(batch)\n"
    own_line = 2
