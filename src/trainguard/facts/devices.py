"""How many GPUs a script uses when it is started as one plain Python process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.shell_calls import shell_command
from trainguard.facts.values import ABSENT, Constant, Items, Table, Value, certain_texts, is_none, may_be_true, options

if TYPE_CHECKING:
    from trainguard.facts.script import ScriptFacts

# Names whose use means that one process starts others, or one program drives several GPUs.
_STARTERS = frozenset(
    {"notebook_launcher", "debug_launcher", "spawn", "start_processes", "elastic_launch", "Process", "Pool",
     "ProcessPoolExecutor", "ThreadPoolExecutor", "Thread", "start_multi_process_pool", "encode_multi_process",
     "DataParallel", "dispatch_model", "infer_auto_device_map", "init_inference", "parallelize",
     "MirroredStrategy", "load_checkpoint_and_dispatch", "execv", "execve", "execvp", "execvpe", "posix_spawn",
     "fork", "TorchTrainer"}
)  # fmt: skip
_PARALLEL_ATTRIBUTES = {"model_parallel", "is_parallelizable"}
# Packages that take every GPU by themselves, or whose programs are started in their own way.
_PACKAGES = frozenset(
    {"ray", "dask", "jax", "tensorflow", "keras", "lightning", "pytorch_lightning", "colossalai", "horovod",
     "sglang", "lmdeploy", "fabric", "composer", "nemo", "torchtune", "llamafactory", "axolotl", "swift",
     "megatron", "torchtitan"}
)  # fmt: skip
_LIGHTNING = frozenset({"lightning", "pytorch_lightning"})
_LAUNCH_MODULES = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands", "deepspeed.launcher")
# Arguments that spread one program over several GPUs when they are above 1.
_COUNTS = frozenset(
    {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "vllm_tensor_parallel_size",
     "tp_size", "dp_size", "num_gpus", "n_gpus", "gpus", "num_processes", "nproc_per_node", "max_memory",
     "device_ids", "tp_plan", "target_devices", "with_rank"}
)  # fmt: skip
# Programs that a script may run beside its work without starting more of it.
_HARMLESS = frozenset(
    {"pip", "pip3", "uv", "apt", "apt-get", "nvidia-smi", "git", "hf", "huggingface-cli", "wandb", "ls", "df",
     "cat", "free", "mkdir", "cp", "mv", "rm", "tar", "unzip", "wget", "curl", "echo", "which", "du", "lscpu",
     "env", "sync"}
)  # fmt: skip


def may_use_several_gpus(script: ScriptFacts) -> bool:
    """Whether anything in the script may put more than one GPU to work, or start more processes."""
    resolver = script.resolver
    packages = {i.module.partition(".")[0] for i in script.imports}
    parallel = packages & _PACKAGES
    if parallel and not (parallel <= _LIGHTNING and _lightning_uses_one(script)):
        return True
    if any(i.module.startswith(_LAUNCH_MODULES) for i in script.imports):
        return True
    if any(not _PARALLEL_ATTRIBUTES.isdisjoint(scope.attributes) for scope in script.structure.scopes.values()):
        return True
    if not _PARALLEL_ATTRIBUTES.isdisjoint(script.structure.attribute_stores):
        return True
    if any(str(node.value).startswith("cuda:") and node.value != "cuda:0" for node in script.structure.strings):
        return True
    if script.may_contain("device_map", "parallel", "launch", "spawn", "Process", "subprocess"):
        return True
    words = script.mentions
    watched = [name for name in (*_STARTERS, "LLM") if name in words]
    if any(True for _ in script.calls_named(*watched) if watched) and _starts(script, watched):
        return True
    spreading = words & (_COUNTS | {"device_map", "hf_device_map", "vllm_mode"})
    return any(_spreads(call, spreading) or _runs_a_program(call) for call in resolver.calls if call.live)


def _lightning_uses_one(script: ScriptFacts) -> bool:
    """Whether every Lightning trainer is told to use one device: `devices=1`, `devices=[0]`."""
    trainers = [call for call in script.training.trainers if call.package in _LIGHTNING]
    return bool(trainers) and all(_is_one_device(call.argument("devices")) for call in trainers)


def _is_one_device(value: Value) -> bool:
    if isinstance(value, Items):
        return value.complete and len(value.items) == 1
    return isinstance(value, Constant) and (value.value == 1 or value.value == "1") and value.value is not True


def _starts(script: ScriptFacts, names: list[str]) -> bool:
    """Whether one of the named things is called; an LLM counts only where its options cannot be told."""
    return any(call.may_have_more or "LLM" not in call.names for call in script.calls_named(*names))


def _spreads(call: Call, names: frozenset[str]) -> bool:
    for name in names & call.keywords.keys():
        value = call.keywords[name]
        if name in ("device_map", "hf_device_map"):
            if _spreads_over_gpus(value):
                return True
        elif name == "vllm_mode":
            if certain_texts(value) != {"colocate"}:
                return True
        elif may_be_true(value) and not _is_one(value):
            return True
    return False


def _spreads_over_gpus(value: Value) -> bool:
    """Whether a `device_map` may name more than one device."""
    for option in options(value):
        if option is ABSENT or is_none(option):
            continue
        if isinstance(option, Table) and option.complete and set(option.entries) == {""}:
            continue
        if isinstance(option, Constant) and (
            isinstance(option.value, int) or str(option.value).startswith(("cuda", "cpu"))
        ):
            continue
        return True
    return False


def _is_one(value: Value) -> bool:
    return all(
        isinstance(option, Constant) and option.value in (0, 1, None) and option.value is not True
        for option in options(value)
    )


def _runs_a_program(call: Call) -> bool:
    """Whether a call runs a shell command that may start more of the work."""
    package = call.package
    if package not in ("subprocess", "os") or call.written_name in ("list2cmdline", "CompletedProcess"):
        return False
    command = shell_command(call)
    if command is None:
        return package == "subprocess" and call.written_name in ("run", "call", "check_call", "check_output", "Popen")
    words = command.split() if isinstance(command, str) else command
    program = words[0].rpartition("/")[2] if words else ""
    if program.startswith(("python", "…")) and words[1:2] == ["-m"]:
        program = words[2] if len(words) > 2 else ""
    return program not in _HARMLESS
