"""Row 72: NameError."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_SCRIPT = """learning_rate = 2e-5


def main():
    print(learning_rat)


main()
"""


class UndefinedName(CodeDrill):
    number = 72
    raises = "NameError"
    scripts = (Script(code="PY002", text=_SCRIPT, line=5, says=("learning_rat",)),)
