"""JOB010: an option needs a package that the job does not install."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainguard.facts.attention import attention_requests
from trainguard.facts.calls import Call
from trainguard.facts.certainty import certainly_runs, guarding_handlers
from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.facts.values import Constant, Items, Table, Text, Value, options, text, texts
from trainguard.findings import Finding, Location
from trainguard.libraries.options import (
    CLASS_PACKAGES,
    FLAG_PACKAGES,
    GIVEN_PACKAGES,
    REPORT_TO_PACKAGES,
    Choice,
    attention_package,
    optimizer_package,
)
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._subject import available

_CONFIG_FLAGS = ("use_liger_kernel", "use_liger_loss", "use_liger", "use_vllm")
_LOAD_FLAGS = ("load_in_4bit", "load_in_8bit")
_LOADERS = ("from_pretrained", "pipeline", "from_config")
_LORA_CLASSES = ("LoraConfig", "get_peft_model")
_WORDS = frozenset(
    {"optim", "report_to", *FLAG_PACKAGES, *GIVEN_PACKAGES, *CLASS_PACKAGES, *_LORA_CLASSES, "attn_implementation"}
)
_MESSAGE = (
    "{0} needs the package {1}, which neither the declared dependencies nor the image bring in, so the run fails with "
    'ImportError; add "{1}" to dependencies'
)


class DependencyImplied(Rule):
    """An option that needs a package which nothing imports and nobody declares.

    *What it does*

    Knows which options of the training libraries need a package that they do not bring: 4-bit and 8-bit loading
    and `optim="…8bit"` (bitsandbytes), `report_to` (wandb, trackio, …), `use_liger_kernel`, `deepspeed=`,
    LoRA (peft), `device_map` (accelerate), `use_vllm`, and kernels of the hub (kernels).

    *Why it costs you*

    The script imports nothing that is missing and starts well. It ends with ImportError when the option is
    reached, often after the model was downloaded and loaded.

    *Example*

    ```python
    SFTConfig(output_dir="out", optim="paged_adamw_8bit")  # dependencies=["trl"]
    ```

    *Use instead*

    ```python
    SFTConfig(output_dir="out", optim="paged_adamw_8bit")  # dependencies=["trl", "bitsandbytes"]
    ```
    """

    code = "JOB010"
    name = "dependency-implied"
    severity = "error"
    area = "job"
    needs = frozenset({"script", "dependencies"})

    VALID = (
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", optim="adamw_torch_fused", report_to="none")\n',
            job={"dependencies": ["trl"]},
        ),
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", optim="paged_adamw_8bit", report_to=["trackio"])\n',
            job={"dependencies": ["trl", "bitsandbytes>=0.45", "trackio"]},
        ),
        Example(
            script="from transformers import AutoModel\n"
            'AutoModel.from_pretrained("gpt2", device_map="auto", load_in_4bit=False, quantization_config=None)\n',
            job={"dependencies": ["transformers", "peft"]},
            why="peft brings accelerate, and the quantisation is off.",
        ),
        Example(
            script="import importlib.util\nfrom trl import SFTConfig\n"
            'HAS_LIGER = importlib.util.find_spec("liger_kernel") is not None\n'
            'SFTConfig("out", use_liger_kernel=HAS_LIGER)\n',
            job={"dependencies": ["trl"]},
            why="It is only switched on where it is installed.",
        ),
        Example(
            script='from trl import GRPOConfig\nGRPOConfig("out", use_vllm=True)\n',
            job={"dependencies": ["trl[vllm]"]},
            why="The extra brings it.",
        ),
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", report_to="wandb")\n',
            job={"image": "ann/trainer:3", "command": ["python", "train.py"]},
            why="Nobody knows what the image holds.",
        ),
    )
    INVALID = (
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", optim="paged_adamw_8bit")\n',
            job={"dependencies": ["trl"]},
            findings=((2, _MESSAGE.format('optim="paged_adamw_8bit"', "bitsandbytes")),),
        ),
        Example(
            script="from trl import SFTConfig\nconfig = SFTConfig('out')\nconfig.report_to = ['wandb', 'trackio']\n",
            job={"dependencies": ["trl", "trackio"]},
            findings=((3, _MESSAGE.format('report_to="wandb"', "wandb")),),
            why="The option is set afterwards.",
        ),
        Example(
            script="from transformers import AutoModelForCausalLM, BitsAndBytesConfig\n"
            "quantization = BitsAndBytesConfig(load_in_4bit=True)\n"
            'AutoModelForCausalLM.from_pretrained("gpt2", quantization_config=quantization, device_map="auto")\n',
            job={"dependencies": ["transformers", "torch"]},
            findings=(
                (2, _MESSAGE.format("BitsAndBytesConfig", "bitsandbytes")),
                (2, _MESSAGE.format("BitsAndBytesConfig", "accelerate")),
            ),
            why="One finding for one package, where it is needed first.",
        ),
        Example(
            script='# /// script\n# dependencies = ["trl"]\n# ///\nfrom trl import SFTConfig\n'
            'options = {"model_init_kwargs": {"attn_implementation": "kernels-community/flash-attn2"}}\n'
            'SFTConfig("out", **options)\n',
            findings=((5, _MESSAGE.format('attn_implementation="kernels-community/flash-attn2"', "kernels")),),
            why="The option stands in a nested dict.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        script, job = subject.script, subject.job
        if script is None or job is None or not (job.remote or job.pep723 is not None):
            return
        arguments = {word.lstrip("-").partition("=")[0] for word in script.arguments or ()}
        if not (script.mentions | arguments) & _WORDS:
            return
        installed = available(subject)
        if not installed.complete:
            return
        seen: set[Choice] = set()
        for need in sorted(_needs(script), key=lambda need: (need.where.line or 0, need.where.column or 0)):
            if need.packages not in seen and not installed.has(*need.packages):
                seen.add(need.packages)
                yield self.finding(
                    _MESSAGE.format(need.written, need.packages[0]),
                    where=need.where,
                    fix=f'dependencies=[…, "{need.packages[0]}"]',
                    evidence={"distribution": need.packages[0]},
                )


_CALLED = frozenset({*_LOADERS, *_LORA_CLASSES, *CLASS_PACKAGES})


@dataclass(frozen=True, slots=True)
class _Need:
    """An option as it stands in the script, and the packages any of which it needs."""

    written: str
    packages: Choice
    where: Location


def _needs(script: ScriptFacts) -> Iterator[_Need]:
    configs = [config for config in script.training.configs if certainly_runs(config.call.block, script.resolver)]
    for config in configs:
        yield from _of_config(config)
    # Finding out what is called costs more than all the rest: only where the text has one of the names.
    if script.mentions & {*_LORA_CLASSES, *CLASS_PACKAGES, *_LOAD_FLAGS, "device_map"}:
        for call in script.calls:
            if not call.names.isdisjoint(_CALLED):
                yield from _of_call(call, script)
    for request in attention_requests(script):
        known = texts(request.value) or frozenset()
        packages = {attention_package(name) for name in known if "/" in name}
        if len(known) == 1 and packages and certainly_runs(request.block, script.resolver):
            yield from (_Need(f'attn_implementation="{min(known)}"', p, request.where) for p in packages if p)


def _of_config(config: Config) -> Iterator[_Need]:
    option = config.option("optim")
    known = texts(option.value)
    packages = {optimizer_package(name) for name in known} if known else {None}
    if known and None not in packages and len(packages) == 1:
        yield _Need(f'optim="{min(known)}"', next(p for p in packages if p), option.where)
    option = config.option("report_to")
    for name in _in_all(option.value):
        if name in REPORT_TO_PACKAGES:
            yield _Need(f'report_to="{name}"', REPORT_TO_PACKAGES[name], option.where)
    for name in _CONFIG_FLAGS:
        option = config.option(name)
        if _is_on(option.value):
            yield _Need(f"{name}=True", FLAG_PACKAGES[name], option.where)
    option = config.option("deepspeed")
    if _is_given(option.value):
        yield _Need("deepspeed=", GIVEN_PACKAGES["deepspeed"], option.where)


def _of_call(call: Call, script: ScriptFacts) -> Iterator[_Need]:
    found: list[_Need] = []
    if call.name in _LOADERS:
        if _is_given(call.argument("device_map")):
            found.append(_Need("device_map=", GIVEN_PACKAGES["device_map"], call.argument_location("device_map")))
        flags = [name for name in _LOAD_FLAGS if _is_on(call.argument(name))]
        found += [_Need(f"{name}=True", FLAG_PACKAGES[name], call.argument_location(name)) for name in flags]
    elif call.name in _LORA_CLASSES:
        found.append(_Need(call.name, GIVEN_PACKAGES["peft_config"], call.location))
    elif call.name in CLASS_PACKAGES and _is_quantized(call):
        flag = next((name for name in _LOAD_FLAGS if _is_on(call.argument(name))), None)
        where = call.argument_location(flag) if flag else call.location
        found += [_Need(call.name, packages, where) for packages in CLASS_PACKAGES[call.name]]
    if found and certainly_runs(call.block, script.resolver) and not guarding_handlers(call.block):
        yield from found


def _is_quantized(call: Call) -> bool:
    """Whether a configuration switches a quantisation on: that of bitsandbytes does nothing by itself."""
    return call.name != "BitsAndBytesConfig" or any(_is_on(call.argument(name)) for name in _LOAD_FLAGS)


def _in_all(value: Value) -> list[str]:
    """The texts that a value holds whichever of its options it is."""
    sets = [texts(option) or frozenset() for option in options(value)]
    return sorted(frozenset.intersection(*sets)) if sets else []


def _is_on(value: Value) -> bool:
    return all(isinstance(option, Constant) and option.value is True for option in options(value))


def _is_given(value: Value) -> bool:
    """Whether an argument certainly has a value: a text or a dict."""
    return all(
        isinstance(option, Text | Table | Items) or (isinstance(option, Constant) and bool(text(option)))
        for option in options(value)
    )
