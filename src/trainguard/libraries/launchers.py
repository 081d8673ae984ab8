"""The programs that start trainings: their options, subcommands, and how their scripts are named."""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Options without a value, by program; all others take one. Read from the parsers of accelerate 1.15.0
# (commands/launch.py), torch 2.15 (distributed/run.py) and deepspeed 0.18 (launcher/runner.py).
FLAGS: Mapping[str, frozenset[str]] = {
    "accelerate": _words(
        "--quiet -q --cpu --multi_gpu --tpu --enable_cpu_affinity --dynamo_use_fullgraph --dynamo_use_dynamic "
        "--dynamo_use_regional_compilation --use_deepspeed --use_fsdp --use_parallelism_config --use_megatron_lm "
        "--same_network -m --module --no_python --tpu_cluster --no_tpu_cluster --tpu_use_sudo --downcast_bf16 "
        "--fp8_use_autocast_during_eval --debug --use_xpu --use_cpu --ipex --fp16 -h --help"
    ),
    "torchrun": _words(
        "--standalone -m --module --no-python --no_python --run-path --run_path --use-env --use_env "
        "--virtual-local-rank --virtual_local_rank -h --help"
    ),
    "deepspeed": _words(
        "--force_multi --module -m --no_python --no_local_rank --no_ssh_check --no_ssh --bind_cores_to_rank "
        "--elastic_training -h --help"
    ),
    "python": frozenset(),
    "uv run": _words(
        "--no-project --script -s --no-sync --frozen --locked --isolated --active --exact --no-cache -n --offline "
        "--quiet -q --verbose -v --refresh --upgrade -U --no-dev --only-dev --all-extras --all-groups "
        "--no-default-groups --no-env-file --managed-python --no-managed-python --no-python-downloads --no-progress "
        "--native-tls --no-config --no-index --no-build --no-binary --no-editable --reinstall --compile-bytecode "
        "--gui-script --no-build-isolation --preview -h --help"
    ),
    "uvx": _words("--isolated --no-cache -n --offline --quiet -q --verbose -v --refresh --upgrade -U"),
}

# Long options of the launchers that state how many processes are started on this machine.
PROCESS_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "accelerate": ("--num_processes", "--num-processes"),
    "torchrun": ("--nproc_per_node", "--nproc-per-node"),
    "deepspeed": ("--num_gpus",),
    "trl": ("--num_processes",),
    "tune": ("--nproc_per_node", "--nproc-per-node"),
    "axolotl": ("--num-processes",),
}

# Modules that are the launchers themselves: `python -m torch.distributed.run`.
LAUNCHER_MODULES: Mapping[str, tuple[str, ...]] = {
    "torch.distributed.run": ("torchrun",),
    "torch.distributed.launch": ("torchrun",),
    "torch.distributed.elastic.multiprocessing": ("torchrun",),
    "accelerate.commands.launch": ("accelerate", "launch"),
    "accelerate.commands.accelerate_cli": ("accelerate",),
    "deepspeed.launcher.runner": ("deepspeed",),
    "deepspeed": ("deepspeed",),
    "pip": ("pip",),
    "uv": ("uv",),
    "trl.cli": ("trl",),
    "trl.cli.main": ("trl",),
    "axolotl.cli.train": ("axolotl", "train"),
    "axolotl.cli.main": ("axolotl",),
    "llamafactory.cli": ("llamafactory-cli",),
    "swift.cli.main": ("swift",),
    "swift.cli.sft": ("swift", "sft"),
    "swift.cli.rlhf": ("swift", "rlhf"),
}

# Subcommands that train: trl 1.16.0 (cli/commands), axolotl, LLaMA-Factory, ms-swift, torchtune, autotrain, litgpt.
TRAINING_SUBCOMMANDS: Mapping[str, frozenset[str]] = {
    "trl": frozenset({"sft", "dpo", "grpo", "kto", "reward", "rloo", "distillation", "orpo"}),
    "axolotl": frozenset({"train"}),
    "llamafactory": frozenset({"train"}),
    "swift": frozenset({"sft", "pt", "rlhf"}),
    "tune": frozenset({"run"}),
    "autotrain": frozenset({"llm", "text-classification", "seq2seq", "sentence-transformers", "vlm"}),
    "litgpt": frozenset({"finetune", "finetune_lora", "finetune_full", "finetune_qlora", "pretrain"}),
}

TRAINING_WORDS = _words(
    "train training trainer finetune finetuning finetuner ft pretrain pretraining sft dpo grpo kto orpo cpo simpo ppo "
    "rloo rlhf gkd lora qlora distill distillation"
)
# Words in the name of a script that does something else, also beside one of the words above.
NOT_TRAINING_WORDS = _words(
    "eval evaluate evaluation evals lm lighteval bench benchmark infer inference generate generation gen predict "
    "prediction test tests serve server serving preprocess process prepare prep tokenize download upload push merge "
    "convert export quantize embed embeddings score scoring judge label annotate filter dedup split sample plot "
    "visualize analyze analysis inspect check validate validation demo chat app api data dataset datasets stats "
    "summarize report monitor setup install config cleanup cache build"
)
