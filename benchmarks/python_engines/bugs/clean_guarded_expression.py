# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def build(use_peft):
    if use_peft:
        config = object()
    return SFTTrainer(peft_config=config if use_peft else None)


build(True)
