# bug: PY004 12
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def load(name):
    if name:
        data = load_dataset(name)
    else:
        print('no name')
    return data


load('a')
