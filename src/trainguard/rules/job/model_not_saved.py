"""JOB001: a model is loaded, and nothing keeps it."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import may_be_true
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._subject import uploads_anything

_KEPT_WORDS = ("push_to_hub", "save", "upload")


class ModelNotSaved(Rule):
    """A model is loaded with `from_pretrained` and neither saved nor pushed.

    *What it does*

    Looks for a model that is loaded with `from_pretrained`, in a script that keeps nothing: no `push_to_hub`
    (argument or method), `save_model`, `save_pretrained`, `upload_folder`, `upload_file`, `torch.save` or
    `save_state` that can run. Saving only a tokenizer or a dataset does not keep the model. Scripts
    that only generate or evaluate are left alone.

    *Why it costs you*

    The machine of a job is deleted when the job ends. What was not saved elsewhere is gone, and so is
    the money that the training cost.

    *Example*

    ```python
    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-0.5B")
    trainer = SFTTrainer(model=model, train_dataset=dataset)
    trainer.train()
    ```

    *Use instead*

    ```python
    args = SFTConfig(output_dir="out", push_to_hub=True, hub_model_id="user/name")
    trainer = SFTTrainer(model=model, args=args, train_dataset=dataset)
    trainer.train()
    trainer.push_to_hub()
    ```
    """

    code = "JOB001"
    name = "model-not-saved"
    severity = "warn"
    area = "job"

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or "from_pretrained" not in script.mentions:
            return
        loads = script.persistence.model_loads
        if not loads or self._is_kept(subject, script):
            return
        if not script.training.trains and (_is_used(script, loads) or script.may_contain("train")):
            return
        what = "trains it" if script.training.trains else "does nothing with it"
        yield self.finding(
            f"a model is loaded and the script {what}, but nothing saves or pushes it: what is trained is lost when "
            "the job's machine is deleted; push it (push_to_hub=True with hub_model_id) or save it to a volume",
            where=loads[0].location,
            fix='push_to_hub=True, hub_model_id="user/name" in the training arguments, then trainer.push_to_hub()',
        )

    def _is_kept(self, subject: Subject, script: ScriptFacts) -> bool:
        if script.persistence.model_saves or script.may_contain(*_KEPT_WORDS) or uploads_anything(subject):
            return True
        return any(may_be_true(option.value) for option in script.training.option("push_to_hub"))

    VALID = (
        Example(
            script=(
                "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
                'model = AutoModelForCausalLM.from_pretrained("gpt2")\n'
                'tokenizer = AutoTokenizer.from_pretrained("gpt2")\n'
                'print(model.generate(**tokenizer("Hello", return_tensors="pt")))\n'
            ),
            why="It generates and trains nothing.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                "from trl import SFTTrainer\n"
                "\n"
                "def finish(trainer):\n"
                '    trainer.save_model("out")\n'
                "\n"
                'trainer = SFTTrainer(model=AutoModelForCausalLM.from_pretrained("gpt2"), train_dataset=data)\n'
                "trainer.train()\n"
                "finish(trainer)\n"
            ),
            why="A function that is called saves it.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                "from trl import SFTConfig, SFTTrainer\n"
                'options = {"push_to_hub": True, "hub_model_id": "user/name"}\n'
                'model = AutoModelForCausalLM.from_pretrained("gpt2")\n'
                "trainer = SFTTrainer(model=model, args=SFTConfig(**options), train_dataset=data)\n"
                "trainer.train()\n"
            ),
            why="The option stands in a dict.",
        ),
        Example(
            script=(
                "from transformers import AutoTokenizer\n"
                'tokenizer = AutoTokenizer.from_pretrained("gpt2")\n'
                'print(len(tokenizer("How long is this?")["input_ids"]))\n'
            ),
            why="A tokenizer is no model.",
        ),
    )
    _LOST = (
        "a model is loaded and the script trains it, but nothing saves or pushes it: what is trained is lost when "
        "the job's machine is deleted; push it (push_to_hub=True with hub_model_id) or save it to a volume"
    )
    INVALID = (
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                "from trl import SFTTrainer\n"
                'model = AutoModelForCausalLM.from_pretrained("gpt2")\n'
                "trainer = SFTTrainer(model=model, train_dataset=data)\n"
                "trainer.train()\n"
                "# trainer.push_to_hub()\n"
            ),
            findings=((3, _LOST),),
            why="The push is only a comment.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM as Model\n"
                "from trl import SFTConfig, SFTTrainer\n"
                "PUSH = False\n"
                'model = Model.from_pretrained("gpt2")\n'
                "trainer = SFTTrainer(model=model, args=SFTConfig(push_to_hub=PUSH), train_dataset=data)\n"
                "trainer.train()\n"
                "if PUSH:\n"
                "    trainer.push_to_hub()\n"
            ),
            findings=((4, _LOST),),
            why="The push never runs.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer\n"
                'tokenizer = AutoTokenizer.from_pretrained("gpt2")\n'
                'trainer = Trainer(AutoModelForCausalLM.from_pretrained("gpt2"), train_dataset=data)\n'
                "trainer.train()\n"
                'tokenizer.push_to_hub("user/name")\n'
            ),
            findings=((3, _LOST),),
            why="Only the tokenizer is pushed.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM, Trainer\n"
                "\n"
                "def save(model):\n"
                '    model.save_pretrained("out")\n'
                "\n"
                'model = AutoModelForCausalLM.from_pretrained("gpt2")\n'
                "Trainer(model, train_dataset=data).train()\n"
            ),
            findings=((6, _LOST),),
            why="Nobody calls the function that saves.",
        ),
    )


def _is_used(script: ScriptFacts, loads: tuple[Call, ...]) -> bool:
    """Whether a loaded model is mentioned again: what a script that trains nothing does with it is its own business."""
    made = {load.node for load in loads}
    named = set()
    for scope in script.structure.scopes.values():
        for bindings in scope.bindings.values():
            for binding in bindings:
                if binding.value in made:
                    named.add(binding.value)
                    if script.structure.uses[binding.name]:
                        return True
    return bool(made - named)
