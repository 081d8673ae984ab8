"""Row 73: AttributeError."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_CERTAIN = """best = None
print(best.global_step)
"""
_LIBRARY = """import trl

arguments = trl.SFTConfg(output_dir="out")
"""


class AttributeMissing(CodeDrill):
    number = 73
    raises = "AttributeError"
    scripts = (
        Script(code="PY006", text=_CERTAIN, line=2, says=("global_step",), severity="warn"),
        Script(code="API001", text=_LIBRARY, line=3, says=("SFTConfg", "SFTConfig")),
    )
    own = "def go(batch):\n    return batch['input_ids'].sise(0)\n"
    own_line = 2
