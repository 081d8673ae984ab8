"""Row 74: KeyError, also of a dataset's columns."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_CERTAIN = """settings = {"lr": 2e-5}
print(settings["learning_rate"])
"""
_COLUMNS = """from datasets import Dataset
from trl import SFTConfig, SFTTrainer

data = Dataset.from_list([{"question": "2 + 2?", "answer": "4"}])
SFTTrainer("base", args=SFTConfig("columns", use_cpu=True, bf16=False), train_dataset=data).train()
"""


class KeyMissing(CodeDrill):
    number = 74
    raises = "KeyError"
    scripts = (
        Script(code="PY006", text=_CERTAIN, line=2, says=("learning_rate",), severity="warn"),
        Script(code="API008", text=_COLUMNS, line=5, says=("question",)),
    )
    own = "def go(batch):\n    return batch['answers']\n"
    own_line = 2
