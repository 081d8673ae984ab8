"""What to write in place of names and arguments that are gone, where the library's own notice does not say it.

Read from the sources of the releases around each change (transformers 4.36.2 to 5.23.0, trl 0.7.11 to 1.16.0, peft
0.7.1 to 0.21.0, datasets 2.14.7 to 5.1.0, huggingface_hub 0.20.3 to 2.4.0). A hint is given only where the name that it
leads to is there in the job's version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hint:
    """`text` is what to write; `new` the keyword or path that has to exist for it; `same` a rename and nothing else."""

    text: str
    new: str = ""
    same: bool = False


NAMES: Mapping[str, Hint] = {
    # Not the same: transformers' own AdamW had weight_decay=0.0, torch's has 0.01.
    "transformers.AdamW": Hint("from torch.optim import AdamW"),
    "transformers.AutoModelWithLMHead": Hint("AutoModelForCausalLM", "transformers.AutoModelForCausalLM"),
    "transformers.AutoModelForVision2Seq": Hint(
        "AutoModelForImageTextToText", "transformers.AutoModelForImageTextToText", same=True
    ),
    "transformers.TRANSFORMERS_CACHE": Hint(
        "huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.constants.HF_HUB_CACHE"
    ),
    "trl.DataCollatorForCompletionOnlyLM": Hint(
        "SFTConfig(completion_only_loss=True) with a prompt and a completion column, or assistant_only_loss=True",
        "trl.SFTConfig",
    ),
    "trl.setup_chat_format": Hint("clone_chat_template", "trl.clone_chat_template"),
    "trl.PPOv2Trainer": Hint("PPOTrainer", "trl.PPOTrainer"),
    "trl.PPOv2Config": Hint("PPOConfig", "trl.PPOConfig"),
    "peft.prepare_model_for_int8_training": Hint(
        "prepare_model_for_kbit_training", "peft.prepare_model_for_kbit_training"
    ),
    "datasets.load_metric": Hint("evaluate.load (of the package evaluate)"),
    "huggingface_hub.cached_download": Hint("hf_hub_download", "huggingface_hub.hf_hub_download"),
    "huggingface_hub.HfFolder": Hint("get_token() and login()", "huggingface_hub.get_token"),
    "huggingface_hub.InferenceApi": Hint("InferenceClient", "huggingface_hub.InferenceClient"),
    "huggingface_hub.Repository": Hint("HfApi().upload_folder", "huggingface_hub.HfApi"),
}

ARGUMENTS: Mapping[str, Hint] = {
    "evaluation_strategy": Hint("eval_strategy=", "eval_strategy", same=True),
    "tokenizer": Hint("processing_class=", "processing_class", same=True),
    "use_auth_token": Hint("token=", "token", same=True),
    "no_cuda": Hint("use_cpu=", "use_cpu", same=True),
    "max_seq_length": Hint("max_length=", "max_length", same=True),
    "push_to_hub_token": Hint("hub_token=", "hub_token", same=True),
    "push_to_hub_model_id": Hint("hub_model_id=", "hub_model_id"),
    "push_to_hub_organization": Hint('hub_model_id="organization/name"', "hub_model_id"),
    "per_gpu_train_batch_size": Hint("per_device_train_batch_size=", "per_device_train_batch_size", same=True),
    "per_gpu_eval_batch_size": Hint("per_device_eval_batch_size=", "per_device_eval_batch_size", same=True),
    "adafactor": Hint('optim="adafactor"', "optim"),
    "group_by_length": Hint('train_sampling_strategy="group_by_length"', "train_sampling_strategy"),
    "warmup_ratio": Hint("warmup_steps=, which takes a share below 1 as a float", "warmup_steps"),
    "dispatch_batches": Hint('accelerator_config={"dispatch_batches": …}', "accelerator_config"),
    "split_batches": Hint('accelerator_config={"split_batches": …}', "accelerator_config"),
    "fsdp_min_num_params": Hint('fsdp_config={"min_num_params": …}', "fsdp_config"),
    "fsdp_transformer_layer_cls_to_wrap": Hint('fsdp_config={"transformer_layer_cls_to_wrap": …}', "fsdp_config"),
    "torchdynamo": Hint("torch_compile_backend=", "torch_compile_backend"),
    "include_inputs_for_metrics": Hint('include_for_metrics=["inputs"]', "include_for_metrics"),
    "include_tokens_per_second": Hint("include_num_input_tokens_seen=", "include_num_input_tokens_seen"),
    "logging_dir": Hint("the environment variable TENSORBOARD_LOGGING_DIR"),
    "use_liger": Hint("use_liger_kernel=", "use_liger_kernel", same=True),
    "use_liger_loss": Hint("use_liger_kernel=", "use_liger_kernel"),
    "vllm_guided_decoding_regex": Hint("vllm_structured_outputs_regex=", "vllm_structured_outputs_regex", same=True),
    "load_in_4bit": Hint("quantization_config=BitsAndBytesConfig(load_in_4bit=True)", "quantization_config"),
    "load_in_8bit": Hint("quantization_config=BitsAndBytesConfig(load_in_8bit=True)", "quantization_config"),
    "model_id": Hint("model=", "model"),
}

# Announced by a message about several arguments at once (transformers 4.57.6, modeling_utils.py, `from_pretrained`).
ANNOUNCED = frozenset({"load_in_4bit", "load_in_8bit"})
