"""Row 71: UnboundLocalError."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_SCRIPT = """def resume(found):
    if not found:
        print(checkpoint)
    checkpoint = "output/checkpoint-500"
    return checkpoint


resume(found=False)
"""


class UnboundLocal(CodeDrill):
    number = 71
    raises = "UnboundLocalError"
    scripts = (Script(code="PY003", text=_SCRIPT, line=3, says=("checkpoint", "line 4")),)
