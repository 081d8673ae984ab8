"""The changes that break scripts most often: each is found at the release that made it, and not at the one before.

The releases were read off the wheels. `-` as the older release: no indexed release is before the change.
"""

from __future__ import annotations

import pytest

from trainguard.check import Options, check_job
from trainguard.cli.index_text import at_release
from trainguard.libraries.api.changes import Change, changes
from trainguard.libraries.api.index import open_index

ARGS = "from transformers import TrainingArguments\nTrainingArguments('out', {}=x)\n"
_GONE_IN_5 = """
    no_cuda use_mps_device per_gpu_train_batch_size per_gpu_eval_batch_size overwrite_output_dir save_safetensors
    include_tokens_per_second include_inputs_for_metrics push_to_hub_token push_to_hub_model_id push_to_hub_organization
    fp16_backend half_precision_backend fp16_opt_level adafactor torchdynamo jit_mode_eval tpu_num_cores
    tpu_metrics_debug ray_scope past_index mp_parameters fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap
""".split()
_TOP_TRAINERS = ("PPO", "ORPO", "CPO", "BCO", "GKD", "OnlineDPO", "XPO", "NashMD", "PRM")
_DPO_GONE = ("max_prompt_length", "rpo_alpha", "force_use_ref_model", "generate_during_eval", "label_pad_token_id",
             "reference_free")  # fmt: skip


def config(name: str, argument: str) -> str:
    return f"from trl import {name}\n{name}(output_dir='out', {argument}=x)\n"


def trainer(name: str, argument: str, more: str = "") -> str:
    return f"from trl import {name}\n{name}(model, {more}{argument}=x)\n"


# Library, the last release without the fault, the first with it, the code, and the script.
ROWS: list[tuple[str, str, str, str, str]] = [
    ("transformers", "4.50.3", "4.51.0", "API002", ARGS.format("evaluation_strategy")),
    ("transformers", "4.50.3", "4.51.0", "API002", ARGS.format("dispatch_batches")),
    ("transformers", "4.50.3", "4.51.0", "API002", ARGS.format("split_batches")),
    *(("transformers", "4.57.6", "5.0.0", "API002", ARGS.format(name)) for name in _GONE_IN_5),
    ("transformers", "5.1.0", "5.2.0", "API002", ARGS.format("group_by_length")),
    ("transformers", "5.14.1", "5.15.0", "API002", ARGS.format("warmup_ratio")),
    ("transformers", "5.14.1", "5.15.0", "API002", ARGS.format("logging_dir")),
    ("transformers", "4.57.6", "5.0.0", "API002",
     "from transformers import Trainer\nTrainer(model=model, tokenizer=x)\n"),
    ("transformers", "4.57.6", "5.0.0", "API002",
     "from transformers import Trainer\ntrainer = Trainer(model=model)\ntrainer.train(model_path=x)\n"),
    ("transformers", "4.45.2", "4.46.0", "API002",
     "from transformers import Trainer\n\nclass Own(Trainer):\n"
     "    def compute_loss(self, model, inputs, return_outputs=False):\n        return 0\n\n"
     "Own(model=model).train()\n"),
    ("transformers", "4.49.0", "4.50.0", "API001", "from transformers import AdamW\n"),
    ("transformers", "4.49.0", "4.50.0", "API001", "import transformers\ntransformers.AdamW(parameters)\n"),
    *(("transformers", "4.57.6", "5.0.0", "API002",
       f"from transformers import AutoModelForCausalLM as A\nA.from_pretrained('a/b', {name}=True)\n")
      for name in ("load_in_4bit", "load_in_8bit", "use_auth_token")),
    *(("trl", "0.12.2", "0.13.0", "API002", trainer("SFTTrainer", name))
      for name in ("dataset_text_field", "max_seq_length", "packing", "dataset_num_proc")),
    *(("trl", "0.12.2", "0.13.0", "API002", trainer("DPOTrainer", name))
      for name in ("beta", "max_length", "max_prompt_length", "loss_type")),
    ("trl", "0.15.2", "0.16.0", "API002", trainer("SFTTrainer", "tokenizer")),
    ("trl", "0.15.2", "0.16.0", "API002", trainer("DPOTrainer", "tokenizer")),
    ("trl", "0.14.0", "0.15.0", "API002", trainer("RewardTrainer", "tokenizer")),
    ("trl", "0.19.1", "0.20.0", "API002", config("SFTConfig", "max_seq_length")),
    ("trl", "0.19.1", "0.20.0", "API001", "from trl import DataCollatorForCompletionOnlyLM\n"),
    ("trl", "0.25.1", "0.26.0", "API001", "from trl import setup_chat_format\n"),
    *(("trl", "0.27.2", "0.28.0", "API002", config("GRPOConfig", name))
      for name in ("max_prompt_length", "use_liger_loss", "vllm_guided_decoding_regex")),
    *(("trl", "0.28.0", "0.29.0", "API002", config("DPOConfig", name)) for name in _DPO_GONE),
    *(("trl", "0.28.0", "0.29.0", "API001", f"from trl import {name}Trainer\n") for name in _TOP_TRAINERS),
    ("trl", "0.28.0", "0.29.0", "API001", "from trl import AutoModelForCausalLMWithValueHead\n"),
    ("trl", "1.12.0", "1.13.0", "API001", "from trl.experimental.ppo import PPOTrainer\n"),
    ("trl", "0.12.2", "0.13.0", "API001", "from trl import PPOv2Trainer\n"),
    ("trl", "0.11.4", "0.12.0", "API002", "from trl import PPOTrainer\nPPOTrainer(config=c, model=m, ref_model=r)\n"),
]  # fmt: skip


def codes(script: str, requirement: str) -> set[str | None]:
    job = {"script": f"x = c = m = r = model = parameters = object()\n{script}", "dependencies": [requirement]}
    (report,) = check_job(job, options=Options(select=("API001", "API002"), python_engine=False))
    assert not report.errors
    return {finding.code for finding in report.findings if finding.severity == "error"}


@pytest.mark.parametrize(("library", "before", "since", "code", "script"), ROWS)
def test_a_change_is_found_from_its_release_on(library: str, before: str, since: str, code: str, script: str) -> None:
    assert codes(script, f"{library}=={since}") == {code}
    assert codes(script, f"{library}=={before}") == set()


@pytest.mark.parametrize(
    ("library", "old", "new", "argument", "was", "now"),
    [
        ("transformers", "4.57.6", "5.0.0", "report_to", "None", "'none'"),
        ("trl", "0.29.1", "1.0.0", "vllm_mode", "'server'", "'colocate'"),
    ],
)
def test_a_silent_change_of_a_default_is_listed(
    library: str, old: str, new: str, argument: str, was: str, now: str
) -> None:
    after = at_release(open_index(), library, new)
    found = [c for c in changes(after.at(library, old), after, library) if c.argument == argument]
    assert any((c.kind, c.old, c.new) == ("default-changed", was, now) for c in found), found
    assert all(isinstance(c, Change) for c in found)


@pytest.mark.parametrize(("argument", "severity"), [("gradient_checkpointing", "warn"), ("torch_dtype", "info")])
def test_what_still_works_is_announced(argument: str, severity: str) -> None:
    script = {
        "gradient_checkpointing": ARGS.format("gradient_checkpointing"),
        "torch_dtype": "from transformers import AutoModel\nAutoModel.from_pretrained('a/b', torch_dtype=x)\n",
    }[argument]
    job = {"script": f"x = True\n{script}", "dependencies": ["transformers==5.23.0"]}
    (report,) = check_job(job, options=Options(select=("API",), python_engine=False))
    assert [(f.code, f.severity) for f in report.findings] == [("API003", severity)]
