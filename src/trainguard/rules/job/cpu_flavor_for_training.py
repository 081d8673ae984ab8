"""JOB014: a model is trained on a machine without a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from trainguard.facts.command import starts_training
from trainguard.facts.job import JobFacts
from trainguard.facts.launches import Launch
from trainguard.facts.script import ScriptFacts
from trainguard.facts.trained_model import trained_models
from trainguard.facts.values import may_be_true, number, text
from trainguard.findings import Finding
from trainguard.libraries.model_names import is_path, named_small, parameters_named
from trainguard.rules.base import Example, Rule, Subject

# Below this count of parameters a CPU trains in minutes: a test model, a two-layer network.
_SMALL_PARAMETERS = 50_000_000
# A run of so few steps is a smoke test, whatever the model.
_SMOKE_STEPS = 10
_CPU_OPTIONS = ("use_cpu", "no_cuda")
_MODEL_OPTIONS = (
    "--model_name_or_path",
    "--model-name-or-path",
    "--model",
    "--model_id",
    "--base_model",
    "--model_name",
)
# Programs that train large models only; what they train stands in a file that is not read.
_GPU_LAUNCHERS = ("axolotl", "llamafactory", "deepspeed")


class CpuFlavorForTraining(Rule):
    """A model is trained on a flavor that has no GPU.

    *What it does*

    Fires when a script or command trains a pretrained model on a `cpu-*` flavor, also when no flavor is given
    and the default, `cpu-basic`, holds. Test models, models below 50 million parameters, runs of a few steps and
    `use_cpu=True` are left alone.

    *Why it costs you*

    A CPU trains a language model tens to hundreds of times slower than a GPU: the timeout comes first.

    *Example*

    ```json
    {"script": "sft.py", "timeout": "2h"}
    ```

    *Use instead*

    ```json
    {"script": "sft.py", "timeout": "2h", "hardware_flavor": "a10g-large"}
    ```
    """

    code = "JOB014"
    name = "cpu-flavor-for-training"
    severity = "warn"
    area = "job"
    needs = frozenset({"job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        job, script = subject.job, subject.script
        if job is None or not job.checked or not job.remote or job.flavor is None or job.flavor.has_gpu:
            return
        if script is not None:
            if not script.training.trains or _wants_cpu(script) or _is_smoke_run(script):
                return
            names = sorted(trained_models(script))
            if not names or not all(map(_is_large, names)):
                return
            what = f"trains {' and '.join(names[:2])}"
        else:
            launch = next((launch for launch in _training_launches(job) if _needs_gpu(launch)), None)
            if launch is None:
                return
            what = f"trains a model (`{' '.join(launch.argv[:2])}`)"
        flavor = job.flavor_name if job.flavor_given else f"{job.flavor_name}, the default"
        yield self.finding(
            f"the job {what} on hardware_flavor {flavor}, which has no GPU: that takes days where a GPU takes hours; "
            'choose one, such as hardware_flavor="a10g-large"',
            where=script.training.entry if script is not None else None,
            fix='hardware_flavor="a10g-large", or another flavor with a GPU',
        )

    _SFT = (
        "from trl import SFTConfig, SFTTrainer\n"
        'trainer = SFTTrainer(model="{model}", args=SFTConfig("out"{more}), train_dataset=data)\n'
        "trainer.train()\n"
    )
    _END = 'which has no GPU: that takes days where a GPU takes hours; choose one, such as hardware_flavor="a10g-large"'
    VALID = (
        Example(script=_SFT.format(model="Qwen/Qwen2.5-0.5B", more=""), job={"hardware_flavor": "t4-small"}),
        Example(
            script=_SFT.format(model="trl-internal-testing/tiny-Qwen2ForCausalLM-2.5", more=""),
            job={},
            why="A test model of a few thousand parameters.",
        ),
        Example(
            script=_SFT.format(model="Qwen/Qwen2.5-0.5B", more=", use_cpu=True"),
            job={"hardware_flavor": "cpu-upgrade"},
            why="The CPU is asked for.",
        ),
        Example(script=_SFT.format(model="roneneldan/TinyStories-33M", more=""), job={}, why="33 million parameters."),
        Example(
            script=(
                "from transformers import GPT2Config, GPT2LMHeadModel, Trainer\n"
                "model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=64, n_head=2))\n"
                "trainer = Trainer(model=model, train_dataset=data)\n"
                "trainer.train()\n"
            ),
            job={"hardware_flavor": "cpu-basic"},
            why="A model of two layers, made from a configuration.",
        ),
        Example(
            script=(
                "from transformers import AutoModel\n"
                "import torch\n"
                'encoder = AutoModel.from_pretrained("google-bert/bert-base-uncased").eval()\n'
                "head = torch.nn.Linear(768, 2)\n"
                "optimizer = torch.optim.AdamW(head.parameters())\n"
                "for batch, labels in loader:\n"
                "    with torch.no_grad():\n"
                "        features = encoder(**batch).pooler_output\n"
                "    loss = torch.nn.functional.cross_entropy(head(features), labels)\n"
                "    loss.backward()\n"
                "    optimizer.step()\n"
            ),
            job={"hardware_flavor": "cpu-xl"},
            why="Only a linear layer is trained.",
        ),
        Example(
            job={"image": "acme/forest:1", "command": ["python", "train.py"]}, why="What it trains cannot be told."
        ),
    )
    INVALID = (
        Example(
            script=_SFT.format(model="Qwen/Qwen2.5-0.5B", more=""),
            job={"timeout": "2h"},
            findings=((3, f"the job trains Qwen/Qwen2.5-0.5B on hardware_flavor cpu-basic, the default, {_END}"),),
        ),
        Example(
            script=(
                "from peft import LoraConfig, get_peft_model\n"
                "from transformers import AutoModelForCausalLM, Trainer\n"
                'NAME = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"\n'
                "model = get_peft_model(AutoModelForCausalLM.from_pretrained(NAME), LoraConfig())\n"
                "trainer = Trainer(model=model, train_dataset=data)\n"
                "trainer.train()\n"
            ),
            job={"hardware": "cpu-performance"},
            findings=(
                (6, f"the job trains TinyLlama/TinyLlama-1.1B-Chat-v1.0 on hardware_flavor cpu-performance, {_END}"),
            ),
            why="1.1 billion parameters are not tiny, whatever the name says.",
        ),
        Example(
            script=(
                "import torch\n"
                "from transformers import AutoModelForCausalLM\n"
                'device = "cuda" if torch.cuda.is_available() else "cpu"\n'
                'model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-1.5B").to(device)\n'
                "optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)\n"
                "for batch in loader:\n"
                "    loss = model(**batch).loss\n"
                "    loss.backward()\n"
                "    optimizer.step()\n"
            ),
            job={"flavor": "cpu-xl"},
            findings=((8, f"the job trains Qwen/Qwen2.5-1.5B on hardware_flavor cpu-xl, {_END}"),),
            why="The script falls back to the CPU without complaint.",
        ),
        Example(
            job={
                "image": "huggingface/trl",
                "command": "trl sft --model_name_or_path Qwen/Qwen2.5-3B --dataset_name trl-lib/Capybara",
            },
            findings=((None, f"the job trains a model (`trl sft`) on hardware_flavor cpu-basic, the default, {_END}"),),
        ),
    )


def _is_large(name: str) -> bool:
    parameters = parameters_named(name)
    if parameters is not None:
        return parameters > _SMALL_PARAMETERS
    return not named_small(name) and not is_path(name)


def _wants_cpu(script: ScriptFacts) -> bool:
    """Whether the script asks for the CPU itself."""
    for name in _CPU_OPTIONS:
        if name in script.mentions and any(may_be_true(option.value) for option in script.training.option(name)):
            return True
    for call in script.calls_named("Accelerator"):
        if "cpu" in call.keywords and may_be_true(call.keywords["cpu"]):
            return True
    for call in script.calls_named("device", "to", "from_pretrained", "Trainer"):
        for value in (call.positional(0), *(call.argument(k) for k in ("device", "device_map", "accelerator"))):
            if text(value) == "cpu" and "cuda" not in script.mentions:
                return True
    return script.may_contain(*_CPU_OPTIONS)


def _is_smoke_run(script: ScriptFacts) -> bool:
    steps = [number(option.value) for option in script.training.option("max_steps")]
    return any(each is not None and 0 < each <= _SMOKE_STEPS for each in steps)


def _training_launches(job: JobFacts) -> list[Launch]:
    if job.command is None:
        return []
    return [each for each in job.command.launches if starts_training(replace(job.command, launches=(each,)))]


def _needs_gpu(launch: Launch) -> bool:
    words = launch.argv
    if any(word.lstrip("-").partition("=")[0] in ("cpu", *_CPU_OPTIONS) for word in words if word.startswith("-")):
        return False
    model = _option(words, _MODEL_OPTIONS)
    steps = _option(words, ("--max_steps", "--max-steps"))
    if steps is not None and steps.isdigit() and int(steps[:9]) <= _SMOKE_STEPS:
        return False
    return _is_large(model) if model is not None else launch.launcher in _GPU_LAUNCHERS


def _option(words: Sequence[str], names: tuple[str, ...]) -> str | None:
    """The value of the first of some command-line options."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else next(iter(words[index + 1 : index + 2]), None)
    return None
