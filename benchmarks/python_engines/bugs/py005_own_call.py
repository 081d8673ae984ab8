# bug: PY005 11
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def build(name, size):
    return name, size


build('a')
