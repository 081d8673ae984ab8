"""Row 75: IndexError."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_CERTAIN = """checkpoints = []
newest = checkpoints[0]
"""


class IndexBeyond(CodeDrill):
    number = 75
    raises = "IndexError"
    scripts = (Script(code="PY006", text=_CERTAIN, line=2, says=("index 0", "0 items"), severity="warn"),)
    own = "def go(batch):\n    return batch['input_ids'][len(batch['input_ids'])]\n"
    own_line = 2
