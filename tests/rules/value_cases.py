"""Small training scripts: for each check of API006 one that the library refuses, and its twin that trains.

The rule is tested on them, and the slow suite runs both with the real libraries. What the scripts do not make
themselves (`model`, `tokens`, ...), `tests/slow/execute_scripts.py` puts there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueCase:
    """`bad` fails with `error` (a pattern), or only warns where it is empty; `good` trains."""

    key: str
    error: str
    bad: str
    good: str


_BASE = "use_cpu=True, per_device_train_batch_size=2"
_LOADED = 'model = AutoModelForCausalLM.from_pretrained("model")\n'


def _trainer(options: str, more: str = "") -> str:
    return (
        "from transformers import Trainer, TrainingArguments\n"
        f'args = TrainingArguments("out", {_BASE}, {options})\n'
        f"Trainer(model, args, train_dataset=tokens{more}).train()\n"
    )


def _with_evaluation(options: str) -> str:
    return _trainer(f"num_train_epochs=1, {options}", ", eval_dataset=tokens")


def _trl(kind: str, options: str, more: str = "", before: str = "", model: str = "model") -> str:
    data = {"SFT": "texts", "DPO": "preferences", "Reward": "preferences", "KTO": "labelled"}.get(kind, "prompts")
    sizes = ", num_generations=2, max_completion_length=4" if kind in ("GRPO", "RLOO") else ""
    sizes = "" if "num_generations" in options else sizes
    rewards = "reward_funcs=reward, " if kind in ("GRPO", "RLOO") and "reward_funcs" not in more else ""
    base = _BASE if "per_device_train_batch_size" not in options else "use_cpu=True"
    return (
        f"from trl import {kind}Config, {kind}Trainer\n{before}"
        f'args = {kind}Config("out", {base}, max_steps=1{sizes}{options})\n'
        f"{kind}Trainer({model}, {rewards}args=args, train_dataset={data}, processing_class=tokenizer{more}).train()\n"
    )


def _lora(options: str) -> str:
    return (
        f"from peft import LoraConfig, LoftQConfig, get_peft_model\nget_peft_model(model, LoraConfig(r=4, {options}))\n"
    )


_AUTO = "from transformers import AutoModelForCausalLM\n"
_PEFT = "from peft import LoraConfig, get_peft_model\n"
_ADAPTER = f"{_AUTO}{_PEFT}{_LOADED}model = get_peft_model(model, LoraConfig(r=4, target_modules=['q_proj']))\n"
_NEW_ADAPTER = ", peft_config=LoraConfig(r=4, target_modules=['q_proj'])"
_JOIN = "def join(row):\n    return row['text']\n"
_TWO_REWARDS = (
    "def short(completions, **kwargs):\n    return [1.0 for _ in completions]\n"
    "def long(completions, **kwargs):\n    return [0.0 for _ in completions]\n"
)
_ROWS = (
    "from datasets import load_dataset\nfrom transformers import Trainer, TrainingArguments\n"
    'rows = load_dataset("json", data_files="rows.jsonl", split="train", streaming=True)\n'
    f'args = TrainingArguments("out", {_BASE}{{}})\n'
    "Trainer(model, args, train_dataset=rows.shuffle(seed=1)).train()\n"
)

CASES = (
    ValueCase(
        "fp16-bf16", "At most one of fp16 and bf16", _trainer("fp16=True, bf16=True"), _trainer("bf16=True, fp16=False")
    ),
    ValueCase(
        "full-eval-precision",
        "At most one of fp16 and bf16 can be True for full eval",
        _with_evaluation("fp16_full_eval=True, bf16_full_eval=True"),
        _with_evaluation("bf16_full_eval=True"),
    ),
    ValueCase(
        "best-model-strategies",
        "requires the save and eval strategy to match",
        _with_evaluation('load_best_model_at_end=True, eval_strategy="epoch"'),
        _with_evaluation('load_best_model_at_end=True, eval_strategy="epoch", save_strategy="epoch"'),
    ),
    ValueCase(
        "best-model-steps",
        "round multiple of the evaluation steps",
        _with_evaluation('load_best_model_at_end=True, eval_strategy="steps", eval_steps=2, save_steps=3'),
        _with_evaluation('load_best_model_at_end=True, eval_strategy="steps", eval_steps=2, save_steps=4'),
    ),
    ValueCase(
        "plateau-without-evaluation",
        "reduce_lr_on_plateau requires an eval strategy",
        _trainer('lr_scheduler_type="reduce_lr_on_plateau"'),
        _with_evaluation('lr_scheduler_type="reduce_lr_on_plateau", eval_strategy="epoch"'),
    ),
    ValueCase(
        "greedy-without-evaluation",
        "greedy requires an eval strategy",
        _trainer('lr_scheduler_type="greedy"'),
        _with_evaluation('lr_scheduler_type="greedy", eval_strategy="epoch"'),
    ),
    ValueCase(
        "prefetch-without-workers",
        "dataloader_prefetch_factor can only be set",
        _trainer("dataloader_prefetch_factor=2"),
        _trainer("dataloader_prefetch_factor=2, dataloader_num_workers=1"),
    ),
    ValueCase(
        "persistent-without-workers",
        "persistent_workers option needs num_workers",
        _trainer("dataloader_persistent_workers=True"),
        _trainer("dataloader_persistent_workers=True, dataloader_num_workers=1"),
    ),
    ValueCase(
        "logging-steps-zero",
        "requires non-zero --logging_steps",
        _trainer("logging_steps=0"),
        _trainer('logging_steps=0, logging_strategy="no"'),
    ),
    ValueCase(
        "best-without-metric",
        "metric_for_best_model. must be provided",
        _with_evaluation('eval_strategy="epoch", save_strategy="best"'),
        _with_evaluation('eval_strategy="epoch", save_strategy="best", metric_for_best_model="loss"'),
    ),
    ValueCase("max-steps-and-epochs", "", _trainer("max_steps=2, num_train_epochs=1"), _trainer("max_steps=2")),
    ValueCase(
        "checkpointing-and-cache",
        "",
        _trainer("gradient_checkpointing=True, use_cache=True"),
        _trainer("gradient_checkpointing=True"),
    ),
    ValueCase(
        "packing-without-length",
        "max_length. can't be .None",
        _trl("SFT", ", packing=True, max_length=None"),
        _trl("SFT", ", packing=True, max_length=16"),
    ),
    ValueCase(
        "padding-free-with-length",
        "max_length. is not enforced",
        _trl("SFT", ", padding_free=True"),
        _trl("SFT", ", padding_free=True, max_length=None"),
    ),
    ValueCase(
        "loss-weights",
        "loss_weights. must have the same length",
        _trl("DPO", ', loss_type=["sigmoid", "sft"], loss_weights=[1.0]'),
        _trl("DPO", ', loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5]'),
    ),
    ValueCase(
        "f-divergence-loss",
        "is only supported for the following loss types",
        _trl("DPO", ', loss_type="nca_pair", f_divergence_type="js_divergence"'),
        _trl("DPO", ', loss_type="sigmoid", f_divergence_type="js_divergence"'),
    ),
    ValueCase(
        "weighting-with-aot",
        "weighting is not implemented for .aot",
        _trl("DPO", ', use_weighting=True, loss_type="aot"'),
        _trl("DPO", ', use_weighting=True, loss_type="sigmoid"'),
    ),
    ValueCase(
        "exo-without-smoothing",
        "must be greater than 0.0 when using 'exo_pair'",
        _trl("DPO", ', loss_type="exo_pair"'),
        _trl("DPO", ', loss_type="exo_pair", label_smoothing=1e-3'),
    ),
    ValueCase(
        "precompute-and-sync",
        "You cannot use .sync_ref_model=True. together",
        _trl("DPO", ", sync_ref_model=True, precompute_ref_log_probs=True"),
        _trl("DPO", ", precompute_ref_log_probs=True"),
    ),
    ValueCase(
        "kto-precompute-and-sync",
        "You cannot use .sync_ref_model=True. together",
        _trl("KTO", ", sync_ref_model=True, precompute_ref_log_probs=True"),
        _trl("KTO", ", precompute_ref_log_probs=True"),
    ),
    ValueCase(
        "kto-batch-of-one",
        "batch size must be > 1",
        _trl("KTO", ", per_device_train_batch_size=1"),
        _trl("KTO", ", per_device_train_batch_size=2"),
    ),
    ValueCase(
        "generation-batch-and-steps",
        "can not be both configured",
        _trl("GRPO", ", generation_batch_size=4, steps_per_generation=2"),
        _trl("GRPO", ", steps_per_generation=2"),
    ),
    ValueCase(
        "generation-batch-divisible",
        "must be divisible by num_generations",
        _trl("GRPO", ", generation_batch_size=4, num_generations=3, max_completion_length=4"),
        _trl("GRPO", ", generation_batch_size=4, num_generations=2, max_completion_length=4"),
    ),
    ValueCase(
        "auto-batch-size",
        "auto_find_batch_size is not supported",
        _trl("RLOO", ", auto_find_batch_size=True"),
        _trl("RLOO", ", auto_find_batch_size=False"),
    ),
    ValueCase(
        "completions-repo",
        "log_completions_hub_repo is set",
        _trl("GRPO", ', log_completions_hub_repo="user/logs"'),
        _trl("GRPO", ", log_completions=False"),
    ),
    ValueCase(
        "sync-without-reference",
        "sync_ref_model=True. while .beta=0.0",
        _trl("GRPO", ", sync_ref_model=True"),
        _trl("GRPO", ", sync_ref_model=True, beta=0.1"),
    ),
    ValueCase(
        "layers-of-a-pattern",
        "layers_to_transform. cannot be used",
        _lora('target_modules="all-linear", layers_to_transform=[0]'),
        _lora('target_modules=["q_proj"], layers_to_transform=[0]'),
    ),
    ValueCase(
        "pattern-of-a-pattern",
        "layers_pattern. cannot be used",
        _lora('target_modules="all-linear", layers_pattern="layers"'),
        _lora('target_modules=["q_proj"], layers_to_transform=[0], layers_pattern="layers"'),
    ),
    ValueCase(
        "pattern-without-layers",
        "layers_to_transform. must also be specified",
        _lora('target_modules=["q_proj"], layers_pattern="layers"'),
        _lora('target_modules=["q_proj"], layers_pattern="layers", layers_to_transform=[0]'),
    ),
    ValueCase(
        "loftq-without-config",
        "scipy|loftq_config. must be specified",
        _lora('target_modules=["q_proj"], init_lora_weights="loftq"'),
        _lora('target_modules=["q_proj"], init_lora_weights="gaussian"'),
    ),
    ValueCase(
        "lora-bias-init",
        "lora_bias=True is only supported with",
        _lora('target_modules=["q_proj"], lora_bias=True, init_lora_weights="gaussian"'),
        _lora('target_modules=["q_proj"], init_lora_weights="gaussian"'),
    ),
    ValueCase(
        "lora-bias-dora",
        "lora_bias=True is not supported for DoRA",
        _lora('target_modules=["q_proj"], lora_bias=True, use_dora=True'),
        _lora('target_modules=["q_proj"], use_dora=True'),
    ),
    ValueCase(
        "four-and-eight-bit",
        "load_in_4bit and load_in_8bit are both True",
        "from transformers import BitsAndBytesConfig\nBitsAndBytesConfig(load_in_4bit=True, load_in_8bit=True)\n",
        "from transformers import BitsAndBytesConfig\nBitsAndBytesConfig(load_in_8bit=True)\n",
    ),
    # -- what a trainer checks ---------------------------------------------------
    ValueCase(
        "no-eval-dataset",
        "didn't pass an .eval_dataset",
        _trainer('num_train_epochs=1, eval_strategy="epoch"'),
        _with_evaluation('eval_strategy="epoch"'),
    ),
    *(
        ValueCase(
            f"no-eval-dataset-{kind}",
            "didn't pass an .eval_dataset",
            _trl(kind, ', eval_strategy="epoch", per_device_eval_batch_size=2'),
            _trl(kind, ', eval_strategy="no"'),
        )
        for kind in ("SFT", "DPO", "KTO", "GRPO")
    ),
    ValueCase("no-length", "does not implement __len__", _ROWS.format(""), _ROWS.format(", max_steps=2")),
    ValueCase(
        "model-and-model-init",
        "but not both",
        f'{_AUTO}def make():\n    return AutoModelForCausalLM.from_pretrained("model")\n{_LOADED}'
        + _trainer("max_steps=1", ", model_init=make"),
        f"{_AUTO}{_LOADED}" + _trainer("max_steps=1"),
    ),
    ValueCase(
        "optimizers-and-model-init",
        "Passing a .model_init. is incompatible",
        "from torch.optim import SGD\n"
        f'{_AUTO}def make():\n    return AutoModelForCausalLM.from_pretrained("model")\n'
        + _trainer("max_steps=1", ", model_init=make, optimizers=(SGD(model.parameters(), 0.1), None)").replace(
            "Trainer(model, args", "Trainer(args=args"
        ),
        f'{_AUTO}def make():\n    return AutoModelForCausalLM.from_pretrained("model")\n'
        + _trainer("max_steps=1", ", model_init=make").replace("Trainer(model, args", "Trainer(args=args"),
    ),
    *(
        ValueCase(
            f"two-adapters-{kind}",
            "PeftModel. instance together with a .peft_config",
            _trl(kind, "", _NEW_ADAPTER, _ADAPTER),
            _trl(kind, "", "", _ADAPTER),
        )
        for kind in ("SFT", "DPO", "KTO", "GRPO")
    ),
    *(
        ValueCase(
            f"quantized-twice-{kind}",
            "your model is already instantiated",
            _trl(
                kind,
                "",
                ", quantization_config=BitsAndBytesConfig(load_in_8bit=True)",
                f"from transformers import BitsAndBytesConfig\n{_AUTO}{_LOADED}",
            ),
            _trl(kind, "", "", f"{_AUTO}{_LOADED}"),
        )
        for kind in ("DPO", "KTO")
    ),
    ValueCase(
        "no-eval-dataset-Reward",
        "didn't pass an .eval_dataset",
        _trl("Reward", ', eval_strategy="epoch"', model="classifier"),
        _trl("Reward", ', eval_strategy="no"', model="classifier"),
    ),
    *(
        ValueCase(
            f"own-reference-{kind}",
            "cannot be the same object",
            _trl(kind, "", ", ref_model=model", f"{_AUTO}{_LOADED}"),
            _trl(kind, "", "", f"{_AUTO}{_LOADED}"),
        )
        for kind in ("DPO", "KTO")
    ),
    ValueCase(
        "collator-and-packing",
        "custom data collator is not supported",
        _trl(
            "SFT",
            ", packing=True, max_length=16",
            ", data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False)",
            "from transformers import DataCollatorForLanguageModeling\n",
        ),
        _trl(
            "SFT",
            "",
            ", data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False)",
            "from transformers import DataCollatorForLanguageModeling\n",
        ),
    ),
    ValueCase(
        "formatting-and-completion",
        "A formatting function was provided",
        _trl(
            "SFT", ", completion_only_loss=True", ", formatting_func=join", "def join(row):\n    return row['text']\n"
        ),
        _trl("SFT", "", ", formatting_func=join", "def join(row):\n    return row['text']\n"),
    ),
    ValueCase(
        "dft-and-own-loss",
        "compute_loss_func. together with",
        _trl("SFT", ', loss_type="dft"', ", compute_loss_func=loss", "def loss(outputs, labels, **_):\n    return 0\n"),
        _trl("SFT", ', loss_type="dft"'),
    ),
    ValueCase(
        "reward-weights",
        "Number of reward weights",
        _trl("GRPO", ", reward_weights=[1.0]", ", reward_funcs=[short, long]", _TWO_REWARDS),
        _trl("GRPO", ", reward_weights=[1.0, 0.5]", ", reward_funcs=[short, long]", _TWO_REWARDS),
    ),
    *(
        ValueCase(
            f"synced-adapter-{kind}",
            "while using a PEFT model",
            _trl(kind, ", sync_ref_model=True, beta=0.1", "", _ADAPTER),
            _trl(kind, ", beta=0.1", "", _ADAPTER),
        )
        for kind in ("DPO", "GRPO")
    ),
)

_OF_ARGUMENTS = (
    "per_device_train_batch_size num_train_epochs max_steps gradient_accumulation_steps warmup_steps max_grad_norm "
    "logging_steps save_steps seed dataloader_num_workers learning_rate weight_decay adam_beta1 adam_beta2 "
    "adam_epsilon lr_scheduler_type optim eval_strategy save_strategy logging_strategy hub_strategy"
).split()


def _plain(option: str) -> str:
    return (
        "from transformers import Trainer, TrainingArguments\n"
        f'args = TrainingArguments("out", use_cpu=True, {option})\n'
        "Trainer(model, args, train_dataset=tokens, eval_dataset=tokens).train()\n"
    )


def _adapter(option: str) -> str:
    return f"from peft import LoraConfig, get_peft_model\nget_peft_model(model, LoraConfig({option}))\n"


# Scripts that fail on an option that is None, by that option, for API007.
NONE_SCRIPTS: dict[str, str] = {
    **{f"TrainingArguments.{name}": _plain(f"{name}=None") for name in _OF_ARGUMENTS},
    **{f"LoraConfig.{name}": _adapter(f"{name}=None") for name in ("r", "lora_alpha", "lora_dropout", "bias")},
    "GRPOConfig.num_generations": _trl("GRPO", ", num_generations=None"),
    **{
        f"GRPOConfig.{name}": _trl("GRPO", f", {name}=None")
        for name in "temperature beta epsilon num_iterations".split()
    },
}

# Scripts that fail on a number, with the pattern of the error, for API009.
RANGE_SCRIPTS: dict[str, tuple[str, str]] = {
    "learning_rate": (_plain("learning_rate=-1e-4"), "Invalid learning rate"),
    "per_device_train_batch_size": (_plain("per_device_train_batch_size=0"), "batch_size should be a positive"),
    "per_device_eval_batch_size": (
        _plain('per_device_eval_batch_size=0, eval_strategy="steps", eval_steps=1'),
        "batch_size should be a positive",
    ),
    "gradient_accumulation_steps": (_plain("gradient_accumulation_steps=0"), "ZeroDivisionError"),
    "warmup_steps": (_plain("warmup_steps=-1"), "Expected value warmup_steps >= 0"),
    "adam_beta1": (_plain("adam_beta1=1.0"), "Invalid beta"),
    "adam_beta2": (_plain("adam_beta2=-0.1"), "Invalid beta"),
    "adam_epsilon": (_plain("adam_epsilon=-1e-8"), "Invalid epsilon"),
    "dataloader_num_workers": (_plain("dataloader_num_workers=-1"), "num_workers option should be non-negative"),
    "torch_empty_cache_steps": (_plain("torch_empty_cache_steps=0"), "must be an integer bigger than 0"),
    "logging_steps": (_plain("logging_steps=2.5"), "must be an integer if bigger than 1"),
    "save_steps": (_plain("save_steps=2.5"), "must be an integer if bigger than 1"),
    "eval_steps": (_plain('eval_strategy="steps", eval_steps=2.5'), "must be an integer if bigger than 1"),
    "num_generations": (_trl("GRPO", ", num_generations=1"), "at least 2 generations"),
    "num_generations of RLOO": (_trl("RLOO", ", num_generations=1"), "at least 2 generations"),
    "temperature": (_trl("GRPO", ", temperature=0.0"), "strictly positive float"),
    "r": (_adapter("r=0"), "should be a positive integer"),
    "lora_dropout": (_adapter("lora_dropout=1.5"), "dropout probability has to be between 0 and 1"),
}

_SMALL = "per_device_train_batch_size=2, num_generations=4"
# Generation batches on one GPU; the rule needs a job for them, the library only counts its processes.
GENERATION_SCRIPTS = {
    count: (
        f'from trl import GRPOConfig\nGRPOConfig("out", use_cpu=True, {_SMALL}, gradient_accumulation_steps={count})\n'
    )
    for count in (1, 2)
}
