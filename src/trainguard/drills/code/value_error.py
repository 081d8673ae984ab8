"""Row 77: ValueError, also of an argument that is no choice or out of its range."""

from __future__ import annotations

from trainguard.drills.code._scripts import CodeDrill, Script

_CHOICE = """from transformers import TrainingArguments

arguments = TrainingArguments(output_dir="out", lr_scheduler_type="cosin")
"""
_RANGE = """from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

model = AutoModelForCausalLM.from_pretrained("base")
arguments = TrainingArguments(output_dir="range", per_device_train_batch_size=0, use_cpu=True)
trainer = Trainer(model, arguments, train_dataset=[{"input_ids": [5, 6], "labels": [5, 6]}])
trainer.train()
"""


class WrongValue(CodeDrill):
    number = 77
    raises = "ValueError"
    scripts = (
        Script(code="API005", text=_CHOICE, line=3, says=("cosin", "cosine")),
        Script(code="API009", text=_RANGE, line=4, raised_in=6, says=("per_device_train_batch_size=0",)),
    )
    own = 'def go(batch):\n    return int(f"step {len(batch)}")\n'
    own_line = 2
