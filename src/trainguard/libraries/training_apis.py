"""Names of the training libraries that make a script a training script, and what they save with.

Read off transformers 5.23, trl 1.16 (and the trainers that older releases had, spec of API changes),
peft 0.21, accelerate 1.15, and the public documentation of Lightning, Unsloth, SetFit and
sentence-transformers.
"""

from __future__ import annotations

import re

# A class of this form trains; those of the tokenizers and sentencepiece libraries train a vocabulary.
TRAINER_CLASS = re.compile(r"(?:[A-Z]\w*)?Trainer(?:V2)?")
TOKENIZER_TRAINERS = {
    "BpeTrainer",
    "WordPieceTrainer",
    "WordLevelTrainer",
    "UnigramTrainer",
    "SentencePieceTrainer",
    "WordPieceTokenizerTrainer",
}

# Configurations of a training run: classes whose fields are the run's options.
_TRL_CONFIGS = "SFT DPO GRPO RLOO KTO Reward PPO PPOv2 ORPO CPO BCO GKD OnlineDPO XPO NashMD PRM AlignProp DDPO"
_TRL_CONFIGS += " IterativeSFT AsyncGRPO Distillation MiniLLM GOLD SDFT SDPO TPO A2PO PAPO GSPOToken"
CONFIG_CLASSES = {f"{name}Config" for name in _TRL_CONFIGS.split()} | {
    "TrainingArguments",
    "Seq2SeqTrainingArguments",
    "SentenceTransformerTrainingArguments",
    "SparseEncoderTrainingArguments",
    "CrossEncoderTrainingArguments",
    "UnslothTrainingArguments",
    "ORTTrainingArguments",
    "GaudiTrainingArguments",
    "FinetuneArguments",
}

# Functions that run a whole training by themselves.
TRAINING_FUNCTIONS = {
    "llamafactory.train.tuner.run_exp",
    "axolotl.cli.train.do_cli",
    "axolotl.cli.train.do_train",
    "axolotl.train.train",
    "torchtune.run",
    "autotrain.project.AutoTrainProject",
}

# What a model is loaded with ends in one of these only if it is no model.
NOT_A_MODEL = re.compile(r"Tokenizer|Processor|FeatureExtractor|Config$|Scheduler|ImageProcessor|Vocab|Template")

HUB_METHODS = {
    "push_to_hub",
    "push_to_hub_merged",
    "push_to_hub_gguf",
    "push_to_hub_keras",
    "push_to_hub_torchao",
    "upload_folder",
    "upload_file",
    "upload_large_folder",
    "create_commit",
}
UPLOAD_METHODS = {
    "upload_fileobj",
    "upload_from_filename",
    "upload_blob",
    "put_object",
    "log_model",
    "log_artifact",
    "log_artifacts",
    "create_model_version",
}
SAVE_METHODS = {
    "save_model",
    "save_pretrained",
    "save_pretrained_merged",
    "save_pretrained_gguf",
    "save_pretrained_torchao",
    "save_state",
    "save_checkpoint",
    "save_weights",
    "save_lora",
    "save_lora_weights",
    "save_lora_adapter",
    "save_adapter",
    "save_16bit_model",
    "save_file",
    "save_full_state_dict",
    "save_state_dict",
    "async_save",
}
