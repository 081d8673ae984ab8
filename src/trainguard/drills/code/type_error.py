"""Row 76: TypeError, also of an argument that is None or that there is not."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_ARGUMENT = """from transformers import TrainingArguments

arguments = TrainingArguments(output_dir="out", evaluation_strategy="steps")
"""
_NONE = """from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

model = AutoModelForCausalLM.from_pretrained("base")
arguments = TrainingArguments(output_dir="none", num_train_epochs=None, use_cpu=True)
trainer = Trainer(model, arguments, train_dataset=[{"input_ids": [5, 6], "labels": [5, 6]}])
trainer.train()
"""
_TYPES = """steps = "8" + 1
"""


class WrongType(CodeDrill):
    number = 76
    raises = "TypeError"
    scripts = (
        Script(code="API002", text=_ARGUMENT, line=3, says=("evaluation_strategy", "eval_strategy")),
        Script(code="API007", text=_NONE, line=4, raised_in=6, says=("num_train_epochs=None",)),
        Script(code="PY005", text=_TYPES, line=1, severity="warn"),
    )
    own = "def go(batch):\n    return batch['input_ids'] + None\n"
    own_line = 2
