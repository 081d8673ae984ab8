"""Row 78: ZeroDivisionError."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_CERTAIN = """accumulation = 0
print(64 // accumulation)
"""


class DivisionByZero(CodeDrill):
    number = 78
    raises = "ZeroDivisionError"
    scripts = (Script(code="PY006", text=_CERTAIN, line=2, says=("division by zero",), severity="warn"),)
    own = "def go(batch):\n    return 1 / (len(batch) - len(batch))\n"
    own_line = 2
