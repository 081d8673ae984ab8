"""JOB015: several GPUs are rented and one process is started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from trainguard.facts.command import CommandFacts, starts_training
from trainguard.facts.devices import may_use_several_gpus
from trainguard.facts.job import JobFacts
from trainguard.facts.launches import Launch
from trainguard.facts.script import ScriptFacts
from trainguard.findings import Finding, Location
from trainguard.libraries.flavors import FLAVORS, Flavor
from trainguard.rules.base import Example, Rule, Subject

_IN_BACKGROUND = re.compile(r"(?<![&>|])&(?![&>\d])")
# Programs of a command that prepare the machine and start no work on its GPUs.
_PREPARING = frozenset(
    {"pip", "pip3", "uv", "apt", "apt-get", "git", "hf", "huggingface-cli", "nvidia-smi", "echo", "cd", "export",
     "set", "mkdir", "cp", "mv", "rm", "ls", "cat", "wget", "curl", "tar", "unzip", "wandb", "ulimit", "source",
     "env", "df", "free", "sleep", "date", "which", "accelerate", "base64", "tee", "conda", "chmod", "pwd",
     "true"}
)  # fmt: skip


class IdleGpus(Rule):
    """A flavor with several GPUs is started with one process.

    *What it does*

    Fires when the flavor has more than one GPU and the start uses one process: plain `python`, the one process of
    script mode, `torchrun` without `--nproc_per_node`, `accelerate launch --num_processes 1`. A script that
    spreads itself (`device_map="auto"`, vLLM's `tensor_parallel_size`, `notebook_launcher`, a launcher in a
    subprocess) is left alone.

    *Why it costs you*

    All GPUs are paid for and one works. From trl 1.15 a plain start on several visible GPUs raises.

    *Example*

    ```json
    {"command": ["python", "train.py"], "hardware_flavor": "a100x4"}
    ```

    *Use instead*

    ```json
    {"command": ["accelerate", "launch", "--num_processes", "4", "train.py"], "hardware_flavor": "a100x4"}
    ```
    """

    code = "JOB015"
    name = "idle-gpus"
    severity = "warn"
    area = "job"
    needs = frozenset({"job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        job, script = subject.job, subject.script
        if job is None or not job.checked or not job.remote or job.flavor is None or job.flavor.gpu_count < 2:
            return
        where: Location | None = None
        start = None
        if job.command is not None:
            launch = _only_work(job.command)
            if launch is not None and _is_one_process(job, launch, script):
                start = f"`{_shown(launch)}` starts one process"
        elif script is not None and job.command_raw is None and _uses_one_gpu(script):
            start = "script mode starts one Python process"
        if start is None:
            return
        if script is not None:
            where = script.training.entry or next((c.location for c in script.persistence.model_loads), None)
        yield self._found(job.flavor, start, where)

    def _found(self, flavor: Flavor, start: str, where: Location | None) -> Finding:
        single, idle = _single(flavor), flavor.gpu_count - 1
        verb = "is" if idle == 1 else "are"
        smaller = f", or take one GPU: {single.name}" if single is not None else ""
        launch = f"accelerate launch --num_processes {flavor.gpu_count} train.py"
        return self.finding(
            f"{flavor.name} has {flavor.gpu_count} GPUs and {start}, so {idle} of the GPUs {verb} paid for "
            f"without working; start it with `{launch}`{smaller}",
            where=where,
            fix=f"`{launch}` as command with image{smaller}",
            evidence={"gpu_count": flavor.gpu_count, "price_per_hour": flavor.price_per_hour},
        )

    _SFT = (
        "from trl import SFTTrainer\n"
        'trainer = SFTTrainer(model="Qwen/Qwen2.5-1.5B", train_dataset=data)\n'
        "trainer.train()\n"
    )
    VALID = (
        Example(script=_SFT, job={"hardware_flavor": "a100-large"}, why="One GPU, one process."),
        Example(
            job={"image": "acme/t:1", "command": "accelerate launch train.py", "flavor": "a100x4"},
            why="accelerate takes every GPU that it finds.",
        ),
        Example(
            job={"image": "acme/t:1", "command": "torchrun --nproc_per_node=gpu train.py", "flavor": "a100x4"},
            why="So does torchrun, when it is told.",
        ),
        Example(
            job={"image": "acme/t:1", "command": "bash run.sh", "flavor": "h200x4"},
            why="What it starts cannot be told.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                'model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-72B", device_map="auto")\n'
                "print(model.generate(ids))\n"
            ),
            job={"hardware_flavor": "l40sx4"},
            why="The model is spread over the GPUs.",
        ),
        Example(
            script=_SFT.replace(
                "trainer.train()",
                "from accelerate import notebook_launcher\nnotebook_launcher(trainer.train, num_processes=4)",
            ),
            job={"hardware_flavor": "l40sx4"},
            why="The script starts the processes itself.",
        ),
        Example(
            script=(
                "import subprocess, sys\n"
                'command = [sys.executable, "-m", "accelerate.commands.launch", "train.py"]\n'
                "sys.exit(subprocess.run(command).returncode)\n"
            ),
            job={"hardware_flavor": "l40sx4"},
            why="The one process only launches the others.",
        ),
        Example(
            job={
                "image": "acme/t:1",
                "command": "CUDA_VISIBLE_DEVICES=0 python train.py & CUDA_VISIBLE_DEVICES=1 python train.py & wait",
                "flavor": "a10g-largex2",
            },
            why="One process for each GPU, side by side.",
        ),
    )
    INVALID = (
        Example(
            job={"image": "acme/t:1", "command": ["python", "train.py"], "hardware_flavor": "a100x4"},
            findings=(
                (
                    None,
                    "a100x4 has 4 GPUs and `python train.py` starts one process, so 3 of the GPUs are paid for without "
                    "working; start it with `accelerate launch --num_processes 4 train.py`, or take one GPU: "
                    "a100-large",
                ),
            ),
        ),
        Example(
            script='"""Start me with torchrun --nproc_per_node 2."""\n' + _SFT,
            job={"hardware_flavor": "a10g-largex2"},
            findings=(
                (
                    4,
                    "a10g-largex2 has 2 GPUs and script mode starts one Python process, so 1 of the GPUs is paid for "
                    "without working; start it with `accelerate launch --num_processes 2 train.py`, or take one GPU: "
                    "a10g-large",
                ),
            ),
            why="A docstring starts nothing.",
        ),
        Example(
            job={
                "image": "acme/t:1",
                "command": 'bash -c "pip install trl && accelerate launch --num_processes 1 sft.py"',
                "flavor": "h200x2",
            },
            findings=(
                (
                    None,
                    "h200x2 has 2 GPUs and `accelerate launch --num_processes 1` starts one process, so 1 of the "
                    "GPUs is paid for without working; start it with `accelerate launch --num_processes 2 train.py`, "
                    "or take one GPU: h200",
                ),
            ),
        ),
        Example(
            script=(
                "import subprocess\n"
                'subprocess.run(["pip", "install", "-q", "trl"], check=True)\n'
                "from transformers import AutoModelForCausalLM\n"
                "from trl import SFTTrainer\n"
                'model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-1.5B", device_map={"": 0})\n'
                "trainer = SFTTrainer(model=model, train_dataset=data)\n"
                "trainer.train()\n"
            ),
            job={"hardware": "l4x4"},
            findings=(
                (
                    7,
                    "l4x4 has 4 GPUs and script mode starts one Python process, so 3 of the GPUs are paid for without "
                    "working; start it with `accelerate launch --num_processes 4 train.py`, or take one GPU: l4x1",
                ),
            ),
            why="This device map puts the whole model on the first GPU.",
        ),
    )


def _single(flavor: Flavor) -> Flavor | None:
    """The flavor with one GPU of the same kind whose share of the machine is nearest."""
    singles = [each for each in FLAVORS.values() if each.gpu == flavor.gpu and each.gpu_count == 1]
    share = (flavor.price_per_hour or 0) / flavor.gpu_count
    return min(singles, key=lambda each: abs((each.price_per_hour or 0) - share), default=None)


def _only_work(command: CommandFacts) -> Launch | None:
    """The one program of a command that does its work; None where there are more or it cannot be told."""
    if not command.complete or _IN_BACKGROUND.search(command.text):
        return None
    working = [each for each in command.launches if each.program not in _PREPARING or each.launcher != "other"]
    return working[0] if len(working) == 1 else None


def _is_one_process(job: JobFacts, launch: Launch, script: ScriptFacts | None) -> bool:
    if launch.processes != 1 or job.command is None:
        return False
    if launch.launcher == "torchrun" and any(word.startswith(("--nnodes", "--nproc")) for word in launch.argv):
        # Nodes are counted elsewhere; a count that was given and is 1 is meant.
        return any(word in ("--nproc_per_node=1", "--nproc-per-node=1") for word in launch.argv)
    if launch.launcher != "python" and "--num_machines" in launch.argv:
        return False
    if script is not None and launch.inline_source is not None:
        return _uses_one_gpu(script)
    if any("parallel" in word or "device_map" in word or word.startswith("--tp") for word in launch.script_args):
        return False
    return starts_training(replace(job.command, launches=(launch,)))


def _uses_one_gpu(script: ScriptFacts) -> bool:
    """Whether the script works on a GPU and nothing in it may use a second one."""
    works = script.training.trains or ("LLM" in script.mentions and any(True for _ in script.calls_named("LLM")))
    if not works and "generate" in script.mentions and script.persistence.model_loads:
        works = any(True for _ in script.calls_named("generate"))
    return works and not may_use_several_gpus(script)


def _shown(launch: Launch) -> str:
    target = launch.script_path or (f"-m {launch.module}" if launch.module else "")
    if launch.launcher == "python":
        return f"python {target}".strip() if target else "python"
    return " ".join(launch.argv[:4])
