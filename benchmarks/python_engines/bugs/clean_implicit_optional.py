# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def load(name: str = None, limit: int = None):
    if limit is None:
        limit = 3
    return name, limit + 1


load()
