"""JOB016: a number format or an attention kernel that the rented GPU does not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from trainguard.facts.attention import attention_requests
from trainguard.facts.certainty import certainly_runs, guarding_handlers
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import ABSENT, Constant, Value, options, text, texts, truth
from trainguard.findings import Finding, Location
from trainguard.libraries.flavors import (
    BF16_CAPABILITY,
    FLASH_ATTENTION_2_CAPABILITY,
    FP8_CAPABILITY,
    TF32_CAPABILITY,
    Capability,
    Flavor,
)
from trainguard.rules.base import Example, Rule, Subject

# The hub's kernels are the same code as the packages (docs of transformers 5.23, "Attention backends"). Version 3
# needs a newer GPU still, so what lacks version 2 lacks it too.
_FLASH_ATTENTION = (
    "flash_attention_2",
    "flash_attention_3",
    "kernels-community/flash-attn",
    "kernels-community/vllm-flash",
)
# Calls that compute in fp8 wherever they run: transformer_engine's and torchao's.
_FP8_CALLS = ("fp8_autocast", "convert_to_float8_training")
_WORDS = frozenset({"bf16", "bf16_full_eval", "tf32", "mixed_precision", "attn_implementation", "_attn_implementation",
                    "use_flash_attention_2", *_FP8_CALLS})  # fmt: skip
_INSTEAD = {
    "bf16": "fp16=True",
    "tf32": "tf32=False",
    "fp8": 'mixed_precision="bf16"',
    "flash": 'attn_implementation="sdpa"',
}


def _says(written: str, flavor: str, gpu: str, has: str, needs: str, instead: str) -> str:
    return (
        f"{written} on {flavor}: its {gpu} has compute capability {has} and this needs {needs}, so the run fails or "
        f"crawls; use {instead} or another flavor"
    )


class UnsupportedOnThisGpu(Rule):
    """bf16, tf32, fp8 or flash attention on a GPU that does not have it.

    *What it does*

    Compares what the training asks for with the compute capability of the flavor's GPU: `bf16=True`, `tf32=True`
    and flash attention 2 need 8.0 (Ampere), fp8 mixed precision needs 8.9 (Ada). A T4 has 7.5. It is silent
    where the script asks the GPU first (`torch.cuda.is_bf16_supported()`), and about `dtype=torch.bfloat16`
    when a model is loaded, which PyTorch emulates.

    *Why it costs you*

    The run ends with an exception after the machine was provisioned and the weights downloaded; where the
    library emulates the format instead, it takes many times as long.

    *Example*

    ```python
    TrainingArguments(output_dir="out", bf16=True)  # on t4-small
    ```

    *Use instead*

    ```python
    TrainingArguments(output_dir="out", fp16=True)  # or a flavor such as l4x1 or a10g-small
    ```
    """

    code = "JOB016"
    name = "unsupported-on-this-gpu"
    severity = "error"
    area = "job"
    needs = frozenset({"job"})

    VALID = (
        Example(
            script='from transformers import TrainingArguments\nTrainingArguments("out", bf16=True, tf32=True)\n',
            job={"flavor": "a10g-small"},
        ),
        Example(
            script="import torch\nfrom transformers import TrainingArguments\n"
            'TrainingArguments("out", bf16=torch.cuda.is_bf16_supported())\n',
            job={"flavor": "t4-small"},
            why="The script asks the GPU.",
        ),
        Example(
            script="import torch\nfrom transformers import TrainingArguments\n\n"
            'args = TrainingArguments("out")\n'
            "if torch.cuda.get_device_capability()[0] >= 8:\n    args.bf16 = True\nelse:\n    args.fp16 = True\n",
            job={"flavor": "t4-small"},
            why="On a T4 the branch is not taken.",
        ),
        Example(
            script="import torch\nfrom transformers import AutoModelForCausalLM\n"
            'AutoModelForCausalLM.from_pretrained("gpt2", dtype=torch.bfloat16, attn_implementation="sdpa")\n',
            job={"flavor": "t4-medium"},
            why="PyTorch emulates bfloat16 tensors on older GPUs.",
        ),
        Example(
            script="from transformers import AutoModelForCausalLM\ntry:\n"
            '    model = AutoModelForCausalLM.from_pretrained("gpt2", attn_implementation="flash_attention_2")\n'
            "except (ImportError, RuntimeError):\n"
            '    model = AutoModelForCausalLM.from_pretrained("gpt2")\n',
            job={"flavor": "t4-small"},
            why="The script has another way where this one fails.",
        ),
        Example(
            script='from accelerate import Accelerator\naccelerator = Accelerator(mixed_precision="fp8")\n',
            job={"flavor": "l4x1"},
        ),
    )
    INVALID = (
        Example(
            script='from transformers import TrainingArguments\nTrainingArguments("out", bf16=True)\n',
            job={"flavor": "t4-small"},
            findings=((2, _says("bf16=True", "t4-small", "T4", "7.5", "8.0", "fp16=True")),),
        ),
        Example(
            script='from trl import SFTConfig\noptions = {"output_dir": "out", "fp16": True}\n'
            "options.update(tf32=True)\nconfig = SFTConfig(**options)\n",
            job={"hardware_flavor": "t4-medium"},
            findings=((4, _says("tf32=True", "t4-medium", "T4", "7.5", "8.0", "tf32=False")),),
            why="The option comes in by way of a dict.",
        ),
        Example(
            script="from trl import SFTConfig\n"
            'config = SFTConfig("out", model_init_kwargs={"attn_implementation": "kernels-community/flash-attn2"})\n',
            job={"flavor": "t4-small"},
            findings=(
                (
                    2,
                    _says(
                        'attn_implementation="kernels-community/flash-attn2"',
                        "t4-small",
                        "T4",
                        "7.5",
                        "8.0",
                        'attn_implementation="sdpa"',
                    ),
                ),
            ),
            why="The hub's kernel needs the same GPU as the package.",
        ),
        Example(
            script="from accelerate import Accelerator\n\n\ndef build(precision):\n"
            "    return Accelerator(mixed_precision=precision)\n\n\nbuild('fp8')\n",
            job={"flavor": "a100-large"},
            findings=(
                (5, _says('mixed_precision="fp8"', "a100-large", "A100", "8.0", "8.9", 'mixed_precision="bf16"')),
            ),
            why="The value is passed through a function.",
        ),
        Example(
            job={"flavor": "t4-small", "image": "org/train", "command": "trl sft --model_name_or_path gpt2 --bf16"},
            findings=((None, _says("--bf16", "t4-small", "T4", "7.5", "8.0", "fp16=True")),),
            why="The option stands in the command.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        job, script = subject.job, subject.script
        if job is None or job.flavor is None or job.flavor.capability is None:
            return
        if job.flavor.supports_fp8:  # the newest of what is asked for here
            return
        found = [*_in_script(script)] if script is not None else []
        if not found:
            found = [(kind, written, None) for kind, written in _in_command(job)]
        seen: set[tuple[str, Location | None]] = set()
        for kind, written, where in found:
            if not _supports(job.flavor, kind) and (kind, where) not in seen:
                seen.add((kind, where))
                yield self._about(job.flavor, kind, written, where)

    def _about(self, flavor: Flavor, kind: str, written: str, where: Location | None) -> Finding:
        assert flavor.capability is not None
        has, needs = _dotted(flavor.capability), _dotted(_needed(kind))
        return self.finding(
            _says(written, flavor.name, flavor.gpu or "GPU", has, needs, _INSTEAD[kind]),
            where=where,
            fix=_INSTEAD[kind],
            evidence={"flavor": flavor.name, "compute_capability": has, "needed_compute_capability": needs},
        )


def _needed(kind: str) -> Capability:
    return {
        "bf16": BF16_CAPABILITY,
        "tf32": TF32_CAPABILITY,
        "fp8": FP8_CAPABILITY,
        "flash": FLASH_ATTENTION_2_CAPABILITY,
    }[kind]


def _supports(flavor: Flavor, kind: str) -> bool:
    return flavor.capability is None or flavor.capability >= _needed(kind)


def _dotted(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"


def _is_on(value: Value) -> bool:
    """Whether a switch is on for certain."""
    return all(isinstance(option, Constant) and option.value in (True, "true", "True") for option in options(value))


def _is_on_or_absent(value: Value) -> bool:
    return value is ABSENT or _is_on(value)


# -- in the script ---------------------------------------------------------------


def _in_script(script: ScriptFacts) -> Iterator[tuple[str, str, Location | None]]:
    arguments = " ".join(script.arguments or ())
    if script.mentions & _WORDS or "bf16" in arguments or "tf32" in arguments or "attn_impl" in arguments:
        yield from _training_options(script)
        yield from _mixed_precision(script)
        yield from _attention(script)


def _training_options(script: ScriptFacts) -> Iterator[tuple[str, str, Location]]:
    may_use_cpu = "use_cpu" in script.mentions or any("use_cpu" in word for word in script.arguments or ())
    for config in script.training.configs:
        on_cpu = may_use_cpu and truth(config.option("use_cpu").value) is not False
        if on_cpu or not certainly_runs(config.call.block, script.resolver):
            continue
        for name in ("bf16", "bf16_full_eval", "tf32"):
            option = config.option(name)
            if _is_on(option.value):
                yield name.partition("_")[0], f"{name}=True", option.where


def _mixed_precision(script: ScriptFacts) -> Iterator[tuple[str, str, Location]]:
    for call in script.calls_named("Accelerator", "Fabric", *_FP8_CALLS):
        if not certainly_runs(call.block, script.resolver) or guarding_handlers(call.block):
            continue
        if call.written_name in _FP8_CALLS:
            if call.written_name != "fp8_autocast" or _is_on_or_absent(call.argument("enabled", 0)):
                yield "fp8", f"{call.written_name}()", call.location
        elif (precision := text(call.argument("mixed_precision"))) in ("bf16", "fp8"):
            yield str(precision), f'mixed_precision="{precision}"', call.argument_location("mixed_precision")


def _attention(script: ScriptFacts) -> Iterator[tuple[str, str, Location]]:
    for request in attention_requests(script):
        known = texts(request.value)
        if not known or not all(name.startswith(_FLASH_ATTENTION) for name in known):
            continue
        if certainly_runs(request.block, script.resolver) and not guarding_handlers(request.block):
            yield "flash", f'attn_implementation="{min(known)}"', request.where


# -- in the command ----------------------------------------------------------------


def _in_command(job: JobFacts) -> Iterator[tuple[str, str]]:
    for launch in job.command.launches if job.command is not None else ():
        argv = launch.argv
        for name in ("bf16", "tf32"):
            if _switched_on(argv, f"--{name}"):
                yield name, f"--{name}"
        precision = _value_of(argv, "--mixed_precision") or _value_of(argv, "--mixed-precision")
        if precision in ("bf16", "fp8"):
            yield precision, f"--mixed_precision {precision}"
        attention = _value_of(argv, "--attn_implementation") or ""
        if attention.startswith(_FLASH_ATTENTION):
            yield "flash", f"--attn_implementation {attention}"


def _switched_on(argv: Sequence[str], flag: str) -> bool:
    value = _value_of(argv, flag)
    return value is not None and (value == "" or value.startswith("-") or value.lower() == "true")


def _value_of(argv: Sequence[str], flag: str) -> str | None:
    """What follows a flag, empty at the end of the line; None where the flag is not there."""
    for index, word in enumerate(argv):
        if word == flag:
            return argv[index + 1] if index + 1 < len(argv) else ""
        if word.startswith(flag + "="):
            return word.partition("=")[2]
    return None
